"""Grid-edge devices, one file per kind, and the fleet of those who own them."""

from gridedge_env.devices.fleet import DeviceGroup, Devices, Fleet, make_fleet
from gridedge_env.devices.kind import DeviceKind
from gridedge_env.devices.kinds import KINDS
from gridedge_env.devices.sampling import (
    default_counts,
    default_home_scale,
    mixed_counts,
    sample_fleet,
    sample_places,
)

__all__ = [
    "KINDS",
    "DeviceGroup",
    "DeviceKind",
    "Devices",
    "Fleet",
    "default_counts",
    "default_home_scale",
    "make_fleet",
    "mixed_counts",
    "sample_fleet",
    "sample_places",
]
