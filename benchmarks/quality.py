"""A whole training with the settings of `gradmap-train`, and what it is worth out of sample."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.records import Cell, Measurement, Spread, Table, Target
from benchmarks.suite import Settings
from gradmap_trainer.config import USUAL_CASE, TrainConfig
from gradmap_trainer.gradmap import iterate, make_learner, progress
from gridedge_env.evaluation import evaluate, evaluation_days, summarise

AGENTS = (1_000,)
QUICK = {
    "iterations": 2,
    "minibatches": 2,
    "evaluation_days": 1,
    "foresight_iterations": 2,
    "batch_days": 1,
}
# Larger fleets train for so many seconds, and are judged on fewer days.
LARGEST = 10_000
BUDGET = {"seconds": 60.0, "evaluation_days": 4}
MOST_SECONDS = {
    ("cpu", 1_000): 60.0,
    ("cpu", 10_000): 300.0,
    ("cuda", 1_000): 10.0,
}


def measure(settings: Settings) -> Measurement:
    """Train and evaluate a fleet of each size."""
    sizes = settings.agents or ((3,) if settings.quick else AGENTS)
    rows: list[tuple[Cell, ...]] = []
    targets: list[Target] = []
    for agents in sizes:
        seconds, cells = _train_and_evaluate(agents, settings)
        rows.append((agents, _one(seconds), *cells))
        bound = MOST_SECONDS.get((settings.device.type, agents))
        if bound is not None:
            what = f"GradMAP's whole training, {agents:,} agents, {settings.where}"
            targets.append(Target(what, seconds, bound, False, "s"))
    config = TrainConfig()
    return Measurement(
        "quality",
        f"`gradmap-train` with its defaults ({config.iterations} iterations, seed "
        f"{USUAL_CASE.seed}) on {settings.where}, once: seconds of training, without start, "
        f"checkpoints and evaluation. Then {config.evaluation_days} days of the test "
        "year, a year, a site and homes never seen: cost above perfect foresight's, and the "
        "share of half-hours with any violation. Fleets of more than "
        f"{LARGEST:,} train for {BUDGET['seconds']:.0f} s instead, and are judged on "
        f"{BUDGET['evaluation_days']} days.",
        (Table("", HEADER, tuple(rows)),),
        tuple(targets),
    )


HEADER = (
    *("agents", "training, s", "iterations", "€/day", "above perfect foresight, %"),
    *("voltage, % of half-hours", "overload, % of half-hours"),
)


def _train_and_evaluate(agents: int, settings: Settings) -> tuple[float, tuple[Cell, ...]]:
    chosen: dict[str, Any] = QUICK if settings.quick else BUDGET if agents > LARGEST else {}
    case = replace(USUAL_CASE, num_agents=agents)
    config = TrainConfig(case=case, device=str(settings.device), **chosen)
    simulator = config.make_simulator()
    learner = make_learner(config, simulator)
    while progress(config, learner) < 1.0:
        learner, _ = iterate(config, simulator, learner)
    days = evaluation_days(simulator, "test", config.evaluation_days)
    episodes = evaluate(
        simulator,
        {"gradmap": learner.policies},
        days,
        foresight_iterations=config.foresight_iterations,
    ).episodes
    limits = simulator.case.limits
    ours, best = (summarise(episodes[name], limits) for name in ("gradmap", "perfect_foresight"))
    above = (ours["cost"] - best["cost"]) / abs(best["cost"])
    shares = [above, ours["voltage_steps"], ours["loading_steps"]]
    cells: tuple[Cell, ...] = (
        learner.iteration,
        _one(ours["cost"]),
        *(_one(1e2 * share) for share in shares),
    )
    return learner.seconds, cells


def _one(value: float) -> Spread:
    return Spread.of([value])
