"""Droop at every breakpoint of its curves, by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from gridedge_env import Simulator, make_simulator
from gridedge_env.devices.battery import BatteryState
from gridedge_env.reference import Curve, Policy, PriceFollowing, VoltVar, VoltWatt

# Rounding: voltages pass through observations, whose unit is 0.05 pu, in double precision.
EXACT = {"rel": 1e-9, "abs": 1e-9}


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    """Twelve sites, four of each kind, with reactive power."""
    return make_simulator(num_agents=12, dtype=torch.float64, reactive_power=True)


@dataclass(frozen=True)
class Always:
    """A policy that asks for the same of every device."""

    value: float
    reactive: float = 0.0

    def __call__(self, private: Tensor, shared: Tensor) -> Tensor:
        action = torch.full((*private.shape[:-1], 2), self.value, dtype=private.dtype)
        action[..., 1] = self.reactive
        return action


def act(simulator: Simulator, policy: Policy, voltage: float, step: int = 20) -> Tensor:
    """(12, 2) actions when every meter reads `voltage` pu."""
    state = replace(simulator.reset(days=[5]), step=step)
    private, shared = simulator.observe_parts(state)
    private[..., 2] = (voltage - 1.0) / 0.05
    return policy(private, shared)[0]


@pytest.mark.parametrize(
    ("voltage", "share"),
    [(0.9, 2.0), (1.0, 2.0), (1.01, 1.5), (1.02, 1.0), (1.06, -1.0), (1.2, -1.0)],
)
def test_a_curve_by_hand(voltage, share):
    """Falls by 1 over 0.02 pu, then by 2 over 0.04."""
    curve = Curve((1.0, 1.02, 1.06), (2.0, 1.0, -1.0))
    assert float(curve(torch.tensor(voltage, dtype=torch.float64))) == pytest.approx(share, **EXACT)


@pytest.mark.parametrize(
    ("voltage", "share", "field"),
    [((1.0, 1.1), (1.0,), "share"), ((), (), "share"), ((1.1, 1.0), (1.0, 0.0), "voltage")],
)
def test_a_curve_that_is_none_is_refused(voltage, share, field):
    with pytest.raises(ValueError, match=f"^{field}: got"):
        Curve(voltage, share)


@pytest.mark.parametrize(
    ("voltage", "fed_in"),
    [(0.9, 1.0), (1.0, 1.0), (1.06, 1.0), (1.07, 0.75), (1.08, 0.5), (1.1, 0.0), (1.2, 0.0)],
)
def test_volt_watt_curtails_what_is_fed_in(simulator, voltage, fed_in):
    """From all at 1.06 pu to nothing at 1.10: a quarter less each 0.01 pu.

    A battery that discharges as it can has action -1, a generator at full power +1 and off -1.
    """
    discharging = act(simulator, VoltWatt(simulator, Always(-1.0)), voltage)[:, 0].tolist()
    assert discharging[:4] == pytest.approx([-fed_in] * 4, **EXACT)
    generating = act(simulator, VoltWatt(simulator, Always(1.0)), voltage)[:, 0].tolist()
    assert generating[8:] == pytest.approx([2.0 * fed_in - 1.0] * 4, **EXACT)


@pytest.mark.parametrize(
    ("voltage", "drawn"),
    [(0.8, 0.0), (0.9, 0.0), (0.92, 0.5), (0.93, 0.75), (0.94, 1.0), (1.0, 1.0), (1.1, 1.0)],
)
def test_volt_watt_curtails_what_is_drawn(simulator, voltage, drawn):
    """The mirror image: all at 0.94 pu, nothing at 0.90; a heat pump's action spans its power."""
    action = act(simulator, VoltWatt(simulator, Always(1.0)), voltage)[:, 0].tolist()
    assert action[:4] == pytest.approx([drawn] * 4, **EXACT)
    assert action[4:8] == pytest.approx([2.0 * drawn - 1.0] * 4, **EXACT)


@pytest.mark.parametrize("value", [-1.0, -0.3, 0.0, 0.4, 1.0])
def test_volt_watt_leaves_alone_what_it_need_not_curtail(simulator, value):
    """Inside 0.94 to 1.06 pu everything; beyond, who does less than its bound; and the second."""
    policy = Always(value, reactive=0.3)
    inside = act(simulator, policy, 1.0)
    for voltage in (0.94, 1.06):
        assert torch.equal(act(simulator, VoltWatt(simulator, policy), voltage), inside)
    high = act(simulator, VoltWatt(simulator, policy), 1.08)
    assert torch.equal(high[4:8], inside[4:8])  # heat pumps feed nothing in
    assert torch.equal(high[..., 1], inside[..., 1])


