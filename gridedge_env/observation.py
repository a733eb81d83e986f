"""What an agent observes: its own meter, and what every customer can read in the news.

Private fields come from the agent's own home. Shared fields are the clock, the day-ahead prices,
published or forecast for the whole day before it begins, what a lone battery would make of these,
and the forecast of the weather (the observed temperature where there is none). Nothing of another
agent is in them, and nothing that is not yet known: past midnight, where tomorrow's prices
start, the blocks ahead are cut short. Where what is fed in earns another price than the retail
one, agents are told that, too.

Each field carries the function of its value. To add one, add an entry to `PRIVATE_FIELDS` or to
`SHARED_FIELDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.currency import EURO
from gridedge_env.moment import Moment
from gridedge_env.news import PLANNED_HOURS, News
from gridedge_env.scenarios import DayTable, Tariff

# Blocks of price and temperature ahead: hours from the end of this step to their begin and end.
PRICE_BLOCKS = (
    *((0.0, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)),
    *((4.0, 6.0), (6.0, 8.0), (8.0, 10.0), (10.0, 14.0)),
)
TEMPERATURE_BLOCKS = ((0.0, 3.0), (3.0, 8.0), (8.0, 14.0))
# Every entry of an observation is clipped to this many of its scale.
OBSERVATION_BOUND = 10.0

# €/kWh: typical retail price with its tax, and typical spread within a day.
PRICE_CENTRE, PRICE_SCALE = 0.25, 0.10
# €/kWh: a typical price of what is fed in, where that is not the retail price.
EXPORT_PRICE_CENTRE = 0.10
NET_METERING, ONE_DAY = Tariff(), Clock()
PLANNED_ACTION, EXPORT_PRICE = "planned_action", "export_price"
# Whoever follows the public plan takes smaller actions for rest: it is not worked out that finely.
# Where only what homes take themselves earns their price, there is little else to move.
LEAST_PLANNED_ACTION, LEAST_FOR_OWN_USE = 0.02, 0.002


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
        told_under: whether agents are told it under a tariff and clock; None: under any.
        slot: number of the agent's device that it is about; None: about none.
    """

    name: str
    unit: str
    offset: float
    scale: float
    private: bool = False
    value: Callable[[Any], Tensor] = field(repr=False, compare=False, kw_only=True)
    told_under: Callable[[Tariff, Clock], bool] | None = field(
        default=None, repr=False, compare=False, kw_only=True
    )
    slot: int | None = field(default=None, repr=False, compare=False, kw_only=True)

    @property
    def of_device(self) -> str:
        """Its name, without the number of the device."""
        return self.name if self.slot is None else self.name.removesuffix(f"_{self.slot + 1}")


def _own_load(moment: Moment) -> Tensor:
    """Of the step that has ended; at midnight, as if it had been the mean."""
    day, ended = moment.state.day, moment.state.step - 1
    if ended < 0:
        return torch.ones_like(day.demand[:, 0])
    return day.demand.select(1, ended) / day.mean_demand


def _own_voltage(moment: Moment) -> Tensor:
    return moment.meters.meter_voltage(moment.state.device_voltage)


def _price_rank(news: News) -> Tensor:
    return (news.difference < 0.0).to(news.price).mean(dim=2)


def _price_rank_ahead(news: News) -> Tensor:
    cheaper = ((news.difference < 0.0) & news.to_come).to(news.price).sum(dim=2)
    return cheaper / news.to_come.sum(dim=1)


def _price_z_score(news: News) -> Tensor:
    spread = news.prices.std(dim=2, correction=0).clamp(min=1e-3)
    return (news.price - news.price_mean) / spread


def _price_minimum(news: News) -> Tensor:
    return news.prices.amin(dim=2)


def _price_maximum(news: News) -> Tensor:
    return news.prices.amax(dim=2)


def _price_minimum_ahead(news: News) -> Tensor:
    return news.difference.where(news.to_come, torch.inf).amin(dim=2)


def _price_maximum_ahead(news: News) -> Tensor:
    return news.difference.where(news.to_come, -torch.inf).amax(dim=2)


def _export_price_minimum_ahead(news: News) -> Tensor:
    return news.difference_of("export_price").where(news.to_come, torch.inf).amin(dim=2)


def _export_price_maximum_ahead(news: News) -> Tensor:
    return news.difference_of("export_price").where(news.to_come, -torch.inf).amax(dim=2)


def _feed_in_has_a_price_of_its_own(tariff: Tariff, clock: Clock) -> bool:
    return not tariff.net_metering


