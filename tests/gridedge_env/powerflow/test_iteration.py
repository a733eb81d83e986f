"""Fixed points of maps whose solution and spectrum are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from gridedge_env.powerflow.iteration import BatchedMap, Settled, Status, settle

SIZE = 40
TOLERANCE = 1e-11

# Eigenvalues of the maps' linear part. A load that takes part of a network's capacity has positive
# ones, feeding in has negative ones, and reactance between them turns them.
SPECTRA = {
    "fast": torch.linspace(-0.1, 0.1, SIZE),
    "8,500 nodes": torch.linspace(-0.3, 0.58, SIZE),
    "heavy": torch.cat((torch.linspace(-0.3, 0.5, SIZE - 2), torch.tensor([0.8, 0.9]))),
    "near the nose": torch.cat((torch.linspace(-0.3, 0.5, SIZE - 2), torch.tensor([0.8, 0.99]))),
    "expanding": torch.cat((torch.linspace(-0.5, 0.5, SIZE - 3), torch.tensor([-1.5, -1.2, -0.9]))),
    "spread": torch.linspace(-1.5, 0.5, SIZE),
    "turning": torch.polar(
        torch.linspace(0.1, 1.2, SIZE // 2), torch.linspace(0.6, math.pi, SIZE // 2)
    ),
}


@dataclass(frozen=True)
class Affine:
    """x -> A x + b, which keeps a list of how many scenarios were evaluated each time."""

    matrix: Tensor
    offset: Tensor
    evaluated: list[int] = field(default_factory=list)

    def __call__(self, value: Tensor) -> Tensor:
        self.evaluated.append(len(value))
        return self.offset + (self.matrix @ value[:, :, None])[:, :, 0]

    def take(self, index: Tensor) -> Affine:
        return Affine(self.matrix[index], self.offset[index], self.evaluated)

    def solution(self) -> Tensor:
        unit = torch.eye(self.offset.shape[1], dtype=self.offset.dtype)
        return torch.linalg.solve(unit - self.matrix, self.offset)


def affine(*names: str) -> Affine:
    """One scenario for each name, of a normal matrix: A = Q D Q^T, 2 x 2 blocks for pairs."""
    random = torch.Generator().manual_seed(0)
    matrices = []
    for name in names:
        spectrum = SPECTRA[name].to(torch.complex128)
        blocks = [torch.tensor([[z.real, -z.imag], [z.imag, z.real]]) for z in spectrum.tolist()]
        diagonal = (
            torch.block_diag(*blocks) if name == "turning" else torch.diag(spectrum.real)
        ).double()
        turn = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=random, dtype=torch.float64))[0]
        matrices.append(turn @ diagonal @ turn.T)
    offset = torch.randn(len(names), SIZE, generator=random, dtype=torch.float64)
    return Affine(torch.stack(matrices), offset)


def error_bound(name: str) -> float:
    """Largest error of a component of f(x) where no component of f(x) - x = r exceeds TOLERANCE.

    f(x) - x* = A (A - I)^-1 r, of a normal A: at most |a / (1 - a)| √SIZE TOLERANCE.
    """
    spectrum = SPECTRA[name]
    return float((spectrum / (1.0 - spectrum)).abs().max()) * math.sqrt(SIZE) * TOLERANCE


def settled(
    function: BatchedMap, start: Tensor, maximum_iterations: int = 100, check: bool = True
) -> Settled:
    tolerance = torch.full_like(start[:, 0], TOLERANCE)
    return settle(function, start, tolerance, maximum_iterations, check)


@pytest.mark.parametrize("name", SPECTRA)
def test_the_solution_of_a_linear_map(name: str) -> None:
    function = affine(name)
    found = settled(function, torch.zeros_like(function.offset))
    assert found.status.tolist() == [Status.CONVERGED]
    assert (found.value - function.solution()).abs().max() < error_bound(name)
    assert found.residual <= TOLERANCE
    assert found.iterations == len(function.evaluated)
    # Sweeps alone need log(TOLERANCE) / log(radius): 46 at 0.58, 240 at 0.9, 2,500 at 0.99.
    assert found.iterations <= {"fast": 12, "8,500 nodes": 25}.get(name, 45)


def test_where_sweeps_contract_well_there_are_only_sweeps() -> None:
    function = affine("fast", "fast", "fast")
    start = function.solution()
    start[1:] += torch.tensor([[1e-6], [1.0]], dtype=torch.float64)
    found = settled(function, start)
    value, needed = start, []
    while len(needed) < 3:
        value, previous = function(value), value
        change = (value - previous).abs().amax(dim=1)
        needed += [
            found.iterations[k].item() for k in range(len(needed), 3) if change[k] < TOLERANCE
        ]
    assert found.status.tolist() == [Status.CONVERGED] * 3
    assert found.iterations.tolist() == needed
    assert needed[0] == 1
    assert torch.equal(found.value, value)


def test_scenarios_do_not_see_each_other() -> None:
    """Only the number of sweeps before the mixing may differ: each is right by itself."""
    names = list(SPECTRA)
    together = affine(*names)
    start = torch.zeros_like(together.offset)
    found = settled(together, start)
    assert not found.status.any()
    for k, name in enumerate(names):
        alone = settled(together.take(torch.tensor([k])), start[:1])
        assert (found.value[k] - alone.value[0]).abs().max() < 2.0 * error_bound(name)


@dataclass(frozen=True)
class Sending:
    """x -> 1 - p / x: the voltage behind a unit resistance that draws a power p."""

    power: Tensor

    def __call__(self, value: Tensor) -> Tensor:
        return 1.0 - self.power / value

    def take(self, index: Tensor) -> Sending:
        return Sending(self.power[index])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_close_to_the_nose_and_beyond(dtype: torch.dtype) -> None:
    """x² - x + p = 0: x = (1 + √(1 - 4 p)) / 2, and no real solution above p = 1/4.

    There f' = p / x² = (1 - √) / (1 + √). At p = 0.2499 it is 0.98 / 1.02, and an error is 25 times
    the change. From x = 1, sweeps approach the larger solution from above.
    """
    power = torch.tensor([[0.1], [0.24], [0.2499], [0.26], [1.0], [-6.0], [-1e4]], dtype=dtype)
    tolerance = torch.full((7,), 16.0 * torch.finfo(dtype).eps, dtype=dtype)
    tolerance[-1] *= 100.0  # of a solution of 100.5
    found = settle(Sending(power), torch.ones_like(power), tolerance, 100, True)
    assert (found.status == Status.CONVERGED).tolist() == [True] * 3 + [False] * 2 + [True] * 2
    assert found.status[3:5].tolist() == [Status.DIVERGED] * 2
    has = found.status == Status.CONVERGED
    exact = (1.0 + (1.0 - 4.0 * power[has].double()).sqrt()) / 2.0
    assert ((found.value[has] - exact)[:, 0].abs() <= 30.0 * tolerance[has]).all()


def test_one_without_a_solution_costs_little_and_disturbs_nobody() -> None:
    """x -> x + 1 has no fixed point."""
    good = affine("fast", "heavy", "fast")
    matrix, offset = good.matrix.clone(), good.offset.clone()
    matrix[2], offset[2] = torch.eye(SIZE), 1.0
    function = Affine(matrix, offset)
    start = torch.zeros_like(offset)
    found = settled(function, start)
    assert found.status.tolist() == [Status.CONVERGED, Status.CONVERGED, Status.DIVERGED]
    assert found.residual[2] == 1.0
    assert found.value.isfinite().all()
    for k, name in ((0, "fast"), (1, "heavy")):
        exact = good.take(torch.tensor([k])).solution()[0]
        assert (found.value[k] - exact).abs().max() < error_bound(name)
    # The batch is whole for as long as it takes the fast scenario, and for 8 sweeps at least.
    sweeps = function.evaluated.count(3)
    assert sweeps == max(8, found.iterations[0].item())
    assert found.iterations[2] < 50
    assert len(function.evaluated) == found.iterations.max()


def overflowing(value: Tensor) -> Tensor:
    return value**2 + 1.0


@pytest.mark.parametrize("function", [overflowing, torch.log])
def test_what_leaves_the_numbers_is_given_up(function: Callable[[Tensor], Tensor]) -> None:
    """x² + 1 grows past 1e308 in 10 steps; log x turns negative, then not a number."""

    class Map:
        def __call__(self, value: Tensor) -> Tensor:
            return function(value)

        def take(self, index: Tensor) -> Map:
            return self

    found = settled(Map(), torch.full((1, 1), 2.0, dtype=torch.float64))
    assert found.status.tolist() == [Status.DIVERGED]
    assert found.iterations < 50


def test_too_few_iterations() -> None:
    function = affine("8,500 nodes", "fast")
    found = settled(function, torch.zeros_like(function.offset), maximum_iterations=20)
    assert found.status.tolist() == [Status.ITERATION_LIMIT, Status.CONVERGED]
    assert found.iterations[0] == len(function.evaluated) == 20
    assert TOLERANCE < found.residual[0] < 1e-2


@pytest.mark.parametrize("maximum", [5, 40])
def test_a_fixed_number_of_sweeps(maximum: int) -> None:
    """Without a look at the results there is nothing but sweeps, of all scenarios."""
    function = affine("fast", "heavy", "expanding")
    start = torch.zeros_like(function.offset)
    found = settled(function, start, maximum, check=False)
    assert function.evaluated == [3] * maximum
    value = start
    for _ in range(maximum):
        value = function(value)
    assert torch.equal(found.value, value)
    fast = Status.CONVERGED if maximum == 40 else Status.ITERATION_LIMIT
    assert found.status.tolist() == [fast, Status.ITERATION_LIMIT, Status.DIVERGED]
    adaptive = settled(affine("fast"), start[:1])
    assert found.iterations[0] == min(maximum, adaptive.iterations[0].item())
    assert found.iterations[1:].tolist() == [maximum] * 2


def test_no_scenario_at_all() -> None:
    function = affine("fast").take(torch.zeros(0, dtype=torch.long))
    found = settled(function, function.offset)
    assert found.value.shape == (0, SIZE)
    assert found.status.shape == (0,)
