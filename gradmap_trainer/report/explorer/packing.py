"""Numbers of an evaluation in few bytes: a block of text for each day, which `data.js` reads.

All are whole multiples of a resolution. What follows from something else is kept as the little that
it differs by: a number from the one a step before; a meter from the same meter under the rule that
does least; what is stored from what the meter drew. These differences are compressed.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from gridedge_env.evaluation import TOLERANCE, Episode
from gridedge_env.limit import Limit

Whole = NDArray[np.int64]

# Of what is shown: kW, and shares of a device's range.
POWER, STORE = 0.05, 0.01
# Of what is limited, in units of its kind's `scale`.
LIMITED = 1 / 250
# Largest multiple, so that the difference of two has 16 bits.
MOST = 8_000


def block(numbers: bytes) -> str:
    """Bytes as text of a page."""
    return b64encode(zlib.compress(numbers, 9)).decode()


def day_block(arrays: Iterable[Whole]) -> str:
    """Arrays one after the other: the lower bytes of all numbers, then the upper ones.

    Raises:
        ValueError: a number of more than 16 bits, as of an evaluation that nobody has played.
    """
    flat = np.concatenate([array.ravel() for array in arrays])
    folded = np.where(flat < 0, -2 * flat - 1, 2 * flat)  # small ones stay small
    if folded.max(initial=0) >= 2**16:
        raise ValueError(
            f"evaluation: got a number that changes by {np.abs(flat).max()} units in a step, "
            f"expected at most {2**15 - 1}"
        )
    folded = folded.astype("<u2")
    return block(folded.view(np.uint8).reshape(-1, 2).T.tobytes())


def differences(numbers: Whole) -> Whole:
    """Of each step from the one before: from (days, steps, places) to (days, places, steps)."""
    return np.diff(numbers.swapaxes(1, 2), axis=-1, prepend=0)


def resolution(least: float, values: Iterable[np.ndarray]) -> float:
    """The least one, or a coarser one by which the largest value is no more than `MOST`."""
    return max(least, *(float(np.abs(array).max(initial=0.0)) / MOST for array in values))


def multiples(values: np.ndarray, unit: float) -> Whole:
    """The nearest multiples of a unit."""
    return np.rint(values.astype(np.float64) / unit).astype(np.int64)


def limited(kind: Limit, episode: Episode, unit: float) -> Whole:
    """Multiples of what is limited: (days, steps, places), on the side of the limit that it is on.

    They are within a unit of it, and nothing where a power flow has no solution.
    """
    values = np.where(episode.converged[..., None], episode.quantities[kind.name], 0.0)
    found = multiples(values, unit)
    low, high = kind.bounds
    if np.isfinite(high):
        last = int(np.floor(high / unit + 1e-6))
        out = values > high + TOLERANCE
        found = np.where(out, np.maximum(found, last + 1), np.minimum(found, last))
    if np.isfinite(low):
        first = int(np.ceil(low / unit - 1e-6))
        out = values < low - TOLERANCE
        found = np.where(out, np.minimum(found, first - 1), np.maximum(found, first))
    return found * episode.converged[..., None]


class Stores:
    """What devices have stored, as what their homes draw tells it.

    Beyond what they have at rest, `x`, it follows a step later from itself and from what the meter
    draws more, or less, than at rest, `p`: a x + b max(p, 0) + c min(p, 0). The factors are those
    of least squares; what they leave unexplained, in whole units, is kept.

    Attributes:
        unit: of what is shown.
        factors: (devices, 3) a, b and c.

    Args:
        episodes: by method.
        rest: the method under which every device does least.
        owner: (devices,) whose each is.
    """

    def __init__(self, episodes: Mapping[str, Episode], rest: str, owner: Whole) -> None:
        self._owner = owner
        self.unit = resolution(STORE, [episode.store for episode in episodes.values()])
        products = np.zeros((len(owner), 3, 3)) + 1e-9 * np.eye(3)
        targets = np.zeros((len(owner), 3))
        base = episodes[rest]
        for episode in episodes.values():
            beyond = episode.store.astype(np.float64) - base.store
            causes = self._causes(beyond, episode.power.astype(np.float64) - base.power)[:, :-1]
            products += np.einsum("dsni,dsnj->nij", causes, causes)
            targets += np.einsum("dsni,dsn->ni", causes, beyond[:, 1:])
        self.factors = np.linalg.solve(products, targets[..., None])[..., 0].round(6)

    def corrections(self, beyond: np.ndarray, drawn: np.ndarray) -> Whole:
        """What is added in each step, multiples of the unit: (days, devices, steps).

        Args:
            beyond: (days, steps, devices) what is stored more than at rest, as that is shown.
            drawn: (days, steps, agents) kW more than at rest, likewise.
        """
        found = np.zeros(beyond.shape, dtype=np.int64)
        expected = np.zeros_like(beyond[:, 0])
        for step in range(beyond.shape[1]):
            found[:, step] = multiples(beyond[:, step] - expected, self.unit)
            shown = expected + self.unit * found[:, step]
            expected = (self._causes(shown, drawn[:, step]) * self.factors).sum(axis=-1)
        return found.swapaxes(1, 2)

    def _causes(self, beyond: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        own = drawn[..., self._owner]
        return np.stack((beyond, np.maximum(own, 0.0), np.minimum(own, 0.0)), axis=-1)
