"""The networks' outputs by the compiled kernel, without gradients."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from gradmap_trainer.kernels.networks import Networks, addresses
from gridedge_env.compiled.running import numba_is_there, run_blocks


def can_compute(networks: Networks, private: Tensor, shared: Tensor) -> bool:
    """Whether kernels can do what `Policies.outputs` does for these observations.

    Kernels do not look where they read: what does not fit is for PyTorch to complain about.
    """
    agents = len(networks.biases[0])
    return (
        numba_is_there()
        and all(x.dtype == torch.float32 and x.device.type == "cpu" for x in (private, shared))
        and all(x.dtype == torch.float32 and x.is_contiguous() for x in networks.parameters)
        and private.shape == (agents, networks.private_size, shared.shape[1])
        and len(shared) == networks.shared_size
    )


def network_outputs(networks: Networks, private: Tensor, shared: Tensor) -> Tensor:
    """See `Policies.outputs`."""
    from gradmap_trainer.kernels.outputs_kernel import outputs

    parameters = networks.parameters
    tensors, places = _units_in_turn(tuple(tuple(p.shape[1:]) for p in parameters))
    agents, _, samples = private.shape
    result = torch.empty(
        agents, networks.units[-1], samples, dtype=torch.float32, device=private.device
    )
    run_blocks(
        outputs,
        agents,
        addresses(parameters),
        tensors,
        places,
        private.detach().contiguous().numpy(),
        shared.detach().contiguous().numpy(),
        result.numpy(),
    )
    return result


@cache
def _units_in_turn(shapes: tuple[tuple[int, int], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Tables `tensors` and `places` of the kernel for parameters (units, columns)."""
    from gridedge_env.compiled.networks import BLOCK

    places = [np.arange(max(columns for _, columns in shapes))]
    tensors = []
    for units, columns in shapes:
        tensors.append((units, columns, sum(map(len, places))))
        places.append(np.resize(np.arange(units) * columns, -(-units // BLOCK) * BLOCK))
    return np.array(tensors), np.concatenate(places)
