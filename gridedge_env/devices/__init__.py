"""Grid-edge devices, one file per kind, and the fleet that places them on a feeder."""

from gridedge_env.devices.fleet import KINDS, Fleet, build_fleet, default_home_scale

__all__ = ["KINDS", "Fleet", "build_fleet", "default_home_scale"]
