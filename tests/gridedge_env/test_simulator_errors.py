"""What the simulator refuses: each message names the field, what came and what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from gridedge_env import Simulator, default_case, load_feeder, make_simulator
from gridedge_env.clock import Clock
from gridedge_env.scenarios import DayTable, ObservedDays

ZERO = ((0.0, 0.0), (0.0, 0.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"colour": "red"}, "options: unknown option 'colour', expected one of seed, step_"),
        ({"num_agents": 0}, "num_agents: got 0, expected a whole number from 1 to 10000000"),
        ({"num_agents": -3}, "num_agents: got -3"),
        ({"num_agents": True}, "num_agents: got True"),
        ({"num_agents": 2.5}, "num_agents: got 2.5"),
        ({"num_agents": "3"}, "num_agents: got '3'"),
        ({"feeder": "ieee124"}, "feeder: unknown 'ieee124', expected one of european_lv, ieee123"),
        ({"device": "nonsense"}, "device: got 'nonsense', expected 'cpu' or a device of this"),
        ({"device": "meta"}, "device: got 'meta', expected 'cpu' or a device of this"),
        ({"device": None}, "device: got None, expected a name such as 'cpu'"),
        ({"dtype": torch.float16}, "dtype: got torch.float16"),
        ({"dtype": "float64"}, "dtype: got 'float64', expected torch.float32 or torch.float64"),
        ({"seed": -1}, "seed: got -1, expected a whole number of at least 0"),
        ({"seed": 0.5}, "seed: got 0.5"),
        ({"source_voltage": 0.0}, "source_voltage: got 0.0, expected a number from"),
        ({"source_voltage": math.nan}, "source_voltage: got nan"),
        ({"source_voltage": "1"}, "source_voltage: got '1'"),
        ({"home_scale": -1.0}, "home_scale: got -1.0"),
        ({"home_scale": math.inf}, "home_scale: got inf"),
        ({"penalty": -1.0}, "penalty: got -1.0, expected a number of at least 0"),
        ({"penalty": math.nan}, "penalty: got nan"),
        ({"neutral_taps": "no"}, "neutral_taps: got 'no', expected True or False"),
        ({"regulator_control": None}, "regulator_control: got None, expected True or False"),
        ({"reactive_power": 1}, "reactive_power: got 1, expected True or False"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_simulator(**arguments)


def test_nodes_without_a_voltage_to_limit_are_refused() -> None:
    """A line switched off."""
    feeder = load_feeder("ieee123")
    opened = replace(
        feeder, switches=tuple(replace(s, closed=s.name != "sw4") for s in feeder.switches)
    )
    with pytest.raises(ValueError, match=r"feeder: \d+ nodes without a path to the source: "):
        make_simulator(opened, num_agents=3)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=f"device: got '{missing}', expected 'cpu' or a device"):
        make_simulator(num_agents=3, device=missing)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size: got 0, expected a whole number from 1 to"),
        ({"batch_size": 1.5}, "batch_size: got 1.5"),
        ({"batch_size": 10**12}, "batch_size: got 1000000000000, expected a whole number from 1"),
        ({"batch_size": 2**70}, "batch_size: got 1180591620717411303424, expected a whole number"),
        ({"split": "holdout"}, "split: got 'holdout', expected one of 'train', 'validation', 'te"),
        ({"seed": -1}, "seed: got -1"),
        ({"days": []}, r"days: got \[\], expected rows from 0 to 361"),
        ({"days": [0, 362]}, r"days: got \[0, 362\], expected rows from 0 to 361"),
        ({"days": [-1]}, "days: got -1"),
        ({"days": [0.5]}, "days: got 0.5"),
    ],
)
def test_what_cannot_be_reset_is_refused(
    simulator: Simulator, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        simulator.reset(**arguments)


OTHERS: dict[str, tuple[Callable[[Simulator], Any], str]] = {
    "nothing": (lambda own: None, "state: got None, expected a SimulatorState"),
    "another fleet's": (
        lambda own: make_simulator(case=default_case("ieee13", 3, seed=1)).reset(2),
        "state: got one of other customers or devices",
    ),
    "another clock's": (
        lambda own: make_simulator(case=replace(own.case, clock=Clock(24, 1.0))).reset(2),
        r"state.clock: got Clock\(steps=24, .* expected this simulator's, Clock\(steps=48",
    ),
    "of another precision": (
        lambda own: own.reset(2).to(dtype=torch.float64),
        "state.dtype: got torch.float64, expected this simulator's, torch.float32",
    ),
    "of another device": (
        lambda own: own.reset(2).to("meta"),
        "state.device: got meta, expected this simulator's, cpu",
    ),
    "of another feeder": (
        lambda own: make_simulator(
            case=replace(own.case, feeder=load_feeder("ieee13").without_loads())
        ).reset(2),
        "state.device_voltage: got 34, expected this simulator's, ",
    ),
    "with taps": (
        lambda own: make_simulator(case=replace(own.case, regulator_control=True)).reset(2),
        "state.tap_position: got True, expected this simulator's, False",
    ),
    "of two batches": (
        lambda own: replace(own.reset(2), devices=own.reset(4).devices),
        "state: got parts of 2 and 4 episodes",
    ),
    "of two batches' days": (
        lambda own: replace(own.reset(2), day=own.reset(1).day),
        "state: got parts of 1 and 2 episodes",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_state_of_another_simulator_is_refused(name: str) -> None:
    """It would be computed with, as far as shapes go together, and be wrong."""
    own = make_simulator(case=default_case("ieee13", 3, keep_loads=True))
    make, message = OTHERS[name]
    state, actions = make(own), torch.zeros(1, 2, 3, 1)
    for use in (
        own.observe,
        own.observe_parts,
        lambda state: own.step(state, actions[0]),
        lambda state: own.glance(state, actions[0]),
        lambda state: own.simulate(state, actions),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            use(state)


def test_a_state_of_a_simulator_that_is_alike_is_taken() -> None:
    case = default_case("ieee13", 3)
    one, other = make_simulator(case=case), make_simulator(case=replace(case, penalty=3.0))
    double = make_simulator(case=case, dtype=torch.float64)
    action = torch.zeros(2, 3, 1)
    assert other.step(one.reset(2), action)[0] == one.step(one.reset(2), action)[0]
    assert double.step(one.reset(2).to(dtype=torch.float64), action)[1].converged.all()


@dataclass(frozen=True)
class ChangedDays:
    """The observed days, a few of them with something else in them."""

    change: Callable[[DayTable], Any]

    def load(self, split: str, clock: Clock) -> DayTable:
        return self.change(ObservedDays().load(split, clock))


def unpriced(table: DayTable) -> DayTable:
    price = table.day_ahead_price.clone()
    price[3, 7] = math.nan
    return replace(table, day_ahead_price=price)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: replace(table.take([]), dates=()), "got no days, expected one or more"),
        (
            lambda table: ObservedDays().load("train", Clock.of_minutes(60)),
            r"got outdoor_temperature of shape \(362, 24\), expected \(362, 48\): days and steps",
        ),
        (
            lambda table: replace(table, dates=table.dates[1:]),
            r"got month of shape \(362,\), expected \(361,\): days",
        ),
        (unpriced, "got day_ahead_price that is not finite on 2023-01-05, expected finite"),
        (vars, "got dict, expected a DayTable"),
    ],
    ids=["no days", "another clock's", "more rows than dates", "no price", "no table"],
)
def test_days_that_are_none_are_refused(change: Callable[[DayTable], Any], message: str) -> None:
    case = replace(default_case("ieee13", num_agents=3), days=ChangedDays(change))
    with pytest.raises(ValueError, match=f"^case.days, split 'train': {message}"):
        make_simulator(case=case).days("train")


def test_what_cannot_be_done_is_refused(simulator: Simulator) -> None:
    state = simulator.reset(batch_size=2)
    action = torch.zeros(2, 12, 1, dtype=torch.float64)
    for wrong in (action[:1], action[:, 1:], action[..., 0], action.repeat(1, 1, 2), action[0]):
        expected = rf"action: got shape \({', '.join(map(str, wrong.shape))}\), expected \(2, 12, 1"
        with pytest.raises(ValueError, match=expected):
            simulator.step(state, wrong)
    for bad in (math.nan, math.inf):
        action[1, 3] = bad
        with pytest.raises(ValueError, match="action: contains NaN or infinity, expected numbers"):
            simulator.step(state, action)
        with pytest.raises(ValueError, match="actions: contains NaN or infinity"):
            simulator.simulate(state, action[None])
    nowhere = torch.zeros(2, 12, 1, device="meta")
    for call in (simulator.step, simulator.glance):
        with pytest.raises(ValueError, match="action: got a tensor on meta, expected cpu"):
            call(state, nowhere)
    with pytest.raises(ValueError, match="actions: got a tensor on meta, expected cpu"):
        simulator.simulate(state, nowhere[None])
    for wrong in (action, action[None, :1], action[None, None]):
        with pytest.raises(ValueError, match=r"actions: got shape .*, expected \(\d+, 2, 12, 1\)"):
            simulator.simulate(state, wrong)


def test_no_step_after_midnight(simulator: Simulator) -> None:
    state = replace(simulator.reset(), step=47)
    action = torch.zeros(1, 12, 1, dtype=torch.float64)
    over, _ = simulator.step(state, action)
    assert simulator.observe(over).isfinite().all()
    for call in (
        lambda: simulator.step(over, action),
        lambda: simulator.glance(over, action),
        lambda: simulator.simulate(state, action.expand(2, -1, -1, -1)),
    ):
        with pytest.raises(
            ValueError, match="state: its episode is over after 48 steps, expected a r"
        ):
            call()


def test_no_steps_at_all_are_refused(simulator: Simulator) -> None:
    state = simulator.reset()
    with pytest.raises(ValueError, match="actions: got shape"):
        simulator.simulate(state, torch.zeros(0, 1, 12, 1, dtype=torch.float64))
    with pytest.raises(ValueError, match="actions: got shape"):
        simulator.simulate(state, torch.tensor(0.0))
