"""How well every feeder agrees with OpenDSS: the page docs/validation.md, or one model's row.

    python -m benchmarks.validation --models path/to/the/feeders
    python -m benchmarks.validation path/to/Master.dss

Every figure is measured in the run. OpenDSS solves each scenario at a tolerance of 1e-10 with its
controls off and its taps where the feeder's stand.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from benchmarks.machine import commit
from benchmarks.opendss import ComplexArray, OpenDSSModel
from gridedge_env import Feeder, PowerFlow, load_feeder
from gridedge_gateway import process

PAGE = Path(__file__).parents[1] / "docs" / "validation.md"
NOTES = Path(__file__).parent / "validation_notes.md"

BUILT_IN = {
    "ieee13": "13Bus/IEEE13Nodeckt.dss",
    "ieee37": "37Bus/ieee37.dss",
    "ieee123": "123Bus/IEEE123Master.dss",
    "european_lv": "LVTestCase/Master.dss",
}
IMPORTED = {
    "IEEE 4-bus, grounded wye–grounded wye": "4Bus-YY-Bal/4Bus-YY-Bal.DSS",
    "IEEE 4-bus, delta–grounded wye": "4Bus-DY-Bal/4Bus-DY-Bal.DSS",
    "IEEE 4-bus, open wye–open delta": "4Bus-OYOD-UnBal/4bus-OYOD-UnBal.dss",
}


@dataclass(frozen=True)
class Agreement:
    """Differences from OpenDSS over a set of scenarios.

    Attributes:
        scenarios: number of scenarios that both solved.
        unsolved: number that either did not.
        voltage: largest complex difference at any node, pu.
        mean_voltage: mean over nodes and scenarios of the difference in |V|, pu.
        magnitude: largest difference in |V|, pu.
        angle: largest difference in angle, degrees.
        current: largest difference of a branch current over the largest branch current.
        losses: largest difference of the losses over the base case's.
        single: largest complex difference in single precision, pu.
        iterations: most iterations needed in double precision.
        contraction: largest factor by which an iteration shrinks the error.
    """

    scenarios: int
    unsolved: int
    voltage: float
    mean_voltage: float
    magnitude: float
    angle: float
    current: float
    losses: float
    single: float
    iterations: int
    contraction: float


@dataclass(frozen=True)
class Validation:
    """What was found for one feeder; `gradient` is relative to the largest derivative."""

    name: str
    nodes: int
    injections: int
    base: Agreement
    scenarios: Agreement
    gradient_opendss: float
    gradient_own: float
    lowest_voltage: float
    highest_voltage: float


def main(
    model: Annotated[tuple[Path, ...], tyro.conf.Positional] = (),
    models: Path | None = None,
    scenarios: int = 200,
    seed: int = 0,
) -> None:
    """Compare feeders with OpenDSS.

    Args:
        model: master files of your own, each compared and printed.
        models: folder with the OpenDSS models of the built-in feeders: writes docs/validation.md.
        scenarios: random scenarios of each feeder.
        seed: of the scenarios.
    """
    torch.set_num_threads(1)
    if bool(model) == bool(models):
        raise SystemExit("expected either master files of your own or --models FOLDER")
    if models is None:
        pairs = [(path.stem, load_feeder(path), path) for path in model]
    else:
        pairs = [(name, load_feeder(name), models / path) for name, path in BUILT_IN.items()]
        pairs += [(n, load_feeder(models / path), models / path) for n, path in IMPORTED.items()]
    found = []
    for name, feeder, path in pairs:
        print(f"{name} ...", flush=True)
        found.append(validate(name, feeder, path, scenarios, seed))
    version = OpenDSSModel(pairs[0][2]).version
    text = page(found, scenarios, version)
    if models is None:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")
        print(f"written: {PAGE}")


def validate(name: str, feeder: Feeder, path: Path, scenarios: int, seed: int) -> Validation:
    """Compare one feeder with its OpenDSS model."""
    theirs, ours = OpenDSSModel(path), PowerFlow(feeder)
    theirs.set_taps(feeder.regulators)
    single = PowerFlow(feeder, dtype=torch.float32)
    nominal = ours.nominal_power[None]
    random = draw_scenarios(feeder, nominal, scenarios, np.random.default_rng(seed))
    varied = torch.tensor([name in theirs.load_names for name in ours.injection_names])
    random = torch.where(varied, random, nominal)  # generators and PV systems keep their power
    solved = ours.solve(random).voltage.abs()[:, ours.energised]
    return Validation(
        name=name,
        nodes=len(ours.node_names),
        injections=len(ours.injection_names),
        base=agreement(theirs, ours, single, nominal),
        scenarios=agreement(theirs, ours, single, random),
        gradient_opendss=gradient_difference(theirs, ours, varied, seed),
        gradient_own=gradient_difference(None, ours, varied, seed),
        lowest_voltage=float(solved.min()),
        highest_voltage=float(solved.max()),
    )


def draw_scenarios(
    feeder: Feeder, nominal: torch.Tensor, count: int, random: np.random.Generator
) -> torch.Tensor:
    """(count, injections) kVA: half plain, a quarter with strong export, a quarter unbalanced.

    Plain: every load at 0 to 1.5 of its nominal power. Export: half of the loads feed in up to 1.5
    of their real power instead, as PV does. Unbalance: 0 to 1.5 by the phase that a load begins at.
    """
    size = nominal.shape[1]
    phase = np.array([load.branches[0][0] for load in feeder.loads])
    plain = random.uniform(0.0, 1.5, (count, size))
    by_phase = random.uniform(0.0, 1.5, (count, 1 + phase.max()))[:, phase]
    export = np.where(random.random((count, size)) < 0.5, -plain, plain)
    kind = np.arange(count)[:, None] % 4
    real = np.select([kind < 2, kind == 2], [plain, export], by_phase)
    reactive = np.where(kind == 3, by_phase, plain)
    return torch.complex(nominal.real * torch.tensor(real), nominal.imag * torch.tensor(reactive))


def agreement(
    theirs: OpenDSSModel, ours: PowerFlow, single: PowerFlow, power: torch.Tensor
) -> Agreement:
    """Solve the same scenarios in both."""
    solution = ours.solve(power)
    base = 1e3 * np.array([b.base_kv for b in ours.feeder.buses for _ in b.phases])
    live = np.array(ours.energised)
    voltage = solution.voltage.numpy()[:, live]
    rounded = single.solve(power.to(torch.complex64)).voltage.to(torch.complex128).numpy()[:, live]
    current, losses = solution.branch_current.numpy(), solution.losses.numpy()
    rows: list[tuple[float, ...]] = []
    for k, converged in enumerate(solution.converged.tolist()):
        if not (theirs.solve(ours.injection_names, power[k].numpy()) and converged):
            continue
        reference = (theirs.voltage(ours.node_names) / base)[live]
        amperes = theirs.branch_current(ours.branch_names)
        rows.append(
            (
                _largest(voltage[k] - reference),
                float(np.mean(np.abs(np.abs(voltage[k]) - np.abs(reference)))),
                _largest(np.abs(voltage[k]) - np.abs(reference)),
                _largest_angle(voltage[k], reference),
                _largest(current[k] - amperes) / np.nanmax(np.abs(amperes)),
                abs(losses[k] - theirs.losses()),
                _largest(rounded[k] - reference),
            )
        )
    if not rows:
        raise SystemExit("no scenario was solved by both")
    columns = np.array(rows).T
    worst = columns.max(axis=1)
    return Agreement(
        scenarios=len(rows),
        unsolved=len(power) - len(rows),
        voltage=worst[0],
        mean_voltage=float(columns[1].mean()),
        magnitude=worst[2],
        angle=worst[3],
        current=worst[4],
        losses=worst[5] / max(float(ours.solve().losses), 1e-9),
        single=worst[6],
        iterations=int(solution.iterations.max()),
        contraction=contraction(ours, power),
    )


def contraction(flow: PowerFlow, power: torch.Tensor) -> float:
    """Largest ratio of successive changes of the device voltages, around the fifth iteration."""
    drawn = power[:, flow.space.injection] * flow.space.share
    branches = torch.cat((drawn.real, drawn.imag), dim=-1)
    steps = [flow.no_load(len(power))]
    for _ in range(6):
        steps.append(flow.sweep_branches(branches, steps[-1], 1))
    changes = [(b - a).norm(dim=-1) for a, b in zip(steps[-3:-1], steps[-2:], strict=True)]
    moving = changes[0] > 1e-12
    return float((changes[1] / changes[0])[moving].max()) if bool(moving.any()) else 0.0


def gradient_difference(
    theirs: OpenDSSModel | None, ours: PowerFlow, varied: torch.Tensor, seed: int
) -> float:
    """Difference of d|V| / dP and d|V| / dQ from central differences, over the largest of them.

    Of every node's voltage, in six loads, at the base case. Differences of fourth order with a step
    of 1 % of the load: OpenDSS's rounding of some 1e-12 pu over the step, and truncation of some
    h⁴ = 1e-8 where a feeder carries a single load near its limit, are both below 1e-6.

    Args:
        theirs: whose differences; None: our own solver's.
        ours: whose gradients.
        varied: (injections,) bool: which to choose from.
        seed: chooses the loads.
    """
    nominal = ours.nominal_power[None]
    base = 1e3 * np.array([b.base_kv for b in ours.feeder.buses for _ in b.phases])
    drawing = torch.nonzero(varied & (nominal[0].abs() > 0))[:, 0].numpy()
    chosen = np.random.default_rng(seed).permutation(drawing)[:6]

    def magnitude(power: torch.Tensor) -> NDArray[np.float64]:
        if theirs is None:
            return ours.solve(power).voltage_magnitude[0].numpy()
        theirs.solve(ours.injection_names, power[0].numpy())
        return np.abs(theirs.voltage(ours.node_names)) / base

    largest, worst = 0.0, 0.0
    for load in chosen.tolist():
        step = 0.01 * abs(complex(nominal[0, load]))
        for direction in (complex(step), complex(0, step)):
            tangent = torch.zeros_like(nominal)
            tangent[0, load] = direction  # type: ignore[assignment]  # complex
            near, far = (
                magnitude(nominal + k * tangent) - magnitude(nominal - k * tangent) for k in (1, 2)
            )
            difference = (8 * near - far) / (12 * step)
            exact = directional_derivative(ours, nominal, tangent / step)
            largest = max(largest, _largest(difference))
            worst = max(worst, _largest(exact - difference))
    return worst / largest if largest else float("nan")


def directional_derivative(
    flow: PowerFlow, power: torch.Tensor, tangent: torch.Tensor
) -> NDArray[np.float64]:
    """(nodes,) derivative of |V| along a change of power: one scenario for each node's gradient."""
    each = power.expand(len(flow.node_names), -1).clone().requires_grad_()
    magnitude = flow.solve(each).voltage_magnitude.diagonal()
    (gradient,) = torch.autograd.grad(magnitude.sum(), each)
    along = gradient.real * tangent.real + gradient.imag * tangent.imag
    return along.sum(dim=-1).numpy()


