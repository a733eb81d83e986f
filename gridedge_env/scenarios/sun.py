"""Where the sun stands, and how much of its light comes straight from there.

Stations measure the irradiance of a horizontal plane. What a tilted one gets depends on how much of
it is direct, and from where:

    light = direct_irradiance(irradiance, midnights(dates, "Europe/Amsterdam"), clock, 50.8, 6.1)
    days = DayTable(..., direct_irradiance=light)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import torch
from torch import Tensor

from gridedge_env.checks import check_number, shown
from gridedge_env.clock import Clock
from gridedge_gateway import sun

GROUND_ALBEDO = 0.2
"""Share of the light that the ground throws back; the usual assumption (Liu & Jordan 1963)."""


def direct_irradiance(
    irradiance: Tensor,
    midnight: np.ndarray,
    clock: Clock,
    latitude: float,
    longitude: float,
    diffuse: Tensor | None = None,
) -> Tensor:
    """Light that comes straight from the sun, as a vector that points to it.

    A plane whose normal is n gets `max(0, n @ vector)` of it, a horizontal one the third number;
    the rest of the global irradiance is diffuse. Where the sun is near the horizon, all is.

    Args:
        irradiance: (days, steps) W/m², global on the horizontal, mean over each step.
        midnight: (days,) datetime64, UTC, at which each day begins.
        clock: of the days.
        latitude: ° north.
        longitude: ° east.
        diffuse: (days, steps) W/m² likewise where it is measured; None: by Erbs's correlation.

    Returns:
        (days, steps, 3) W/m² from the east, the north and above, in single precision.

    Raises:
        ValueError: no such place, or shapes that do not fit.
    """
    check_number(latitude, "latitude", "degrees from -90 to 90", lambda x: abs(x) <= 90.0)
    check_number(longitude, "longitude", "degrees from -180 to 180", lambda x: abs(x) <= 180.0)
    shape = (len(midnight), clock.steps)
    for name, series in (("irradiance", irradiance), ("diffuse", diffuse)):
        if series is not None and tuple(series.shape) != shape:
            raise ValueError(f"{name}: got shape {tuple(series.shape)}, expected {shape}")
    steps = np.arange(clock.steps) * np.timedelta64(clock.minutes, "m")
    begin: np.ndarray = midnight.astype("datetime64[s]")[:, None] + steps
    vector = sun.direct_irradiance(
        irradiance.double().numpy(),
        begin,
        clock.minutes,
        latitude,
        longitude,
        None if diffuse is None else diffuse.double().numpy(),
    )
    return torch.from_numpy(vector.astype(np.float32))


def midnights(dates: Sequence[date], time_zone: str) -> np.ndarray:
    """UTC at which local days begin: (days,) datetime64.

    Raises:
        ValueError: a time zone that is not known.
    """
    try:
        zone: Any = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"time_zone: got {shown(time_zone)}, expected an IANA name") from error
    begins = [datetime(day.year, day.month, day.day, tzinfo=zone) for day in dates]
    utc = [begin.astimezone(timezone.utc).replace(tzinfo=None) for begin in begins]
    return np.array(utc, dtype="datetime64[s]")


def plane_normal(tilt: Tensor, azimuth: Tensor) -> Tensor:
    """Where a plane faces: (planes, 3) east, north, up.

    Args:
        tilt: (planes,) ° from the horizontal.
        azimuth: (planes,) ° from north, clockwise: 90 east, 180 south.
    """
    up, round_ = math.radians(1.0) * tilt, math.radians(1.0) * azimuth
    across = torch.sin(up)
    return torch.stack((across * torch.sin(round_), across * torch.cos(round_), torch.cos(up)), -1)


def plane_irradiance(irradiance: Tensor, direct: Tensor, normal: Tensor) -> Tensor:
    """What planes get: direct light, a sky that is bright alike everywhere, and the ground.

    The isotropic sky of Liu & Jordan (Solar Energy 4, 1960, and 7, 1963).

    Args:
        irradiance: (..., 1) W/m², global on the horizontal.
        direct: (..., 3) of `direct_irradiance`.
        normal: (planes, 3) of `plane_normal`.

    Returns:
        (..., planes) W/m².
    """
    east, north, up = normal.unbind(1)
    diffuse = torch.relu(irradiance - direct[..., 2:])
    # No matrix product: its rounding would depend on how many other days there are.
    across = direct[..., :1] * east + direct[..., 1:2] * north
    straight = torch.relu(across + direct[..., 2:] * up)
    sky, ground = 0.5 * (1.0 + up), 0.5 * GROUND_ALBEDO * (1.0 - up)
    return straight + diffuse * sky + irradiance * ground
