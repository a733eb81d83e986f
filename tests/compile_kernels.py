"""Compile all kernels: `python -m tests.compile_kernels`.

They are kept on disk for all processes to come. Workers that begin together would each compile all
of them.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import torch

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.training import warm_up
from gridedge_env import CaseSettings, load_feeder
from gridedge_env.powerflow import PowerFlow, reduction


def compile_power_flow(dtype: torch.dtype) -> None:
    """Forwards and back, of few and of many scenarios."""
    flow = PowerFlow(load_feeder("ieee13"), dtype=dtype, backend="compiled")
    for batch in (1, 100):
        power = flow.nominal_power.expand(batch, -1).clone().requires_grad_()
        flow.solve(power).voltage_magnitude.sum().backward()


def compile_double_precision() -> None:
    """And what feeders too large for matrices need."""
    compile_power_flow(torch.float64)
    reduction.LARGEST_DENSE = 0
    flow = PowerFlow(load_feeder("ieee13"), backend="compiled")
    power = flow.nominal_power[None].clone().requires_grad_()
    flow.solve(power).losses.sum().backward()


def compile_single_precision() -> None:
    """And what training needs besides: the public plan and the inner loop."""
    compile_power_flow(torch.float32)
    case = CaseSettings(feeder="ieee13", num_agents=3, public_plan=True)
    config = TrainConfig(case=case, hidden_sizes=(6,))
    warm_up(config, config.make_simulator())


def main() -> None:
    """Either precision in a process of its own."""
    with ProcessPoolExecutor(2) as pool:
        for task in (
            pool.submit(compile_double_precision),
            pool.submit(compile_single_precision),
        ):
            task.result()


if __name__ == "__main__":
    main()