def _largest(values: NDArray[np.float64] | ComplexArray) -> float:
    return float(np.nanmax(np.abs(values)))


def _largest_angle(ours: ComplexArray, theirs: ComplexArray) -> float:
    # A neutral near zero has no angle to speak of.
    clear = np.abs(theirs) > 1e-3
    return _largest(np.angle(ours[clear] / theirs[clear], deg=True))


def page(found: Sequence[Validation], scenarios: int, version: str) -> str:
    """The Markdown page."""
    notes = NOTES.read_text(encoding="utf-8")
    tables = {
        "BASE": _table(
            (
                *("feeder", "nodes", "injections", "&#124;V&#124;", "V in single precision"),
                *("angle", "branch current", "losses", "iterations", "contraction"),
            ),
            [(f.name, f"{f.nodes:,}", f"{f.injections:,}", *_cells(f.base)) for f in found],
        ),
        "SCENARIOS": _table(
            (
                *("feeder", "scenarios", "voltages, pu", "&#124;V&#124;", "mean &#124;V&#124;"),
                *("V in single precision", "angle", "branch current", "losses"),
                *("iterations", "contraction"),
            ),
            [tuple(_scenario_cells(f)) for f in found],
        ),
        "GRADIENTS": _table(
            ("feeder", "against OpenDSS", "against our own solver"),
            [(f.name, f"{f.gradient_opendss:.1e}", f"{f.gradient_own:.1e}") for f in found],
        ),
    }
    for name, table in tables.items():
        notes = notes.replace(f"<!-- {name} -->", table)
    machine = f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
    return notes.replace("<!-- SCENARIO COUNT -->", str(scenarios)).replace(
        "<!-- RUN -->", f"{date.today():%d %B %Y}, commit {commit()}, {version}, {machine}"
    )


def _cells(a: Agreement) -> tuple[str, ...]:
    return (
        f"{a.magnitude:.1e} pu",
        f"{a.single:.1e} pu",
        f"{a.angle:.1e}°",
        f"{a.current:.1e}",
        f"{a.losses:.1e}",
        str(a.iterations),
        f"{a.contraction:.2f}",
    )


def _scenario_cells(f: Validation) -> Iterator[str]:
    a = f.scenarios
    magnitude, *others = _cells(a)
    yield f.name
    yield f"{a.scenarios}" + (f" (+{a.unsolved} unsolved)" if a.unsolved else "")
    yield f"{f.lowest_voltage:.2f}–{f.highest_voltage:.2f}"
    yield magnitude
    yield f"{a.mean_voltage:.1e} pu"
    yield from others


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    process.run(lambda: tyro.cli(main))
