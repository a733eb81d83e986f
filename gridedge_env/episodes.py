"""Episodes: from the days of a split, and the demand of its homes, to days as they will unfold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gridedge_env.case import Case
from gridedge_env.checks import check_entropy, check_type, check_whole_number
from gridedge_env.day import Day
from gridedge_env.devices import Fleet
from gridedge_env.observation import ObservationField, shared_observations
from gridedge_env.powerflow import PowerFlow
from gridedge_env.public_plan import PublicPlan
from gridedge_env.scenarios import SPLITS, Calendar, DayTable, Homes, Variation
from gridedge_env.scenarios.observed import check_table
from gridedge_env.state import SimulatorState
from gridedge_env.transfer import to_device
from gridedge_env.wiring import Wiring
from gridedge_gateway.program import HomeDemand

# Of which expected demand is worked out, so as to need little memory.
DAYS_AT_A_TIME = 32
# Of all homes and steps of a batch: more would fill any machine's memory.
MOST_DEMANDS = 2**36
# Of whose demand quartiles are taken, at most.
MOST_HOMES = 100


class Split(NamedTuple):
    """What episodes are made of.

    Attributes:
        days: weather and prices of single days.
        starts: (episodes,) rows of `days` at which as many begin as an episode has.
        homes: who lives there.
        load_multipliers: (days, steps, profiles) of the feeder's own loads; None: constant.
    """

    days: DayTable
    starts: Tensor
    homes: Homes
    load_multipliers: Tensor | None


def load_split(
    case: Case, wiring: Wiring, split: str, device: torch.device, dtype: torch.dtype
) -> Split:
    """Days and homes of "train", "validation" or "test", and what other loads do.

    Raises:
        ValueError: no such split, no days, too few in a row, or some that lack what devices need.
    """
    clock = case.clock
    loaded = case.days.load(split, clock.day)
    check_table(loaded, split, clock.day)
    starts = loaded.starts(clock.days)
    if not starts:
        raise ValueError(
            f"case.days, split {split!r}: got no {clock.days} consecutive days, expected some for "
            "an episode"
        )
    days = loaded.to(device, dtype)
    for group in case.fleet.groups:
        group.kind.check_days(days)
    homes = case.demand.assign_homes(split, len(case.fleet.names), case.seed, device)
    return Split(days, _on(device, starts), homes, wiring.multipliers(loaded.dates, clock.day))


def generator_of(seed: int, split: str, device: torch.device) -> torch.Generator:
    """A source of randomness for episodes of a split.

    Raises:
        ValueError: a negative seed.
    """
    entropy = [check_entropy(seed), SPLITS.index(split)]
    mixed = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(mixed[0] >> 1))


def draw_starts(split: Split, count: int, generator: torch.Generator) -> Tensor:
    """(count,) rows at which episodes begin, at random.

    Raises:
        ValueError: a count below one, or one for which no machine has memory.
    """
    each = len(split.homes.mean_power) * split.days.day_ahead_price.shape[1]
    size, device = (
        check_whole_number(count, 1, "batch_size", MOST_DEMANDS // each),
        split.starts.device,
    )
    place = torch.randint(
        len(split.starts), (size,), generator=generator, dtype=torch.long, device=device
    )
    return split.starts[place]


def chosen_starts(split: Split, days: Sequence[int], length: int) -> Tensor:
    """(rows,) the rows that were asked for, on the device.

    Args:
        split: whose days.
        days: the rows.
        length: days of an episode.

    Raises:
        ValueError: none, or one that is not there, or at which too few consecutive days begin.
    """
    table = split.days
    check_type(days, Iterable, "days", "rows of the table of days")
    rows = [check_whole_number(day, 0, "days") for day in days]
    if not rows or max(rows) >= len(table.dates):
        raise ValueError(f"days: got {rows}, expected rows from 0 to {len(table.dates) - 1}")
    for row in set(rows).difference(table.starts(length)) if length > 1 else ():
        raise ValueError(
            f"days: got row {row}, {table.dates[row]}, expected one at which {length} consecutive "
            "days begin"
        )
    return _on(split.starts.device, rows)


def unfold(
    case: Case,
    split: Split,
    row: Tensor,
    fields: tuple[ObservationField, ...],
    generator: torch.Generator,
    variation: Variation,
    plan: PublicPlan | None,
    kept: slice,
) -> Day:
    """Episodes as they will unfold.

    Args:
        case: whose tariff and demand count.
        split: whose days and homes.
        row: (batch,) rows at which they begin.
        fields: the shared ones of an observation.
        generator: of the split's device, for demand.
        variation: departure from the observed days.
        plan: the public one, where agents observe it.
        kept: which of the episodes; demand is drawn for all.
    """
    clock, homes, scale = case.clock, split.homes, case.demand.scale
    ahead = torch.arange(clock.days, device=row.device, dtype=torch.long)
    drawn = (row[:, None] + ahead).flatten()  # all days of the episodes, one after the other
    calendar = Calendar(drawn, split.days.month[drawn], split.days.weekend[drawn])
    demand = case.demand.draw(homes, calendar, generator, clock.day)
    row, every = row[kept], drawn.view(-1, clock.days)[kept].flatten()
    demand = demand.unflatten(0, (-1, clock.days))[kept].flatten(0, 1)
    chosen, variation = split.days.select(every), variation.take(kept).of_each(clock.days)
    dtype = chosen.day_ahead_price.dtype
    chosen = variation.of_days(chosen)
    others = split.load_multipliers

    def joined(values: Tensor | None) -> Any:
        return (
            values if values is None else values.reshape(len(row), clock.steps, *values.shape[2:])
        )

    return Day(
        clock,
        row,
        joined(chosen.outdoor_temperature),
        joined(chosen.irradiance),
        joined(case.tariff.import_price(chosen, clock.day)),
        joined(case.tariff.export_price(chosen, clock.day)),
        joined(variation.of_demand(demand.to(dtype)).mul_(scale)),
        homes.mean_power.to(dtype) * scale,
        shared_observations(fields, chosen, case.tariff, clock),
        joined(chosen.direct_irradiance),
        joined(None if others is None else others[every]),
        None if plan is None else plan.of_episodes(chosen.as_forecast, case.tariff),
    )


def midnight(
    case: Case,
    fleet: Fleet,
    power_flow: PowerFlow,
    day: Day,
    generator: torch.Generator,
    drawn: int,
    kept: slice,
) -> SimulatorState:
    """Where episodes begin.

    Args:
        case: whose clock and controls count.
        fleet: of the case, in the simulator's precision, on its device.
        power_flow: likewise.
        day: the episodes that are kept.
        generator: of that device, for what is random in the devices.
        drawn: how many episodes there are in all.
        kept: which of them are.
    """
    batch, taps = len(day.table_row), power_flow.tap_position
    return SimulatorState(
        day=day,
        step=0,
        devices=tuple(
            group.kind.begin(group.parameters, drawn, generator, case.clock).take(kept)
            for group in fleet.groups
        ),
        device_voltage=power_flow.no_load(batch),
        tap_position=taps.expand(batch, -1) if case.regulator_control else None,
        fleet=case.fleet.fingerprint,  # on the CPU: no device is waited for
    )


def home_demand(case: Case, split: Split) -> HomeDemand:
    """What a split's homes draw, by month, kind of day and step."""
    clock, days, scale = case.clock.day, split.days, case.demand.scale
    generator = torch.Generator(days.month.device).manual_seed(case.seed)
    month, weekend = days.month.cpu().numpy(), days.weekend.cpu().numpy().astype(int)
    total, count = np.zeros((12, 2, clock.steps)), np.zeros((12, 2, 1))
    every = torch.arange(len(days.dates), device=days.month.device, dtype=torch.long)
    homes, some = len(split.homes.mean_power), list[Tensor]()
    for rows in every.split(DAYS_AT_A_TIME):
        calendar = Calendar(rows, days.month[rows], days.weekend[rows])
        drawn = case.demand.draw(split.homes, calendar, generator, clock)
        # Contiguous: a view would keep all that was drawn.
        some.append(drawn[..., :: math.ceil(homes / MOST_HOMES)].contiguous().cpu())
        number = rows.cpu().numpy()
        kind = month[number], weekend[number]
        np.add.at(total, kind, drawn.mean(dim=-1).double().cpu().numpy())
        np.add.at(count, kind, 1.0)
    overall = total.sum(axis=(0, 1)) / count.sum()
    mean = np.where(count > 0.0, total / count.clip(min=1.0), overall)
    least, most = _range(torch.cat(some).double().numpy(), 2 * month + weekend)
    return HomeDemand(scale * mean, scale * least, scale * most)


def _range(sample: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """(2, 12, 2, steps) ends of the uniform distributions with the same quartiles as a sample's.

    Args:
        sample: (days, steps, homes).
        kind: (days,) twice the month, and one more at weekends; of one without days, all count.
    """
    found = np.empty((2, 24, sample.shape[1]))
    for number in range(24):
        there = sample[kind == number] if (kind == number).any() else sample
        first, third = np.quantile(there, (0.25, 0.75), axis=(0, 2))
        found[:, number] = 1.5 * first - 0.5 * third, 1.5 * third - 0.5 * first
    return found.reshape(2, 12, 2, -1)


def _on(device: torch.device, rows: Sequence[int]) -> Tensor:
    return to_device(torch.tensor(rows, dtype=torch.long, device="cpu"), device)


def episode_seed_of(seed: int | None, episode: int) -> int:
    """The seed itself for the first episode that it begins, an independent one for each later.

    Without a seed, fresh from the operating system: neither a copy nor another process shares it.
    """
    if seed is not None and episode == 0:
        return seed
    entropy = None if seed is None else [seed, episode]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
