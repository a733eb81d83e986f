"""An address is tried before anything is begun there; what Ray needs goes with who needs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the rllib extra")

from gradmap_trainer.workers import session
from gradmap_trainer.workers.private_folder import private_folder
from gradmap_trainer.workers.session import check_address

# Says where its folder is and who uses it, and has no time to do more.
KILLED = """
import os, signal, subprocess
from gradmap_trainer.workers.private_folder import private_folder
with private_folder("mine", last_words="it was killed") as folder:
    (folder.path / "file").touch()
    user = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, start_new_session=True)
    folder.is_used_by(user.pid)
    print(folder.path, user.pid, flush=True)
    os.killpg(os.getpid(), signal.SIGKILL)
"""

# As Ray's workers are: of the same session, but a process group of their own.
WITH_ANOTHER_GROUP = """
import os, subprocess
child = subprocess.Popen(["sleep", "600"], preexec_fn=os.setpgrp)
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize("address", ["nowhere", "/tmp/ray", "[::1]", "ray://127.0.0.1:10001"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(
        ValueError, match=r"^address: got .* lets this process in: .*address format"
    ):
        check_address(address)


def test_an_address_where_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there; or somebody who says nothing, for whom Ray would wait for ever."""
    check_address("local")
    host = "127.0.0.1"  # for which Ray takes this machine's address elsewhere
    with socket.create_server(("", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(session, "JOIN_SECONDS", 8.0)
        with pytest.raises(ValueError, match="lets this process in: no answer in 8 s$"):
            check_address(f"{host}:{port}")
    with pytest.raises(ValueError, match="lets this process in: ConnectionRefusedError: "):
        check_address(f"{host}:{port}")


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_private_folder_goes_however_its_process_ends(tmp_path: Path) -> None:
    """And with it who was said to use it; of who had no time to speak there are last words."""
    with private_folder("mine", tmp_path) as folder:
        assert folder.path.parent == tmp_path
        assert folder.path.stat().st_mode & 0o777 == 0o700
        (folder.path / "file").touch()
        words = [sys.executable, "-c", WITH_ANOTHER_GROUP]
        user = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
        folder.is_used_by(user.pid)
        assert user.stdout is not None
        child = int(user.stdout.readline())
    assert user.wait() == -signal.SIGKILL
    if sys.platform.startswith("linux"):
        assert ended(child)
    user.stdout.close()
    assert not list(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stderr == "it was killed\n"
    path, number = done.stdout.split()
    assert Path(path).parent == tmp_path
    assert ended(int(number))
    until = time.monotonic() + 30.0
    while Path(path).exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(path).exists()


def ended(number: int, within: float = 30.0) -> bool:
    """Whether a process ends in so many seconds; one that nobody has waited for yet has, too."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        status = Path(f"/proc/{number}/stat")
        if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