def _episodes_have_several_days(tariff: Tariff, clock: Clock) -> bool:
    return clock.days > 1


def _ahead(news: News, series: str, begin: float, end: float) -> Tensor:
    return news.ahead(series, begin, end)


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
    return ObservationField(name, "share of range", 0.5, 0.5, private=True, value=value, slot=slot)


def _planned_action(moment: Moment, slot: int) -> Tensor:
    return moment.planned[0][..., slot]


def _planned_store(moment: Moment, slot: int) -> Tensor:
    return moment.planned[1][..., slot]


def _congestion_price(moment: Moment) -> Tensor:
    return moment.public_plan.congestion_price(moment.window)


def _planned_net(moment: Moment) -> Tensor:
    return moment.public_plan.net(moment.window)


def _plan_fields(slots: int) -> tuple[ObservationField, ...]:
    """What the public plan says to an agent, where there is one."""
    of_devices = (
        ObservationField(
            f"{name}{_of_slot(slot, slots)}",
            *scaling,
            True,
            value=partial(value, slot=slot),
            slot=slot,
        )
        for name, scaling, value in (
            (PLANNED_ACTION, ("", 0.0, 1.0), _planned_action),
            ("planned_state", ("share of range", 0.5, 0.5), _planned_store),
        )
        for slot in range(slots)
    )
    return (
        *of_devices,
        ObservationField("congestion_price", "€/kWh", 0.0, 0.02, True, value=_congestion_price),
        ObservationField(
            "planned_draw_around", "over full power", 0.0, 0.5, True, value=_planned_net
        ),
    )


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
            (EXPORT_PRICE, "€/kWh", EXPORT_PRICE_CENTRE, attrgetter("export_price")),
            ("export_price_minimum_ahead", "€/kWh above now", 0.0, _export_price_minimum_ahead),
            ("export_price_maximum_ahead", "€/kWh above now", 0.0, _export_price_maximum_ahead),
        )
    ),
    ObservationField(
        "days_left",
        "days of the episode after this one",
        0.0,
        1.0,
        value=attrgetter("days_left"),
        told_under=_episodes_have_several_days,
    ),
)


def own_state_names(slots: int) -> list[str]:
    """Of the fields that hold the states of an agent's devices."""
    return [f"own_state{_of_slot(slot, slots)}" for slot in range(slots)]


def planned_columns(fields: Sequence[ObservationField]) -> tuple[int, ...]:
    """Where what the public plan asks of an agent's devices stands; nowhere without a plan."""
    return tuple(k for k, entry in enumerate(fields) if entry.name.startswith(PLANNED_ACTION))


def _of_slot(slot: int, slots: int) -> str:
    return "" if slots == 1 else f"_{slot + 1}"


def observation_fields(
    slots: int = 1,
    tariff: Tariff = NET_METERING,
    currency: str = EURO,
    clock: Clock = ONE_DAY,
    planned: bool = False,
) -> tuple[ObservationField, ...]:
    """The entries in order; private ones first.

    Args:
        slots: largest number of devices of an agent.
        tariff: of the case.
        currency: of the case, in which prices are.
        clock: of the case.
        planned: whether agents observe the public plan.
    """
    states = (_own_state(slot, slots) for slot in range(slots))
    plan = _plan_fields(slots) if planned else ()
    known = (*states, *PRIVATE_FIELDS, *plan, *SHARED_FIELDS)
    return tuple(
        replace(entry, unit=entry.unit.replace(EURO, currency))
        for entry in known
        if entry.told_under is None or entry.told_under(tariff, clock)
    )


def shared_observations(
    fields: tuple[ObservationField, ...], days: DayTable, tariff: Tariff, clock: Clock
) -> Tensor:
    """The shared entries of every step of episodes: (episodes, steps, shared fields), clipped.

    Args:
        fields: the shared ones.
        days: weather and prices of the days of all episodes, one after the other, and their
            forecasts if there are any.
        tariff: the retail prices that agents see.
        clock: of the episodes.
    """
    news = News.of(days, tariff, clock)
    values = [entry.value(news).expand_as(news.price) for entry in fields]
    entries = _entries(fields, torch.stack(values)).permute(1, 2, 0).contiguous()
    return entries.reshape(-1, clock.steps, len(fields))


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


def least_planned_action(fields: Sequence[ObservationField]) -> float:
    """The least action of a plan that is not taken for rest, by what agents are told."""
    own_price = any(entry.name == EXPORT_PRICE for entry in fields)
    return LEAST_FOR_OWN_USE if own_price else LEAST_PLANNED_ACTION
