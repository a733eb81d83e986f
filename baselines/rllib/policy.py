"""What RLlib has learned, as a decentralised policy that anything in the project can play."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from torch import Tensor

from baselines.rllib.algorithm import modules_of
from baselines.rllib.config import RLConfig
from gridedge_env.reference import Policy
from gridedge_env.simulator import Simulator


def fleet_policy(
    config: RLConfig, simulator: Simulator, find_module: Callable[[str], Any]
) -> Policy:
    """What the modules decide, without exploration.

    Args:
        config: of their training.
        simulator: its case.
        find_module: from a name to RLlib's module.
    """
    if config.policies in ("joint", "shared"):
        return find_module(DEFAULT_MODULE_ID).actor
    agents: dict[str, list[int]] = {}
    for row, module in enumerate(modules_of(config, simulator).values()):
        agents.setdefault(module, []).append(row)
    return ModulePolicy(
        {name: find_module(name) for name in agents},
        {name: torch.tensor(rows, dtype=torch.long, device="cpu") for name, rows in agents.items()},
        simulator.action_size,
    )


@dataclass(frozen=True)
class ModulePolicy:
    """RLlib's own modules, each deciding for its agents by the mean of its Gaussian.

    Attributes:
        modules: by name.
        agents: rows of the agents that each decides for.
        action_size: numbers per action.
    """

    modules: Mapping[str, Any]
    agents: Mapping[str, Tensor]
    action_size: int

    def __call__(self, private: Tensor, shared: Tensor) -> Tensor:
        """See `gridedge_env.reference.Policy`."""
        batch, count = private.shape[:2]
        observation = torch.cat((private, shared[:, None].expand(-1, count, -1)), dim=-1)
        action = private.new_zeros(batch, count, self.action_size)
        for name, rows in self.agents.items():
            own = {Columns.OBS: observation[:, rows].flatten(0, 1)}
            inputs = self.modules[name].forward_inference(own)[Columns.ACTION_DIST_INPUTS]
            means = inputs[:, : self.action_size].clamp(-1.0, 1.0)
            action[:, rows] = means.unflatten(0, (batch, len(rows)))
        return action
