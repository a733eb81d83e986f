"""What researchers change around the environment, each a PettingZoo wrapper of it.

None touches the physics, all can be combined, with each other and with those of others:

    env = HiddenFields(gridedge_env.parallel_env(), ["own_voltage"])
    env = RewardFunction(env, lambda result: -result.cost)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from functools import partial
from typing import Any, cast

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from numpy.typing import NDArray
from pettingzoo.utils import BaseParallelWrapper
from torch import Tensor

from gridedge_env.actions import check_by_agent, read_action
from gridedge_env.checks import check_callable, check_known, check_number, check_whole_number, shown
from gridedge_env.moment import Moment
from gridedge_env.observation import OBSERVATION_BOUND, ObservationField
from gridedge_env.parallel import GridEdgeParallelEnv, space_of
from gridedge_env.reference.rules import Idle
from gridedge_env.state import Result, rewards_of

# Of an entry of an action: single precision tells no more apart.
MOST_LEVELS = 2**24
WHOLE_NUMBERS = "iu"  # NumPy's kinds of types that are
# Of the environment, which know nothing of wrappers around it.
PAST_WRAPPERS = ("step_array", "differentiable_step")
# Who fails is drawn from the episode's seed, but not as its days are.
FAILURES = (1,)

Row = NDArray[np.float32]
Infos = dict[str, dict[str, Any]]
Step = tuple[dict[str, Row], dict[str, float], dict[str, bool], dict[str, bool], Infos]


class EnvironmentWrapper(BaseParallelWrapper[str, Row, Any]):
    """A wrapper of the environment, or of another one around it.

    It goes around `step` alone: the environment's other ways to advance are not the wrapper's.

    Args:
        env: one of them.

    Raises:
        ValueError: something else.
    """

    def __init__(self, env: Any) -> None:
        _check_environment(env)
        super().__init__(env)

    def __getattr__(self, name: str) -> Any:
        """As of the environment within.

        Raises:
            AttributeError: it has none, or one that would go past the wrapper.
        """
        if name in PAST_WRAPPERS:
            raise AttributeError(
                f"{name}: goes past {type(self).__name__}, expected step(); without any wrapper "
                f"it is env.unwrapped.{name}"
            )
        return super().__getattr__(name)

    @property
    def inner(self) -> GridEdgeParallelEnv:
        """The environment within."""
        return cast("GridEdgeParallelEnv", self.unwrapped)

    def _check_once(self) -> None:
        """Refuse to go around another of its kind."""
        if any(isinstance(layer, type(self)) for layer in _layers(self.env)):
            raise ValueError(f"env: got one with {type(self).__name__}, expected one without")

    def _check_continuous(self) -> None:
        """Refuse to go around actions by number, or other numbers than the environment's."""
        agent = self.possible_agents[0]
        space = self.env.action_space(agent)
        if space != self.inner.action_space(agent):
            raise ValueError(
                f"env: got actions in {space}, expected continuous ones from -1 to 1: what scales "
                "or numbers actions goes around this"
            )


class RewardFunction(EnvironmentWrapper):
    """Other rewards.

    Args:
        env: the environment.
        function: from what a step cost and did, a `Result` with a batch of one, to the rewards
            (1, agents), or one for all agents (1, 1). It serves the results of a batch, too.
    """

    def __init__(self, env: Any, function: Callable[[Result], Tensor]) -> None:
        super().__init__(env)
        check_callable(function, "function", "a function of a Result")
        self._function = function

    def step(self, actions: Mapping[str, Any]) -> Step:
        """See `GridEdgeParallelEnv.step`.

        Raises:
            ValueError: rewards that are not one finite number for each agent, or not of one step.
        """
        check_by_agent(actions)
        before = self.inner.simulator_state
        observations, rewards, *rest = self.env.step(dict(actions))
        result, after = self.inner.result, self.inner.simulator_state
        assert before is not None
        assert after is not None
        assert result is not None
        if after.step != before.step + 1:
            raise ValueError(
                f"env: got {after.step - before.step} steps in one, expected one: what skips steps "
                "goes around RewardFunction"
            )
        values = rewards_of(self._function, result, "function")[0].tolist()
        found = dict(zip(self.possible_agents, values, strict=True))
        return observations, {agent: found[agent] for agent in rewards}, *rest


