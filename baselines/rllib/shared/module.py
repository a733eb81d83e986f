"""Homes that share parameters as one RLModule: actors, critics, and the scale of values."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

from baselines.rllib.module import log_probability
from baselines.rllib.shared.policies import (
    ACTION_GAIN,
    VALUE_GAIN,
    KindNetwork,
    SharedNetworks,
    SharedPolicies,
)

# Weight of the newest batch in the running mean and spread of returns.
NEWEST = 0.1
# Samples of all agents whose values are worked out at once: activations then stay in the cache.
AT_ONCE = 16
# Of returns, in the units that are learned from: below it, no division.
SMALLEST_SPREAD = 1e-4


class SharedActorCritic(TorchRLModule, ValueFunctionAPI):
    """Gaussian policies, and critics; each is one network for all homes of a kind.

    IPPO's critics see what their home sees. MAPPO's see the global state beside it, whole
    (`gridedge_env.global_state`): each home's value is that of the state and of its own part in it.

    `model_config` holds: `central`, bool; `homes`, `Homes`; `correction`, `Correction`;
    `hidden_sizes`, of actors and critics; `initial_deviation`, of outputs; `seed`, of the weights.

    Attributes:
        actor: the policies without noise: a `gridedge_env.reference.Policy`.
        critic: of normalised values.
        log_deviation: (kinds of home, action_size), trained too.
        value_scale: what values are normalised by.
    """

    def setup(self) -> None:
        """Make the networks; RLlib calls this."""
        super().setup()
        config = self.model_config
        hidden, seed, homes = tuple(config["hidden_sizes"]), config["seed"], config["homes"]
        _, private_size = self.observation_space["private"].shape
        (shared_size,) = self.observation_space["shared"].shape
        action_size = self.action_space.shape[1]
        networks = SharedNetworks(
            homes, private_size, shared_size, action_size, hidden, ACTION_GAIN, seed
        )
        self.actor = SharedPolicies(networks, config["correction"])
        self.central = config["central"]
        if self.central:
            (network_size,) = self.observation_space["network"].shape
            shared_size += shared_size + homes.count * private_size + network_size
        self.critic = SharedNetworks(
            homes, private_size, shared_size, 1, hidden, VALUE_GAIN, seed + 1
        )
        self.log_deviation = nn.Parameter(
            torch.full(
                (len(homes.rows), action_size),
                math.log(config["initial_deviation"]),
                dtype=torch.float32,
                device="cpu",
            )
        )
        self.value_scale = ValueScale(len(homes.rows))

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        with torch.no_grad():
            return {Columns.ACTIONS: self._means(batch)}

    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        with torch.no_grad():
            means, log_deviation = self._means(batch), self._log_deviation()
            actions = means + log_deviation.exp() * torch.randn_like(means)
            return {
                Columns.ACTIONS: actions,
                Columns.ACTION_LOGP: log_probability(actions, means, log_deviation),
            }

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        means = self._means(batch)
        log_likelihood = log_probability(batch[Columns.ACTIONS], means, self._log_deviation())
        return {
            Columns.ACTION_LOGP: log_likelihood,
            Columns.VF_PREDS: self._normal_values(batch[Columns.OBS]),
        }

    @property
    def entropy(self) -> Tensor:
        """Of the policies, mean over agents; of no observation."""
        constant = 0.5 * math.log(2.0 * math.pi * math.e)
        return (self._log_deviation() + constant).sum(dim=-1).mean()

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """What each agent can expect for the rest of the day: (samples, agents)."""
        observation = batch[Columns.OBS]
        samples = len(observation["shared"])
        values = [
            self._normal_values({name: x[k : k + AT_ONCE] for name, x in observation.items()})
            for k in range(0, samples, AT_ONCE)
        ]
        return self.value_scale.raw(torch.cat(values), self.critic.kind_of_agent)

    @torch.no_grad()
    def rescale(self, returns: Tensor) -> None:
        """Take returns, (samples, agents), into account in the scale of values.

        The critics' last layers are put right, so that no value changes (Hessel et al., 2019).
        """
        mean, spread = self.value_scale.mean, self.value_scale.spread
        self.value_scale.update(returns, self.critic.kind_of_agent)
        shift = mean - self.value_scale.mean
        for number, network in enumerate(self.critic.kinds):
            network = cast(KindNetwork, network)
            weight, bias = network.weights[-1], network.biases[-1]
            weight *= spread[number] / self.value_scale.spread[number]
            bias.copy_((bias * spread[number] + shift[number]) / self.value_scale.spread[number])

    def normalised(self, values: Tensor) -> Tensor:
        """Values or returns (samples, agents) in the critics' units."""
        return self.value_scale.normal(values, self.critic.kind_of_agent)

    def _means(self, batch: dict[str, Any]) -> Tensor:
        """(samples, agents, action_size)."""
        observation = batch[Columns.OBS]
        return self.actor.networks(observation["private"], observation["shared"])

    def _log_deviation(self) -> Tensor:
        """(agents, action_size)."""
        return self.log_deviation[self.critic.kind_of_agent]

    def _normal_values(self, observation: dict[str, Tensor]) -> Tensor:
        """(samples, agents)."""
        private, shared = observation["private"], observation["shared"]
        if self.central:
            state = torch.cat((shared, private.flatten(1), observation["network"]), dim=-1)
            # So many entries: scaled, a step of the optimiser moves values as others do.
            shared = torch.cat((shared, state / math.sqrt(state.shape[-1])), dim=-1)
        return self.critic(private, shared)[..., 0]


class ValueScale(nn.Module):
    """Running mean and spread of returns, for each kind of home.

    Args:
        kinds: of homes.
    """

    _mean: Tensor
    _square: Tensor
    _weight: Tensor

    def __init__(self, kinds: int) -> None:
        super().__init__()
        for name, shape in (("_mean", (kinds,)), ("_square", (kinds,)), ("_weight", ())):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64, device="cpu"))

    @property
    def mean(self) -> Tensor:
        """(kinds,) of returns; 0 before any."""
        return (self._mean / self._weight.clamp(min=NEWEST)).float()

    @property
    def spread(self) -> Tensor:
        """(kinds,) of returns; 1 before any."""
        if not self._weight:
            return torch.ones_like(self.mean)
        variance = self._square / self._weight - (self._mean / self._weight).square()
        return variance.clamp(min=SMALLEST_SPREAD**2).sqrt().float()

    def update(self, returns: Tensor, kind_of_agent: Tensor) -> None:
        """Move towards the mean and spread of a batch of returns, (samples, agents)."""
        batch = returns.double()
        self._weight += NEWEST * (1.0 - self._weight)
        for running, moment in ((self._mean, batch), (self._square, batch.square())):
            by_agent = moment.mean(dim=0)
            counts = torch.bincount(kind_of_agent, minlength=len(running))
            by_kind = torch.zeros_like(running).index_add_(0, kind_of_agent, by_agent) / counts
            running += NEWEST * (by_kind - running)

    def normal(self, values: Tensor, kind_of_agent: Tensor) -> Tensor:
        """From the units of rewards to the critics'."""
        return (values - self.mean[kind_of_agent]) / self.spread[kind_of_agent]

    def raw(self, values: Tensor, kind_of_agent: Tensor) -> Tensor:
        """The inverse of `normal`."""
        return values * self.spread[kind_of_agent] + self.mean[kind_of_agent]
