"""Simulators small enough for every test of their physics."""

from __future__ import annotations

import pytest
import torch

from gridedge_env import Simulator, make_simulator
from gridedge_env.constraints import Limits
from gridedge_env.powerflow import FixedPoint


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    """Twelve large sites on IEEE 123 in double precision, four of each kind."""
    return make_simulator(num_agents=12, dtype=torch.float64)


@pytest.fixture(scope="session")
def exact_simulator() -> Simulator:
    """Nine large sites and narrow limits, solved to rounding for finite differences."""
    limits = Limits(0.98, 1.02, maximum_loading=0.4, maximum_unbalance=0.008)
    simulator = make_simulator(num_agents=9, dtype=torch.float64, home_scale=30.0, limits=limits)
    simulator.power_flow.settings = FixedPoint(1e-14, 200, check_convergence=True)
    return simulator