class ObservationWrapper(EnvironmentWrapper):
    """A wrapper that changes what agents observe, a row of all of them at once.

    Args:
        env: the environment.
        fields: what is observed.
        space: of every agent's observations.

    Attributes:
        observation_fields: the fields.
        observation_spaces: of the agents.
    """

    def __init__(self, env: Any, fields: Iterable[ObservationField], space: Box) -> None:
        super().__init__(env)
        self.observation_fields = tuple(fields)
        self.observation_spaces = {agent: copy(space) for agent in self.possible_agents}

    def observation_space(self, agent: str) -> Box:
        """Space of an agent's observations, the same object at every call."""
        return space_of(self.observation_spaces, agent)

    def reset(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Row], Infos]:
        """See `GridEdgeParallelEnv.reset`."""
        observations, infos = self.env.reset(seed, options)
        return self._changed(observations), infos

    def step(self, actions: Mapping[str, Any]) -> Step:
        """See `GridEdgeParallelEnv.step`."""
        check_by_agent(actions)
        observations, *rest = self.env.step(dict(actions))
        return self._changed(observations), *rest

    def _changed(self, observations: Mapping[str, Row]) -> dict[str, Row]:
        rows = self._rows(np.array([observations[agent] for agent in self.possible_agents]))
        return dict(zip(self.possible_agents, rows, strict=True))

    def _rows(self, rows: Row) -> Row:
        """(agents, fields) from those of the environment within."""
        raise NotImplementedError


class HiddenFields(ObservationWrapper):
    """Observations without some of their fields.

    Args:
        env: the environment.
        names: of the fields.

    Raises:
        ValueError: a name that no field has, the names of all, or something else; observations
            that another wrapper has stacked or flattened.
    """

    def __init__(self, env: Any, names: Iterable[str]) -> None:
        known, space = _observed(env)
        is_list = isinstance(names, Iterable) and not isinstance(names, (str, bytes, Mapping))
        hidden = list(names) if is_list else []
        if not is_list or not all(isinstance(name, str) for name in hidden):
            raise ValueError(f"names: got {shown(names)}, expected a list of names")
        check_known(hidden, [field.name for field in known], "names")
        self._kept = [k for k, field in enumerate(known) if field.name not in hidden]
        if not self._kept:
            raise ValueError("names: got all fields, expected that at least one is observed")
        low, high = space.low[self._kept], space.high[self._kept]
        super().__init__(env, [known[k] for k in self._kept], _box(low, high, space))

    def _rows(self, rows: Row) -> Row:
        return rows[:, self._kept]


class KindIndicator(ObservationWrapper):
    """Observations that end with what the agent has: a 1 for each kind of its devices, else 0.

    For policies that several agents share. The fields are `has_battery` and the like, one for each
    kind that there is.

    Args:
        env: the environment.

    Raises:
        ValueError: kinds are told already, or another wrapper has stacked or flattened the
            observations.
    """

    def __init__(self, env: Any) -> None:
        known, space = _observed(env)
        fleet = env.unwrapped.simulator.fleet
        self._owned = fleet.owned.cpu().numpy().astype(space.dtype)
        told = [
            ObservationField(
                f"has_{group.kind.name}", "", 0.0, 1.0, True, value=partial(_owned, column=column)
            )
            for column, group in enumerate(fleet.groups)
        ]
        bound = np.full(len(told), OBSERVATION_BOUND)
        low, high = np.append(space.low, -bound), np.append(space.high, bound)
        super().__init__(env, (*known, *told), _box(low, high, space))
        self._check_once()

    def _rows(self, rows: Row) -> Row:
        return np.concatenate((rows, self._owned), axis=1)


class DiscreteActions(EnvironmentWrapper):
    """Actions by number: so many levels from -1 to 1, evenly, for each entry of an action.

    Args:
        env: the environment.
        levels: how many; odd ones have 0 in the middle.

    Raises:
        ValueError: fewer than two, or actions that are numbered already.
    """

    def __init__(self, env: Any, levels: int = 11) -> None:
        super().__init__(env)
        levels = check_whole_number(levels, 2, "levels", MOST_LEVELS)
        self._check_continuous()
        self._level = dict(enumerate(np.linspace(-1.0, 1.0, levels).tolist()))
        size = self.inner.simulator.action_size
        self.action_spaces: dict[str, Discrete[Any] | MultiDiscrete] = {
            agent: Discrete(levels) if size == 1 else MultiDiscrete([levels] * size)
            for agent in self.possible_agents
        }

    def action_space(self, agent: str) -> Discrete[Any] | MultiDiscrete:
        """Space of an agent's actions, the same object at every call."""
        return space_of(self.action_spaces, agent)

    def step(self, actions: Mapping[str, Any]) -> Step:
        """See `GridEdgeParallelEnv.step`.

        Raises:
            ValueError: likewise, or an action that is none of the numbers.
        """
        check_by_agent(actions)
        return self.env.step(
            {agent: self._chosen(agent, action) for agent, action in actions.items()}
        )

    def _chosen(self, agent: str, action: Any) -> Row:
        """The levels of an agent's numbers."""
        try:
            numbers = np.atleast_1d(action)
            is_whole = numbers.dtype.kind in WHOLE_NUMBERS
            row = [self._level[number] for number in numbers.tolist()] if is_whole else None
        except (KeyError, RuntimeError, TypeError, ValueError):
            row = None
        if row is None:
            raise ValueError(
                f"actions[{agent!r}]: got {shown(action)}, expected whole numbers from 0 to "
                f"{len(self._level) - 1}"
            )
        return np.array(row, dtype=np.float32)


