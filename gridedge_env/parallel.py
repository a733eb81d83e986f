"""The PettingZoo view: one episode at a time, with dictionaries from agent names to arrays.

All physics is the simulator's, with a batch of one. What is added here is the bookkeeping that the
PettingZoo API asks for: spaces, agent names, and which day comes next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import NoneType
from typing import Any, ClassVar, TypeVar

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Space
from numpy.typing import ArrayLike, NDArray
from pettingzoo import ParallelEnv
from torch import Tensor

from gridedge_env.actions import NUMBERS, clipped, stacked
from gridedge_env.animation import Window
from gridedge_env.checks import check_entropy, check_seed, check_type, check_whole_number, shown
from gridedge_env.episodes import episode_seed_of
from gridedge_env.feeder import Feeder
from gridedge_env.global_state import global_state, network_quantities, state_names
from gridedge_env.observation import OBSERVATION_BOUND
from gridedge_env.simulator import Simulator, make_simulator
from gridedge_env.state import Result, SimulatorState, check_action

SpaceT = TypeVar("SpaceT", bound=Space[Any])


def parallel_env(
    feeder: str | Feeder = "ieee123",
    num_agents: int = 1000,
    split: str = "train",
    seed: int = 0,
    render_mode: str | None = None,
    **options: Any,
) -> GridEdgeParallelEnv:
    """Build a PettingZoo environment.

    Args:
        feeder: name of a built-in feeder, a path, or a `Feeder`.
        num_agents: number of homes, a third with each kind of device.
        split: "train", "validation" or "test": whose weather, prices and homes.
        seed: chooses homes, devices and where they stand. Days are `reset`'s to seed.
        render_mode: None, "rgb_array", or "human" for a window that follows each step.
        **options: as of `make_simulator`, among them `case`, which stands for all of the above but
            the split and the render mode.

    Raises:
        ValueError: an argument that is unknown or out of range; names it and what was expected.
    """
    if options.get("case") is None:
        options["seed"] = seed
    elif check_seed(seed) != 0:
        raise ValueError(f"seed: got {seed} and a case, expected the seed in the case")
    simulator = make_simulator(feeder, num_agents, **options)
    return GridEdgeParallelEnv(simulator, split, render_mode)


class GridEdgeParallelEnv(ParallelEnv[str, NDArray[np.float32], NDArray[np.float32]]):
    """A fleet of homes on a feeder for one episode, a day or several; made by `parallel_env`.

    Its last midnight terminates all agents at once: the books are closed, nothing is worth anything
    after.

    A copy, by `copy.deepcopy`, by pickle or in another process, goes on from where the original
    stands, with no part in its graph.

    Attributes:
        simulator: the physics.
        simulator_state: where the episode stands; None until the first reset.
        result: what the last step cost and did, a batch of one without a graph; None before one.
        episode_seed: `reset(seed=episode_seed)` begins the episode again; None until the first.
        possible_agents: names of all agents.
        agents: the same while an episode is under way, nobody when it is over.
        state_space: space of `state()`.
        render_mode: as given.
        np_random: for wrappers that draw, as SuperSuit's frame skip does; nothing here uses it.
            Seeded as the days are.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "gridedge_v0",
        "render_modes": ["human", "rgb_array"],
        "render_fps": 4,
        "is_parallelizable": True,
    }

    def __init__(
        self, simulator: Simulator, split: str = "train", render_mode: str | None = None
    ) -> None:
        check_type(simulator, Simulator, "simulator", "a Simulator")
        modes = self.metadata["render_modes"]
        is_mode = isinstance(render_mode, str) and render_mode in modes
        if render_mode is not None and not is_mode:
            raise ValueError(
                f"render_mode: got {shown(render_mode)}, expected None or one of {modes}"
            )
        self._dates = simulator.days(split).dates
        self._split = split
        self._seed: int | None = None
        self._episode = 0
        self.result: Result | None = None
        self.episode_seed: int | None = None
        self.np_random = np.random.default_rng()
        self._window: Window | None = None
        self.simulator = simulator
        self.simulator_state: SimulatorState | None = None
        self.render_mode = render_mode
        self.possible_agents = list(simulator.fleet.names)
        self.agents = self.possible_agents.copy()
        self._everybody = dict.fromkeys(self.possible_agents, True)
        self._nobody = dict.fromkeys(self.possible_agents, False)
        bound = OBSERVATION_BOUND
        self.state_space = Box(-bound, bound, (len(state_names(simulator)),), np.float32)
        # A box for each agent, though all are alike: each can be seeded, and sampled in any order.
        fields = len(simulator.observation_fields)
        self.observation_spaces = {
            agent: Box(-bound, bound, (fields,), np.float32) for agent in self.possible_agents
        }
        self.action_spaces = {
            agent: Box(-1.0, 1.0, (simulator.action_size,), np.float32)
            for agent in self.possible_agents
        }

    def observation_space(self, agent: str) -> Box:
        """Space of an agent's observations, the same object at every call."""
        return space_of(self.observation_spaces, agent)

    def action_space(self, agent: str) -> Box:
        """Space of an agent's actions, the same object at every call."""
        return space_of(self.action_spaces, agent)

    def state(self) -> NDArray[np.float32]:
        """What a centralised critic may know, (entries,): see `gridedge_env.global_state`.

        Raises:
            ValueError: no episode has begun.
        """
        with torch.no_grad():
            found = global_state(self.simulator, self._require_reset(), self.result)
        return found[0].to("cpu", torch.float32).numpy()

    def reset(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, dict[str, Any]]]:
        """Begin an episode at midnight.

        Args:
            seed: chooses the day, demand and room temperatures, as in `simulator.reset`. Without
                one, every reset begins a new day: which one follows from the last seed given, or,
                if none ever was, from nothing; copies then play days of their own.
            options: {"day": row} begins at that row of `simulator.days(split)`. Other keys count
                for nothing, as in every PettingZoo environment, unless one looks like a misspelt
                "day".

        Returns:
            Observations, and infos, which are empty.

        Raises:
            ValueError: a seed or a day that is out of range, a misspelt key, or options that are no
                dictionary.
        """
        check_type(options, (Mapping, NoneType), "options", "a dictionary or None")
        for name in options or {}:
            if name != "day" and get_close_matches(str(name).lower(), ["day"]):
                raise ValueError(f"options: unknown {name!r}, expected 'day'")
        day = (options or {}).get("day")
        if day is not None:
            day = check_whole_number(day, 0, 'options["day"]', len(self._dates) - 1)
        if seed is not None:
            seed = check_entropy(seed)
        first, number = (self._seed, self._episode) if seed is None else (seed, 0)
        episode_seed = episode_seed_of(first, number)
        self.simulator_state = self.simulator.reset(
            split=self._split, seed=episode_seed, days=None if day is None else [day]
        )
        if number == 0:
            self.np_random = np.random.default_rng(episode_seed)
        self._seed, self._episode = first, number if first is None else number + 1
        self.episode_seed = episode_seed
        self.result = None
        self.agents = self.possible_agents.copy()
        self._follow()
        return self._by_agent(self._observe()), {agent: {} for agent in self.agents}

    def step(
        self, actions: Mapping[str, ArrayLike]
    ) -> tuple[
        dict[str, NDArray[np.float32]],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Advance one step.

        Args:
            actions: for every agent (action_size,) numbers in [-1, 1]; those outside are taken as
                the nearer end.

        Returns:
            Observations, rewards, terminations, truncations and infos, each by agent. An info has
            `cost`, the agent's own in €; `violation`, its equal share of the network's;
            `converged`, False if the power flow did not. reward = -cost - penalty * violation.

        Raises:
            ValueError: no episode is under way, or an action that is missing, of the wrong shape,
                not finite, or of an unknown agent.
        """
        self._require_day()
        observations, rewards, result = self._play(
            stacked(actions, self.agents, self.simulator.action_size)
        )
        (costs,) = result.cost.tolist()
        share = float(result.violation) / len(costs)
        info = {"cost": 0.0, "violation": share, "converged": bool(result.converged)}
        return (
            self._by_agent(observations),
            self._by_agent(rewards.tolist()),
            (self._nobody if self.agents else self._everybody).copy(),
            self._nobody.copy(),
            self._infos(info, costs),
        )

    def step_array(
        self, actions: NDArray[np.floating[Any]]
    ) -> tuple[NDArray[np.float32], NDArray[np.floating[Any]], bool]:
        """As `step`, with a row for each of `possible_agents`; `result` is in place of infos.

        Args:
            actions: (agents, action_size) in [-1, 1], as in `step`.

        Returns:
            Observations (agents, fields), rewards (agents,), whether the episode is over.

        Raises:
            ValueError: no episode is under way, or actions of the wrong shape or not finite.
        """
        is_array = isinstance(actions, np.ndarray) and not isinstance(actions, np.ma.MaskedArray)
        if not is_array or actions.dtype.kind not in NUMBERS:
            came = actions.dtype if is_array else type(actions).__name__
            raise ValueError(f"actions: got {came}, expected a NumPy array of numbers")
        expected = (len(self.possible_agents), self.simulator.action_size)
        if actions.shape != expected:
            raise ValueError(f"actions: got shape {actions.shape}, expected {expected}")
        if not np.isfinite(actions).all():
            raise ValueError("actions: contains NaN or infinity, expected numbers in [-1, 1]")
        return *self._play(actions)[:2], not self.agents

    def differentiable_step(self, action: Tensor) -> Result:
        """As `step`, but with a graph from the action to the result.

        `simulator_state` keeps its graph, so that later results of the episode are differentiable
        in this action, too.

        Args:
            action: (agents, action_size) in [-1, 1], on the environment's device.

        Returns:
            What the step cost and did to the network, with a batch of one.

        Raises:
            ValueError: no episode is under way, or an action of the wrong shape or device, or not
                finite.
        """
        state = self._require_day()
        expected = len(self.agents), self.simulator.action_size
        check_action(action, expected, "action", self.simulator.device)
        bounded = action.clamp(-1.0, 1.0)  # before a number becomes infinite in another precision
        result = self._advance(state, bounded.to(state.device_voltage))
        self.result = result.detach()
        self._follow()
        return result

    def render(self) -> NDArray[np.uint8] | None:
        """The feeder and its agents after the last step; before the first, without load.

        (height, width, 3) in the mode "rgb_array"; shown in a window, which `reset` and `step` do
        by themselves, in the mode "human". Needs matplotlib.
        """
        if self.render_mode is None:
            gymnasium.logger.warn("render_mode: got None, expected 'rgb_array' for a picture")
            return None
        picture = self._picture()
        if self.render_mode == "rgb_array":
            return picture
        self._window = self._window or Window()
        self._window.show(picture)
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
        self._window = None

    def _picture(self) -> NDArray[np.uint8]:
        from gridedge_env.rendering import draw_feeder, to_rgb

        sim, state = self.simulator, self._require_reset()
        seen = network_quantities(sim, state, self.result)
        voltage, loading = seen["voltage"][0], seen["loading"][0]
        power = None if self.result is None else self.result.power[0]
        limits, fleet = sim.case.limits, sim.fleet
        figure = draw_feeder(sim.feeder, voltage, loading, limits, fleet=fleet, power=power)
        day = min(state.step // sim.clock.day.steps, sim.clock.days - 1)
        date = self._dates[int(state.day.table_row) + day]
        figure.axes[0].set_title(f"{date:%A %d %B %Y}, {sim.clock.time(state.step)}", fontsize=11)
        return to_rgb(figure)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy has: all but the graph and the window."""
        state = self.simulator_state
        detached = None if state is None else state.detach()
        return self.__dict__ | {"simulator_state": detached, "_window": None}

    def _advance(self, state: SimulatorState, action: Tensor) -> Result:
        following, result = self.simulator.step(state, action[None])
        self.simulator_state, self.result = following, result
        if following.step == self.simulator.clock.steps:
            self.agents = []
        return result

    def _play(
        self, values: NDArray[np.floating[Any]]
    ) -> tuple[NDArray[np.float32], NDArray[np.floating[Any]], Result]:
        """Advance under actions (agents, action_size): observations and rewards by row, and all."""
        state = self._require_day()
        action = torch.from_numpy(clipped(values)).to(state.device_voltage)
        with torch.inference_mode():
            result = self._advance(state, action)
            rewards = result.reward[0].cpu().numpy().copy()  # the result's own are its own
            observations = self._observe()
        # What inference mode has made may not enter a later graph; a copy may.
        self.simulator_state = self._require_reset().clone(sharing=("day",))
        self._follow()
        return observations, rewards, result

    def _follow(self) -> None:
        """Show where the episode stands in the window, if there is to be one."""
        if self.render_mode == "human":
            self.render()

    def _observe(self) -> NDArray[np.float32]:
        observations = self.simulator.observe(self._require_reset())[0]
        return observations.to("cpu", torch.float32).numpy()

    def _infos(self, common: dict[str, Any], costs: list[float]) -> dict[str, dict[str, Any]]:
        infos: dict[str, Any] = self._nobody.copy()
        for agent, cost in zip(infos, costs, strict=True):
            info = infos[agent] = common.copy()
            info["cost"] = cost
        return infos

    def _by_agent(self, values: Iterable[Any]) -> dict[str, Any]:
        """A dictionary that has its keys already fills sooner than one that grows."""
        found: dict[str, Any] = self._nobody.copy()
        found.update(zip(self.possible_agents, values, strict=True))
        return found

    def _require_reset(self) -> SimulatorState:
        if self.simulator_state is None:
            raise ValueError("no episode has begun, expected reset() first")
        return self.simulator_state

    def _require_day(self) -> SimulatorState:
        if not self.agents:
            raise ValueError(
                f"the episode of {self.simulator.clock.steps} steps is over, expected reset()"
            )
        return self._require_reset()


def space_of(spaces: Mapping[str, SpaceT], agent: str) -> SpaceT:
    """One of the spaces by agent.

    Raises:
        ValueError: nobody has that name.
    """
    if not isinstance(agent, str) or agent not in spaces:
        raise ValueError(f"agent: got {shown(agent)}, expected one of env.possible_agents")
    return spaces[agent]
