"""Microseconds a power flow, over feeders, batches and precisions; forward, and with gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.records import Cell, Measurement, Spread, Table, Target
from benchmarks.suite import Settings
from benchmarks.timing import repeated, take_turns, threads
from gridedge_env import PowerFlow, load_feeder

FEEDERS = ("ieee13", "ieee37", "ieee123", "european_lv")  # by size
# Among them what an iteration of training solves: 8 days of 48 steps.
BATCHES: tuple[int, ...] = (1, 64, 384, 1024, 8192)
MORE_ON_A_GPU = (65536,)
PRECISIONS = {"single": torch.float32, "double": torch.float64}
MICROSECONDS = 1e6

# IEEE 123, batch of 64 and more, one core: microseconds forward with gradients.
MOST_SINGLE, MOST_DOUBLE = 3.5, 6.0
LEAST_ON_A_GPU = 10.0  # million flows a second forward, single precision


def measure(settings: Settings) -> Measurement:
    """Every built-in feeder on one core, and IEEE 123 on all that are used."""
    batches = BATCHES[:2] if settings.quick else BATCHES
    on_cpu = settings.device.type == "cpu"
    if not on_cpu:
        batches += MORE_ON_A_GPU
    with threads(1):
        found = {feeder: _feeder(feeder, batches, settings) for feeder in FEEDERS}
    where = "one core" if on_cpu else str(settings.device)
    tables = [
        Table(f"{feeder}, {found[feeder][0]:,} nodes, µs a flow on {where}.", _HEADER, rows)
        for feeder, (_, rows) in found.items()
    ]
    if on_cpu and settings.threads > 1:
        caption = f"ieee123 on {settings.where}, µs a flow."
        tables.append(Table(caption, _HEADER, _feeder("ieee123", batches[1:], settings)[1]))
    return Measurement(
        "power_flow",
        "Every load at 0.5 to 1.5 of its nominal power, at random; powers in, voltages of all "
        "nodes out. “With gradients”: forward, and the gradient of a random function of the "
        "voltages with respect to all powers. To the solver's own tolerance: "
        + _tolerances(settings.device)
        + ".",
        tuple(tables),
        _targets(found["ieee123"][1], batches, on_cpu),
        (SKIPPED,) if any("–" in row for table in tables for row in table.rows) else (),
    )


_HEADER = ("batch", *(f"{p}, {way}" for p in PRECISIONS for way in ("forward", "with gradients")))
SKIPPED = "–: left out, since it would have taken longer than all others together."


def _feeder(
    name: str, batches: tuple[int, ...], settings: Settings
) -> tuple[int, tuple[tuple[Cell, ...], ...]]:
    """Number of nodes, and a row for each batch."""
    feeder = load_feeder(name)
    flows = {p: PowerFlow(feeder, None, settings.device, t) for p, t in PRECISIONS.items()}
    rows: list[tuple[Cell, ...]] = []
    expected, limit = 0.0, settings.either(3.0, 0.5)  # seconds for a round
    for batch in batches:
        if expected * batch > limit:
            rows.append((batch, *("–" for _ in _HEADER[1:])))
            continue
        samplers = {}
        for precision, flow in flows.items():
            power = draw_power(flow, batch)
            samplers[f"{precision}, forward"] = repeated(forward(flow, power), settings.device)
            samplers[f"{precision}, with gradients"] = repeated(
                with_gradients(flow, power), settings.device
            )
        samples = take_turns(samplers, settings.either(2.0, 0.0))
        spreads = {name: Spread.of(s, MICROSECONDS / batch) for name, s in samples.items()}
        rows.append((batch, *(spreads[name] for name in _HEADER[1:])))
        if batch > 1:  # a single flow says little of many
            expected = sum(spread.median for spread in spreads.values()) / MICROSECONDS
    return len(feeder.node_names), tuple(rows)


def draw_power(flow: PowerFlow, batch: int, seed: int = 0) -> Tensor:
    """(batch, injections) complex kVA: 0.5 to 1.5 of nominal, each load by itself."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, len(flow.nominal_power))
    factor = 0.5 + torch.rand(shape, generator=generator, dtype=torch.float64)
    return flow.nominal_power * factor.to(flow.device, flow.dtype)


def forward(flow: PowerFlow, power: Tensor) -> Callable[[], Tensor]:
    """Work: node voltages of these powers."""

    @torch.no_grad()
    def work() -> Tensor:
        return flow.solve(power).voltage

    return work


def with_gradients(flow: PowerFlow, power: Tensor) -> Callable[[], Tensor]:
    """Work: node voltages, and the gradient of their product with a random direction."""
    generator = torch.Generator().manual_seed(1)
    shape = (len(power), len(flow.node_names))
    direction = torch.randn(shape, generator=generator, dtype=torch.complex128)
    direction = direction.to(flow.device, power.dtype)
    leaf = power.clone().requires_grad_()

    def work() -> Tensor:
        (gradient,) = torch.autograd.grad(flow.solve(leaf).voltage, leaf, direction)
        return gradient

    return work


def _tolerances(device: torch.device) -> str:
    from gridedge_env.powerflow.fixed_point import FixedPoint

    stated = (
        f"{FixedPoint.default(t, device).tolerance:.0e} pu in {p}" for p, t in PRECISIONS.items()
    )
    return ", ".join(stated) + " precision"


def _targets(
    rows: tuple[tuple[Cell, ...], ...], batches: tuple[int, ...], on_cpu: bool
) -> tuple[Target, ...]:
    """The targets at the batch that is fastest, which the table shows beside all others."""
    best = [
        min(
            (spread.median for row in rows if isinstance(spread := row[column], Spread)),
            default=float("nan"),
        )
        for column in range(1, len(_HEADER))
    ]
    if not on_cpu:
        flows = 1.0 / best[0]
        what = "power flow, IEEE 123, single precision, forward, fastest batch, on the device"
        return (Target(what, flows, LEAST_ON_A_GPU, True, "million flows/s"),)
    if max(batches) < BATCHES[1]:
        return ()
    what = "power flow, IEEE 123, one core, with gradients, {} precision, fastest batch"
    return (
        Target(what.format("double"), best[3], MOST_DOUBLE, False, "µs"),
        Target(what.format("single"), best[1], MOST_SINGLE, False, "µs"),
    )
