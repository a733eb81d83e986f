"""OpenDSS in a process of its own, which reads what files it is told and writes none.

`process` starts it as a program: JSON comes by standard input, and goes by standard output. Of the
package it imports nothing, whose libraries take seconds to load.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import dss
from dss.enums import DSSJSONFlags

SNAPSHOT = 0
CONTROLS_OFF = -1
ADMITTANCE_LOADS = 2
TOLERANCE = 1e-8
"""Of the last solution, at which the injections' laws are checked."""
ITERATIONS, CONTROL_ITERATIONS = 1000, 100
"""More than OpenDSS's 15 and 10, which heavy loads and many regulators need."""

# Landlock, as of Linux's include/uapi/linux/landlock.h; numbers of calls are those of all machines.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_OF_LANDLOCK, PATH_BENEATH = 1, 1
READ_FILE = 1 << 2
RIGHTS_OF_FILES = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many kinds of access to files each version knows: read, write, make, remove, execute, ..."""
SIZES = {1: 8, 4: 16, 6: 24}
"""Bytes by which each version is told what to forbid: of files, TCP, and beyond this process."""
NO_NEW_PRIVILEGES = 38


def main() -> None:
    """Answer what `process` asks."""
    asked, answer = json.load(sys.stdin), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what OpenDSS prints is no answer
    limit_resources(asked["memory"])
    if sys.platform == "linux":
        restrict_access(asked["files"])
    with answer:
        json.dump(answered(asked["commands"], asked["kinds"]), answer)


def limit_resources(memory: int) -> None:
    """No file may be written to, and so many bytes of memory be had."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, most in (("FSIZE", 0), ("CORE", 0), ("AS", memory)):
        with suppress(ValueError, OSError):  # a system without it, or with less
            resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (most, most))


