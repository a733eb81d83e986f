"""The limits of the network: by hand, one kind at a time, and all kinds as one record."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gridedge_env import Limits, Simulator
from gridedge_env.constraints import (
    LIMIT_KINDS,
    UNSOLVED_VOLTAGE_VIOLATION,
    Limit,
    Loading,
    Unbalance,
    VoltageBand,
    check_limited_nodes,
)

THRESHOLDS = {
    "minimum_voltage": 0.95,
    "maximum_voltage": 1.05,
    "maximum_loading": 1.0,
    "maximum_unbalance": 0.02,
}
# Rounding of differences of numbers around 1, in double precision.
ROUNDING = 1e-15


# Each kind, by hand -------------------------------------------------------------------------------


def test_a_voltage_band_by_hand() -> None:
    """0.93 pu is 0.02 below 0.95, and 1.08 is 0.03 above 1.05; what is at an edge is inside."""
    band = VoltageBand()
    voltage = np.array([[0.93, 0.95, 1.0, 1.05, 1.08]])
    beyond = [[0.02, 0.0, -0.05, 0.0, 0.03]]
    assert band.excess(voltage) == pytest.approx(np.array(beyond), abs=ROUNDING)
    found = band.violation(torch.from_numpy(voltage), torch.tensor([True]))
    assert found[0].tolist() == pytest.approx([0.02, 0.0, 0.0, 0.0, 0.03], abs=ROUNDING)
    assert band.worst(voltage) == pytest.approx(0.03, abs=ROUNDING)
    assert band.worst(np.array([[0.97, 1.01]])) == 0.0


def test_the_band_has_the_violation_and_the_gradient_of_its_edges() -> None:
    """Its clamp is there for speed; at an edge itself neither has a gradient."""
    band = VoltageBand(0.96, 1.02)
    voltage = torch.tensor([[0.9, 0.955, 0.96, 0.99, 1.02, 1.03]], dtype=torch.float64)
    found = []
    for violation in (band.violation, lambda *given: Limit.violation(band, *given)):
        leaf = voltage.clone().requires_grad_()
        value = violation(leaf, torch.tensor([True]))
        (slope,) = torch.autograd.grad(value.sum(), leaf)
        found.append((value.detach(), slope))
    (value, slope), (by_edges, slope_of_edges) = found
    torch.testing.assert_close(value, by_edges, rtol=0.0, atol=ROUNDING)
    assert slope.tolist() == slope_of_edges.tolist() == [[-1.0, -1.0, 0.0, 0.0, 0.0, 1.0]]


def test_a_power_flow_without_solution_is_out_of_band_everywhere() -> None:
    """At 1.00 and 1.06 pu: 0.05 and 0.06 pu; the other kinds say what they find."""
    quantity, converged = torch.tensor([[1.0, 1.06]], dtype=torch.float64), torch.tensor([False])
    found = VoltageBand().violation(quantity, converged)
    assert UNSOLVED_VOLTAGE_VIOLATION == 0.05
    assert found[0].tolist() == pytest.approx([0.05, 0.06], abs=ROUNDING)
    within = np.array([[1.0, 1.0]])
    assert VoltageBand().outside(within, np.array([False]), 1e-5).tolist() == [True]
    assert Loading().outside(within, np.array([False]), 1e-5).tolist() == [False]
    assert not Loading().violation(torch.from_numpy(within), converged).any()


@pytest.mark.parametrize(
    ("kind", "limit"), [(Loading(0.8), 0.8), (Unbalance(0.03), 0.03)], ids=["loading", "unbalance"]
)
def test_limits_from_above_by_hand(kind: Limit, limit: float) -> None:
    """A quarter beyond the limit, at it, at half of it, and 0."""
    quantity = limit * np.array([[1.25, 1.0, 0.5, 0.0]])
    expected = limit * np.array([[0.25, 0.0, -0.5, -1.0]])
    assert kind.excess(quantity) == pytest.approx(expected, abs=ROUNDING)
    found = kind.violation(torch.from_numpy(quantity), torch.tensor([True]))
    assert found[0].tolist() == pytest.approx([0.25 * limit, 0.0, 0.0, 0.0], abs=ROUNDING)
    assert kind.worst(quantity) == 1.25 * limit
    assert kind.worst(np.zeros((1, 0))) == 0.0


@dataclass(frozen=True)
class LeastLoading(Loading):
    """A limit from below alone."""

    def edges(self, quantity: Any) -> tuple[Any, ...]:
        return (self.maximum_loading - quantity,)


@pytest.mark.parametrize(
    ("kind", "bounds"),
    [
        (VoltageBand(0.94, 1.06), (0.94, 1.06)),
        (Loading(0.8), (-np.inf, 0.8)),
        (Unbalance(0.03), (-np.inf, 0.03)),
        (LeastLoading(0.3), (0.3, np.inf)),
    ],
    ids=["voltage", "loading", "unbalance", "least"],
)
def test_the_bounds_are_where_the_edges_are(kind: Limit, bounds: tuple[float, float]) -> None:
    """To the bit: edges at a quantity of 0 are thresholds, up to their sign."""
    assert kind.bounds == bounds


def test_outside_is_beyond_the_limit_by_more_than_the_tolerance() -> None:
    """Anywhere in a step: (days, steps, places) -> (days, steps); no place, no step outside."""
    loading = np.array([[[0.2, 1.0], [1.0 + 2e-5, 0.3]], [[1.0 + 5e-6, 0.0], [0.0, 4.0]]])
    converged = np.ones((2, 2), dtype=bool)
    assert Loading().outside(loading, converged, 1e-5).tolist() == [[False, True], [False, True]]
    assert not Unbalance().outside(np.zeros((2, 2, 0)), converged, 1e-5).any()


def test_quantities_by_hand() -> None:
    """120 A over 100 A is 1.2; over no rating it is nothing."""
    solution: Any = SimpleNamespace(
        branch_current_magnitude=torch.tensor([[120.0, 120.0]]),
        voltage_magnitude=torch.tensor([[1.01]]),
        unbalance=torch.tensor([[0.004]]),
    )
    power_flow: Any = SimpleNamespace(
        branch_rating=torch.tensor([100.0, torch.inf]),
        phase_voltage=lambda solution: solution.voltage_magnitude,
    )
    assert Loading().quantity(power_flow, solution).tolist() == [[pytest.approx(1.2), 0.0]]
    assert VoltageBand().quantity(power_flow, solution) is solution.voltage_magnitude
    assert Unbalance().quantity(power_flow, solution) is solution.unbalance


def test_places_are_the_columns_of_the_quantity(simulator: Simulator) -> None:
    state = simulator.reset()
    _, result = simulator.step(state, torch.zeros(1, 12, 1, dtype=torch.float64))
    names = simulator.power_flow
    expected = (names.node_names, names.branch_names, names.three_phase_buses)
    for kind, places in zip(Limits(), expected, strict=True):
        assert kind.places(simulator.power_flow) == places
        assert result.quantities[kind.name].shape == (1, len(places))


def test_limits_less_a_margin() -> None:
    assert VoltageBand(0.94, 1.06).tightened(0.01) == VoltageBand(0.94 + 0.01, 1.06 - 0.01)
    assert Loading(1.1).tightened(0.1) == Loading(1.1 - 0.1)
    assert Unbalance(0.02).tightened(0.005) == Unbalance(0.02 - 0.005)


def test_kinds_have_names_words_and_colours_of_their_own() -> None:
    """They are columns, keys and curves; a rule is a sentence with the thresholds in it."""
    for attribute in ("name", "heading", "event", "colour", "worst_name", "worst_heading"):
        assert len({getattr(kind, attribute) for kind in LIMIT_KINDS}) == len(LIMIT_KINDS)
    assert [kind.rule for kind in Limits(maximum_loading=0.9)] == [
        "0.95 to 1.05 pu at every node",
        "90 % of the rating in every phase of every rated line and transformer",
        "2 % of voltage unbalance at every three-phase bus",
    ]


# All kinds as one record --------------------------------------------------------------------------


def test_thresholds_by_name_in_order_and_by_default() -> None:
    assert Limits().thresholds == THRESHOLDS
    assert Limits(*THRESHOLDS.values()) == Limits(**THRESHOLDS) == Limits()
    mixed = Limits(0.9, maximum_unbalance=0.03)
    assert mixed.thresholds == THRESHOLDS | {"minimum_voltage": 0.9, "maximum_unbalance": 0.03}
    assert Limits(**mixed.thresholds) == mixed


def test_thresholds_are_attributes() -> None:
    limits = Limits(maximum_loading=0.9)
    for name, value in (THRESHOLDS | {"maximum_loading": 0.9}).items():
        assert getattr(limits, name) == value
    with pytest.raises(AttributeError, match="Limits has no threshold 'maximum_frequency'"):
        _ = limits.maximum_frequency


def test_limits_are_their_kinds_in_order() -> None:
    assert list(Limits(0.9, 1.1, 0.8, 0.01)) == [
        VoltageBand(0.9, 1.1),
        Loading(0.8),
        Unbalance(0.01),
    ]
    assert [type(kind) for kind in Limits()] == list(LIMIT_KINDS)
    assert list(Limits()) == list(Limits().kinds)


def test_limits_are_equal_by_their_thresholds() -> None:
    assert Limits() == Limits(0.95)
    assert Limits() != Limits(0.94)
    assert hash(Limits()) == hash(Limits(0.95))
    assert Limits() != THRESHOLDS


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda limits: pickle.loads(pickle.dumps(limits))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_are_equal(copied: Any) -> None:
    """Attributes are looked up in a record that has none yet while it is copied."""
    limits = Limits(0.9, maximum_loading=0.7)
    assert copied(limits) == limits
    assert copied(limits).maximum_loading == 0.7


def test_tightened_by_kind() -> None:
    limits = Limits(0.9, 1.1, 0.8, 0.02).tightened(voltage=0.01, loading=0.1)
    assert limits == Limits(0.9 + 0.01, 1.1 - 0.01, 0.8 - 0.1, 0.02)
    assert Limits().tightened() == Limits()
    assert Limits().tightened(unbalance=0.005).maximum_unbalance == pytest.approx(0.015)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Limits(maximum_frequency=50.2),
            "limits: unknown threshold 'maximum_frequency', expected one of minimum_voltage, max",
        ),
        (lambda: Limits(0.9, 1.1, 1.0, 0.02, 3.0), "limits: got 5 thresholds, expected minimum_vo"),
        (lambda: Limits(0.9, minimum_voltage=0.94), "limits.minimum_voltage: got it twice"),
        (lambda: Limits(minimum_voltage="low"), "limits.minimum_voltage: got 'low', expected a f"),
        (lambda: Limits(maximum_loading=True), "limits.maximum_loading: got True, expected a fin"),
        (lambda: Limits(maximum_unbalance=np.nan), "limits.maximum_unbalance: got nan, expected"),
        (lambda: Limits(1.05, 0.95), "limits: got voltages 1.05 to 0.95, expected 0 < minimum < m"),
        (lambda: Limits(0.0), "limits: got voltages 0.0 to 1.05"),
        (lambda: Limits(maximum_loading=0.0), "limits: got maximum_loading 0.0, expected it above"),
        (lambda: Limits(maximum_unbalance=-0.1), "limits: got maximum_unbalance -0.1"),
        (lambda: Limits().tightened(voltage=0.05), "limits: got voltages 1.0 to 1.0"),
        # 1.001 - 0.0045 is 0.9964999999999999.
        (
            lambda: Limits(0.999, 1.001).tightened(voltage=0.0045),
            "limits: got voltages 1.0035 to 0.9965,",
        ),
        (lambda: Limits().tightened(loading=1.5), "limits: got maximum_loading -0.5"),
        (lambda: Limits().tightened(volts=0.01), "margins: unknown 'volts', expected one of volt"),
    ],
)
def test_faults_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def test_nodes_that_have_no_band_are_refused() -> None:
    check_limited_nodes(["1.1", "1.2", "2.3"], [True] * 3)
    with pytest.raises(
        ValueError, match=r"feeder: 1 nodes without a path to the source: 1\.2, exp"
    ):
        check_limited_nodes(["1.1", "1.2"], [True, False])
    check_limited_nodes(["1.1", "1.4"], [True, True])
    many = [f"{k}.1" for k in range(7)]
    with pytest.raises(ValueError, match=r"7 nodes .*: 0\.1, 1\.1, 2\.1, 3\.1, 4\.1, \.\.\., exp"):
        check_limited_nodes(many, [False] * 7)
