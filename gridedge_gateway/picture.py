"""A picture of replayed steps: the price, what devices were to do, what their sensors said."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from gridedge_gateway.controller import Controller, SetPoint
from gridedge_gateway.readings import Readings
from gridedge_gateway.record import holding

# Units of devices' sensors that are drawn, each in a panel of its own.
DRAWN = ("%", "°C")


def draw(controller: Controller, steps: Sequence[tuple[Readings, SetPoint]], path: Path) -> None:
    """Draw what `replay` returns.

    Args:
        controller: of the customer.
        steps: at least one.
        path: of the picture; its ending says which format.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("a picture needs matplotlib: pip install matplotlib") from error
    zone, last = controller.calendar.zone, steps[-1][1].time
    times = [set_point.time for _, set_point in steps] + [
        last + timedelta(minutes=controller.calendar.minutes)
    ]
    panels = dict(_panels(controller, steps))
    figure = Figure(figsize=(10.0, 1.0 + 2.0 * len(panels)), layout="constrained")
    figure.suptitle(controller.file.customer["name"])
    axes = figure.subplots(len(panels), sharex=True)
    fallback = [set_point.follows == "fallback" for _, set_point in steps]
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        axis.set_ylabel(title)
        for name, values in lines.items():
            line = [math.nan if value is None else value for value in values]
            axis.step(times, [*line, line[-1]], where="post", label=name)
        if any(fallback):
            axis.fill_between(
                times,
                0.0,
                1.0,
                where=[*fallback, fallback[-1]],
                step="post",
                transform=axis.get_xaxis_transform(),
                color="tab:red",
                alpha=0.12,
                linewidth=0.0,
                label="fallback",
            )
        axis.grid(alpha=0.3)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    locator = AutoDateLocator(tz=zone)
    axes[-1].xaxis.set_major_locator(locator)
    axes[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))
    figure.savefig(path, dpi=150)


def _panels(
    controller: Controller, steps: Sequence[tuple[Readings, SetPoint]]
) -> Iterator[tuple[str, dict[str, list[float | None]]]]:
    """Titles, and the lines of each by name, a value for each step."""
    prices: dict[datetime, float] = {}
    for readings, _ in steps:
        prices |= readings.series.get("day_ahead_price", {})
    price = [holding(prices, readings.time) for readings, _ in steps]
    yield f"{controller.file.case['currency']}/MWh", {"day-ahead price": price}
    powers = {
        name.replace("_", " "): [set_point.power.get(name) for _, set_point in steps]
        for name in steps[0][1].power
    }
    meter = [readings.values.get("meter_power") for readings, _ in steps]
    yield "kW drawn", {"meter, step before": meter, **powers}
    for unit in DRAWN:
        names = [
            f"{device.name}.{reading.name}"
            for device in controller.file.devices
            for reading in device.readings
            if reading.unit == unit
        ]
        lines = {
            name.replace("_", " ").replace(".", ": "): [
                readings.values.get(name) for readings, _ in steps
            ]
            for name in names
            if any(math.isfinite(readings.values.get(name, math.nan)) for readings, _ in steps)
        }
        if lines:
            yield unit, lines
