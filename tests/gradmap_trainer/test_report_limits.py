"""Kinds of limit that the packages know nothing of are in the report's figures all the same."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from torch import Tensor

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.report import write_report
from gradmap_trainer.run_folder import signed
from gradmap_trainer.training import open_run, train
from gridedge_env import CaseSettings, constraints
from gridedge_env.evaluation import evaluate
from gridedge_env.evaluation_files import save_evaluation
from gridedge_env.limit import Array, Limit
from gridedge_env.powerflow import PowerFlow, PowerFlowSolution
from gridedge_env.reference import Thermostat
from tests.extension.network_losses import NetworkLosses


@dataclass(frozen=True)
class NodeVoltage(Limit):
    """A limit from below at some nodes.

    Attributes:
        least_voltage: pu.
    """

    least_voltage: float = 0.98

    name = "node_voltage"
    heading = "low"
    event = "a low voltage"
    colour = "#123456"
    scale = 0.02
    worst_name = "worst_node_voltage"
    worst_heading = "worst node voltage, pu"
    in_percent = False

    @property
    def rule(self) -> str:
        """See `Limit`."""
        return f"{self.least_voltage:g} pu at some nodes"

    def places(self, power_flow: PowerFlow) -> Sequence[str]:
        """Nodes."""
        return power_flow.node_names[-6:]

    def quantity(self, power_flow: PowerFlow, solution: PowerFlowSolution) -> Tensor:
        """pu."""
        return solution.voltage_magnitude[:, -6:]

    def edges(self, quantity: Array) -> tuple[Array, ...]:
        """See `Limit`."""
        return (self.least_voltage - quantity,)

    def tightened(self, margin: float) -> NodeVoltage:
        """See `Limit`."""
        return NodeVoltage(self.least_voltage + margin)


@dataclass(frozen=True)
class Current(Limit):
    """A limit from above on branches, rated or not.

    Attributes:
        maximum_current: A.
    """

    maximum_current: float = 300.0

    name = "current"
    heading = "above the breaker's"
    event = "a breaker's current"
    colour = "#654321"
    scale = 300.0
    worst_name = "worst_current"
    worst_heading = "worst current, A"
    in_percent = False

    @property
    def rule(self) -> str:
        """See `Limit`."""
        return f"{self.maximum_current:g} A"

    def places(self, power_flow: PowerFlow) -> Sequence[str]:
        """Phases of branches."""
        return power_flow.branch_names

    def quantity(self, power_flow: PowerFlow, solution: PowerFlowSolution) -> Tensor:
        """A."""
        return solution.branch_current_magnitude

    def edges(self, quantity: Array) -> tuple[Array, ...]:
        """See `Limit`."""
        return (quantity - self.maximum_current,)

    def tightened(self, margin: float) -> Current:
        """See `Limit`."""
        return Current(self.maximum_current - margin)


@pytest.fixture(scope="module", autouse=True)
def registry() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        kinds = (*constraints.LIMIT_KINDS, NetworkLosses, NodeVoltage, Current)
        patch.setattr(constraints, "LIMIT_KINDS", kinds)
        yield


@pytest.fixture(scope="module")
def descriptions(registry: None, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of all figures of the report of a run with these limits."""
    settings = CaseSettings("ieee13", num_agents=3, limits={"maximum_losses": 50.0})
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = TrainConfig(run=str(folder), case=settings, iterations=1, batch_days=1, minibatches=1)
    simulator = config.make_simulator()
    learner = train(config, simulator, open_run(config, simulator))
    policies = {"gradmap": Thermostat(simulator)}
    evaluation = evaluate(simulator, policies, [40], foresight_iterations=0)
    save_evaluation(signed(evaluation, learner), simulator.case.limits, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as one of a figure without room for its legend
        page = write_report(folder, simulator).read_text(encoding="utf-8")
    return re.findall('<img alt="([^"]*)"', page)


@pytest.mark.parametrize("kind", ["losses", "node_voltage", "current"])
def test_their_distributions_are_drawn(descriptions: list[str], kind: str) -> None:
    assert f"{kind} by method" in descriptions


@pytest.mark.parametrize(
    "title", ["Worst losses, kW", "Worst node voltage, pu", "Worst current, A"]
)
def test_one_day_shows_them(descriptions: list[str], title: str) -> None:
    assert title in descriptions


@pytest.mark.parametrize(
    ("kind", "mapped"), [("losses", False), ("node_voltage", True), ("current", True)]
)
def test_those_that_hold_at_buses_or_branches_are_on_maps(
    descriptions: list[str], kind: str, mapped: bool
) -> None:
    for method in ("GradMAP", "Price-following"):
        assert (f"map of the {kind} under {method}" in descriptions) == mapped