class FailingAgents(EnvironmentWrapper):
    """Agents that fail for an episode, and others that send no action: their devices rest.

    Resting is doing least, as `reference.rules.Idle` says: rooms stay just warm enough, cars
    charge as late as they may. All agents stay in `env.agents`; infos say who has `failed`.

    Args:
        env: the environment, or a wrapper of it from here other than `DiscreteActions`. That and
            all of others go around this one: how its agents rest, the environment is to be told.
        probability: that an agent fails, each by itself, in each episode.

    Raises:
        ValueError: a probability outside 0 to 1, actions that are numbered, agents that fail
            already, or another's wrapper within.
    """

    def __init__(self, env: Any, probability: float = 0.0) -> None:
        super().__init__(env)
        self._probability = check_number(
            probability, "probability", "a number from 0 to 1", lambda value: 0.0 <= value <= 1.0
        )
        self._check_once()
        for layer in _layers(env):
            if not isinstance(layer, (EnvironmentWrapper, GridEdgeParallelEnv)):
                raise ValueError(
                    f"env: got {type(layer).__name__} within, expected none but gridedge_env's "
                    "wrappers: others go around FailingAgents"
                )
        self._check_continuous()
        self._idle = Idle(self.inner.simulator)
        self._failed: set[str] = set()

    def reset(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Row], Infos]:
        """See `GridEdgeParallelEnv.reset`."""
        observations, infos = self.env.reset(seed, options)
        entropy = np.random.SeedSequence(self.inner.episode_seed, spawn_key=FAILURES)
        drawn = np.random.default_rng(entropy).random(len(self.possible_agents))
        agents = zip(self.possible_agents, drawn < self._probability, strict=True)
        self._failed = {agent for agent, failed in agents if failed}
        return observations, self._told(infos)

    def step(self, actions: Mapping[str, Any]) -> Step:
        """See `GridEdgeParallelEnv.step`, but for agents without an action."""
        check_by_agent(actions)
        for agent in self._failed & actions.keys():  # which the environment does not see
            read_action(agent, actions[agent], self.inner.simulator.action_size)
        state, acting = self.inner.simulator_state, dict(actions)
        silent = {agent for agent in self.agents if agent in self._failed or agent not in actions}
        if silent and state is not None:
            seen = self.inner.simulator.observe_parts(state)
            least = self._idle(*seen)[0].detach().cpu().numpy()
            resting = zip(self.possible_agents, least, strict=True)
            acting |= {agent: action for agent, action in resting if agent in silent}
        *rest, infos = self.env.step(acting)
        return *rest, self._told(infos)

    def _told(self, infos: Infos) -> Infos:
        for agent, info in infos.items():
            info["failed"] = agent in self._failed
        return infos


def _check_environment(env: Any) -> None:
    expected = "a GridEdgeParallelEnv or a wrapper of one"
    within = getattr(env, "unwrapped", None)
    if not isinstance(within, GridEdgeParallelEnv):
        raise ValueError(f"env: got {shown(env)}, expected {expected}")


def _layers(env: Any) -> Iterator[Any]:
    """An environment and those that it goes around, as wrappers of PettingZoo's keep them."""
    layer = env
    while layer is not None:
        yield layer
        kept = vars(layer)
        layer = kept.get("env", kept.get("aec_env"))


def _observed(env: Any) -> tuple[tuple[ObservationField, ...], Box]:
    """The fields that an environment shows, wrapped or not, and the space of them.

    Raises:
        ValueError: none, or one that observes something else than these.
    """
    _check_environment(env)
    wrappers = (layer for layer in _layers(env) if isinstance(layer, ObservationWrapper))
    shows = next(wrappers, env.unwrapped.simulator)
    space = env.observation_space(env.possible_agents[0])
    expected = (len(shows.observation_fields),)
    if not isinstance(space, Box) or space.shape != expected:
        raise ValueError(
            f"env: got observations in {shown(space)}, expected a number for each of the "
            f"{expected[0]} fields: what stacks or flattens observations goes around this"
        )
    return shows.observation_fields, space


def _box(low: NDArray[Any], high: NDArray[Any], like: Box) -> Box:
    """A space of numbers like those of another, whose type Gymnasium takes as a class."""
    kind: Any = like.low.dtype.type
    return Box(low, high, dtype=kind)


def _owned(moment: Moment, column: int) -> Tensor:
    """(batch, agents): 1 where an agent has a device of that kind."""
    demand = moment.state.day.demand
    return moment.fleet.owned[:, column].to(demand).expand(len(demand), -1)
