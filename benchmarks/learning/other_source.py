"""Can policies be ready for another voltage behind the source than the plan knows of?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from baselines.compare.trials import Trial, World
from benchmarks.learning.study import Study, header
from benchmarks.records import Measurement, Table
from gradmap_trainer.gradmap import iterate, make_learner, progress
from gradmap_trainer.policies import Policies
from gridedge_env.reference import PlanFollowing
from gridedge_env.simulator import Simulator

# pu behind the source: as the plan knows it, and otherwise.
KNOWN = 1.0
OTHERS = (0.98, 1.02)


def other_source(study: Study) -> Measurement:
    """Train at the voltage that the plan knows, or at others in turn; judge at each of them."""
    simulators = {KNOWN: study.simulator}
    simulators |= {voltage: at_source(study.simulator, voltage) for voltage in OTHERS}
    policies = {
        "followed plan, nothing learned": PlanFollowing(study.simulator),
        "trained as the plan knows it": trained_in_turn(study, [study.simulator]),
        "trained at all in turn": trained_in_turn(study, list(simulators.values())),
    }
    rows = []
    for voltage, simulator in sorted(simulators.items()):
        exam = replace(study.validation, simulator=simulator)
        rows += [(f"{voltage:g} pu", name, *exam.cells(made)) for name, made in policies.items()]
    return Measurement(
        "other_source",
        "The voltage behind the feeder's source is not what the public plan knows; an agent sees "
        "it in its own meter's alone. Perfect foresight knows it.",
        (Table("", ("judged at", "policies", *header(study.simulator.case.limits)), tuple(rows)),),
    )


def at_source(simulator: Simulator, voltage: float) -> Simulator:
    """The same homes, days and plan, with another voltage behind the source in pu."""
    feeder = simulator.feeder.with_source_voltage(voltage)
    return World(replace(simulator.case, feeder=feeder), simulator, Trial())


def trained_in_turn(study: Study, simulators: Sequence[Simulator]) -> Policies:
    """Policies after all iterations of a study, each in the next of some simulators."""
    config = study.config
    learner = make_learner(config, simulators[0])
    while progress(config, learner) < 1.0:
        simulator = simulators[learner.iteration % len(simulators)]
        learner, _ = iterate(config, simulator, learner)
    return learner.policies
