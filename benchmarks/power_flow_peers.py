"""The same power flows by others, on one core: OpenDSS, power-grid-model, pandapower, ..."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.opendss import OpenDSSModel
from benchmarks.peers import TOLERANCE, ComplexArray, Solver, power_flow_solvers
from benchmarks.peers.shared_case import SharedCase, as_feeder, shared_case
from benchmarks.power_flow import MICROSECONDS, draw_power, forward, with_gradients
from benchmarks.records import Cell, Measurement, Spread, Table, Target
from benchmarks.suite import Settings
from benchmarks.timing import Sampler, repeated, take_turns, threads
from gridedge_env import PowerFlow, load_feeder

BATCH = 1024
PUBLISHED = "123Bus/IEEE123Master.dss"
LEAST_OVER = {"OpenDSS": 30.0, "power-grid-model": 40.0}
ABOUT_OURS = "batch of {:,}, all node voltages, double precision"


@dataclass(frozen=True)
class Contest:
    """Who solves the same scenarios, and how far their voltages are from ours.

    Attributes:
        samplers: seconds a flow, by name.
        about: what is to be known of each.
        difference: of each peer, the largest complex difference from our voltages, pu.
    """

    samplers: dict[str, Sampler]
    about: dict[str, str]
    difference: dict[str, float]


def measure(settings: Settings) -> Measurement:
    """Everybody on the shared case; OpenDSS on the published IEEE 123, too, if it is there."""
    case = shared_case()
    solvers, notes = power_flow_solvers(case)
    batch = 64 if settings.quick else BATCH
    caption = (
        f"IEEE 123's tree as all can express it ({len(case.buses)} three-phase buses, "
        f"{3 * len(case.buses)} nodes, {3 * len(case.loaded)} loads of constant power)."
    )
    tables, targets = [], []
    with threads(1):
        samples = take_turns_of(shared(case, solvers, batch), settings)
        tables.append(_table(caption, *samples))
        targets += _targets(samples[1], "the shared case")
        if settings.models is None:
            notes.append("OpenDSS on the published IEEE 123: not measured, needs --models FOLDER.")
        elif not any(name.startswith("dss_python") for name in notes):
            samples = take_turns_of(published(settings.models / PUBLISHED, batch), settings)
            tables.append(_table("IEEE 123 as published, all of its load models.", *samples))
            targets += _targets(samples[1], "IEEE 123")
    return Measurement("peers", TIMED, tuple(tables), tuple(targets), tuple(notes))


TIMED = (
    "Random powers in (0.5 to 1.5 of nominal), voltages of all nodes out; every program on one "
    "core; batches where it knows them, as large as ours in a full run; everybody timed to a "
    f"tolerance of {TOLERANCE:.0e}. Only ours gives gradients: the others' time is forward only, "
    "and ratios are theirs over our forward time. "
    "Difference: the largest between their voltages and ours, which for this are solved to 1e-11, "
    "pu. In the shared case every line is three-phase and transposed, and there are no regulators, "
    "capacitors or delta loads, which power-grid-model, pandapower and tensorpowerflow could not "
    "express. “Solve alone” leaves out setting the loads and reading the voltages through Python."
)
HEADER = ("", "µs a flow", "over ours", "difference, pu", "what is to be known")


def shared(case: SharedCase, solvers: Sequence[Solver], batch: int) -> Contest:
    """All peers on the shared case."""
    flow = PowerFlow(as_feeder(case))
    contest = _ours(flow, batch)
    rows = [flow.node_names.index(f"{bus}.{phase}") for bus in case.buses for phase in (1, 2, 3)]
    for solver in solvers:
        power = case.draw_power(solver.batch)
        if solver.balanced:
            power = power.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
        ours = flow.solve(torch.from_numpy(power.reshape(len(power), -1))).voltage
        theirs = solver.solve(power).reshape(len(power), -1)
        contest.difference[solver.name] = float(np.abs(theirs - ours.numpy()[:, rows]).max())
        _add(contest, solver, power)
    return contest


def published(path: Path, batch: int) -> Contest:
    """OpenDSS on the model that our IEEE 123 was transcribed from."""
    from benchmarks.peers.open_dss import Timed

    flow = PowerFlow(load_feeder("ieee123"))
    model = OpenDSSModel(path, TOLERANCE)
    model.set_taps(flow.feeder.regulators)
    base = 1e3 * np.array([b.base_kv for b in flow.feeder.buses for _ in b.phases])
    timed = Timed(model, flow.node_names, base)
    contest = _ours(flow, batch)
    power = draw_power(flow, 50, seed=1)
    columns = [flow.injection_names.index(name) for name in model.load_names]
    theirs = timed.solve(power.numpy()[:, columns])
    difference = np.abs(theirs - flow.solve(power).voltage.numpy())[:, flow.energised]
    contest.difference["OpenDSS"] = float(difference.max())
    about = f"one at a time, tolerance {TOLERANCE:.0e}, each from the one before"
    solver = Solver("OpenDSS", about, len(power), timed.solve, lambda: timed.alone)
    _add(contest, solver, power.numpy()[:, columns])
    return contest


def take_turns_of(contest: Contest, settings: Settings) -> tuple[Contest, dict[str, list[float]]]:
    """The contest and its samples."""
    return contest, take_turns(contest.samplers, settings.either(10.0, 0.0))


FORWARD, GRADIENTS = "GridEdge, forward", "GridEdge, with gradients"
ALONE = ", solve alone"


def _ours(flow: PowerFlow, batch: int) -> Contest:
    timed = PowerFlow(flow.feeder, settings=replace(flow.settings, tolerance=TOLERANCE))
    power = draw_power(timed, batch)
    work = {FORWARD: forward(timed, power), GRADIENTS: with_gradients(timed, power)}
    return Contest(
        {name: _a_flow(repeated(call), batch) for name, call in work.items()},
        dict.fromkeys(work, ABOUT_OURS.format(batch)),
        {},
    )


def _add(contest: Contest, solver: Solver, power: ComplexArray) -> None:
    contest.samplers[solver.name] = _a_flow(repeated(lambda: solver.solve(power)), len(power))
    contest.about[solver.name] = solver.about
    if solver.alone is not None:
        # Of the calls that the row above has just timed.
        contest.samplers[solver.name + ALONE] = solver.alone
        contest.about[solver.name + ALONE] = "within the row above"


def _a_flow(sampler: Sampler, batch: int) -> Sampler:
    return lambda: sampler() / batch


def _table(caption: str, contest: Contest, samples: dict[str, list[float]]) -> Table:
    def row(name: str) -> tuple[Cell, ...]:
        spread = Spread.of(samples[name], MICROSECONDS)
        theirs = name not in (FORWARD, GRADIENTS)
        over = Spread.of_ratios(samples[name], samples[FORWARD]) if theirs else "–"
        apart = contest.difference.get(name)
        difference = "–" if apart is None else f"{apart:.0e}"
        return (name, spread, over, difference, contest.about[name])

    return Table(caption, HEADER, tuple(row(name) for name in samples))


def _targets(samples: dict[str, list[float]], where: str) -> list[Target]:
    """Against the fastest way of each program, least favourable to us."""
    targets = []
    for program, bound in LEAST_OVER.items():
        ratios = [
            Spread.of_ratios(theirs, samples[FORWARD]).median
            for name, theirs in samples.items()
            if name.startswith(program)
        ]
        if ratios:
            what = f"{program}'s time over ours, forward, one core, {where}"
            targets.append(Target(what, min(ratios), bound, True, "times"))
    return targets
