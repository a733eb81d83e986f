"""Regulator taps as inputs: what a feeder with those taps would give, and its derivatives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gridedge_env.feeder import Feeder
from gridedge_env.feeder.records import Bus, Load, Regulator, Source, Transformer, Winding
from gridedge_env.powerflow import PowerFlow

POSITIONS = [[0, 0, 0, 0, 0, 0, 0], [3, -16, 16, 5, 0, -4, 2], [-16, 16, 1, 0, 16, 16, -16]]


def with_positions(feeder: Feeder, positions: list[int]) -> Feeder:
    regulators = (
        replace(regulator, tap_position=position)
        for regulator, position in zip(feeder.regulators, positions, strict=True)
    )
    return replace(feeder, regulators=tuple(regulators))


@pytest.fixture(scope="module", params=["dense", "factored"])
def flow(request: pytest.FixtureRequest, ieee123: Feeder) -> PowerFlow:
    return PowerFlow(ieee123, backend=request.param)


@pytest.mark.parametrize("quantity", ["voltage", "branch_current", "losses", "unbalance"])
def test_as_a_feeder_with_these_taps(
    flow: PowerFlow, ieee123: Feeder, powers: Tensor, quantity: str
) -> None:
    """One batch with three sets of taps, against three feeders.

    Regulator reg1a has 1e-5 pu of impedance: its admittance of 1e5 pu, of which the modes take
    differences, leaves 1e5 · 2e-16 = 2e-11 pu of voltage times a few. Across the source's 3e-5 pu
    that is 1e-6 of its current, and of the losses, which are what it feeds less what is drawn.
    """
    tolerance = {"branch_current": 1e-6, "losses": 1e-5}.get(quantity, 1e-9)
    solution = flow.solve(powers[:3], tap_position=torch.tensor(POSITIONS, dtype=torch.float64))
    assert solution.converged.all()
    for k, positions in enumerate(POSITIONS):
        exact = getattr(
            PowerFlow(with_positions(ieee123, positions)).solve(powers[k : k + 1]), quantity
        )
        scale = float(exact.abs().max())
        found = getattr(solution, quantity)[k : k + 1]
        torch.testing.assert_close(found / scale, exact / scale, rtol=0.0, atol=tolerance)


def test_the_feeders_own_taps_change_nothing(flow: PowerFlow, powers: Tensor) -> None:
    """Every e is 0, so that the modes carry nothing: the same numbers to rounding."""
    own = flow.solve(powers, tap_position=flow.tap_position.expand(len(powers), -1))
    torch.testing.assert_close(own.voltage, flow.solve(powers).voltage, rtol=0.0, atol=1e-14)


def test_derivatives(flow: PowerFlow, powers: Tensor) -> None:
    """Central differences with h = 1e-2 positions, in every regulator of one scenario.

    Truncation: a position is 0.6 %, h one of 6e-5, so that h² leaves 4e-9 of f'. Rounding: 1e-8 kW
    of losses, from 5e-9 A at the source, times their weight of 1e-2 over 2 h.
    """

    def loss(power: Tensor, position: Tensor) -> Tensor:
        solution = flow.solve(power, tap_position=position)
        return solution.voltage_magnitude.pow(3).sum() + 1e-2 * solution.losses.sum()

    power = powers[:1].clone().requires_grad_()
    inside = [[3.0, -15.0, 15.0, 5.0, 0.0, -4.0, 2.0]]
    position = torch.tensor(inside, dtype=torch.float64, requires_grad=True)
    by_power, by_position = torch.autograd.grad(loss(power, position), (power, position))
    steps = 1e-2 * torch.eye(7, dtype=torch.float64)
    with torch.no_grad():
        differences = [
            (loss(power, position + s) - loss(power, position - s)) / 2e-2 for s in steps
        ]
    torch.testing.assert_close(by_position[0], torch.stack(differences), rtol=1e-6, atol=1e-7)

    step = torch.zeros_like(powers[:1])
    step[0, 40] = 0.1
    with torch.no_grad():
        difference = (loss(power + step, position) - loss(power - step, position)) / 0.2
    assert by_power[0, 40].real.item() == pytest.approx(difference.item(), rel=1e-6, abs=1e-8)


def test_taps_on_either_side_of_a_transformer_with_a_core() -> None:
    """Taps on winding 1 and on winding 2, where the magnetising branch lies: as a feeder's own."""
    for winding in (1, 2):
        regulator = Regulator("t", winding, 4, 120.0, 2.0, 20.0, 100.0, 0.0, 0.0, 30.0)
        feeder = Feeder(
            name="one transformer",
            frequency=50.0,
            source=Source("a", (1, 2, 3), 4.16, 1.0, 0.0, 0.01, 0.05, 0.01, 0.05),
            buses=(Bus("a", (1, 2, 3), 2.4), Bus("b", (1, 2, 3), 0.24)),
            transformers=(
                Transformer(
                    "t",
                    3,
                    (4.0,),
                    "lag",
                    1.0,
                    (
                        Winding("a", (1, 2, 3), "delta", 4.16, 500.0, 0.5),
                        Winding("b", (1, 2, 3), "wye", 0.416, 500.0, 0.5),
                    ),
                    no_load_loss_percent=1.0,
                    magnetising_percent=5.0,
                ),
            ),
            regulators=(regulator,),
            loads=(Load("l", "b", (1,), "wye", "constant_power", 0.24, 80.0, 30.0, 0.7, 1.3),),
        )
        moved = replace(feeder, regulators=(replace(regulator, tap_position=-13),))
        solution = PowerFlow(feeder).solve(tap_position=torch.tensor([[-13.0]]))
        exact = PowerFlow(moved).solve()
        # Leakage of 25 pu against a source of 0.03: nothing is lost but rounding.
        torch.testing.assert_close(solution.voltage, exact.voltage, rtol=0.0, atol=1e-12)
        torch.testing.assert_close(solution.losses, exact.losses, rtol=1e-9, atol=0.0)


def test_positions_that_cannot_be_are_refused(flow: PowerFlow) -> None:
    with pytest.raises(ValueError, match=r"tap_position: got shape \(1, 6\), expected \(1, 7\)"):
        flow.solve(tap_position=torch.zeros(1, 6))
    for beyond in (17.0, float("nan")):
        with pytest.raises(ValueError, match=r"tap_position: got .*, expected positions within"):
            flow.solve(tap_position=torch.full((1, 7), beyond))
