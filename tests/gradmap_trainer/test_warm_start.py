"""A run that begins with another's policies: who keeps which, what is said, what is refused."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import Learner, make_learner
from gradmap_trainer.run_folder import load_policies, save_learner
from gradmap_trainer.training import open_run, train
from gridedge_env import Case, Clock, Simulator, default_case, make_simulator
from gridedge_env.devices import KINDS, Devices, make_fleet
from gridedge_env.scenarios import Nothing, Tariff
from tests.gradmap_trainer.commands.calling import assert_one_line, call

CONFIG = TrainConfig(
    case=None,
    iterations=2,
    batch_days=1,
    minibatches=1,
    hidden_sizes=(4, 3),
    evaluation_days=0,
    learning_rate=0.1,
)
BEFORE = {
    "ann": ["battery"],
    "bob": ["battery"],
    "cleo": ["heat_pump"],
    "dan": ["heat_pump"],
    "eve": ["battery"],
}


def street(owned: Mapping[str, list[str]], feeder: str = "ieee13", **changes: object) -> Case:
    """Customers, each with devices of the kinds that are named; a day has 24 steps."""
    usual = replace(default_case(feeder, 3), clock=Clock.of_minutes(60))
    random = np.random.default_rng(0)
    devices = {}
    for kind in KINDS:
        owners = [name for name, kinds in owned.items() for one in kinds if one == kind]
        if owners:
            devices[kind] = Devices(owners, KINDS[kind].sample(len(owners), 1.0, random))
    places = dict(zip(owned, itertools.cycle(usual.fleet.connection_names), strict=False))
    return replace(usual, fleet=make_fleet(places, devices), **changes)


def trained(folder: Path, case: Case, **changes: object) -> Simulator:
    """A short run in a folder."""
    config, simulator = replace(CONFIG, run=str(folder), **changes), make_simulator(case=case)
    train(config, simulator, open_run(config, simulator))
    return simulator


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "older"
    trained(folder, street(BEFORE))
    return folder


def begun(
    folder: Path, older: Path, case: Case, **changes: object
) -> tuple[Learner, Simulator, list[str]]:
    """A run at its begin, and what was said."""
    config = replace(CONFIG, run=str(folder), warm_start=str(older), **changes)
    simulator, told = make_simulator(case=case), list[str]()
    return open_run(config, simulator, tell=told.append), simulator, told


def acts(
    learner: Learner,
    simulator: Simulator,
    agent: str,
    known: Mapping[tuple[str, int | None], float],
    devices: int = 1,
) -> list[float]:
    """What an agent does that observes these entries; of an empty slot, and all else, 0."""
    private, shared = (
        torch.tensor(
            [
                known.get((entry.of_device, entry.slot), -entry.offset / entry.scale)
                for entry in simulator.observation_fields
                if entry.private == of_its_own
            ]
        )
        for of_its_own in (True, False)
    )
    with torch.no_grad():
        actions = learner.policies(private.expand(1, simulator.num_agents, -1), shared[None])
    return actions[0, simulator.fleet.names.index(agent), :devices].tolist()


def assert_same_actions(
    older: tuple[Simulator, Learner], newer: tuple[Simulator, Learner], agents: Mapping[str, int]
) -> None:
    """Of agents with so many devices; as sums are taken in another order, to single precision."""
    random = np.random.default_rng(0)
    moved = 0
    for _ in range(20):
        for agent, devices in agents.items():
            known = {
                (entry.of_device, entry.slot): float(random.normal(0.0, 3.0))
                for entry in older[0].observation_fields
                if entry.slot is None or entry.slot < devices
            }
            before, after = (
                acts(learner, simulator, agent, known, devices)
                for simulator, learner in (older, newer)
            )
            assert after == pytest.approx(before, abs=1e-6)
            moved += before != [0.0] * devices
    assert moved > 10, "nothing to compare: all rest"


def test_known_customers_act_as_before_and_others_are_told_of(older: Path, tmp_path: Path) -> None:
    """One gone, two come, one with another device, all in another order: with two slots, not one.

    Who has kinds that nobody had begins as in any run.
    """
    owned = {
        "fay": ["battery"],
        "eve": ["battery"],
        "dan": ["battery", "heat_pump"],
        "ann": ["battery"],
        "cleo": ["battery"],
        "gus": ["generator"],
    }
    learner, simulator, told = begun(tmp_path / "run", older, street(owned))
    _, before, known = load_policies(older)
    assert (before.fleet.slots, simulator.fleet.slots) == (1, 2)
    kept = {"ann": 1, "eve": 1}
    assert_same_actions((before, known), (simulator, learner), kept)
    assert told == [
        f"Begun with the policies of {older}, trained for 2 iterations: 2 customers keep theirs.",
        f"New customers, each begins with the policy of a typical customer of {older} "
        "with the same devices: fay.",
        "Customers whose devices are others now, each begins with the policy of a typical customer "
        f"of {older} with the same devices: cleo.",
        f"Customers with devices as none of {older} had, each begins untrained: gus, dan.",
        f"Customers of {older} who are not in this case: bob.",
        "The feeder is the same; multipliers carry over.",
    ]
    config = replace(CONFIG, run=str(tmp_path))
    fresh = make_learner(config, simulator).policies.state_dict()
    for name, tensor in learner.policies.state_dict().items():
        for agent in ("dan", "gus"):
            row = simulator.fleet.names.index(agent)
            assert tensor[row].equal(fresh[name][row])
    for kind, dual in learner.duals.items():
        assert dual.equal(known.duals[kind])
    assert learner.iteration == 0
    assert not learner.optimiser.state


def test_a_slot_that_is_needed_no_more_is_missed_by_nobody(tmp_path: Path) -> None:
    """What an empty slot has always said goes into the bias."""
    owned = {"ann": ["battery", "heat_pump"], "bob": ["battery"], "cleo": ["heat_pump"]}
    before = trained(tmp_path / "older", street(owned))
    known = load_policies(tmp_path / "older")[2]
    learner, simulator, _ = begun(
        tmp_path / "run", tmp_path / "older", street({**BEFORE, "ann": ["battery"]})
    )
    assert (before.fleet.slots, simulator.fleet.slots) == (2, 1)
    assert_same_actions((before, known), (simulator, learner), {"bob": 1, "cleo": 1})


@pytest.mark.parametrize(
    ("before", "after"), [(["battery"], ["battery", "heat_pump"]), (["battery", "generator"], [])]
)
def test_customers_change_where_policies_correct_the_public_plan(
    tmp_path: Path, before: list[str], after: list[str]
) -> None:
    """What the plan asks of devices has an entry for each slot, too: one gets or loses a second."""
    owned = {"ann": ["battery"], "bob": ["heat_pump"]}
    first, then = ({**owned, "cleo": kinds} if kinds else owned for kinds in (before, after))
    simulator = trained(tmp_path / "older", street(first, public_plan=True))
    known = load_policies(tmp_path / "older")[2]
    learner, now, told = begun(tmp_path / "run", tmp_path / "older", street(then, public_plan=True))
    assert {simulator.fleet.slots, now.fleet.slots} == {1, 2}
    assert_same_actions((simulator, known), (now, learner), {"ann": 1, "bob": 1})
    assert "2 customers keep theirs" in told[0]


def test_reactive_power_stays_with_its_device(tmp_path: Path) -> None:
    """An action is two active powers, then two reactive ones, where there were one and one."""
    owned, reactive = {"ann": ["battery"], "bob": ["generator"]}, {"reactive_power": True}
    before = trained(tmp_path / "older", street(owned, **reactive))
    known = load_policies(tmp_path / "older")[2]
    more = {**owned, "cleo": ["battery", "battery"]}
    learner, simulator, _ = begun(tmp_path / "run", tmp_path / "older", street(more, **reactive))
    assert (before.action_size, simulator.action_size) == (2, 4)
    weights = [each.policies.layers()[0][-1][:2] for each in (known, learner)]
    assert weights[1][..., [0, 2]].equal(weights[0])


def test_who_is_new_begins_as_the_typical_customer(older: Path, tmp_path: Path) -> None:
    """Of three batteries that always do 0.1, 0.6 and 0.8, whose mean is 0.5, that is the second."""
    folder = tmp_path / "older"
    shutil.copytree(older, folder)
    config, simulator, known = load_policies(folder)
    with torch.no_grad():
        known.policies.weights[-1].zero_()
        for agent, action in (("ann", 0.1), ("bob", 0.6), ("eve", 0.8)):
            row = simulator.fleet.names.index(agent)
            known.policies.biases[-1][row] = 0.3 + action  # up to 0.3 is rest
    save_learner(known, config, simulator, folder)
    learner, simulator, _ = begun(tmp_path / "run", folder, street({**BEFORE, "fay": ["battery"]}))
    assert acts(learner, simulator, "fay", {}) == pytest.approx([0.6], abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"feeder": "ieee37"}, "The feeder is another; multipliers begin anew."),
        ({"clock": Clock.of_minutes(30)}, "multipliers begin anew, as the clock is another"),
    ],
)
def test_multipliers_belong_to_places_and_steps(
    older: Path, tmp_path: Path, changes: dict, told: str
) -> None:
    learner, simulator, sentences = begun(tmp_path / "run", older, street(BEFORE, **changes))
    assert told in sentences[-1]
    assert all((dual == CONFIG.dual_initial).all() for dual in learner.duals.values())
    _, before, known = load_policies(older)
    assert_same_actions((before, known), (simulator, learner), dict.fromkeys(BEFORE, 1))


@pytest.mark.parametrize(
    ("of_case", "of_config", "told"),
    [
        ({}, {"hidden_sizes": (5,)}, "hidden_sizes: got 5, expected 4 3 as in"),
        ({"reactive_power": True}, {}, "reactive_power: got True, expected False as in"),
        (
            {"tariff": Tariff(exports=Nothing())},
            {},
            r"observations: got other ones \(export_price, export_price_minimum_ahead, ",
        ),
    ],
)
def test_what_cannot_be_carried_over_is_refused(
    older: Path, tmp_path: Path, of_case: dict, of_config: dict, told: str
) -> None:
    """Before anything is written."""
    with pytest.raises(ValueError, match=f"^{told}"):
        begun(tmp_path / "run", older, street(BEFORE, **of_case), **of_config)
    assert not (tmp_path / "run").exists()


def test_it_goes_on_without_the_run_that_it_came_from(older: Path, tmp_path: Path) -> None:
    """To the bits of one that was never stopped, from its very begin on."""
    source = tmp_path / "older"
    shutil.copytree(older, source)
    case = street({**BEFORE, "fay": ["battery"]})
    config = replace(CONFIG, run=str(tmp_path / "whole"), warm_start=str(source))
    whole = train(config, make_simulator(case=case), open_run(config, make_simulator(case=case)))
    stopped = replace(config, run=str(tmp_path / "stopped"))
    open_run(stopped, make_simulator(case=case))
    shutil.rmtree(source)
    options = ("--run", tmp_path / "stopped", "--resume")
    assert call("gradmap-train", *options) == 0
    resumed = load_policies(tmp_path / "stopped")[2]
    for one, other in zip(whole.policies.parameters(), resumed.policies.parameters(), strict=True):
        assert one.equal(other)


def test_the_command_says_who_keeps_what(
    older: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that is there already is not begun again with others' policies."""
    street({"ann": ["battery"], "fay": ["heat_pump"]}).save(tmp_path / "case")
    run = tmp_path / "run"
    sizes = ("--hidden-sizes", 4, 3, "--batch-days", 1, "--minibatches", 1, "--iterations", 1)
    options = (*sizes, "--evaluation-days", 0, "--run", run, "--case", tmp_path / "case")
    assert call("gradmap-train", *options, "--warm-start", older) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "1 customers keep theirs" in told
    assert "who are not in this case: bob, cleo, dan, eve" in told
    assert call("gradmap-train", "--run", run, "--resume", "--warm-start", tmp_path / "no") == 2
    assert_one_line(capsys.readouterr().err, f"config.warm_start is '{older}' in the checkpoint")
    other = ("--run", tmp_path / "other", "--case", tmp_path / "case")
    assert call("gradmap-train", *other, "--warm-start", tmp_path / "no") == 2
    assert_one_line(capsys.readouterr().err, "no/config.json not found, expected the folder of a")
