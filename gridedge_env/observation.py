"""What an agent observes: its own meter, and what every customer can read in the news.

Private fields come from the agent's own home. Shared fields are the clock, the day-ahead prices,
published for the whole day before it begins, what a lone battery would make of these, and
the weather with its forecast (the observed temperature stands in for the forecast). Nothing of
another agent is in them, and nothing that is not yet known: past midnight, where tomorrow's prices
start, the blocks ahead are cut short. Where what is fed in earns another price than the retail
one, agents are told that, too.

Each field carries the function of its value. To add one, add an entry to `PRIVATE_FIELDS` or to
`SHARED_FIELDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from gridedge_env.clock import HOURS_PER_DAY, Clock
from gridedge_env.day import Window
from gridedge_env.devices import Fleet
from gridedge_env.devices.battery_schedule import lone_plans
from gridedge_env.scenarios import DayTable, Tariff
from gridedge_env.state import SimulatorState
from gridedge_env.wiring import Wiring

# Blocks of price and temperature ahead: hours from the end of this step to their begin and end.
PRICE_BLOCKS = (
    *((0.0, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)),
    *((4.0, 6.0), (6.0, 8.0), (8.0, 10.0), (10.0, 14.0)),
)
TEMPERATURE_BLOCKS = ((0.0, 3.0), (3.0, 8.0), (8.0, 14.0))
# Agents see the best plans of two lone batteries that hold so many hours of full power. The slow
# one's plan spreads over more of the day, as the plans of many must on a feeder that they share.
PLANNED_HOURS = (2, 5)
# Every entry of an observation is clipped to this many of its scale.
OBSERVATION_BOUND = 10.0

# €/kWh: the European day-ahead market's prices are multiples of 0.01 €/MWh.
PRICE_TICK = 1e-5
# €/kWh: typical retail price with its tax, and typical spread within a day.
PRICE_CENTRE, PRICE_SCALE = 0.25, 0.10
# €/kWh: a typical price of what is fed in, where that is not the retail price.
EXPORT_PRICE_CENTRE = 0.10
NET_METERING = Tariff()


@dataclass(frozen=True)
class Moment:
    """What private fields are made of: the homes before a step.

    Attributes:
        fleet: the homes.
        wiring: their connections.
        state: where they stand.
        step: the step, which the agents are to decide on.
    """

    fleet: Fleet
    wiring: Wiring
    state: SimulatorState
    step: int

    @cached_property
    def own_states(self) -> Tensor:
        """(batch, agents, slots) what agents observe of their devices; 0 where there is none."""
        window = Window(self.state.day, self.step, 1)
        groups = zip(self.fleet.groups, self.state.devices, strict=True)
        return self.fleet.actions(
            [group.kind.observed_state(group.parameters, own, window) for group, own in groups]
        )


@dataclass(frozen=True)
class News:
    """What shared fields are made of: whole days, all (days, steps).

    Attributes:
        clock: of the days.
        price: €/kWh that a kilowatt-hour costs.
        temperature: °C outdoors.
        published_price: €/kWh as the price, in double precision whatever the simulator's, and from
            day-ahead prices in whole ticks: the same numbers for everybody who reads them.
        export_price: €/kWh that a kilowatt-hour earns that is fed in.
    """

    clock: Clock
    price: Tensor
    temperature: Tensor
    published_price: Tensor
    export_price: Tensor

    @property
    def angle(self) -> Tensor:
        """(steps,) of the hand of a clock that goes round once a day."""
        like, steps = self.price, round(HOURS_PER_DAY / self.clock.hours)
        step = torch.arange(self.clock.steps, device=like.device, dtype=like.dtype)
        return 2.0 * torch.pi * step / steps

    @cached_property
    def price_mean(self) -> Tensor:
        """(days, 1)."""
        return self.price.mean(dim=1, keepdim=True)

    @cached_property
    def to_come(self) -> Tensor:
        """(steps, steps) bool: whether a step is this one or a later one."""
        steps = self.clock.steps
        return torch.ones(steps, steps, device=self.price.device, dtype=torch.bool).triu()

    @cached_property
    def difference(self) -> Tensor:
        """(days, steps, steps) each price less the present one."""
        return self.price[:, None, :] - self.price[:, :, None]

    @cached_property
    def plans(self) -> tuple[Tensor, Tensor]:
        """What typical batteries would do that had the feeder to themselves, at these prices.

        The state of charge before a step and the charging power in it over full power, (days,
        steps, `PLANNED_HOURS`) each.
        """
        energy, power = lone_plans(PLANNED_HOURS, self.published_price, self.clock.hours)
        return energy.to(self.price), power.to(self.price)

    def ahead(self, values: Tensor, begin: float, end: float) -> Tensor:
        """Mean over a block of hours after each step; the present value if the day is over."""
        hours = self.clock.hours
        step = torch.arange(self.clock.steps, device=values.device, dtype=values.dtype)
        opens = (step[None, :] - step[:, None] - 1.0) * hours  # of each step, after each other
        overlap = (opens + hours).clamp(max=end) - opens.clamp(min=begin)
        weight = overlap.clamp(min=0.0) / hours
        total = weight.sum(dim=1)
        mean = values @ weight.T / total.where(total > 0.0, 1.0)
        return torch.where(total > 0.0, mean, values)


@dataclass(frozen=True)
class ObservationField:
    """One entry of an observation: (value - offset) / scale, clipped; the value in `unit`.

    Attributes:
        name: what it is.
        unit: of the value.
        offset: value at which the entry is 0.
        scale: change of the value for which the entry changes by 1.
        private: known to this agent alone; otherwise all agents see the same number.
        value: of a private field from a `Moment` to (batch, agents); of a shared one from `News` to
            (days, steps), or what broadcasts to that.
        told_under: whether agents are told it under a tariff; None: under any.
    """

    name: str
    unit: str
    offset: float
    scale: float
    private: bool = False
    value: Callable[[Any], Tensor] = field(repr=False, compare=False, kw_only=True)
    told_under: Callable[[Tariff], bool] | None = field(
        default=None, repr=False, compare=False, kw_only=True
    )


def _own_load(moment: Moment) -> Tensor:
    """Of the step that has ended; at midnight, as if it had been the mean."""
    day, ended = moment.state.day, moment.state.step - 1
    if ended < 0:
        return torch.ones_like(day.demand[:, 0])
    return day.demand.select(1, ended) / day.mean_demand


def _own_voltage(moment: Moment) -> Tensor:
    return moment.wiring.meter_voltage(moment.state.device_voltage)


def _price_rank(news: News) -> Tensor:
    return (news.difference < 0.0).to(news.price).mean(dim=2)


def _price_rank_ahead(news: News) -> Tensor:
    cheaper = ((news.difference < 0.0) & news.to_come).to(news.price).sum(dim=2)
    return cheaper / news.to_come.sum(dim=1)


def _price_z_score(news: News) -> Tensor:
    spread = news.price.std(dim=1, keepdim=True, correction=0).clamp(min=1e-3)
    return (news.price - news.price_mean) / spread


def _price_minimum(news: News) -> Tensor:
    return news.price.amin(dim=1, keepdim=True)


def _price_maximum(news: News) -> Tensor:
    return news.price.amax(dim=1, keepdim=True)


def _price_minimum_ahead(news: News) -> Tensor:
    return news.difference.where(news.to_come, torch.inf).amin(dim=2)


def _price_maximum_ahead(news: News) -> Tensor:
    return news.difference.where(news.to_come, -torch.inf).amax(dim=2)


def _export_price_minimum_ahead(news: News) -> Tensor:
    return _later_minimum(news.export_price) - news.export_price


def _export_price_maximum_ahead(news: News) -> Tensor:
    return -_later_minimum(-news.export_price) - news.export_price


def _later_minimum(values: Tensor) -> Tensor:
    """(days, steps) the least from each step to the end of its day."""
    return values.flip(1).cummin(dim=1).values.flip(1)


def _feed_in_has_a_price_of_its_own(tariff: Tariff) -> bool:
    return not tariff.net_metering


def _ahead(news: News, series: str, begin: float, end: float) -> Tensor:
    """By how much a block ahead is above the present."""
    values = getattr(news, series)
    return news.ahead(values, begin, end) - values


def _turned(news: News, wave: Callable[[Tensor], Tensor], turns: int) -> Tensor:
    return wave(turns * news.angle)


def _planned(news: News, quantity: int, battery: int) -> Tensor:
    return news.plans[quantity][..., battery]


def _state_of(moment: Moment, slot: int) -> Tensor:
    return moment.own_states[..., slot]


def _own_state(slot: int, slots: int) -> ObservationField:
    """State of charge, room temperature within its comfort band, the loading that pays now, ..."""
    value = partial(_state_of, slot=slot)
    name = own_state_names(slots)[slot]
    return ObservationField(name, "share of range", 0.5, 0.5, private=True, value=value)


# Of every agent, after the states of its devices.
PRIVATE_FIELDS: tuple[ObservationField, ...] = (
    ObservationField("own_load", "over its annual mean", 1.0, 1.0, True, value=_own_load),
    ObservationField("own_voltage", "pu, previous step", 1.0, 0.05, True, value=_own_voltage),
)

_OF_PRICE = ("€/kWh", PRICE_CENTRE, PRICE_SCALE)
_ABOVE_NOW = ("€/kWh above now", 0.0, PRICE_SCALE)

SHARED_FIELDS: tuple[ObservationField, ...] = (
    *(
        ObservationField(
            f"{name}_{turns}_day", "", 0.0, 1.0, value=partial(_turned, wave=wave, turns=turns)
        )
        for turns in (1, 2, 3)
        for name, wave in (("sine", torch.sin), ("cosine", torch.cos))
    ),
    ObservationField("price", *_OF_PRICE, value=attrgetter("price")),
    ObservationField(
        "price_z_score", "standard deviations of the day", 0.0, 1.0, value=_price_z_score
    ),
    ObservationField("price_rank", "share of the day that is cheaper", 0.5, 0.5, value=_price_rank),
    ObservationField("price_mean", *_OF_PRICE, value=attrgetter("price_mean")),
    ObservationField("price_minimum", *_OF_PRICE, value=_price_minimum),
    ObservationField("price_maximum", *_OF_PRICE, value=_price_maximum),
    *(
        ObservationField(
            f"price_ahead_{begin:g}_{end:g}_hours",
            *_ABOVE_NOW,
            value=partial(_ahead, series="price", begin=begin, end=end),
        )
        for begin, end in PRICE_BLOCKS
    ),
    ObservationField(
        "price_rank_ahead",
        "share of the rest of the day that is cheaper",
        0.5,
        0.5,
        value=_price_rank_ahead,
    ),
    ObservationField("price_minimum_ahead", *_ABOVE_NOW, value=_price_minimum_ahead),
    ObservationField("price_maximum_ahead", *_ABOVE_NOW, value=_price_maximum_ahead),
    *(
        ObservationField(
            f"planned_{name}_{hours}_hours",
            unit,
            offset,
            scale,
            value=partial(_planned, quantity=quantity, battery=battery),
        )
        for battery, hours in enumerate(PLANNED_HOURS)
        for quantity, (name, unit, offset, scale) in enumerate(
            (
                ("energy", "share of range, 0 to 1", 0.5, 0.5),
                ("power", "share of full power", 0.0, 1.0),
            )
        )
    ),
    ObservationField("outdoor_temperature", "°C", 10.0, 10.0, value=attrgetter("temperature")),
    *(
        ObservationField(
            f"temperature_ahead_{begin:g}_{end:g}_hours",
            "K above now",
            0.0,
            5.0,
            value=partial(_ahead, series="temperature", begin=begin, end=end),
        )
        for begin, end in TEMPERATURE_BLOCKS
    ),
    *(
        ObservationField(
            name, unit, offset, PRICE_SCALE, value=value, told_under=_feed_in_has_a_price_of_its_own
        )
        for name, unit, offset, value in (
            ("export_price", "€/kWh", EXPORT_PRICE_CENTRE, attrgetter("export_price")),
            ("export_price_minimum_ahead", "€/kWh above now", 0.0, _export_price_minimum_ahead),
            ("export_price_maximum_ahead", "€/kWh above now", 0.0, _export_price_maximum_ahead),
        )
    ),
)


def own_state_names(slots: int) -> list[str]:
    """Of the fields that hold the states of an agent's devices."""
    return ["own_state"] if slots == 1 else [f"own_state_{slot + 1}" for slot in range(slots)]


