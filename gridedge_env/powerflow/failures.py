"""Which scenarios of a batch have no solution, why, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gridedge_env.powerflow.iteration import Status

# Failures that a message lists one by one.
LISTED = 10


@dataclass(frozen=True)
class Failure:
    """A scenario whose power flow did not converge.

    Attributes:
        scenario: its place in the batch.
        status: how its iteration ended.
        residual: largest change of a voltage in the last iteration, pu.
        iterations: how many there were.
        where: the injection whose voltage changed most then; after a collapse the one whose
            voltage is lowest.
    """

    scenario: int
    status: Status
    residual: float
    iterations: int
    where: str

    def __str__(self) -> str:
        worst = "lowest" if self.status is Status.COLLAPSED else "changing most"
        return (
            f"scenario {self.scenario}: {self.status.reason} (residual {self.residual:.1e} pu "
            f"after {self.iterations} iterations; the voltage at {self.where!r} is {worst})"
        )


class PowerFlowFailure(ValueError):
    """Scenarios without a solution. The others of the batch are right.

    Attributes:
        failures: one for every scenario that did not converge.
        batch: how many scenarios there were.
    """

    def __init__(self, failures: Sequence[Failure], batch: int) -> None:
        self.failures = tuple(failures)
        self.batch = batch
        lines = [f"{len(failures)} of {batch} power flows did not converge:"]
        lines += [f"  {failure}" for failure in failures[:LISTED]]
        if len(failures) > LISTED:
            lines.append(f"  and {len(failures) - LISTED} more")
        super().__init__("\n".join(lines))


def find_failures(
    status: Tensor,
    residual: Tensor,
    iterations: Tensor,
    voltage: Tensor,
    following: Tensor,
    injection_name: Sequence[str],
) -> list[Failure]:
    """The scenarios that did not converge, in order.

    Args:
        status: (batch,) a `Status` each.
        residual: (batch,) pu.
        iterations: (batch,).
        voltage: (batch, 2 branches) device voltages where the iteration ended, pu.
        following: (batch, 2 branches) what one more iteration makes of them.
        injection_name: (branches,) what each device branch belongs to.
    """
    failed = (status != Status.CONVERGED).nonzero()[:, 0]
    collapsed = status[failed] == Status.COLLAPSED
    change = _magnitude(following[failed] - voltage[failed])
    worst = torch.where(collapsed[:, None], -_magnitude(voltage[failed]), change).argmax(dim=-1)
    columns = (failed, status[failed], residual[failed], iterations[failed], worst)
    return [
        Failure(scenario, Status(code), size, count, injection_name[branch])
        for scenario, code, size, count, branch in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]


def _magnitude(vector: Tensor) -> Tensor:
    return torch.hypot(*vector.chunk(2, dim=-1))
