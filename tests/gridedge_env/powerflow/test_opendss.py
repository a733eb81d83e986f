"""Power flows against OpenDSS's, load by load, inside the voltage band and outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.opendss import OpenDSSModel
from benchmarks.validation import BUILT_IN, IMPORTED
from gridedge_env import PowerFlow, load_feeder

pytest.importorskip("dss")

# OpenDSS stops at changes of 1e-10 pu, which at contractions up to 0.7 leaves 2e-10; its rounding
# in floating parts, on antifloat shunts beside switches of 1e-6 ohm, leaves most of the 1e-8.
TOLERANCE = 1e-8

SCENARIOS = ["half", "uneven", "uneven other", "low voltages", "lower voltages", "feeding in"]


def scales(scenario: str, loads: int) -> np.ndarray:
    """(loads,) complex: factors of kW and of kvar, each load with its own."""
    random = np.random.default_rng(SCENARIOS.index(scenario))
    low, high = {
        "half": (0.5, 0.5),
        "uneven": (0.0, 2.0),
        "uneven other": (-0.5, 2.0),
        "low voltages": (1.5, 2.5),
        "lower voltages": (2.8, 3.2),
        "feeding in": (-2.0, -0.5),
    }[scenario]
    return random.uniform(low, high, loads) + 1j * random.uniform(low, high, loads)


# The 4-bus feeders carry their one load close to what the line can: OpenDSS finds no solution at
# more of it.
CASES = [
    (name, scenario)
    for name in (*BUILT_IN, *IMPORTED)
    for scenario in SCENARIOS
    if name in BUILT_IN or "low" not in scenario
]


@pytest.mark.parametrize(("name", "scenario"), CASES)
def test_random_loads(name: str, scenario: str, opendss_models: Path) -> None:
    master = opendss_models / (BUILT_IN | IMPORTED)[name]
    feeder = load_feeder(name if name in BUILT_IN else master)
    power_flow, model = PowerFlow(feeder), OpenDSSModel(master)
    model.set_taps(feeder.regulators)
    nominal, scale = power_flow.nominal_power, torch.from_numpy(scales(scenario, len(feeder.loads)))
    power = torch.complex(nominal.real * scale.real, nominal.imag * scale.imag)
    solution = power_flow.solve(power[None])
    assert solution.converged.all()
    assert model.solve(power_flow.injection_names, power.numpy())
    base = 1e3 * np.array([bus.base_kv for bus in feeder.buses for _ in bus.phases])
    theirs = model.voltage(feeder.node_names) / base
    assert np.abs(solution.voltage[0].numpy() - theirs).max() < TOLERANCE

    if name == "ieee123":  # the loads have indeed left their bands
        lowest, highest = solution.voltage_magnitude.aminmax()
        assert "low" not in scenario or lowest < 0.9
        assert scenario != "feeding in" or highest > 1.1
