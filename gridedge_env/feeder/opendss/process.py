"""A script in a process of its own: what is wrong with it ends that one, and is an error here."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gridedge_env.feeder.opendss.circuit import KINDS, Circuit, circuit_of
from gridedge_env.feeder.opendss.script import Script, read_script

LONGEST, MOST_MEMORY = 600.0, 4 * 2**30
"""Seconds and bytes that OpenDSS may take."""

ENGINE = Path(__file__).with_name("engine.py")
# Of the user's, the interpreter is told no more than where packages are.
START = (
    "import runpy, sys; sys.path[:] = sys.argv[2:]; "
    "runpy.run_path(sys.argv[1], run_name='__main__')"
)
# Windows loads no library without the first; the others keep libraries from taking all processors.
KEPT, SET = ("SYSTEMROOT",), {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def solved_circuit(path: Path) -> Circuit:
    """Run a script, let its controls act, and read what it made.

    Raises:
        ImportError: without dss_python.
        ValueError: what is wrong with the script, and where; that the circuit does not converge, or
            that OpenDSS needs too much time or memory, or crashes.
    """
    if importlib.util.find_spec("dss") is None:
        raise ImportError(f"{path}: OpenDSS models need dss_python: pip install gridedge[opendss]")
    script = read_script(path)
    answer = asked_of_engine(script)
    if "circuit" in answer:
        return circuit_of(answer["circuit"])
    number = answer["command"]
    place = "" if number is None else f"{script.commands[number].place}: "
    raise ValueError(f"{place}{answer['error']}")


def asked_of_engine(script: Script) -> dict[str, Any]:
    """The answer of `engine` to a script's commands.

    Raises:
        ValueError: there is none.
    """
    asked = {
        "commands": [command.text for command in script.commands],
        "files": [str(file) for file in script.files],
        "kinds": KINDS,
        "memory": MOST_MEMORY,
    }
    with TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", START, str(ENGINE), *map(os.path.abspath, sys.path)],
                input=json.dumps(asked).encode(),
                capture_output=True,
                timeout=LONGEST,
                cwd=folder,
                env={**{name: os.environ[name] for name in KEPT if name in os.environ}, **SET},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ValueError(f"OpenDSS was not done after {LONGEST:g} s") from None
    if done.returncode:
        room = f"{MOST_MEMORY / 2**30:g} GiB of memory"
        raise ValueError(f"OpenDSS crashed on it ({_cause(done)}), or had no room in {room}")
    return json.loads(done.stdout)


def _cause(done: subprocess.CompletedProcess[bytes]) -> str:
    """Of a crash: its signal, or the last that was printed."""
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    said = done.stderr.decode(errors="replace").split("\n")
    return next((line for line in reversed(said) if line.strip()), f"exit {done.returncode}")
