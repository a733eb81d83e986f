"""What is in a customer's file, in words."""

from __future__ import annotations

from collections.abc import Iterator

from gridedge_gateway.file import CustomerFile
from gridedge_gateway.published import PRICE_FORECAST
from gridedge_gateway.readings import OUTDOOR_TEMPERATURE, SERIES, VOLTAGE


def described(file: CustomerFile) -> Iterator[str]:
    """Lines."""
    case, customer = file.case, file.customer
    yield f"{customer['name']} at {customer['place']}, of {case['name']} (run {case['run'][:12]})"
    days = case["steps"] * case["step_minutes"] // (24 * 60)
    length = "a day" if days == 1 else f"{days} days"
    yield f"Steps of {case['step_minutes']} minutes, {length} in advance, {case['time_zone']}"
    yield f"Annual mean of all but the devices: {customer['mean_demand']:.3g} kW"
    yield "Devices:"
    for device in file.devices:
        inverter = f", inverter of {device.inverter_rating:.4g} kVA" * (device.inverter_rating > 0)
        yield f"  {device.name:<24} {device.full_power:.4g} kW{inverter}"
    yield "Readings:"
    optional = {
        f"{device.name}.{more.name}" for device in file.devices for more in device.readings[1:]
    }
    if not file.heats:
        optional.add(OUTDOOR_TEMPERATURE)
    for quantity in file.readable.values():
        of_voltage = f", nominal {customer['nominal_voltage']:.0f}" * (quantity.name == VOLTAGE)
        span = f"{quantity.lowest:g} to {quantity.highest:g}"
        word = ", optional" * (quantity.name in optional)
        yield f"  {quantity.name:<36} {quantity.unit}, {span}{of_voltage}{word}"
    yield "Published:"
    for name in file.series:
        unit = SERIES[name].unit
        unit = f"{case['currency']}/MWh" if unit == "per MWh" else unit
        word = ", optional: where none is known, the prices count" * (name == PRICE_FORECAST)
        yield f"  {name:<36} {unit}{word}"
