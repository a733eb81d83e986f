"""Power flows against OpenDSS's, load by load, inside the voltage band and outside."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.powerflow import PowerFlow

dss = pytest.importorskip("dss")

MASTER = {"ieee123": Path("123Bus") / "IEEE123Master.dss"}
# OpenDSS stops at changes of 1e-10 pu, which at contractions up to 0.7 leaves 2e-10; rounding in
# switches of 1e-6 ohm (1e6 S beside lines of 1 S, times 2e-16) leaves more of the 1e-8.
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


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("name", MASTER)
def test_random_loads(name: str, scenario: str, opendss_models: Path) -> None:
    feeder = load_feeder(name)
    power_flow = PowerFlow(feeder)
    nominal, scale = power_flow.nominal_power, torch.from_numpy(scales(scenario, len(feeder.loads)))
    power = torch.complex(nominal.real * scale.real, nominal.imag * scale.imag)
    solution = power_flow.solve(power[None])
    assert solution.converged.all()
    theirs = opendss_voltages(opendss_models / MASTER[name], feeder, power)
    assert np.abs(solution.voltage[0].numpy() - theirs).max() < TOLERANCE

    lowest, highest = solution.voltage_magnitude.aminmax()
    if "low" in scenario:  # the loads have indeed left their bands
        assert lowest < 0.9
    if scenario == "feeding in":
        assert highest > 1.1


def opendss_voltages(master: Path, feeder: Feeder, power: Tensor) -> np.ndarray:
    """(nodes,) complex, pu, in the feeder's order."""
    folder = Path.cwd()
    try:
        run(f'compile "{master}"')
    finally:
        os.chdir(folder)  # compiling changes it
    run(
        *(
            f"transformer.{r.transformer}.wdg={r.winding} tap={1 + 0.00625 * r.tap_position!r}"
            for r in feeder.regulators
        ),
        *(
            f"edit load.{load.name} kw={kva.real!r} kvar={kva.imag!r}"
            for load, kva in zip(feeder.loads, power.tolist(), strict=True)
        ),
        "set controlmode=off tolerance=1e-10 maxiterations=1000",
        "solve",
    )
    circuit: Any = dss.DSS.ActiveCircuit
    assert circuit.Solution.Converged
    volt = dict(
        zip(circuit.AllNodeNames, np.asarray(circuit.AllBusVolts).view(complex), strict=True)
    )
    base = {f"{b.name}.{phase}": 1e3 * b.base_kv for b in feeder.buses for phase in b.phases}
    return np.array([volt[node] / base[node] for node in feeder.node_names])


def run(*commands: str) -> None:
    for command in commands:
        dss.DSS.Text.Command = command
