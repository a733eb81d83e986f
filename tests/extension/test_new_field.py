"""A field of the observations is one entry, private or shared; all that follows loops over them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import onnx
import pytest
import torch
from pettingzoo.test import parallel_api_test
from torch import Tensor

from gridedge_env import Case, Simulator, default_case, make_simulator, observation, parallel_env
from gridedge_env.news import News
from gridedge_env.observation import Moment, ObservationField
from gridedge_env.reference import Policy, PriceFollowing, VoltWatt, play
from gridedge_env.state import SimulatorState
from tests.extension.whole_run import (
    WholeRun,
    assert_complete,
    assert_exported,
    files_that_name,
    whole_run,
)


def _usual_load(moment: Moment) -> Tensor:
    mean = moment.state.day.mean_demand
    return mean.expand(len(moment.state.day.table_row), -1)


def _price_above_mean(news: News) -> Tensor:
    return news.price - news.price_mean


# All that there is to write.
USUAL_LOAD = ObservationField("usual_load", "kW", 5.0, 10.0, True, value=_usual_load)
PRICE_ABOVE_MEAN = ObservationField(
    "price_above_mean", "€/kWh above the day's mean", 0.0, 0.1, value=_price_above_mean
)


@dataclass(frozen=True)
class Before:
    """A simulator, and two days at midnight."""

    simulator: Simulator
    state: SimulatorState


DAYS = [20, 200]


@pytest.fixture(scope="module", autouse=True)
def before() -> Iterator[Before]:
    """What there was before the new entries; from then on they are there."""
    simulator = make_simulator("ieee13", num_agents=6, dtype=torch.float64)
    plain = Before(simulator, simulator.reset(days=DAYS))
    with pytest.MonkeyPatch.context() as patch:
        private, shared = observation.PRIVATE_FIELDS, observation.SHARED_FIELDS
        patch.setattr(observation, "PRIVATE_FIELDS", (*private, USUAL_LOAD))
        patch.setattr(observation, "SHARED_FIELDS", (*shared, PRICE_ABOVE_MEAN))
        yield plain


@pytest.fixture(scope="module")
def case() -> Case:
    return default_case("ieee13", num_agents=6)


@pytest.fixture(scope="module")
def simulator(case: Case, before: Before) -> Simulator:
    return make_simulator(case=case, dtype=torch.float64)


@pytest.fixture(scope="module")
def run(case: Case, before: Before, tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return whole_run(case, tmp_path_factory.mktemp("runs") / "fields")


def test_no_file_of_the_packages_knows_them() -> None:
    assert files_that_name("usual_load") == files_that_name("price_above_mean") == []
    # A built-in field is named where it is registered, and where a rule or a kind asks for it.
    assert files_that_name('"price_rank_ahead"') == ["gridedge_env/observation.py"]


def test_they_stand_behind_those_of_their_sort(simulator: Simulator, before: Before) -> None:
    """Private ones first, of which there is one more."""
    old, fields = list(before.simulator.observation_fields), list(simulator.observation_fields)
    assert (before.simulator.private_size, simulator.private_size) == (3, 4)
    assert fields == [*old[:3], USUAL_LOAD, *old[3:], PRICE_ABOVE_MEAN]


def test_values_by_hand(simulator: Simulator, before: Before) -> None:
    """Mean demands less 5 over 10 kW, prices less their mean over 0.1 €; all else as it was."""
    state, old = simulator.reset(days=DAYS), before.state
    for _ in range(7):
        action = torch.full((2, 6, 1), 0.2, dtype=torch.float64)
        state, old = simulator.step(state, action)[0], before.simulator.step(old, action)[0]
    private, shared = simulator.observe_parts(state)
    usual = (state.day.mean_demand - 5.0) / 10.0
    torch.testing.assert_close(private[..., 3], usual.clamp(-10.0, 10.0).expand(2, -1))
    price = state.day.import_price
    above = (price[:, 7] - price.mean(dim=1)) / 0.1
    torch.testing.assert_close(shared[:, -1], above.clamp(-10.0, 10.0))
    own, common = before.simulator.observe_parts(old)
    assert torch.equal(private[..., :3], own)
    assert torch.equal(shared[:, :-1], common)


def test_they_are_in_the_spaces_and_in_what_the_environment_returns(case: Case) -> None:
    env = parallel_env(case=case)
    names = [field.name for field in env.simulator.observation_fields]
    observations, _ = env.reset(seed=3)
    state = env.simulator_state
    assert state is not None
    for agent, mean in zip(env.agents, state.day.mean_demand.tolist(), strict=True):
        assert env.observation_space(agent).shape == (37,)
        assert env.observation_space(agent).contains(observations[agent])
        field, entry = USUAL_LOAD, observations[agent][names.index("usual_load")]
        assert field.offset + field.scale * entry == pytest.approx(mean, rel=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(env, num_cycles=96)


@pytest.mark.parametrize(
    "rule", [PriceFollowing, lambda s: VoltWatt(s, PriceFollowing(s))], ids=["price", "volt-watt"]
)
def test_rules_find_their_own_fields_all_the_same(
    simulator: Simulator, before: Before, rule: Callable[[Simulator], Policy]
) -> None:
    """They ask by name: the same actions as when there were fewer fields."""
    one, other = (
        torch.stack([action for _, action, _ in play(which, rule(which), state)])
        for which, state in (
            (before.simulator, before.state),
            (simulator, simulator.reset(days=DAYS)),
        )
    )
    assert torch.equal(one, other)


def test_policies_learn_from_them(run: WholeRun) -> None:
    """Each agent has weights for both, and training moves them."""
    assert_complete(run)
    fresh, trained = run.fresh.policies, run.learner.policies
    for weight, column in (("private_weight", 3), ("shared_weight", -1)):
        first, last = getattr(fresh, weight), getattr(trained, weight)
        assert first.shape[-1] == {"private_weight": 4, "shared_weight": 33}[weight]
        moved = (first[..., column] != last[..., column]).any(dim=1)
        assert moved.all()


def test_exported_files_describe_them(run: WholeRun) -> None:
    assert_exported(run)
    metadata = {e.key: e.value for e in onnx.load(run.exported[0]).metadata_props}
    fields = {field["name"]: field for field in json.loads(metadata["observation_fields"])}
    assert fields["usual_load"] == {
        "name": "usual_load",
        "unit": "kW",
        "offset": 5.0,
        "scale": 10.0,
        "private": True,
    }
    assert fields["price_above_mean"]["unit"] == "€/kWh above the day's mean"
