"""The registry of device kinds. To add one, write its file and name it here."""

from __future__ import annotations

from typing import Any

from gridedge_env.devices.battery import BATTERY
from gridedge_env.devices.ev_charger import EV_CHARGER
from gridedge_env.devices.generator import GENERATOR
from gridedge_env.devices.heat_pump import HEAT_PUMP
from gridedge_env.devices.kind import DeviceKind
from gridedge_env.devices.pv_inverter import PV_INVERTER

KINDS: dict[str, DeviceKind[Any, Any]] = {
    kind.name: kind for kind in (BATTERY, HEAT_PUMP, GENERATOR, EV_CHARGER, PV_INVERTER)
}
"""The kinds of device by name, in the order in which fleets hold them."""
