"""Where the sun stands, and how much of its light comes straight from there."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

SOLAR_CONSTANT = 1361.0
"""W/m² on a plane that faces the sun, at its mean distance (Kopp & Lean, Geophysical Research
Letters 38, L01706, 2011)."""

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
    irradiance: Array,
    begin: NDArray[np.datetime64],
    minutes: int,
    latitude: float,
    longitude: float,
    diffuse: Array | None = None,
) -> Array:
    """Light that comes straight from the sun, as a vector that points to it.

    A plane whose normal is n gets `max(0, n @ vector)` of it, a horizontal one the third number;
    the rest of the global irradiance is diffuse. Where the sun is near the horizon, all is.

    Args:
        irradiance: W/m², global on the horizontal, mean over each step; of any shape.
        begin: UTC, of each step, of the same shape.
        minutes: length of a step.
        latitude: ° north.
        longitude: ° east.
        diffuse: W/m² likewise where it is measured; None: by Erbs's correlation.

    Returns:
        (..., 3) W/m² from the east, the north and above.
    """
    moments = np.arange(30 * _MINUTES, 60 * minutes, 60 * _MINUTES).astype("timedelta64[s]")
    time = begin.astype("datetime64[s]")[..., None] + moments
    sun = sun_position(time, latitude, longitude)
    sun *= sun[..., 2:] > 0.0
    direction = sun.mean(axis=-2)
    facing = extraterrestrial_irradiance(time).mean(axis=-1)
    sine = direction[..., 2]
    seen = np.maximum(sine, LEAST_SINE)
    if diffuse is None:
        clearness = np.clip(irradiance / (facing * seen), 0.0, 1.0)
        straight = irradiance * (1.0 - diffuse_share(clearness))
    else:
        straight = np.clip(irradiance - diffuse, 0.0, None)
    straight = np.where(sine >= LEAST_SINE, straight, 0.0)
    vector: Array = np.minimum(straight / seen, facing)[..., None] * direction
    return vector
