"""A picture of replayed steps: the price, what devices were to do, what meter and sensors said."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gridedge_gateway.calendar import Series
from gridedge_gateway.controller import Controller, SetPoint
from gridedge_gateway.mistakes import writing
from gridedge_gateway.readings import METER_POWER, Readings
from gridedge_gateway.sensors import POWER, THE_SENSOR_COUNTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Steps = Sequence[tuple[Readings, SetPoint]]
# Of the name of a picture.
ENDINGS = (".png", ".svg", ".pdf")
# Units of devices' sensors that are drawn, each in a panel of its own.
DRAWN = ("%", "°C")


@dataclass(frozen=True)
class Line:
    """A value for each step.

    Attributes:
        name: in words.
        colour: of matplotlib's.
        values: NaN where there is none.
        marked: steps in which what was read did not count, or this device alone fell back.
        mark: which of both, in words.
    """

    name: str
    colour: str
    values: list[float]
    marked: list[bool]
    mark: str


def check_picture(path: Path) -> None:
    """Whether a picture can be drawn there.

    Raises:
        ValueError: its name has an ending that is no picture's.
        ImportError: matplotlib is not installed.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"picture: got {path}, expected a name that ends in {', '.join(ENDINGS)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("a picture needs matplotlib: pip install matplotlib") from error


def draw(controller: Controller, steps: Steps, path: Path) -> None:
    """Draw what `replay` returns.

    Args:
        controller: of the customer.
        steps: at least one.
        path: as of `check_picture`.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    calendar, last = controller.calendar, steps[-1][1].time
    times = [set_point.time for _, set_point in steps]
    times.append(last + calendar.length)
    panels = dict(_panels(controller, steps))
    figure = Figure(figsize=(11.0, 1.0 + 1.8 * len(panels)), layout="constrained")
    figure.suptitle("\n".join(_title(controller, steps)), fontsize="medium", parse_math=False)
    axes = figure.subplots(len(panels), sharex=True)
    fallback = [_all_fall_back(set_point) for _, set_point in steps]
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        axis.set_ylabel(title, parse_math=False)
        for line in lines:
            values = [*line.values, line.values[-1]]
            axis.step(times, values, where="post", label=line.name, color=line.colour)
            _shade(axis, times, line.marked, line.colour, f"{line.name}, {line.mark}")
        # A label with a _ is in no legend: once is enough.
        _shade(axis, times, fallback, "tab:red", "fallback" if axis is axes[0] else "_fallback")
        axis.grid(alpha=0.3)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small")
    locator = AutoDateLocator(tz=calendar.zone)
    axes[-1].xaxis.set_major_locator(locator)
    axes[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=calendar.zone))
    axes[-1].set_xlabel(f"local time, {calendar.zone.key}")
    with writing(path):
        figure.savefig(path, dpi=150)


def _shade(axis: Axes, times: list[datetime], where: list[bool], colour: str, label: str) -> None:
    """Steps behind the lines, if there are any."""
    if any(where):
        axis.fill_between(
            times,  # type: ignore[arg-type]  # matplotlib takes them
            0.0,
            [*where, False],
            step="post",
            transform=axis.get_xaxis_transform(),
            color=colour,
            alpha=0.15,
            linewidth=0.0,
            label=label,
        )


def _title(controller: Controller, steps: Steps) -> Iterator[str]:
    """Whose steps these are, and where devices stood by the gateway's own estimate."""
    yield controller.file.customer["name"]
    for device in controller.file.devices:
        for reading in device.readings[:1]:
            count = sum(_told(f"{device.name}.{reading.name}", steps))
            if count and reading.unit != POWER:
                words = _words(f"{device.name}.{reading.name}")
                yield f"{words} estimated in {count:,} of {len(steps):,} steps"


def _all_fall_back(set_point: SetPoint) -> bool:
    return len(set_point.fallbacks) == len(set_point.follows)


def _panels(controller: Controller, steps: Steps) -> Iterator[tuple[str, list[Line]]]:
    """Titles, and the lines of each."""
    prices: dict[datetime, float] = {}
    for readings, _ in steps:
        prices |= readings.series.get("day_ahead_price", {})
    begins = np.array([set_point.time.timestamp() for _, set_point in steps])
    price = Series.of(prices).means(begins, controller.calendar.minutes).tolist()
    line = Line("day-ahead price", "black", price, [False] * len(steps), "")
    yield f"{controller.file.case['currency']}/MWh", [line]
    devices = controller.file.devices
    colours = {device.name: f"C{number}" for number, device in enumerate(devices)}
    yield (
        "set-points, kW",
        [
            Line(
                _words(name),
                colour,
                [set_point.power.get(name, math.nan) for _, set_point in steps],
                [
                    name in set_point.fallbacks and not _all_fall_back(set_point)
                    for _, set_point in steps
                ],
                "fallback",
            )
            for name, colour in colours.items()
        ],
    )
    yield "meter, kW,\nstep before", [_read(METER_POWER, "black", steps)]
    for unit in DRAWN:
        lines = [
            _read(f"{device.name}.{reading.name}", colours[device.name], steps)
            for device in devices
            for reading in device.readings
            if reading.unit == unit
        ]
        lines = [line for line in lines if not all(map(math.isnan, line.values))]
        if lines:
            yield unit, lines


def _read(name: str, colour: str, steps: Steps) -> Line:
    values = [readings.values.get(name, math.nan) for readings, _ in steps]
    return Line(_words(name), colour, values, _told(name, steps), "estimate")


def _told(name: str, steps: Steps) -> list[bool]:
    """Steps with a reason why something did not count."""
    return [
        any(
            reason.startswith(f"{name}: ") and THE_SENSOR_COUNTS not in reason
            for reason in set_point.reasons
        )
        for _, set_point in steps
    ]


def _words(name: str) -> str:
    return name.replace("_", " ").replace(".", ": ")