def observation_fields(
    slots: int = 1, tariff: Tariff = NET_METERING
) -> tuple[ObservationField, ...]:
    """The entries in order; private ones first.

    Args:
        slots: largest number of devices of an agent.
        tariff: of the case.
    """
    states = (_own_state(slot, slots) for slot in range(slots))
    known = (*states, *PRIVATE_FIELDS, *SHARED_FIELDS)
    return tuple(e for e in known if e.told_under is None or e.told_under(tariff))


def shared_observations(
    fields: tuple[ObservationField, ...], days: DayTable, tariff: Tariff, clock: Clock
) -> Tensor:
    """The shared entries of every step of every day: (days, steps, shared fields), clipped.

    Args:
        fields: the shared ones.
        days: observed weather and prices.
        tariff: the retail prices that agents see.
        clock: of the days.
    """
    published = (days.day_ahead_price.double() / PRICE_TICK).round() * PRICE_TICK
    news = News(
        clock,
        tariff.import_price(days, clock),
        days.outdoor_temperature,
        tariff.import_price(replace(days, day_ahead_price=published), clock),
        tariff.export_price(days, clock),
    )
    values = [entry.value(news).expand_as(news.price) for entry in fields]
    return _entries(fields, torch.stack(values)).permute(1, 2, 0).contiguous()


def private_observations(fields: tuple[ObservationField, ...], moment: Moment) -> Tensor:
    """The private entries before a step: (batch, agents, private fields), clipped."""
    values = torch.stack([entry.value(moment) for entry in fields])
    return _entries(fields, values).permute(1, 2, 0)


def _entries(fields: tuple[ObservationField, ...], values: Tensor) -> Tensor:
    """What agents see of values (fields, ..., ...) in the fields' units: the same shape."""
    at_zero, slope = _scales(fields, values.device, values.dtype)
    seen = torch.addcmul(at_zero, slope, values)
    return seen.clamp(-OBSERVATION_BOUND, OBSERVATION_BOUND)


@lru_cache
@torch.inference_mode(False)  # kept for calls that differentiate, too
def _scales(
    fields: tuple[ObservationField, ...], device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Entries of the value 0, and what they gain per unit: (fields, 1, 1) each."""
    numbers = [(-f.offset / f.scale, 1.0 / f.scale) for f in fields]
    at_zero, slope = torch.tensor(numbers, dtype=dtype, device="cpu").to(device).T[..., None, None]
    return at_zero, slope
