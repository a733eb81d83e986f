"""What an addition touches: the table of CONTRIBUTING.md, on a copy of the packages.

Each row's addition is made there as it would be made here, one after the other. The files that it
makes or changes are those that the row names, and as many. A process of its own trains with all.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.extension.street import STREET
from tests.extension.whole_run import PACKAGES, ROOT

GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (an? .*?) \| (.*?) ?\| (.*?) ?\| (\d+) \|$", GUIDE, flags=re.MULTILINE)
TABLE = {what: cells for what, *cells in ROWS}


@dataclass(frozen=True)
class Addition:
    """What is added.

    Attributes:
        given: Python that makes use of it for the `case` or the `methods`.
        file: of this folder.
        place: where it goes.
        registry: a file that is there.
        inserted: from a text in it to what is written before that.
    """

    given: str = ""
    file: str = ""
    place: str = ""
    registry: str = ""
    inserted: dict[str, str] = field(default_factory=dict)


ADDITIONS = {
    "a kind of device": Addition(
        "counts = {'battery': 1, 'curtailable_load': 2}\n"
        "case = replace(case, fleet=sample_fleet(load_feeder('street'), counts, 0, 1.0))",
        "curtailable_load.py",
        "gridedge_env/devices/curtailable_load.py",
        "gridedge_env/devices/kinds.py",
        {
            "from gridedge_env.devices.generator import": (
                "from gridedge_env.devices.curtailable_load import CURTAILABLE_LOAD\n"
            ),
            "PV_INVERTER)": "CURTAILABLE_LOAD, ",
        },
    ),
    "a kind of limit": Addition(
        "case = replace(case, limits=Limits(maximum_losses=1.0))",
        "network_losses.py",
        "gridedge_env/network_losses.py",
        "gridedge_env/constraints.py",
        {
            "from gridedge_env.powerflow import": (
                "from gridedge_env.network_losses import NetworkLosses\n"
            ),
            "Unbalance)\n": "NetworkLosses, ",
        },
    ),
    "a kind of retail price": Addition(
        "from gridedge_env.scenarios import Tariff, tariff_from_record\n"
        "tariff = tariff_from_record({'imports': {'kind': 'capped', 'cap': 0.3}})\n"
        "assert tariff.imports.words()[-1] == 'cap=0.3'\n"
        "case = replace(case, tariff=tariff)",
        registry="gridedge_env/scenarios/import_prices.py",
        inserted={
            "IMPORT_KINDS: dict": (
                "@dataclass(frozen=True)\nclass Capped(DayAhead):\n"
                "    kind: str = field(default='capped', init=False, repr=False)\n"
                "    cap: float = 0.5\n\n"
                "    def of_days(self, days: DayTable, clock: Clock) -> Tensor:\n"
                "        return super().of_days(days, clock).clamp(max=self.cap)\n\n\n"
            ),
            "TimeOfUse, Flat)\n": "Capped, ",
        },
    ),
    "a field of the observations": Addition(
        "fields = make_simulator(case=case).observation_fields\n"
        "assert 'twice' in [field.name for field in fields]",
        registry="gridedge_env/observation.py",
        inserted={
            '    ObservationField("price", ': (
                '    ObservationField("twice", "€/kWh", 0.0, 1.0, value=lambda n: 2.0 * n.price),\n'
            )
        },
    ),
    "a rule": Addition(
        "budget = Budget(environment_steps=1)\n"  # of which it needs none
        "rule = train('half_price_following', case, budget, validation_days=1, points=1)\n"
        "assert all(map(isfinite, rule.curve[-1].outcome.values()))",
        "half_price_following.py",
        "gridedge_env/reference/half_price_following.py",
        "baselines/methods.py",
        {
            "from gridedge_env.simulator import": (
                "from gridedge_env.reference.half_price_following import HalfPriceFollowing\n"
            ),
            '    "plan_following": ': (
                '    "half_price_following": "baselines.methods:half_price_following",\n'
            ),
            "plan_following = Rule": "half_price_following = Rule(HalfPriceFollowing)\n",
        },
    ),
    "a learning method": Addition(
        "methods.append('random_search')",
        "random_search.py",
        "baselines/random_search.py",
        "baselines/methods.py",
        {'    "ippo": ': '    "random_search": "baselines.random_search:random_search",\n'},
    ),
    "a feeder": Addition(),  # on which the program's case stands
}

PROGRAM = """
import sys
sys.modules["numba"] = None  # it would compile its kernels anew for the copy
from dataclasses import replace
from math import isfinite
from pathlib import Path

