"""The house keeps its order: rooms import downwards only, and no file is two rooms.

Imports are read from the source, those inside functions and for type checkers too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each package's rooms (files and folders) by floor, lowest first. A room imports rooms of lower
# floors alone, a package rooms of those before it.
FLOORS: dict[str, list[set[str]]] = {
    "gridedge_gateway": [
        {"calendar", "readings", "packing", "sun", "alternating", "model"}
        | {"mistakes", "names", "process"},
        {"operators", "program"},
        {"graph"},
        {"days"},
        {"file"},
        {"published", "sensors", "inbox", "discovery", "connection"},
        {"controller", "inspection"},
        {"record"},
        {"customer", "replay", "picture"},
        {"mqtt"},
        {"cli"},
    ],
    "gridedge_env": [
        {"checks", "writing"},
        {
            *(
                "record",
                "clock",
                "currency",
                "transfer",
                "compiled",
                "forks",
                "animation",
                "memory",
                "actions",
            ),
            "terminal",
        },
        {"day", "feeder"},
        {"powerflow", "layout"},
        {"scenarios", "limit"},
        {"constraints"},
        {"devices"},
        {"state", "wiring", "local_response", "news"},
        {"public_plan"},
        {"case_files"},
        {"case", "moment"},
        {"observation"},
        {"episodes"},
        {"simulator"},
        {"reference", "rendering", "global_state"},
        {"evaluation", "parallel", "torchrl_env"},
        {"evaluation_files"},
        {"cli", "wrappers"},
    ],
    "gradmap_trainer": [
        {"release", "lock", "metrics"},
        {"kernels", "config", "checkpoint", "identity", "team"},
        {"policies", "flags", "console", "event_log", "objective"},
        {"surrogate", "export"},
        {"training_days"},
        {"gradmap"},
        {"run_folder"},
        {"warm_start"},
        {"training", "report"},
        {"monitor", "workers"},
        {"commands"},
    ],
    "baselines": [
        {"methods", "appearances"},
        {"self_supervised", "rllib", "compare"},
    ],
}
# Inside rooms that have an order of their own.
FILES: dict[str, list[set[str]]] = {
    "gridedge_env/feeder": [
        {"records", "ranges"},
        {"primitive"},
        {"validation", "tables", "places"},
        {"feeder"},
        {"elements"},
        {"admittance"},
        {"opendss"},
        {"loading"},
    ],
    "gridedge_env/feeder/opendss": [
        {"vocabulary", "parsing", "circuit", "engine"},
        {"script", "verification"},
        {"process", "elements"},
        {"lines", "transformers", "injections"},
    ],
    "gridedge_env/case_files": [
        {"description", "customers"},
        {"series"},
        {"background"},
        {"folder"},
    ],
    "gridedge_env/powerflow": [
        {"curves", "kernels", "elimination", "factor", "iteration"},
        {"load_models"},
        {"failures", "injections", "linear_maps", "taps"},
        {"device_space", "packed_network"},
        {"compiled_nodes"},
        {"fixed_point", "solution"},
        {"adjoint", "backend"},
        {"torch_backend"},
        {"compiled_backend"},
        {"reduction"},
        {"power_flow"},
        {"regulator_control"},
    ],
    "gridedge_env/scenarios/series": [
        {"faults"},
        {"reading"},
        {"numbers", "stamps"},
        {"local_time"},
        {"steps"},
        {"meters"},
        {"prices", "profiles", "weather"},
    ],
    "gridedge_env/public_plan": [
        {"classes", "homes", "limits", "kernels"},
        {"groups", "solving"},
        {"plan"},
    ],
    "gradmap_trainer/export": [
        {"tracing"},
        {"policy", "everybody"},
        {"customer"},
        {"files"},
        {"replay"},
    ],
    "gradmap_trainer/monitor": [
        {"logs", "trained", "figures"},
        {"findings"},
        {"fleet", "tables"},
        {"verdict", "policies", "homes"},
    ],
    "gradmap_trainer/commands": [
        {"exits"},
        {"evaluate", "export", "monitor", "report"},
        {"train"},
    ],
    "gradmap_trainer/workers": [
        {"private_folder", "member"},
        {"session", "torchrun"},
        {"on_ray"},
        {"choice"},
    ],
    "gridedge_env/devices": [
        {"ranges", "recurrence", "linear_program", "flexibility"},
        {"kind", "storage", "heated_building"},
        {"battery_schedule", "charging"},
        {"charging_schedule"},
        {"battery", "heat_pump", "generator", "ev_charger", "pv_inverter"},
        {"kinds"},
        {"fleet"},
        {"sampling"},
    ],
}
PACKAGES = list(FLOORS)
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "images" / "house.svg"
MOST_LINES = 400


def modules() -> dict[str, Path]:
    """All modules of the packages by name."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports_of(path: Path) -> Iterator[str]:
    """Names of our modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            if name:
                yield name


def libraries_of(path: Path) -> Iterator[str]:
    """Names of the packages that a file imports, anybody's, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]


