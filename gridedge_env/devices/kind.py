"""What a kind of device must bring: `DeviceKind`. Each kind is one file of this folder.

All methods are functions of their arguments: parameters are the kind's own record with tensors of
(devices,), states likewise with tensors of (batch, devices). Tensors over devices have them last.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from gridedge_env.clock import HOURS_PER_DAY, Clock
from gridedge_env.day import Day, Window
from gridedge_env.devices.flexibility import Earnings, Outlook
from gridedge_env.devices.linear_program import LinearProgram, Meters
from gridedge_env.record import Record
from gridedge_env.scenarios import DayTable
from gridedge_gateway.program import Flexibility

# Of household demand and of devices without an inverter, lagging: that of the IEEE European LV test
# feeder's loads; and kvar per kW under it.
POWER_FACTOR = 0.95
REACTIVE_SHARE = math.tan(math.acos(POWER_FACTOR))
# Apparent-power rating of an inverter over its active-power rating.
INVERTER_OVERSIZE = 1.1
# €/kWh: observed prices that differ by less are one; far below a tick of the market, 1e-5.
SAME_PRICE = 1e-6

ParametersT = TypeVar("ParametersT", bound=Record)
StateT = TypeVar("StateT", bound=Record)


@dataclass(frozen=True)
class Seen:
    """What the agents with devices of a kind observe, each field in its own unit.

    Attributes:
        clock: of the episode.
        own_state: (batch, devices) of `DeviceKind.observed_state`.
        shared: from the name of a shared field to its value, (batch, 1); under net metering, of
            which agents are told nothing else, "export_price" is the price.
    """

    clock: Clock
    own_state: Tensor
    shared: Callable[[str], Tensor]

    @property
    def hours_left(self) -> Tensor:
        """(batch, 1) from the end of the present step to that of the episode, as observed."""
        angle = torch.atan2(self.shared("sine_1_day"), self.shared("cosine_1_day"))
        steps = self.clock.day.steps
        step = (angle / (2.0 * torch.pi) * steps).round() % steps
        today = self.clock.hours * (steps - step - 1.0)
        return today if self.clock.days == 1 else today + HOURS_PER_DAY * self.shared("days_left")

    def is_cheap(self, share: float) -> Tensor:
        """(batch, 1) bool: whether less than a share of the day is cheaper, and some of it dearer.

        Where a price holds for hours on end, the share may be exceeded.
        """
        below_highest = self.shared("price") < self.shared("price_maximum") - SAME_PRICE
        return (self.shared("price_rank") < share) & below_highest

    def is_dear(self, share: float) -> Tensor:
        """(batch, 1) bool: whether at most a share is dearer or as dear, and some of it cheaper.

        The day's highest price always counts, however long it holds.
        """
        price, rank = self.shared("price"), self.shared("price_rank")
        highest = price >= self.shared("price_maximum") - SAME_PRICE
        above_lowest = price > self.shared("price_minimum") + SAME_PRICE
        return ((rank >= 1.0 - share) | highest) & above_lowest


@dataclass(frozen=True)
class StoreAxis:
    """How the state of a device is drawn, whose range is 0 to 1.

    Attributes:
        title: what it is, with its unit.
        offset: value in that unit at 0.
        scale: what it gains from 0 to 1.
        percent: whether shares are drawn as percentages.
        band: whether the range from 0 to 1 is drawn as a band.
        ended: whether it is the state of the step that has ended.
        price: €/kWh of the device's own, drawn beside the electricity's; None: none.
        price_title: what both prices are, without their unit.
    """

    title: str
    offset: float = 0.0
    scale: float = 1.0
    percent: bool = False
    band: bool = False
    ended: bool = False
    price: float | None = None
    price_title: str = "Price"


@dataclass(frozen=True)
class Reading:
    """What a customer's gateway can measure of a device, or be told of it.

    Attributes:
        name: after the device's: "state_of_charge".
        unit: what it counts in.
        lowest: least that is plausible; of kW, as a share of the device's full power.
        highest: most, likewise.
    """

    name: str
    unit: str
    lowest: float
    highest: float


class DeviceKind(ABC, Generic[ParametersT, StateT]):
    """A kind of device.

    Attributes:
        name: in tables and of agents: "battery".
        plural: in sentences: "batteries".
        at_rest: what they do by `idle`, after their plural: "rest".
        for_comfort: likewise by `thermostat`, where that is something else.
        random_stream: a number of its own, from which it is sampled; 3 is the places of homes'.
        parameters: the record of its parameters, whose fields are the columns of its table.
        feeds_at_rest: whether they feed in all that they have unless told otherwise.
        rests_in_doubt: whether a gateway in doubt has them rest, not follow `thermostat`.
        reactive_share: kvar drawn per kW, apart from what an inverter is told.
        readings: what a gateway can make use of, to know where devices stand.
    """

    name: ClassVar[str]
    plural: ClassVar[str]
    at_rest: ClassVar[str]
    for_comfort: ClassVar[str] = ""
    random_stream: ClassVar[int]
    parameters: ClassVar[type[Record]]
    feeds_at_rest: ClassVar[bool] = False
    rests_in_doubt: ClassVar[bool] = False
    reactive_share: ClassVar[float] = 0.0
    readings: ClassVar[tuple[Reading, ...]] = ()

    def __eq__(self, other: object) -> bool:
        """A copy of a kind, such as another process gets, is that kind."""
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    # --- What there is --------------------------------------------------------------------------

    @abstractmethod
    def sample(
        self, count: int, scale: float, random: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Draw the parameters of so many devices; `scale` multiplies every power and energy."""

    @abstractmethod
    def begin(
        self, parameters: ParametersT, batch: int, generator: torch.Generator, clock: Clock
    ) -> StateT:
        """The state when episodes begin; what is random in it is drawn in single precision."""

    @abstractmethod
    def full_power(self, parameters: ParametersT) -> Tensor:
        """(devices,) kW that each can draw or feed in."""

    def storage(self, parameters: ParametersT) -> Tensor:
        """(devices,) kWh of electricity that each can store; 0: none."""
        return torch.zeros_like(_any_parameter(parameters))

    def check_days(self, days: DayTable) -> None:
        """Refuse days that lack what the devices live by.

        Raises:
            ValueError: names it.
        """

    # --- Physics --------------------------------------------------------------------------------

    @abstractmethod
    def run(
        self, parameters: ParametersT, state: StateT, action: Tensor, window: Window
    ) -> tuple[StateT, Tensor, Tensor]:
        """One or more steps, differentiable in state and action.

        Args:
            parameters: constants here.
            state: before the first step.
            action: (steps, batch, devices) in [-1, 1], which spans what is feasible at each step.
            window: the steps.

        Returns:
            The state after them; (steps, batch, devices) kW drawn, and € apart from electricity.
        """

    def inverter_rating(self, parameters: ParametersT) -> Tensor:
        """(devices,) kVA within which reactive power can be chosen; 0: not at all."""
        return torch.zeros_like(_any_parameter(parameters))

    # --- Observation ----------------------------------------------------------------------------

    @abstractmethod
    def stored(self, parameters: ParametersT, state: StateT) -> Tensor:
        """(batch, devices) the state, from 0 to 1 of its range."""

    def observed_state(self, parameters: ParametersT, state: StateT, window: Window) -> Tensor:
        """(batch, devices) what the agent observes of it, about 0 to 1; by default what is stored.

        Args:
            parameters: of the devices.
            state: before the step.
            window: the step that begins. Its clock and its prices are known, its weather is not.
        """
        return self.stored(parameters, state)

    @abstractmethod
    def store_axis(self, parameters: ParametersT, device: int) -> StoreAxis:
        """How to draw `stored` of one device."""

    # --- Actions that need no learning ----------------------------------------------------------

    @abstractmethod
    def idle(self, parameters: ParametersT, seen: Seen) -> Tensor:
        """(batch, devices) actions of a device that does least."""

    def thermostat(self, parameters: ParametersT, seen: Seen) -> Tensor:
        """(batch, devices) actions that keep comfort and nothing else, whatever the prices.

        A gateway falls back on it: devices' own states are all that it is told.
        """
        return self.idle(parameters, seen)

    @abstractmethod
    def follow_price(self, parameters: ParametersT, seen: Seen) -> Tensor:
        """(batch, devices) actions that follow the price and know nothing of the network."""

    def droop_range(
        self, parameters: ParametersT, feed: Tensor, draw: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Least and greatest action under volt-watt droop, (batch, devices) each.

        Args:
            parameters: of the devices.
            feed: (batch, devices) largest share of what it can feed in now.
            draw: likewise, of what it can draw.
        """
        return torch.full_like(feed, -1.0), torch.full_like(draw, 1.0)

    def inverter_power(self, parameters: ParametersT, action: Tensor, seen: Seen) -> Tensor:
        """(batch, devices) kW that its inverter will carry, as the device itself can tell."""
        return torch.zeros_like(action)

    # --- At a customer's ------------------------------------------------------------------------

    def sense(
        self,
        parameters: ParametersT,
        state: StateT,
        readings: Mapping[str, Tensor],
        new_episode: Tensor,
        window: Window,
    ) -> StateT:
        """Where devices stand before a step, by what is read; by default as the step before says.

        Readings that say what a state says give back that state.

        Args:
            parameters: of the devices.
            state: where they stand by the gateway's own estimate.
            readings: (batch, devices) of each of `readings`, by name; NaN where nothing is read.
            new_episode: () bool, whether an episode begins with the step.
            window: the step.
        """
        return state

    def readings_of(
        self, parameters: ParametersT, state: StateT, window: Window
    ) -> dict[str, Tensor]:
        """(batch, devices) of each of `readings`, by name, if devices stand so before a step."""
        return {}

    # --- The public plan ------------------------------------------------------------------------

    def plan_order(self, parameters: ParametersT) -> Tensor:
        """(devices,) what tells devices with other plans apart: neighbours share a class."""
        return torch.zeros_like(_any_parameter(parameters))

    def flexibility(self, parameters: ParametersT, outlook: Outlook) -> Flexibility[Tensor] | None:
        """What could be done, and at what cost, as far as can be told before the days begin.

        None: nothing is planned for such devices, and nothing counted on from them.

        Args:
            parameters: of classes of devices: means, in double precision.
            outlook: the days.
        """

    def asked_by_plan(
        self, parameters: ParametersT, outlook: Outlook, draw: Tensor, feed: Tensor, store: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What a plan asks for, as `follow_plan` takes it, and what should be stored before a step.

        All (days, groups, steps, classes); what is stored counts as in `stored`.

        Args:
            parameters: as in `flexibility`.
            outlook: likewise.
            draw: share of full power.
            feed: likewise.
            store: after each step, as `flexibility` counts it.
        """
        raise NotImplementedError(f"{self.name}: has a flexibility, and no actions that follow it")

    def follow_plan(
        self,
        parameters: ParametersT,
        state: StateT,
        asked: Tensor,
        earnings: Earnings,
        window: Window,
    ) -> Tensor:
        """(batch, devices) actions of the devices themselves; by default those of their classes.

        Args:
            parameters: of the devices.
            state: of the devices.
            asked: (batch, devices) of their classes, as `asked_by_plan` put it.
            earnings: by what the devices feed in.
            window: the step.
        """
        return asked

    # --- Perfect foresight and its certificate --------------------------------------------------

    def lone_plan(self, parameters: ParametersT, state: StateT, day: Day) -> Tensor:
        """(steps, batch, devices) good actions for known days without a network.

        Args:
            parameters: of the devices.
            state: when they begin.
            day: whose demand is that behind each device's meter, (batch, steps, devices).
        """
        like = _any_parameter(parameters)
        return like.new_zeros(day.clock.steps, len(day.table_row), len(like))

    def plan_stride(self, plan: Tensor, usual: float) -> Tensor:
        """(1, batch, devices) how far a step of a planner should go from its `lone_plan`."""
        return torch.full_like(plan[:1], usual)

    @abstractmethod
    def linear_program(
        self,
        parameters: ParametersT,
        state: StateT,
        day: Day,
        meters: Meters,
        around: np.ndarray | None,
    ) -> LinearProgram:
        """All that the devices may do in one known episode, and its cost, without the network.

        Args:
            parameters: in double precision.
            state: at midnight, a batch of one, likewise.
            day: a batch of one, likewise.
            meters: what else is billed.
            around: (steps, devices) kW that they are expected to draw, where what is not linear is
                to be close; None: as if alone.
        """

    @abstractmethod
    def action_for_power(
        self, parameters: ParametersT, state: StateT, power: Tensor, window: Window
    ) -> Tensor:
        """(batch, devices) the action under which power is drawn in a step, or the nearest to it.

        Args:
            parameters: of the devices.
            state: before the step.
            power: (batch, devices) kW.
            window: one step.
        """


def as_read(reading: Tensor, found: Tensor, own: Tensor) -> Tensor:
    """What is found from a reading, and one's own estimate where nothing was read."""
    return torch.where(reading.isnan(), own, found)


def _any_parameter(parameters: Any) -> Tensor:
    return next(iter(vars(parameters).values()))
