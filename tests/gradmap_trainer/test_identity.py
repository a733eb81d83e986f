"""A run is known again by the data of its case: by what sources hold, not by their names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradmap_trainer.checkpoint import check_matches
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.identity import _in_words, identity
from gradmap_trainer.training import open_run
from gridedge_env import Case, CaseSettings, Limits, Simulator, make_simulator, observation
from gridedge_env.clock import Clock
from gridedge_env.scenarios import DayTable, MeteredDemand, ObservedDays
from tests.case_options import OTHER_SETTINGS
from tests.gridedge_env.other_loads import case_among_loads

CASE = CaseSettings(feeder="ieee13", num_agents=3)
CONFIG = TrainConfig(case=CASE)


@dataclass(frozen=True)
class DearDays:
    """The observed days at another price."""

    factor: float
    tables: dict[str, DayTable] = field(default_factory=dict, compare=False)

    def load(self, split: str, clock: Clock) -> DayTable:
        if split not in self.tables:
            table = ObservedDays().load(split, clock)
            price = self.factor * table.day_ahead_price
            self.tables[split] = replace(table, day_ahead_price=price)
        return self.tables[split]


def metered(power: float) -> MeteredDemand:
    """Three homes on the first of every month, a working day and a weekend day."""
    dates = tuple(date(2022, month, day) for month in range(1, 13) for day in (1, 2))
    return MeteredDemand(("ash", "elm", "yew"), dates, torch.full((24, 24, 3), power))


def simulator(**changes: Any) -> Simulator:
    return make_simulator(case=replace(CASE.make(), **changes))


def saved(simulator: Simulator) -> dict[str, Any]:
    """As a checkpoint has it."""
    return json.loads(json.dumps(identity(CONFIG, simulator)))


@pytest.mark.parametrize(
    ("name", "source"), [("days", DearDays), ("demand", metered)], ids=["days", "demand"]
)
def test_other_data_in_the_same_class_are_refused(
    name: str, source: Callable[[float], object]
) -> None:
    """The same data in another instance, which has not been asked for any yet, are not."""
    used = simulator(**{name: source(1.5)})
    used.reset()
    known = saved(used)
    check_matches(known, identity(CONFIG, simulator(**{name: source(1.5)})))
    with pytest.raises(ValueError, match=rf"case\.{name}\.fingerprint is '[0-9a-f]{{64}}' in the"):
        check_matches(known, identity(CONFIG, simulator(**{name: source(1.6)})))


def test_what_a_fingerprint_is_made_of_by_hand() -> None:
    """A text in which nothing depends on the process, such as a place in memory or an order."""

    @dataclass
    class Site:
        name: str
        days: tuple[date, ...]
        load: torch.Tensor
        share: dict[str, np.ndarray]
        tables: list[int] = field(compare=False)

    load = torch.tensor([1.0, 2.0], dtype=torch.float32)
    site = Site("o'er", (date(2024, 2, 29),), load, {"elm": np.array([[3]], dtype="<i8")}, [1])
    one = hashlib.sha256(bytes.fromhex("0000803f 00000040")).hexdigest()
    other = hashlib.sha256(bytes.fromhex("03000000 00000000")).hexdigest()
    assert _in_words(site, "site") == (
        f"""Site {{'name': "o'er", 'days': [datetime.date(2024, 2, 29)], 'load': <f4 (2,) {one}, """
        f"""'share': {{'elm': <i8 (1, 1) {other}}}}}"""
    )


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    return saved(simulator())


@pytest.mark.parametrize("name", [entry.name for entry in fields(CaseSettings)])
def test_another_setting_is_refused_by_name(known: dict[str, Any], name: str) -> None:
    """Whichever, though the simulator be the same: of limits it is the case that has them all."""
    settings = replace(CASE, **{name: OTHER_SETTINGS[name]})
    limits = Limits(**settings.limits)
    found = identity(replace(CONFIG, case=settings), simulator(limits=limits))
    place = r"case\.limits\.maximum_voltage" if name == "limits" else rf"config\.case\.{name}"
    with pytest.raises(ValueError, match=rf"{place}\b.* in the checkpoint, expected"):
        check_matches(known, found)


def test_a_run_is_known_by_every_field_of_its_case(known: dict[str, Any]) -> None:
    """But for words, and for what has a fingerprint."""
    rest = {entry.name for entry in fields(Case)} - known["case"].keys()
    assert rest == {"feeder", "fleet", "name", "currency"}
    assert {"feeder_fingerprint", "fleet_fingerprint"} < known.keys()
    with pytest.raises(
        ValueError, match=r"; case\.public_plan is False in the checkpoint, expected"
    ):
        check_matches(known, identity(CONFIG, simulator(public_plan=True)))


def test_an_agent_that_observes_something_else_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    known = saved(simulator())
    first, *others = observation.SHARED_FIELDS
    monkeypatch.setattr(observation, "SHARED_FIELDS", (replace(first, scale=2.0), *others))
    with pytest.raises(ValueError, match="observation_fingerprint is '[0-9a-f]{64}' in the chec"):
        check_matches(known, identity(CONFIG, simulator()))


class Undeclared:
    """Days whose data only their methods know."""

    def load(self, split: str, clock: Clock) -> DayTable:
        return ObservedDays().load(split, clock)


@dataclass(frozen=True)
class Changed:
    """The observed days as a function changes them."""

    change: Callable[[DayTable], DayTable]

    def load(self, split: str, clock: Clock) -> DayTable:
        return self.change(ObservedDays().load(split, clock))


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (Undeclared(), r"^case\.days: got Undeclared, expected a dataclass"),
        (Changed(lambda table: table), r"^case\.days\.change: got function, expected numbers"),
    ],
)
def test_days_that_cannot_be_known_again_are_refused_before_training(
    tmp_path: Path, days: object, told: str
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match=told):
        open_run(replace(CONFIG, run=str(folder)), simulator(days=days))
    assert not folder.exists()


def test_other_profiles_of_other_loads_are_refused() -> None:
    case = case_among_loads()
    assert case.load_profiles is not None
    series = case.load_profiles.series
    louder = replace(case.load_profiles, series=replace(series, values=1.5 * series.values))
    known = saved(make_simulator(case=case))
    check_matches(known, identity(CONFIG, make_simulator(case=case_among_loads())))
    with pytest.raises(ValueError, match=r"case\.load_profiles\.fingerprint is '[0-9a-f]{64}' in"):
        check_matches(
            known, identity(CONFIG, make_simulator(case=replace(case, load_profiles=louder)))
        )