def restrict_access(files: Sequence[str]) -> bool:
    """Let this process read these files and open, make or run no other; whether Linux can do so."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION_OF_LANDLOCK)
    if version < 1:
        return False
    of_files, size = (_newest(known, version) for known in (RIGHTS_OF_FILES, SIZES))
    forbidden = struct.pack("QQQ", (1 << of_files) - 1, 3, 3)[:size]
    rules = libc.syscall(CREATE_RULESET, forbidden, ctypes.c_size_t(size), 0)
    for file in files:
        opened = os.open(file, os.O_PATH | os.O_CLOEXEC)
        libc.syscall(ADD_RULE, rules, PATH_BENEATH, struct.pack("=Qi", READ_FILE, opened), 0)
        os.close(opened)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    restricted = libc.syscall(RESTRICT_SELF, rules, 0) == 0
    os.close(rules)
    return restricted


def _newest(known: dict[int, int], version: int) -> int:
    return known[max(since for since in known if since <= version)]


def answered(commands: Sequence[str], kinds: Sequence[str]) -> dict[str, Any]:
    """The circuit that commands make, or what is wrong, and with which of them.

    Args:
        commands: of a script.
        kinds: classes whose elements are told.
    """
    engine = dss.DSS.NewContext()
    engine.Error.UseExceptions, engine.AdvancedTypes = True, False
    engine.AllowForms = engine.AllowEditor = engine.AllowChangeDir = False
    engine.DataPath = os.getcwd()
    for number, command in enumerate(commands):
        try:
            engine.Text.Command = command
        except dss.DSSException as error:
            return {"error": f"OpenDSS: {error}", "command": number}
    try:
        if engine.NumCircuits == 0:
            raise ValueError("no circuit in it")
        solve(engine.ActiveCircuit)
        return {"circuit": told(engine, kinds)}
    except dss.DSSException as error:
        return {"error": f"OpenDSS: {error}", "command": None}
    except ValueError as error:
        return {"error": str(error), "command": None}


def solve(circuit: Any) -> None:
    """Solve with the controls if the script did not, and once more without them.

    Raises:
        ValueError: it does not converge, or as admittances.
    """
    solution = circuit.Solution
    if solution.LoadModel == ADMITTANCE_LOADS:
        raise ValueError("its loads are solved as admittances (loadmodel), expected powerflow")
    unsolved = solution.Totaliterations == 0 or not solution.Converged
    solution.MaxIterations = max(solution.MaxIterations, ITERATIONS)
    solution.MaxControlIterations = max(solution.MaxControlIterations, CONTROL_ITERATIONS)
    if unsolved or solution.Mode != SNAPSHOT:
        solution.Mode = SNAPSHOT
        solution.Solve()
    if not solution.Converged:
        raise ValueError(
            f"does not converge in OpenDSS in {solution.MaxIterations} iterations, "
            f"{solution.MaxControlIterations} of its controls"
        )
    solution.ControlMode = CONTROLS_OFF
    usual = solution.Tolerance
    solution.Tolerance = min(usual, TOLERANCE)
    solution.Solve()
    if not solution.Converged:
        solution.Tolerance = usual
        solution.Solve()


def told(engine: Any, kinds: Sequence[str]) -> dict[str, Any]:
    """What `circuit` makes a `Circuit` of; complex numbers as real and imaginary parts in turn."""
    circuit = engine.ActiveCircuit
    buses = list(_buses(circuit))
    return {
        "name": circuit.Name.lower(),
        "frequency": circuit.Solution.Frequency,
        "version": engine.Version.partition(" revision")[0],
        "tolerance": circuit.Solution.Tolerance,
        "buses": buses,
        "elements": list(_elements(circuit, kinds, {name for name, *_ in buses})),
        "others": list(_others(circuit, kinds)),
        "voltage": circuit.AllBusVolts.tolist(),
        "line_codes": {code["Name"].lower(): code for code in _objects(circuit, "LineCode")},
        "regulator_controls": [c for c in _objects(circuit, "RegControl") if c["Enabled"]],
    }


def _buses(circuit: Any) -> Iterator[tuple[str, list[int], float, float | None, float | None]]:
    """Name, phases, base voltage, and where it is drawn."""
    phases: dict[str, list[int]] = {}
    for node in circuit.AllNodeNames:
        bus, _, phase = node.lower().rpartition(".")
        phases.setdefault(bus, []).append(int(phase))
    for index, name in enumerate(circuit.AllBusNames):
        if name.lower() in phases:
            circuit.SetActiveBusi(index)
            bus = circuit.ActiveBus
            x, y = (bus.x, bus.y) if bus.Coorddefined else (None, None)
            yield name.lower(), phases[name.lower()], bus.kVBase, x, y


def _elements(circuit: Any, kinds: Sequence[str], buses: set[str]) -> Iterator[dict[str, Any]]:
    """Those of some classes that are enabled."""
    for kind in kinds:
        for properties in _objects(circuit, kind):
            if properties["Enabled"]:
                circuit.SetActiveElement(f"{kind}.{properties['Name']}")
                yield _element(kind, properties, circuit.ActiveCktElement, buses)


def _others(circuit: Any, kinds: Sequence[str]) -> Iterator[str]:
    """Names of those of other classes that are enabled."""
    for name in circuit.AllElementNames:
        if name.partition(".")[0] not in kinds:
            circuit.SetActiveElement(name)
            if circuit.ActiveCktElement.Enabled:
                yield name


def _element(
    kind: str, properties: dict[str, Any], element: Any, buses: set[str]
) -> dict[str, Any]:
    names = [bus.partition(".")[0].lower() for bus in element.BusNames]
    # A bus that has no nodes but the ground is no bus: its ground is that of the other end.
    known = next((bus for bus in names if bus in buses), "")
    names = [bus if bus in buses else known for bus in names]
    nodes = element.NodeOrder.reshape(len(names), -1).tolist()
    terminals = [[(bus, node) for node in n] for bus, n in zip(names, nodes, strict=True)]
    if kind == "AutoTrans":
        # The series winding ends at the common one, whatever OpenDSS says of it.
        phases = properties["Phases"]
        terminals[0][phases:] = terminals[1][:phases]
    return {
        "kind": kind,
        "name": properties["Name"].lower(),
        "properties": properties,
        "terminals": terminals,
        "admittance": element.Yprim.tolist(),
        "voltage": element.Voltages.tolist(),
        "current": element.Currents.tolist(),
    }


# Arrays that nobody gave, such as a capacitor's matrix, are memory as OpenDSS found it: they may
# hold anything, and what it prints of no number is no JSON.
NO_NUMBER = re.compile(r"(?<=[\[,:])\s*[+-]?(?:nan|inf)\w*", re.IGNORECASE)


def parsed(text: str) -> Any:
    """OpenDSS's JSON."""
    return json.loads(NO_NUMBER.sub("NaN", text))


def _objects(circuit: Any, kind: str) -> list[dict[str, Any]]:
    """The properties of all objects of a class; an ampacity that nobody gave is None."""
    circuit.SetActiveClass(kind)
    objects = parsed(circuit.ActiveClass.ToJSON(DSSJSONFlags.Full))
    if kind in ("Line", "LineCode"):
        for properties, given in zip(objects, parsed(circuit.ActiveClass.ToJSON(0)), strict=True):
            if "NormAmps" not in given:
                properties["NormAmps"] = None
    return list(objects)


if __name__ == "__main__":
    main()