IMPORTS = {name: set(imports_of(path)) - {name} for name, path in MODULES.items()}


def test_the_modules_are_seen():
    assert len(MODULES) > 100
    assert {"gridedge_env.simulator", "gradmap_trainer.gradmap"} <= IMPORTS[
        "gradmap_trainer.commands.train"
    ]


def test_no_module_is_imported_by_what_it_imports():
    """Packages' own `__init__` gather names from their modules, which may not look there."""
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def room_of(module: str, depth: int) -> tuple[str, str]:
    """The folder that a module is in at a depth, and its room there; "" for the folder itself."""
    parts = module.split(".")
    return "/".join(parts[:depth]), parts[depth] if len(parts) > depth else ""


@pytest.mark.parametrize("folder", [*FLOORS, *FILES])
def test_every_room_has_a_floor(folder):
    found = {
        path.stem if path.is_file() else path.name
        for path in (ROOT / folder).iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    }
    floors = {**FLOORS, **FILES}[folder]
    assert found == set().union(*floors)
    assert sum(map(len, floors)) == len(found)


@pytest.mark.parametrize("folder", [*FLOORS, *FILES])
def test_rooms_import_downwards(folder):
    depth, floors = len(folder.split("/")), {**FLOORS, **FILES}[folder]
    floor = {room: number for number, rooms in enumerate(floors) for room in rooms}
    wrong = []
    for module, imported in IMPORTS.items():
        within, room = room_of(module, depth)
        if within != folder or not room:
            continue
        for other in imported:
            there, other_room = room_of(other, depth)
            if there != folder or other_room == room:
                continue
            # The folder itself gathers all its rooms: none of them may look there.
            if not other_room or floor[other_room] >= floor[room]:
                wrong.append(f"{module} imports {other}")
    assert not wrong


@pytest.mark.parametrize("package", PACKAGES[:-1])
def test_no_package_imports_one_that_builds_on_it(package):
    above = PACKAGES[PACKAGES.index(package) + 1 :]
    wrong = [
        f"{module} imports {other}"
        for module, imported in IMPORTS.items()
        if module.split(".")[0] == package
        for other in imported
        if other.split(".")[0] in above
    ]
    assert not wrong


def test_the_gateway_can_do_without_the_libraries_of_the_others():
    """Where it is installed there is nothing but NumPy and what the file in question names."""
    heavy = {"torch", "pandas", "scipy", "numba", "onnx"}
    wrong = [
        f"{path.name} imports {name}"
        for path in (ROOT / "gridedge_gateway").rglob("*.py")
        for name in libraries_of(path)
        if name in heavy
    ]
    assert not wrong


def test_the_picture_shows_every_room_above_what_it_imports():
    """`docs/images/house.svg`, by package: names of rooms, and how far down they stand."""
    texts = re.findall(
        r'<text class="(title|name)" x="\d+" y="(\d+)">([^<]+)</text>',
        PICTURE.read_text(encoding="utf-8"),
    )
    height: dict[str, int] = {}
    package = ""
    for role, y, words in texts:
        package = words if role == "title" else package
        for room in re.findall(r"\w+", words) if role == "name" else []:
            assert f"{package}.{room}" not in height
            height[f"{package}.{room}"] = int(y)
    rooms = {f"{package}.{room}" for package in FLOORS for room in set().union(*FLOORS[package])}
    assert height.keys() == rooms
    for module, imported in IMPORTS.items():
        for other in imported:
            here, there = (".".join(name.split(".")[:2]) for name in (module, other))
            if here in rooms and there in rooms:
                assert height[here] <= height[there], f"{here} imports {there}"


def test_the_page_names_every_room():
    page = PAGE.read_text(encoding="utf-8")
    rooms = {room for package in FLOORS for room in set().union(*FLOORS[package])}
    assert not [room for room in sorted(rooms) if not re.search(rf"\b{room}\b", page)]


def test_no_file_is_two_rooms():
    """Tests and benchmarks included."""
    files = [
        *MODULES.values(),
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "benchmarks").rglob("*.py"),
    ]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert not {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > MOST_LINES}
