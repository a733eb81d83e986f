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

from gridedge_env.checks import check_number
from gridedge_env.clock import Clock

SOLAR_CONSTANT = 1361.0
"""W/m² on a plane that faces the sun, at its mean distance (Kopp & Lean, Geophysical Research
Letters 38, L01706, 2011)."""

GROUND_ALBEDO = 0.2
"""Share of the light that the ground throws back; the usual assumption (Liu & Jordan 1963)."""

LEAST_SINE = 0.065
"""Of the sun's elevation, 3.7°: nearer the horizon a ratio to it says little, all is diffuse."""

# Within a step the sun is looked at this often.
_MINUTES = 5
_EPOCH = np.datetime64("2000-01-01T12:00", "s")  # JD 2451545.0


def sun_position(time: np.ndarray, latitude: float, longitude: float) -> np.ndarray:
    """Direction of the sun.

    The Astronomical Almanac's low-precision formulae, good to 0.01° from 1950 to 2050 (Michalsky,
    Solar Energy 40, 227-235, 1988); without refraction.

    Args:
        time: datetime64, UTC, of any shape.
        latitude: ° north.
        longitude: ° east.

    Returns:
        (..., 3) unit vector: east, north, up.
    """
    days = (time - _EPOCH) / np.timedelta64(1, "D")
    anomaly = np.deg2rad(357.528 + 0.9856003 * days)
    mean = 280.460 + 0.9856474 * days
    ecliptic = np.deg2rad(mean + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2.0 * anomaly))
    obliquity = np.deg2rad(23.439 - 4e-7 * days)
    ascension = np.arctan2(np.cos(obliquity) * np.sin(ecliptic), np.cos(ecliptic))
    rise = np.sin(obliquity) * np.sin(ecliptic)  # sine of the declination
    hours = (time - time.astype("datetime64[D]")) / np.timedelta64(1, "h")
    sidereal = 6.697375 + 0.0657098242 * days + hours
    angle = np.deg2rad(15.0 * sidereal + longitude) - ascension
    across, north = np.sqrt(1.0 - rise**2), np.deg2rad(latitude)
    south_of_pole = across * np.cos(angle)
    return np.stack(
        (
            -across * np.sin(angle),
            np.cos(north) * rise - np.sin(north) * south_of_pole,
            np.sin(north) * rise + np.cos(north) * south_of_pole,
        ),
        axis=-1,
    )


def extraterrestrial_irradiance(time: np.ndarray) -> np.ndarray:
    """W/m² that reach the atmosphere on a plane that faces the sun; datetime64, UTC."""
    days = (time - _EPOCH) / np.timedelta64(1, "D")
    anomaly = np.deg2rad(357.528 + 0.9856003 * days)
    distance = 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2.0 * anomaly)
    return SOLAR_CONSTANT / distance**2


def diffuse_share(clearness: np.ndarray) -> np.ndarray:
    """Share of global irradiance that is diffuse (Erbs, Klein & Duffie, Solar Energy 28, 1982).

    Args:
        clearness: global irradiance over what would be there without an atmosphere.
    """
    k = clearness
    polynomial = 0.9511 - 0.1604 * k + 4.388 * k**2 - 16.638 * k**3 + 12.336 * k**4
    return np.where(k <= 0.22, 1.0 - 0.09 * k, np.where(k <= 0.80, polynomial, 0.165))


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
    first = _MINUTES * 30 + 60 * _MINUTES * np.arange(24 * 60 // _MINUTES)
    time = midnight.astype("datetime64[s]")[:, None] + first.astype("timedelta64[s]")
    sun = sun_position(time, latitude, longitude)
    sun *= sun[..., 2:] > 0.0
    direction = sun.reshape(*shape, -1, 3).mean(axis=2)
    facing = extraterrestrial_irradiance(time).reshape(*shape, -1).mean(axis=2)
    sine = direction[..., 2]
    seen = np.maximum(sine, LEAST_SINE)
    total = irradiance.double().numpy()
    if diffuse is None:
        straight = total * (1.0 - diffuse_share(np.clip(total / (facing * seen), 0.0, 1.0)))
    else:
        straight = np.clip(total - diffuse.double().numpy(), 0.0, None)
    straight = np.where(sine >= LEAST_SINE, straight, 0.0)
    vector = np.minimum(straight / seen, facing)[..., None] * direction
    return torch.from_numpy(vector.astype(np.float32))


def midnights(dates: Sequence[date], time_zone: str) -> np.ndarray:
    """UTC at which local days begin: (days,) datetime64.

    Raises:
        ValueError: a time zone that is not known.
    """
    try:
        zone: Any = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"time_zone: got {time_zone!r}, expected an IANA name") from error
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
    up = normal[:, 2]
    diffuse = torch.relu(irradiance - direct[..., 2:])
    straight = torch.relu(direct @ normal.T)
    sky, ground = 0.5 * (1.0 + up), 0.5 * GROUND_ALBEDO * (1.0 - up)
    return straight + diffuse * sky + irradiance * ground
