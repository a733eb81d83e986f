"""The same numbers on a GPU as on the CPU; skipped where there is none.

Written for unittest, which a bare GPU machine has: `python tests/test_gpu.py`.
"""

from __future__ import annotations

import unittest
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

import gridedge_env
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import iterate, make_learner
from gridedge_env.case import CaseSettings
from gridedge_env.powerflow import FixedPoint
from gridedge_env.state import SimulatorState

# Relative to the largest number: the solver's tolerance (1e-11, 2e-6 pu), and its condition.
TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4}


@unittest.skipUnless(torch.cuda.is_available(), "needs a CUDA device")
class TestGpu(unittest.TestCase):
    def test_every_feeder(self) -> None:
        """At its own loads, scaled by 0.2 to 1.2, in a batch of 64."""
        for feeder in ("ieee13", "ieee37", "ieee123", "european_lv"):
            for dtype, tolerance in TOLERANCES.items():
                with self.subTest(feeder=feeder, dtype=dtype):
                    outcomes = []
                    for device in ("cpu", "cuda"):
                        power_flow = gridedge_env.PowerFlow(
                            gridedge_env.load_feeder(feeder), device=device, dtype=dtype
                        )
                        loading = torch.linspace(0.2, 1.2, 64, device=device, dtype=dtype)
                        solution = power_flow.solve(loading[:, None] * power_flow.nominal_power)
                        assert solution.converged.all()
                        outcomes.append(solution.voltage.cpu())
                    assert_near(outcomes, tolerance)

    def test_a_day_and_its_gradient(self) -> None:
        for dtype, tolerance in TOLERANCES.items():
            with self.subTest(dtype=dtype):
                state: SimulatorState | None = None
                voltages, gradients = [], []
                for device in ("cpu", "cuda"):
                    simulator = gridedge_env.make_simulator(
                        num_agents=12, home_scale=20.0, device=device, dtype=dtype
                    )
                    # Generators of different devices draw different days: play the CPU's on both.
                    state = simulator.reset(3, seed=1) if state is None else moved(state, device)
                    actions = torch.full((48, 3, 12, 1), 0.4, device=device, dtype=dtype)
                    actions.requires_grad_()
                    result = simulator.simulate(state, actions)
                    (result.cost.sum() + result.violation.sum()).backward()
                    assert result.converged.all()
                    assert actions.grad is not None
                    voltages.append(result.voltage_magnitude.detach().cpu())
                    gradients.append(actions.grad.cpu())
                assert_near(voltages, tolerance)
                assert_near(gradients, tolerance)

    def test_the_residual_tells_what_a_fixed_number_of_iterations_did_not_settle(self) -> None:
        """After two sweeps of the hundredfold load nothing has settled, and it says so."""
        hurried = FixedPoint(1e-11, 2, False)
        power_flow = gridedge_env.PowerFlow(
            gridedge_env.load_feeder("ieee13"), device="cuda", settings=hurried
        )
        solution = power_flow.solve(
            torch.stack((0.0 * power_flow.nominal_power, 100.0 * power_flow.nominal_power))
        )
        assert solution.residual[1] > 1e-11
        assert not solution.converged[1]
        assert solution.voltage.isfinite().all()

    def test_coarse_products_are_refused(self) -> None:
        power_flow = gridedge_env.PowerFlow(
            gridedge_env.load_feeder("ieee13"), device="cuda", dtype=torch.float32
        )
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            with self.assertRaisesRegex(ValueError, "float32_matmul_precision"):  # noqa: PT027
                power_flow.solve()
        finally:
            torch.set_float32_matmul_precision(before)

    def test_training_runs_there(self) -> None:
        config = TrainConfig(
            case=CaseSettings(num_agents=30), batch_days=2, iterations=2, device="cuda"
        )
        simulator = config.make_simulator()
        learner = make_learner(config, simulator)
        for _ in range(2):
            learner, row = iterate(config, simulator, learner)
        assert row["nonconverged"] == 0.0
        assert all(value.is_cuda for value in learner.policies.parameters())


def moved(value: Any, device: str) -> Any:
    """A record with all its tensors on another device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: moved(getattr(value, f.name), device) for f in fields(value)}
        )
    return value


def assert_near(found: list[Tensor], tolerance: float) -> None:
    """Differences between CPU and GPU over the largest number."""
    on_cpu, on_gpu = found
    assert (on_cpu - on_gpu).abs().max() <= tolerance * on_cpu.abs().max()


if __name__ == "__main__":
    unittest.main()
