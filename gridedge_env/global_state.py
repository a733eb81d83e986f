"""The global state: what a critic may know that sees the whole network, as no agent does.

One row of numbers, each within ±10 of its scale as in observations, for `env.state()` and for
batches of days alike:

- what all agents are told, once;
- what each agent alone observes, agent by agent;
- what the network did in the last step, in every place of every kind of limit: 0 is well within
  the limits, ±1 at them;
- under regulator control, the taps: ±1 is as far as they go.

Nothing in it is yet to come: of the day that unfolds a critic knows what agents know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gridedge_env.observation import OBSERVATION_BOUND

if TYPE_CHECKING:
    from gridedge_env.simulator import Simulator
    from gridedge_env.state import Result, SimulatorState


def state_names(simulator: Simulator) -> list[str]:
    """What each entry is: a field, "field agent", "limit place" or "tap_position regulator"."""
    fields, split = simulator.observation_fields, simulator.private_size
    limits, power_flow = simulator.case.limits, simulator.power_flow
    regulators = simulator.feeder.regulators if simulator.case.regulator_control else ()
    return [
        *(field.name for field in fields[split:]),
        *(f"{field.name} {agent}" for agent in simulator.fleet.names for field in fields[:split]),
        *(f"{kind.name} {place}" for kind in limits for place in kind.places(power_flow)),
        *(f"tap_position {regulator.transformer}" for regulator in regulators),
    ]


def global_state(
    simulator: Simulator, state: SimulatorState, result: Result | None = None
) -> Tensor:
    """Of a batch of days, (batch, entries), differentiable; `state_names` says what they are.

    Args:
        simulator: the case.
        state: where the days stand.
        result: of the step that led there; at midnight None, and the network is without load.

    Raises:
        ValueError: a result of another batch, or none after midnight.
    """
    private, shared = simulator.observe_parts(state)
    limits, taps = simulator.case.limits, state.tap_position
    quantities = network_quantities(simulator, state, result)
    network = [(quantities[kind.name] - kind.middle) / kind.half_width for kind in limits]
    if taps is not None:
        furthest = [float(regulator.tap_limit) for regulator in simulator.feeder.regulators]
        network.append(taps / taps.new_tensor(furthest))
    seen = torch.cat(network, dim=-1).clamp(-OBSERVATION_BOUND, OBSERVATION_BOUND)
    return torch.cat((shared, private.flatten(1), seen.expand(len(private), -1)), dim=-1)


def network_quantities(
    simulator: Simulator, state: SimulatorState, result: Result | None
) -> dict[str, Tensor]:
    """What is limited in the last step, by kind of limit: (batch or 1, places) each.

    Args and errors as of `global_state`.
    """
    if result is None and state.step == 0:
        power_flow = simulator.power_flow
        solution = power_flow.solve_branches(torch.zeros_like(state.device_voltage[:1]))
        return {kind.name: kind.quantity(power_flow, solution) for kind in simulator.case.limits}
    if result is None:
        raise ValueError("result: got None after midnight, expected that of the step before")
    came, expected = tuple(result.cost.shape[:-1]), (len(state.device_voltage),)
    if came != expected:
        raise ValueError(f"result: got a batch of {came}, expected {expected} as in the state")
    return result.quantities
