"""Train thirty policies with GradMAP and see what they do on days never seen.

Thirty sites of thirty homes each load IEEE 123 as heavily as its published loads. Each site gets a
small network of its own, which reads nothing but that site's meter, the prices and the weather.

Run it with `python examples/train_small.py`; it takes about fifteen seconds.
"""

from __future__ import annotations

from gradmap_trainer import TrainConfig, evaluate, evaluation_days, summarise
from gradmap_trainer.gradmap import iterate, make_learner, progress
from gridedge_env import CaseSettings

# The same record is the command line of `gradmap-train`; everything left out has a default.
case = CaseSettings(num_agents=30, home_scale=33.0)
config = TrainConfig(case=case, iterations=200, batch_days=4)
simulator = config.make_simulator()
learner = make_learner(config, simulator)

# Each iteration plays a few days, differentiates their cost and violations in every action with
# one exact power-flow adjoint, and lets all networks learn from that gradient for many small steps.
while progress(config, learner) < 1.0:
    learner, row = iterate(config, simulator, learner)
    if learner.iteration % 10 == 0:
        print(
            f"iteration {learner.iteration:3d}: {row['cost']:6.0f} €/day, "
            f"violating half-hours: voltage {row['voltage_steps']:4.0%}, "
            f"overload {row['loading_steps']:4.0%}"
        )

# Out of sample: another year, another site's weather and other homes, with the exact power flow.
# Rules that need no learning play the same days. (A planner with perfect foresight would too, if
# it were given `foresight_iterations`; it takes longer than everything else here.)
days = evaluation_days(simulator, "test", 4)
evaluation = evaluate(simulator, {"gradmap": learner.policies}, days, foresight_iterations=0)

kinds = [kind.name for kind in simulator.case.limits]
print(f"\n{'on held-out days':20s}{'€/day':>8s}" + "".join(f"{kind:>10s}" for kind in kinds))
for method, episode in evaluation.episodes.items():
    outcome = summarise(episode, simulator.case.limits)
    shares = (outcome[f"{kind}_steps"] for kind in kinds)
    print(f"{method:20s}{outcome['cost']:8.0f}" + "".join(f"{share:10.1%}" for share in shares))
