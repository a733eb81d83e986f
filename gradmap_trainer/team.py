"""Workers that train one run together: who has which agents and days, and what is exchanged.

Between two gradients nobody needs anybody: a worker has some of the *agents*, whose samples,
optimiser and inner loop are its own. Physics needs all agents, but no other day: a worker also has
some of the *days* of each batch, and plays and differentiates them with everybody's policies. In an
iteration

- what was seen and found on its days goes to the agents' workers (`Team.to_owners`),
- what agents have learned goes to everybody (`Team.gather`),
- sums over days, for multipliers and log, are added up (`Team.total`, `Team.every_day`).

It goes through the process group of `torch.distributed`, whoever has begun that, by gloo or NCCL.
Alone, nothing is sent, and what comes back is what was given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor


class WorkersFailed(RuntimeError):
    """Workers could not be had, or failed again and again."""


@dataclass(frozen=True)
class Team:
    """The workers, as one of them sees them.

    Attributes:
        rank: which of them this is. The first, 0, writes the log and decides when to stop.
        agents: each worker's.
        days: each worker's, of a batch.
    """

    rank: int
    agents: tuple[slice, ...]
    days: tuple[slice, ...]

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self.agents)

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes the log."""
        return self.rank == 0

    @property
    def own_agents(self) -> slice:
        """This worker's."""
        return self.agents[self.rank]

    @property
    def own_days(self) -> slice:
        """This worker's."""
        return self.days[self.rank]

    def to_owners(self, values: Tensor) -> Tensor:
        """Of all agents on the own days in, of the own agents on all days out.

        Args:
            values: (steps, own days, agents, entries).

        Returns:
            (steps, days, own agents, entries).
        """
        if self.size == 1:
            return values
        steps, _, _, entries = values.shape
        agents = _length(self.own_agents)
        parts = [values[:, :, theirs] for theirs in self.agents]
        shapes = [(steps, _length(theirs), agents, entries) for theirs in self.days]
        return torch.cat(_exchange(parts, shapes), dim=1)

    def gather(self, whole: Tensor) -> None:
        """Fill in the rows of the others' agents; the own ones are there.

        Args:
            whole: (agents, ...), changed in place.
        """
        if self.size == 1:
            return
        shapes = [whole[theirs].shape for theirs in self.agents]
        found = _exchange([whole[self.own_agents]] * self.size, shapes)
        for theirs, rows in zip(self.agents, found, strict=True):
            whole[theirs] = rows

    def every_day(self, values: Tensor) -> Tensor:
        """(own days, ...) of everybody: (days, ...)."""
        if self.size == 1:
            return values
        shapes = [(_length(theirs), *values.shape[1:]) for theirs in self.days]
        return torch.cat(_exchange([values] * self.size, shapes))

    def total(self, values: Tensor) -> Tensor:
        """The sum over all workers of their sums over days.

        Args:
            values: in double precision, in which a sum of a few single-precision numbers is exact
                unless they are a hundred million times apart: the result does not depend on who has
                which days.
        """
        if self.size > 1:
            torch.distributed.all_reduce(values)
        return values

    def agreed(self, value: float) -> float:
        """What the first worker says."""
        if self.size == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device="cpu")
        torch.distributed.broadcast(told, src=0)
        return float(told)

    def wait(self) -> None:
        """Until all workers are here: nobody has a sum before everybody has told a part of it."""
        self.total(torch.zeros(1, dtype=torch.float64, device="cpu"))


ALONE = Team(0, (slice(None),), (slice(None),))


def share_out(rank: int, size: int, agents: int, days: int) -> Team:
    """Agents and the days of a batch, shared out so that no two workers differ by more than one.

    Args:
        rank: of the worker whose view it is.
        size: workers.
        agents: of the fleet.
        days: of a batch.

    Raises:
        ValueError: more workers than there is something to do for.
    """
    for count, name in ((days, "batch_days"), (agents, "agents")):
        if size > count:
            raise ValueError(f"workers: got {size}, expected at most {count}, as many as {name}")
    return Team(rank, _parts(agents, size), _parts(days, size))


def _parts(count: int, size: int) -> tuple[slice, ...]:
    edges = [count * rank // size for rank in range(size + 1)]
    return tuple(map(slice, edges[:-1], edges[1:]))


def _length(part: slice) -> int:
    return part.stop - part.start


def _exchange(parts: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Send each worker its part; receive one of each, of these shapes."""
    told, heard = [part.numel() for part in parts], [math.prod(shape) for shape in shapes]
    sent, received = parts[0].new_empty(sum(told)), parts[0].new_empty(sum(heard))
    for place, part in zip(sent.split(told), parts, strict=True):
        place.view(part.shape).copy_(part)
    torch.distributed.all_to_all_single(received, sent, heard, told)
    found = zip(received.split(heard), shapes, strict=True)
    return [values.view(*shape) for values, shape in found]
