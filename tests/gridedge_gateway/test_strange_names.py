"""Readings that nobody reads are answered, whoever they were for."""

from __future__ import annotations

import json

from tests.gridedge_gateway.test_mqtt import message, sent, served


def test_what_nobody_reads_is_told(battery_file):
    """On the topic for all, what any of its customers reads is none."""
    line = served(
        battery_file,
        message(volt=230),
        message(battery_state_of_charge=51),
        message("readings", volt=230),
        message("readings", **{"battery.state_of_charge": 52.0}),
    )
    expected = "expected one of meter_power, voltage, outdoor_temperature, battery.state_of_charge"
    told = [fault for (fault,) in sent(line, "faults")]
    assert [fault.partition(", expected")[0] for fault in told] == [
        "volt: not a reading of battery_0",
        "battery_state_of_charge: not a reading of battery_0",
    ]
    assert all(expected in fault for fault in told)
    (for_all,) = (json.loads(said) for topic, said, _ in line.sent if topic == "gridedge/faults")
    assert for_all[0].startswith("volt: not a reading of any customer here, expected")
    (set_point,) = sent(line, "set_point")
    assert set(told) <= set(set_point["reasons"])
