"""Every option of a case with a value that is not the usual one, for tests that each is heeded."""

from __future__ import annotations

from typing import Any

from gridedge_env.scenarios import Flat, Tariff

# As gradmap-train is told it, the field of `CaseSettings` that it is, and its value there.
CASE_OPTIONS: list[tuple[str, str, Any]] = [
    ("--feeder ieee37", "feeder", "ieee37"),
    ("--num-agents 7", "num_agents", 7),
    ("--seed 3", "seed", 3),
    ("--step-minutes 15", "step_minutes", 15),
    ("--source-voltage 1.02", "source_voltage", 1.02),
    ("--no-neutral-taps", "neutral_taps", False),
    ("--regulator-control", "regulator_control", True),
    ("--keep-loads", "keep_loads", True),
    ("--home-scale 2.5", "home_scale", 2.5),
    ("--reactive-power", "reactive_power", True),
    ("--local-response", "local_response", True),
    ("--penalty 10", "penalty", 10.0),
    ("--public-plan", "public_plan", True),
    ("--tariff.imports flat price=0.3", "tariff", Tariff(Flat(0.3))),
    ("--limits maximum_voltage 1.04", "limits", {"maximum_voltage": 1.04}),
    ("--mix heat_pump 0.5 pv_inverter 0.5", "mix", {"heat_pump": 0.5, "pv_inverter": 0.5}),
    ("--demand meters.csv", "demand", "meters.csv"),
    ("--demand-unit W", "demand_unit", "W"),
    ("--time-zone Europe/Berlin", "time_zone", "Europe/Berlin"),
]
OTHER_SETTINGS: dict[str, Any] = {field: value for _, field, value in CASE_OPTIONS}