def test_a_curve_below_zero_makes_devices_draw_and_feed_in(simulator):
    """At 1.10 pu a half of what they can do: batteries 0.5, heat pumps half-way, generators off.

    At 0.90 pu the reverse: batteries -0.5, heat pumps at least, generators at half power.
    """
    curve = Curve((1.05, 1.10), (1.0, -0.5))
    high = act(simulator, VoltWatt(simulator, Always(-1.0), curve), 1.1)[:, 0].tolist()
    assert high == pytest.approx([0.5] * 4 + [0.0] * 4 + [-1.0] * 4, **EXACT)
    low = act(simulator, VoltWatt(simulator, Always(0.0), curve), 0.9)[:, 0].tolist()
    assert low == pytest.approx([-0.5] * 4 + [-1.0] * 4 + [0.0] * 4, **EXACT)


@pytest.mark.parametrize(
    ("voltage", "share"),
    [
        (0.9, -0.44),
        (0.92, -0.44),
        (0.95, -0.22),
        (0.98, 0.0),
        (1.0, 0.0),
        (1.02, 0.0),
        (1.05, 0.22),
        (1.08, 0.44),
        (1.1, 0.44),
    ],
)
def test_volt_var_by_hand(simulator, voltage, share):
    """At rest the whole rating is room: the second action is the curve's own value.

    At half power p = 0.5 / 1.1 of the rating, sqrt(1 - 0.2066) = 0.8907 of it is left: a generator
    asks for share / 0.8907. At full power sqrt(1 - 0.8264) = 0.4166: 0.22 is 0.5281 of what is
    left, 0.44 all of it.
    """
    action = act(simulator, VoltVar(simulator, Always(0.0)), voltage)[:, 1].tolist()
    assert action[:4] == pytest.approx([share] * 4, **EXACT)
    half = math.sqrt(1.0 - (0.5 / 1.1) ** 2)
    assert action[8:] == pytest.approx([share / half] * 4, **EXACT)
    full = min(abs(share) / math.sqrt(1.0 - (1.0 / 1.1) ** 2), 1.0)
    action = act(simulator, VoltVar(simulator, Always(1.0)), voltage)[:, 1].tolist()
    assert action[8:] == pytest.approx([math.copysign(full, share)] * 4, **EXACT)


@pytest.mark.parametrize("step", [0, 11, 30, 46, 47])
def test_volt_var_gives_the_reactive_power_of_the_curve(simulator, step):
    """0.22 of the rating at 1.05 pu, whatever the battery's store lets it charge at any hour.

    A battery near full, one near empty: its own power is a function of its state and the clock.
    """
    state = replace(simulator.reset(days=[5]), step=step)
    capacity = simulator.fleet.group("battery").parameters.capacity
    stored = BatteryState(capacity * torch.tensor([[0.5, 0.98, 0.06, 0.7]]).to(capacity))
    state = replace(state, devices=(stored, *state.devices[1:]))
    private, shared = simulator.observe_parts(state)
    private[..., 2] = 1.0
    for value in (-1.0, -0.4, 0.0, 0.5, 1.0):
        action = VoltVar(simulator, Always(value))(private, shared)
        _, result = simulator.step(state, action)
        output = result.power - state.day.demand[:, step]
        rating = simulator.fleet.inverter_rating
        drawn = action[..., 1] * (rating**2 - output**2).clamp(min=0.0).sqrt()
        room = (rating**2 - output**2).clamp(min=0.0).sqrt()
        expected = torch.minimum(0.22 * rating, room)
        torch.testing.assert_close(drawn[:, :4], expected[:, :4], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(drawn[:, 8:], expected[:, 8:], rtol=1e-6, atol=1e-6)


def test_volt_var_leaves_active_power_alone_and_needs_reactive_power(simulator):
    base = PriceFollowing(simulator)
    assert torch.equal(
        act(simulator, VoltVar(simulator, base), 1.07)[:, 0], act(simulator, base, 1.07)[:, 0]
    )
    plain = make_simulator(num_agents=3)
    with pytest.raises(ValueError, match="^reactive_power: got False"):
        VoltVar(plain, PriceFollowing(plain))


@pytest.mark.parametrize(
    "droop",
    [VoltWatt, VoltVar, lambda case, policy: VoltVar(case, VoltWatt(case, policy))],
)
def test_droop_is_local(simulator, droop: Callable[[Simulator, Policy], Policy]):
    """Actions within their range; nobody's depends on what only another reads."""
    policy = droop(simulator, PriceFollowing(simulator))
    private, shared = simulator.observe_parts(replace(simulator.reset(3, seed=1), step=30))
    private[..., 2] = torch.linspace(-2.5, 2.5, 12, dtype=torch.float64)
    action = policy(private, shared)
    assert action.shape == (3, 12, 2)
    assert (action.abs() <= 1.0).all()
    for agent in range(12):
        other = private.clone()
        other[:, agent] -= 1.3
        same = (policy(other, shared) == action).all(dim=-1)
        same[:, agent] = True
        assert same.all()
