"""Networks as kernels see them: plain tensors, and where these are in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Networks:
    """Stacked parameters of all agents' networks.

    Attributes:
        weights: (agents, units, fan in) each; the first layer has two, of private and of shared
            entries, every other layer has one.
        biases: (agents, units, 1) of all layers.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """All of them in the kernels' order."""
        return (*self.weights, *self.biases)

    @property
    def private_size(self) -> int:
        """Entries of an observation that are an agent's own."""
        return self.weights[0].shape[2]

    @property
    def shared_size(self) -> int:
        """Entries that are the same for all agents."""
        return self.weights[1].shape[2]

    @property
    def units(self) -> tuple[int, ...]:
        """Units of all layers; those of the last are the numbers per action."""
        return tuple(bias.shape[1] for bias in self.biases)


def addresses(tensors: Iterable[Tensor]) -> np.ndarray:
    """Where the numbers of tensors begin, (tensors,)."""
    return np.array([tensor.data_ptr() for tensor in tensors])
