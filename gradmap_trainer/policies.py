"""N unshared policy networks as stacked weights: one small network per agent, all run at once.

Each network is a perceptron with tanh activations from an agent's own observation to its own
action. Agents share no weight. What they share is most of their observation (prices, clock,
weather): there, the first layers of all agents are one matrix product.
"""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import torch
from torch import Tensor, nn

from gradmap_trainer.kernels.networks import Networks
from gradmap_trainer.kernels.outputs import can_compute, network_outputs
from gridedge_env.observation import LEAST_PLANNED_ACTION

# The last layer starts this small: every device begins at rest, where no gradient is clamped.
OUTPUT_INITIAL_SCALE = 0.05
# Outputs up to this size are rest: action 0. Where moving does not pay, a network that could only
# come near zero would wear its battery out. In double precision it is that of single precision, in
# which policies are trained and exported.
REST_BAND = float(np.float32(0.3))
# How far a network's output moves an action that is planned: correcting takes finer steps than
# finding out what to do.
CORRECTION = 0.1
# In training, rest leans this far to the side of the output, to feel what moving there would earn.
LEANING = 1e-4


def to_action(output: Tensor) -> Tensor:
    """Actions for outputs of the networks, of any shape: rest around 0, then linear, within ±1."""
    return (output - output.clamp(-REST_BAND, REST_BAND)).clamp(-1.0, 1.0)


def to_leaning_action(output: Tensor) -> Tensor:
    """As `to_action`, but a hair off rest.

    Where a battery does best at rest, moving loses on either side. At rest itself it has one
    gradient, which would drive it over one edge; a hair off, each side drives it back.
    """
    action = to_action(output)
    return torch.where(action == 0.0, LEANING * output.sign(), action)


def following(planned: Tensor, least: float = LEAST_PLANNED_ACTION) -> Tensor:
    """Outputs whose actions are planned ones, of any shape; those below the least are rest."""
    within = planned * (REST_BAND / least)
    beyond = planned + REST_BAND * planned.sign()
    return torch.where(planned.abs() < least, within, beyond)


def planned_outputs(
    private: Tensor, action_size: int, planned: tuple[int, ...], least_planned: float
) -> Tensor:
    """What outputs of networks correct: those that follow the public plan.

    Args:
        private: (..., agents, private entries).
        action_size: numbers per action.
        planned: as in `Policies`.
        least_planned: likewise.

    Returns:
        (..., agents, action_size); 0 without a plan, and for reactive power.
    """
    if not planned:
        return private.new_zeros(*private.shape[:-1], action_size)
    actions = torch.stack([private[..., column] for column in planned], dim=-1)
    outputs = following(actions, least_planned)
    return nn.functional.pad(outputs, (0, action_size - len(planned)))


def reach_of(action_size: int, planned: tuple[int, ...], device: torch.device) -> Tensor:
    """(action_size,) what an output counts in an action: 1, or `CORRECTION` of a plan."""
    reach = torch.ones(action_size, dtype=torch.float32, device=device)
    reach[: len(planned)] = CORRECTION
    return reach


