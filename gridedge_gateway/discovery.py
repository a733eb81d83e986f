"""How Home Assistant finds a customer's set-points: one retained message about all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import timedelta

from gridedge_gateway.file import Device

# Steps after which a set-point is out of date.
EXPIRY = 2


def discovery(
    name: str,
    devices: Iterable[Device],
    step: timedelta,
    set_points: str,
    availability: str,
) -> tuple[str, str]:
    """Topic and JSON of the message.

    Args:
        name: of the customer.
        devices: of the customer.
        step: of its clock.
        set_points: topic of the set-points.
        availability: topic of "online" and "offline".
    """
    # Home Assistant takes letters, digits, "_" and "-"; other names have other identities.
    plain = re.sub(rb"\W", lambda sign: b"-%02X" % ord(sign[0]), name.encode()).decode()
    identity = f"gridedge_{plain}"
    sensor = {"platform": "sensor", "expire_after": EXPIRY * int(step.total_seconds())}
    sensors = {}
    for device in devices:
        sensors[f"{device.name}_follows"] = {
            "name": f"{device.name} follows".replace("_", " "),
            "value_template": f"{{{{ value_json.follows.{device.name} }}}}",
        }
        sensors[f"{device.name}_power"] = {
            "name": f"{device.name} power".replace("_", " "),
            "device_class": "power",
            "unit_of_measurement": "kW",
            "value_template": f"{{{{ value_json.power.{device.name} }}}}",
        }
    message = {
        "device": {"identifiers": [identity], "name": name, "manufacturer": "GridEdge"},
        "origin": {"name": "gridedge-gateway"},
        "availability_topic": availability,
        "state_topic": set_points,
        "qos": 1,
        "components": {
            key: {**sensor, **own, "unique_id": f"{identity}.{key}"} for key, own in sensors.items()
        },
    }
    return f"homeassistant/device/{identity}/config", json.dumps(message, ensure_ascii=False)