import baselines, gradmap_trainer, gridedge_env
from baselines.methods import Budget, TrainConfig, learn, reuse_gradient, train
from gridedge_env import Limits, default_case, load_feeder, make_simulator
from gridedge_env.devices import sample_fleet

for package in (baselines, gradmap_trainer, gridedge_env):
    assert Path(package.__file__).parents[1] == Path.cwd(), package

def small(*told):
    return learn(reuse_gradient, TrainConfig(batch_days=1, minibatches=2, epochs=1), *told)

case, methods = default_case("street", num_agents=3), ["__main__:small"]
{given}
for method in methods:
    (end,) = train(method, case, Budget(environment_steps=1), validation_days=1, points=1).curve
    assert end.environment_steps >= case.clock.steps
    assert all(map(isfinite, end.outcome.values())), end
"""


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for package in PACKAGES
        for path in (root / package).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


def paths_in(cell: str) -> list[str]:
    """What a cell names, as patterns: `<a word>` stands for any, a folder for one within it."""
    found = [re.sub(r"<\w+>", r"\\w+", re.escape(path)) for path in re.findall("`(.*?)`", cell)]
    return [path + r"\w+/[\w.]+" if path.endswith("/") else path for path in found]


def test_every_row_is_counted() -> None:
    rows = GUIDE[GUIDE.index("| to add |") :].partition("\n\n")[0].splitlines()[2:]
    assert len(rows) == len(TABLE)
    assert list(ADDITIONS) == list(TABLE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as they are here."""
    folder = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=caches)
    return folder


def add(what: str, copy: Path) -> None:
    addition = ADDITIONS[what]
    if addition.file:
        shutil.copy(Path(__file__).with_name(addition.file), copy / addition.place)
    if what == "a feeder":
        STREET.save(copy / "gridedge_env" / "feeder" / "data" / "street")
    for before, line in addition.inserted.items():
        registry = copy / addition.registry
        text = registry.read_text(encoding="utf-8")
        assert text.count(before) == 1, before
        registry.write_text(text.replace(before, line + before), encoding="utf-8")


@pytest.fixture(scope="module")
def touched(copy: Path) -> dict[str, tuple[set[str], set[str]]]:
    """For every row the new and the changed files, when all rows have been added."""
    touched, before = {}, files(copy)
    for what in ADDITIONS:
        add(what, copy)
        after = files(copy)
        changed = {name for name in before if before[name] != after[name]}
        touched[what], before = (after.keys() - before.keys(), changed), after
    return touched


@pytest.mark.parametrize("what", ADDITIONS)
def test_an_addition_touches_what_its_row_says(
    what: str, touched: dict[str, tuple[set[str], set[str]]]
) -> None:
    *cells, count = TABLE[what]
    for names, cell in zip(touched[what], cells, strict=True):
        patterns = paths_in(cell)
        assert bool(names) == bool(patterns)
        assert all(any(re.fullmatch(path, name) for path in patterns) for name in names), names
    assert sum(name.endswith(".py") for name in set.union(*touched[what])) == int(count)


@pytest.mark.usefixtures("touched")
def test_all_additions_train(copy: Path) -> None:
    given = "\n".join(addition.given for addition in ADDITIONS.values())
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(given=given)],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