class Policies(nn.Module):
    """Perceptrons of all agents; a `gridedge_env.reference.Policy`.

    Where agents observe the public plan, what networks put out corrects what follows it.

    Samples are the innermost axis of all activations, (agents, units, samples): contiguous for the
    elementwise work, and a batched matrix product per layer.

    Args:
        num_agents: number of networks.
        private_size: entries of an observation that are an agent's own.
        shared_size: entries that are the same for all agents.
        action_size: numbers per action.
        hidden_sizes: units of the hidden layers.
        seed: chooses the initial weights.
        device: where the weights live.
        planned: columns of the private entries that hold planned actions, one for each of an
            agent's devices; none: there is no plan.
        least_planned: of such an action that is not taken for rest.

    Attributes:
        reach: (action_size,) what an output counts in an action: 1, or `CORRECTION` of a plan.
    """

    reach: Tensor

    def __init__(
        self,
        num_agents: int,
        private_size: int,
        shared_size: int,
        action_size: int,
        hidden_sizes: tuple[int, ...],
        seed: int,
        device: torch.device,
        planned: tuple[int, ...] = (),
        least_planned: float = LEAST_PLANNED_ACTION,
    ) -> None:
        super().__init__()
        self.planned, self.least_planned, self.action_size = planned, least_planned, action_size
        self.register_buffer("reach", reach_of(action_size, planned, device), persistent=False)
        generator = torch.Generator("cpu").manual_seed(seed % 2**63)

        def uniform(units: int, fan_in: int, bound: float) -> nn.Parameter:
            shape = (num_agents, units, fan_in)
            weight = torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")
            return nn.Parameter(((2.0 * weight - 1.0) * bound).to(device))

        sizes = (private_size + shared_size, *hidden_sizes)
        first = 1.0 / math.sqrt(sizes[0])
        self.private_weight = uniform(sizes[1], private_size, first)
        self.shared_weight = uniform(sizes[1], shared_size, first)
        hidden = [
            uniform(units, fan_in, 1.0 / math.sqrt(fan_in))
            for fan_in, units in itertools.pairwise(sizes[1:])
        ]
        output = uniform(action_size, sizes[-1], OUTPUT_INITIAL_SCALE / math.sqrt(sizes[-1]))
        self.weights = nn.ParameterList([*hidden, output])
        self.biases = nn.ParameterList(
            nn.Parameter(torch.zeros(num_agents, units, 1, dtype=torch.float32, device=device))
            for units in (*hidden_sizes, action_size)
        )

    def forward(self, private: Tensor, shared: Tensor) -> Tensor:
        """Actions for a batch of observations; see `Policy` for the shapes."""
        outputs = self.outputs(private.permute(1, 2, 0), shared.T).permute(2, 0, 1)
        return to_action(self.base(private) + self.reach * outputs)

    def base(self, private: Tensor) -> Tensor:
        """What the networks' outputs, times `reach`, are added to.

        Args:
            private: (..., agents, private entries).

        Returns:
            (..., agents, action_size); 0 without a plan, and for reactive power.
        """
        return planned_outputs(private, self.action_size, self.planned, self.least_planned)

    def outputs(self, private: Tensor, shared: Tensor) -> Tensor:
        """Outputs of the networks, not yet actions, with samples innermost.

        Args:
            private: (agents, private entries, samples).
            shared: (shared entries, samples).

        Returns:
            (agents, action_size, samples).
        """
        networks = self.networks()
        if not torch.is_grad_enabled() and can_compute(networks, private, shared):
            return network_outputs(networks, private, shared)
        agents, units, entries = self.shared_weight.shape
        from_shared = (self.shared_weight.view(agents * units, entries) @ shared).view(
            agents, units, -1
        )
        first = torch.baddbmm(from_shared, self.private_weight, private)
        activation = (first + self.biases[0]).tanh()
        for weight, bias in zip(self.weights, list(self.biases)[1:], strict=True):
            output = torch.baddbmm(bias, weight, activation)
            activation = output.tanh()
        return output

    def of(self, agents: slice) -> Policies:
        """The same networks, but of some agents alone: what changes in these changes in those."""
        some = copy.deepcopy(self)
        for part, whole in zip(some.parameters(), self.parameters(), strict=True):
            part.data = whole.data[agents]
        return some

    def networks(self) -> Networks:
        """The parameters themselves, as kernels take them."""
        return Networks(
            (self.private_weight, self.shared_weight, *self.weights), tuple(self.biases)
        )

    def layers(self) -> tuple[list[Tensor], list[Tensor]]:
        """Weights (agents, fan in, fan out) and biases (agents, fan out) of all layers in order."""
        first = torch.cat((self.private_weight, self.shared_weight), dim=-1)
        weights = [w.detach().mT for w in (first, *self.weights)]
        return weights, [b.detach()[..., 0] for b in self.biases]
