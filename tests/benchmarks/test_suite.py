"""The suite: its list, a tiny run of each benchmark, and what happens when something is missing."""

from __future__ import annotations

import importlib
import itertools
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import suite, timing
from benchmarks.__main__ import main
from benchmarks.page import text
from benchmarks.peers import POWER_FLOWS, Solver, power_flow_solvers
from benchmarks.peers.shared_case import SharedCase, as_feeder, shared_case
from benchmarks.records import BenchmarkRun, Measurement, Spread, from_json, to_json
from benchmarks.suite import BENCHMARKS, Settings
from gridedge_env import PowerFlow

TINY = Settings(threads=1, quick=True, agents=(3,))


def spreads(result: Measurement) -> Iterator[Spread]:
    for table in result.tables:
        for row in table.rows:
            yield from (cell for cell in row if isinstance(cell, Spread))


@pytest.mark.parametrize("words", [[], ["list"]])
def test_the_list(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    printed = capsys.readouterr().out
    for name, benchmark in BENCHMARKS.items():
        assert f"{name:12} {benchmark.line}" in printed
        assert callable(importlib.import_module(benchmark.module).measure)


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_a_tiny_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are positive and finite, the JSON holds them all, the page shows each table."""
    monkeypatch.setattr(timing, "SHORTEST_SAMPLE", 0.0)
    monkeypatch.setattr("benchmarks.power_flow.FEEDERS", ("ieee13", "ieee123"))
    monkeypatch.setattr("benchmarks.peers.POWER_FLOWS", {})
    monkeypatch.setattr("benchmarks.environment.OTHERS", {})
    # Programs that take no time, and a clock by which each takes longer than the one before.
    pretended = {"import torch": "pass", "import gridedge_env": "pass"}
    monkeypatch.setattr("benchmarks.start.PROGRAMS", pretended)
    seconds = itertools.count(1.0)
    monkeypatch.setattr("benchmarks.start.once", lambda work: work() or next(seconds))
    threads = torch.get_num_threads()
    run = suite.run([name], TINY)
    (result,) = run.results
    assert torch.get_num_threads() == threads
    assert not result.failed, result.notes
    assert result.name == name
    found = list(spreads(result))
    assert found
    for spread in found:
        assert math.isfinite(spread.median)
        # A share of violations may be 0, a file's difference too, and cost be negative.
        if name not in ("quality", "parity"):
            assert 0.0 < spread.low <= spread.median <= spread.high
    if name in ("parity", "fuzz"):  # which nothing but the gateway's own faults could miss
        assert all(target.met for target in result.targets)
    assert from_json(to_json(run)) == run
    page = text(run)
    for table in result.tables:
        assert table.caption in page
        assert all(len(row) == len(table.header) for row in table.rows)


def test_a_failure_is_reported_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: Settings) -> Measurement:
        raise RuntimeError("no such luck\nmore")

    monkeypatch.setattr("benchmarks.peak.measure", fail)
    monkeypatch.setattr(
        "benchmarks.simulator.measure", lambda settings: Measurement("simulator", "It was timed.")
    )
    failed, passed = suite.run(["machine", "simulator"], TINY).results
    assert failed.failed
    assert failed.notes == ("Failed: RuntimeError: no such luck",)
    assert not passed.failed


def test_what_was_found_so_far_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each benchmark: the next may be cut short."""
    kept: list[BenchmarkRun] = []
    monkeypatch.setattr(suite, "run_one", lambda name, settings: Measurement(name, ""))
    found = suite.run(["machine", "simulator"], TINY, keep=kept.append)
    names = [[result.name for result in run.results] for run in kept]
    assert names == [["machine"], ["machine", "simulator"]]
    assert kept[-1] == found


def test_an_unknown_benchmark() -> None:
    with pytest.raises(ValueError, match="benchmark: got 'speed', expected some of machine, power"):
        suite.run(["speed"], TINY)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "speed"], "benchmark: got 'speed'"),
        (["run", "machine", "--device", "abacus"], "device: got 'abacus'"),
        (["page", "no.json", "no.md"], "no.json"),
        (["run", "machine", "--json", "."], "json: got ., expected a file that can be written"),
        (["run", "machine", "--page", "."], "page: got ., expected a file that can be written"),
    ],
)
def test_mistakes(
    arguments: list[str],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Told before anything is measured, but for the name of a benchmark."""
    if "speed" not in arguments:
        monkeypatch.setattr(suite, "run", None)
    assert main(arguments) == 2
    assert complaint in capsys.readouterr().err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON and page of one run; the page again from the JSON is the same."""
    json, page, again = (tmp_path / name for name in ("run.json", "page.md", "again.md"))
    arguments = ["run", "machine", "--quick", "--threads", "1", "--json", str(json)]
    assert main([*arguments, "--page", str(page)]) == 0
    run = from_json(json.read_text(encoding="utf-8"))
    assert run.quick
    assert "GFLOP/s" in page.read_text(encoding="utf-8")
    assert main(["page", str(json), str(again)]) == 0
    assert again.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
    assert not capsys.readouterr().out


# --- Time -----------------------------------------------------------------------------------------


def test_everything_takes_turns() -> None:
    order: list[str] = []

    def sampler(name: str) -> timing.Sampler:
        def sample() -> float:
            order.append(name)
            return float(len(order))

        return sample

    samples = timing.take_turns({"a": sampler("a"), "b": sampler("b")}, 0.0, least=3)
    assert order == ["a", "b"] * 3
    assert samples == {"a": [1.0, 3.0, 5.0], "b": [2.0, 4.0, 6.0]}


class Clock:
    """Shows what the work adds to it; in place of the module `time`."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


def test_turns_end_when_their_time_is_spent(clock: Clock) -> None:
    """Rounds of 3 s: after three of them 9 s are gone, not more than 9.5, so a fourth; no fifth."""

    def sampler(seconds: float) -> float:
        clock.now += seconds
        return seconds

    samplers = {"a": lambda: sampler(1.0), "b": lambda: sampler(2.0)}
    assert timing.take_turns(samplers, 9.5, least=2) == {"a": [1.0] * 4, "b": [2.0] * 4}


def test_seconds_a_call(clock: Clock) -> None:
    """0.3 ms, but for a first call of 1 s: what compiles then is no part of a sample.

    A sample of 2 ms takes seven calls at least, and a fifth more to be sure.
    """
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1
        clock.now += 1.0 if calls == 1 else 3e-4

    sampler = timing.repeated(work)
    before = calls
    assert sampler() == pytest.approx(3e-4)
    assert 7 <= calls - before <= 9


# --- Peers ----------------------------------------------------------------------------------------


def test_a_peer_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line says so, and which extra brings it."""
    for module in ("dss", "power_grid_model", "pandapower", "tensorpowerflow"):
        monkeypatch.setitem(sys.modules, module, None)
    for module in POWER_FLOWS.values():
        monkeypatch.delitem(sys.modules, module, raising=False)
    there = "pkg_resources" in sys.modules
    solvers, missing = power_flow_solvers(shared_case())
    assert ("pkg_resources" in sys.modules) == there, "others would take the stand-in for it"
    assert not solvers
    assert [line.partition(" ")[0] for line in missing] == list(POWER_FLOWS)
    for line, extra in zip(missing, ("opendss", "peers", "benchmarks", "benchmarks"), strict=True):
        assert f"extra `{extra}`" in line
        assert "ModuleNotFoundError" in line


# Of the source's impedance (1.7e-7 ohm; some leave it out): 0.5 kA on it is 1e-4 V of 2,400 V, so
# 4e-8 pu; and of the peers' tolerance, 1e-8 pu or MVA, times what is left after it.
SAME = 1e-6


@pytest.fixture(scope="module")
def peers() -> tuple[SharedCase, dict[str, Solver], list[str]]:
    case = shared_case()
    found, missing = power_flow_solvers(case)
    return case, {solver.name: solver for solver in found}, missing


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("dss", "OpenDSS"),
        ("power_grid_model", "power-grid-model, Newton-Raphson"),
        ("power_grid_model", "power-grid-model, iterative current"),
        ("pandapower", "pandapower, runpp_3ph"),
        ("tensorpowerflow", "tensorpowerflow, tensor"),
    ],
)
def test_peers_solve_the_same_network(
    package: str, name: str, peers: tuple[SharedCase, dict[str, Solver], list[str]]
) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    case, solvers, missing = peers
    if name not in solvers:
        pytest.skip(f"installed, but does not run: {missing}")
    power = case.draw_power(2)
    if solvers[name].balanced:
        power = power.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    flow = PowerFlow(as_feeder(case))
    solution = flow.solve(torch.from_numpy(power.reshape(2, -1)))
    assert solution.converged.all()
    ours = solution.voltage.numpy()
    rows = [flow.node_names.index(f"{bus}.{phase}") for bus in case.buses for phase in (1, 2, 3)]
    theirs = solvers[name].solve(power).reshape(2, -1)
    assert abs(theirs - ours[:, rows]).max() < SAME
    assert abs(theirs).min() < 0.98  # loaded enough to tell
