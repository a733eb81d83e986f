"""The same numbers on a GPU as on the CPU; skipped where there is none."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
import torch

import gridedge_env
from gradmap_trainer.config import TrainConfig
from gradmap_trainer.gradmap import iterate, make_learner

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def moved(value: Any, device: str) -> Any:
    """A record with all its tensors on another device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if is_dataclass(value):
        return replace(
            value, **{f.name: moved(getattr(value, f.name), device) for f in fields(value)}
        )
    return value


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_a_day_and_its_gradient(dtype: torch.dtype, tolerance: float) -> None:
    """Relative to the largest: the solver's tolerance (1e-11, 2e-6 pu), and its condition."""
    state, outcomes = None, []
    for device in ("cpu", "cuda"):
        simulator = gridedge_env.make_simulator(
            num_agents=12, home_scale=20.0, device=device, dtype=dtype
        )
        # Generators of different devices draw different days: play the CPU's on both.
        state = simulator.reset(3, seed=1) if state is None else moved(state, device)
        actions = torch.full((48, 3, 12, 1), 0.4, device=device, dtype=dtype, requires_grad=True)
        result = simulator.simulate(state, actions)
        (result.cost.sum() + result.violation.sum()).backward()
        assert result.converged.all()
        assert actions.grad is not None
        outcomes.append((result.voltage_magnitude.detach().cpu(), actions.grad.cpu()))
    for on_cpu, on_gpu in zip(*outcomes, strict=True):
        assert (on_cpu - on_gpu).abs().max() <= tolerance * on_cpu.abs().max()


def test_training_runs_there() -> None:
    config = TrainConfig(num_agents=30, batch_days=2, iterations=2, device="cuda")
    simulator = config.make_simulator()
    learner = make_learner(config, simulator)
    for _ in range(2):
        learner, row = iterate(config, simulator, learner)
    assert row["nonconverged"] == 0.0
    assert all(value.is_cuda for value in learner.policies.parameters())
