"""Networks that all homes of a kind share, and the policies that they make."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.rllib.shared.homes import Homes
from gradmap_trainer.policies import planned_outputs, reach_of, to_action
from gridedge_env.observation import least_planned_action, planned_columns
from gridedge_env.simulator import Simulator

# Of orthogonal weights before a rectifier, and of those that put actions out: devices begin where
# they rest, or as planned.
HIDDEN_GAIN, ACTION_GAIN, VALUE_GAIN = math.sqrt(2.0), 0.01, 1.0


@dataclass(frozen=True)
class Correction:
    """What networks' outputs mean: the same as for GradMAP's policies.

    Attributes:
        action_size: numbers per action.
        planned: columns of the private entries that hold planned actions; none: there is no plan.
        least_planned: of such an action that is not taken for rest.
    """

    action_size: int
    planned: tuple[int, ...]
    least_planned: float

    @staticmethod
    def of(simulator: Simulator) -> Correction:
        """That of a case."""
        fields = simulator.observation_fields
        planned = planned_columns(fields)
        return Correction(simulator.action_size, planned, least_planned_action(fields))

    def action(self, private: Tensor, outputs: Tensor | float) -> Tensor:
        """(..., agents, action_size) for private observations (..., agents, private entries).

        Outputs of 0 are rest, or follow the public plan where there is one.
        """
        base = planned_outputs(private, self.action_size, self.planned, self.least_planned)
        reach = reach_of(self.action_size, self.planned, private.device)
        return to_action(base + reach * outputs)


class KindNetwork(nn.Module):
    """A perceptron with rectifiers that all homes of a kind share.

    What homes have in common (what all observe, and what of each never changes) goes through the
    first layer once, not once for each home and moment.

    Args:
        constants: (homes, constants).
        private_size: entries of an observation that are a home's own.
        shared_size: entries that are the same for all homes.
        outputs: numbers put out for each home.
        hidden_sizes: units of the hidden layers.
        gain: of the last layer's orthogonal weights.
        generator: of the weights.
    """

    constants: Tensor

    def __init__(
        self,
        constants: Tensor,
        private_size: int,
        shared_size: int,
        outputs: int,
        hidden_sizes: tuple[int, ...],
        gain: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.register_buffer("constants", constants)
        self._parts = (private_size, shared_size, constants.shape[1])
        sizes = (sum(self._parts), *hidden_sizes, outputs)
        gains = [HIDDEN_GAIN] * len(hidden_sizes) + [gain]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for (fan_in, units), factor in zip(itertools.pairwise(sizes), gains, strict=True):
            weight = torch.empty(units, fan_in, dtype=torch.float32, device="cpu")
            self.weights.append(nn.init.orthogonal_(weight, factor, generator))
            self.biases.append(torch.zeros(units, dtype=torch.float32, device="cpu"))

    def forward(self, private: Tensor, shared: Tensor) -> Tensor:
        """(samples, homes, outputs) of (samples, homes, private) and (samples, shared)."""
        own, common, constant = self.weights[0].split(self._parts, dim=1)
        first = functional.linear(private, own, self.biases[0])
        first = first + functional.linear(shared, common)[:, None]
        activation = first + functional.linear(self.constants, constant)
        for weight, bias in zip(list(self.weights)[1:], list(self.biases)[1:], strict=True):
            activation = functional.linear(activation.relu_(), weight, bias)
        return activation


class SharedNetworks(nn.Module):
    """One `KindNetwork` for each kind of home; arguments as there.

    Attributes:
        kinds: the networks.
        kind_of_agent: (agents,) number of each agent's kind.
    """

    kind_of_agent: Tensor
    _place: Tensor

    def __init__(
        self,
        homes: Homes,
        private_size: int,
        shared_size: int,
        outputs: int,
        hidden_sizes: tuple[int, ...],
        gain: float,
        seed: int,
    ) -> None:
        super().__init__()
        generator = torch.Generator("cpu").manual_seed(seed % 2**63)
        self._rows = homes.rows
        self.kinds = nn.ModuleList(
            KindNetwork(
                constants, private_size, shared_size, outputs, hidden_sizes, gain, generator
            )
            for constants in homes.constants
        )
        kinds = [torch.full_like(rows, number) for number, rows in enumerate(homes.rows)]
        place = torch.cat(homes.rows).argsort()
        self.register_buffer("_place", place, persistent=False)
        self.register_buffer("kind_of_agent", torch.cat(kinds)[place], persistent=False)

    def forward(self, private: Tensor, shared: Tensor) -> Tensor:
        """(samples, agents, outputs) of (samples, agents, private) and (samples, shared)."""
        found = [
            network(private.index_select(1, rows), shared)
            for network, rows in zip(self.kinds, self._rows, strict=True)
        ]
        return torch.cat(found, dim=1).index_select(1, self._place)


class SharedPolicies(nn.Module):
    """The policies of all agents, without noise: a `gridedge_env.reference.Policy`.

    Attributes:
        networks: their outputs are means of Gaussians.
        correction: from outputs to actions.
    """

    def __init__(self, networks: SharedNetworks, correction: Correction) -> None:
        super().__init__()
        self.networks, self.correction = networks, correction

    def forward(self, private: Tensor, shared: Tensor) -> Tensor:
        """Actions for a batch of observations; see `Policy` for the shapes."""
        with torch.no_grad():
            return self.correction.action(private, self.networks(private, shared))
