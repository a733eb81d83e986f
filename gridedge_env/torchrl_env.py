"""Days side by side as an environment of TorchRL, on the batched simulator.

TorchRL's own `PettingZooWrapper` plays one day at a time and puts it together agent by agent. This
is for many days or agents, and for whatever is built on TorchRL, as BenchMARL is.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Binary, Bounded, Composite, TensorSpec, Unbounded
from torchrl.envs import EnvBase
from torchrl.envs.utils import ExplorationType, set_exploration_type

from gridedge_env.checks import check_callable, check_entropy, check_type, check_whole_number
from gridedge_env.episodes import episode_seed_of
from gridedge_env.global_state import global_state, state_names
from gridedge_env.observation import OBSERVATION_BOUND
from gridedge_env.reference import Policy
from gridedge_env.simulator import Simulator
from gridedge_env.state import Result, SimulatorState, check_action, rewards_of


class TorchRLEnv(EnvBase):
    """A batch of episodes that begin and end together; agents in groups by what devices they have.

    Each group has its `observation`, `action` and `reward`, (days, agents of the group, ...); what
    a centralised critic may know is `state`, (days, entries): see `gridedge_env.global_state`. The
    steps are differentiable.

    Args:
        simulator: the physics.
        days: how many episodes side by side.
        split: "train", "validation" or "test": whose weather, prices and homes.
        reward: from what a step cost and did to (days, agents), or (days, 1): one for all agents. A
            step raises a ValueError where they are not finite numbers.

    Attributes:
        simulator: the physics.
        simulator_state: where the episodes stand; None until the first reset.
        result: what the last step cost and did; None before one.
        group_map: names of the agents by group: "battery", or "battery_and_heat_pump".

    Raises:
        ValueError: no simulator, no days, an unknown split, or a reward that is no function.
    """

    def __init__(
        self,
        simulator: Simulator,
        days: int,
        split: str = "train",
        reward: Callable[[Result], Tensor] = attrgetter("reward"),
    ) -> None:
        check_type(simulator, Simulator, "simulator", "a Simulator")
        days = check_whole_number(days, 1, "days")
        check_callable(reward, "reward", "a function of a Result")
        simulator.starts(split)
        super().__init__(device=simulator.device, batch_size=[days])
        self.simulator = simulator
        self.simulator_state: SimulatorState | None = None
        self.result: Result | None = None
        self._split, self._reward = split, reward
        self._first_seed: int | None = None
        self._episode = 0
        self._members: dict[str, list[int]] = {}
        for agent, kinds in enumerate(simulator.fleet.agent_kinds):
            self._members.setdefault(kinds, []).append(agent)
        names = simulator.fleet.names
        self.group_map = {
            group: [names[agent] for agent in own] for group, own in self._members.items()
        }
        fields, entries = len(simulator.observation_fields), len(state_names(simulator))
        seen = {"observation": self._bounded(OBSERVATION_BOUND, len(names), fields)}
        self.observation_spec = self._specified(
            seen, state=self._bounded(OBSERVATION_BOUND, entries)
        )
        asked = {"action": self._bounded(1.0, len(names), simulator.action_size)}
        self.action_spec = self._specified(asked)
        paid = Unbounded((days, len(names), 1), device=self.device, dtype=simulator.dtype)
        self.reward_spec = self._specified({"reward": paid})
        over, all_over = (
            Binary(shape=shape, device=self.device, dtype=torch.bool)
            for shape in ((days, len(names), 1), (days, 1))
        )
        self.done_spec = self._specified(
            {"done": over, "terminated": over}, done=all_over, terminated=all_over.clone()
        )

    def policy_of(self, actor: Callable[[TensorDictBase], Any]) -> Policy:
        """What an actor does without chance, to be evaluated beside rules and other policies.

        Args:
            actor: reads each group's `observation` and writes its `action`.

        Raises:
            ValueError: it cannot be called. The policy raises one where an action is missing, of
                the wrong shape, or not finite.
        """
        check_callable(actor, "actor", "a function of a TensorDict")

        def decide(private: Tensor, shared: Tensor) -> Tensor:
            everybody = shared[:, None, :].expand(-1, private.shape[1], -1)
            seen = self._grouped({"observation": torch.cat((private, everybody), dim=-1)})
            with set_exploration_type(ExplorationType.DETERMINISTIC):
                actor(seen)
            return self._actions(seen, len(private))

        return decide

    def set_seed(self, seed: int | None = None, static_seed: bool = False) -> int | None:
        """Let an order of days follow from a seed, which begins at the next reset.

        Args:
            seed: None for days that follow from nothing.
            static_seed: return the seed itself.

        Returns:
            The seed for another environment beside this one.

        Raises:
            ValueError: a seed that is negative or no whole number.
        """
        known = None if seed is None else check_entropy(seed)
        following: int | None = super().set_seed(known, static_seed)
        return following

    def __getstate__(self) -> dict[str, Any]:
        """What a copy has: all but the graph."""
        kept = {"simulator_state": self.simulator_state, "result": self.result}
        detached = {name: None if x is None else x.detach() for name, x in kept.items()}
        return self.__dict__ | detached

    def _bounded(self, bound: float, *shape: int) -> Bounded:
        where: dict[str, Any] = {"device": self.device, "dtype": self.simulator.dtype}
        return Bounded(-bound, bound, (*self.batch_size, *shape), **where)

    def _specified(self, of_all: dict[str, TensorSpec], **common: TensorSpec) -> Composite:
        """From what all agents have, (days, agents, ...), what each group has."""
        groups = {
            group: Composite(
                {name: spec[:, : len(own)].clone() for name, spec in of_all.items()},
                shape=(*self.batch_size, len(own)),
            )
            for group, own in self._members.items()
        }
        return Composite({**groups, **common}, shape=self.batch_size, device=self.device)

    def _grouped(self, of_all: dict[str, Tensor], **common: Tensor) -> TensorDict:
        """Likewise, of values."""
        days = len(next(iter(of_all.values())))
        groups = {
            group: TensorDict(
                {name: values[:, own] for name, values in of_all.items()}, (days, len(own))
            )
            for group, own in self._members.items()
        }
        return TensorDict({**groups, **common}, (days,), device=self.device)

    def _actions(self, groups: TensorDictBase, days: int) -> Tensor:
        """Of all agents, (days, agents, action_size)."""
        parts = [groups.get((group, "action"), None) for group in self._members]
        for (group, own), part in zip(self._members.items(), parts, strict=True):
            expected, name = (days, len(own), self.simulator.action_size), f"{group}.action"
            check_action(part, expected, name, self.simulator.device)
        rows = [agent for own in self._members.values() for agent in own]
        order = torch.tensor(rows, dtype=torch.long, device=parts[0].device)
        return torch.cat(parts, dim=1)[:, order.argsort()]

    def _reset(self, tensordict: TensorDictBase | None = None) -> TensorDict:
        asked = None if tensordict is None else tensordict.get("_reset", None)
        if asked is not None and not asked.all():
            raise ValueError("_reset: got some of the days, expected all: they end together")
        seed = episode_seed_of(self._first_seed, self._episode)
        if self._first_seed is not None:
            self._episode += 1
        (days,) = self.batch_size
        self.simulator_state, self.result = self.simulator.reset(days, self._split, seed), None
        return self._shown(self.simulator_state)

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        if self.simulator_state is None:
            raise ValueError("no episode has begun, expected reset() first")
        action = self._actions(tensordict, *self.batch_size)
        state, result = self.simulator.step(self.simulator_state, action)
        rewards = rewards_of(self._reward, result, "reward")
        self.simulator_state, self.result = state, result
        return self._shown(state, reward=rewards[..., None])

    def _shown(self, state: SimulatorState, **of_all: Tensor) -> TensorDict:
        observation = self.simulator.observe(state)
        critics = global_state(self.simulator, state, self.result)
        over = torch.full_like(
            observation[..., :1], state.step == self.simulator.clock.steps, dtype=torch.bool
        )
        of_all |= {"observation": observation, "done": over, "terminated": over}
        return self._grouped(of_all, state=critics, done=over[:, 0], terminated=over[:, 0])

    def _set_seed(self, seed: int | None) -> None:
        self._first_seed, self._episode = seed, 0
