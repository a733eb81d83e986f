"""Settings of a case that are not the usual ones, for tests that every one of them is heeded."""

from __future__ import annotations

from typing import Any

OTHER_SETTINGS: dict[str, Any] = {
    "source_voltage": 1.02,
    "neutral_taps": False,
    "regulator_control": True,
    "keep_loads": True,
    "home_scale": 2.0,
    "reactive_power": True,
    "local_response": True,
    "penalty": 3.0,
    "public_plan": True,
}
