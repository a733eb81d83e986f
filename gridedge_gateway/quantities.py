"""What can be read at a customer's home, under which name and in which range."""

from __future__ import annotations

from dataclasses import replace

from gridedge_gateway.file import CustomerFile
from gridedge_gateway.readings import METER_POWER, OUTDOOR_TEMPERATURE, Quantity


def readable_quantities(file: CustomerFile) -> dict[str, Quantity]:
    """By name: of the home, then of its devices."""
    nominal = file.customer["nominal_voltage"]
    voltage = Quantity("voltage", "V", 0.5 * nominal, 1.5 * nominal)
    own = (
        replace(reading, name=f"{device.name}.{reading.name}")
        for device in file.devices
        for reading in device.readings
    )
    return {
        quantity.name: quantity for quantity in (METER_POWER, voltage, OUTDOOR_TEMPERATURE, *own)
    }
