# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Ten agents, trained and looked at
#
# Ten homes on the IEEE 13-node feeder learn for a few seconds, each a small network of its own
# that reads nothing but its meter, the prices and the weather. Then they meet days that nobody
# has shown them. This page was made by running it; its source is `docs/notebooks/ten_agents.py`,
# which is a script and, by Jupytext, a notebook.

# %%
import matplotlib.pyplot as plt
import pandas as pd

from gradmap_trainer import TrainConfig, evaluate, evaluation_days, summarise
from gradmap_trainer.gradmap import iterate, make_learner
from gridedge_env import CaseSettings
from gridedge_env.rendering import draw_feeder

# %% [markdown]
# ## The case and the configuration
#
# Both are plain records; whatever is left out has a default. The same two are the options of
# `gradmap-train`. Homes are larger than usual (`home_scale`), so that they overload the feeder
# where all of them follow the price.

# %%
case = CaseSettings(feeder="ieee13", num_agents=10, home_scale=14.0, step_minutes=60)
config = TrainConfig(case=case, iterations=80, batch_days=4)
simulator = config.make_simulator()
print(simulator.case.title, "with", ", ".join(simulator.fleet.names))

# %% [markdown]
# ## Eighty iterations
#
# Each plays a few days, differentiates their cost and their violations in every action by one
# exact adjoint of the power flow, and lets all ten networks learn from that gradient for many
# small steps. Every ten, they play four days of the validation year.

# %%
learner = make_learner(config, simulator)
validation_days = evaluation_days(simulator, "validation", 4)
curve = []
while learner.iteration < config.iterations:
    learner, _ = iterate(config, simulator, learner)
    if learner.iteration % 10 == 0:
        validation = evaluate(
            simulator,
            {"gradmap": learner.policies},
            validation_days,
            split="validation",
            foresight_iterations=0,
        )
        for method, episode in validation.episodes.items():
            outcome = summarise(episode, simulator.case.limits)
            curve.append((learner.iteration, method, outcome["cost"], outcome["any_steps"]))

curve = pd.DataFrame(curve, columns=["iteration", "method", "cost", "outside"])
figure, (cost, outside) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for method, rows in curve.groupby("method"):
    cost.plot(rows["iteration"], rows["cost"], label=method)
    outside.plot(rows["iteration"], 100 * rows["outside"], label=method)
cost.set(xlabel="iteration", ylabel="cost, € a day")
outside.set(xlabel="iteration", ylabel="hours outside a limit, %")
outside.legend()
plt.show()

# %% [markdown]
# ## Days that nobody has shown them
#
# Eight days of another year and site, with other homes' demand, beside rules that need no
# learning and a planner who knows everything beforehand.

# %%
days = evaluation_days(simulator, "test", 8)
evaluation = evaluate(simulator, {"gradmap": learner.policies}, days, foresight_iterations=60)
table = {
    method: summarise(episode, simulator.case.limits)
    for method, episode in evaluation.episodes.items()
}
pd.DataFrame(table).T[["cost", "voltage_steps", "loading_steps", "worst_loading"]].round(3)

# %% [markdown]
# ## One day of them
#
# What the whole fleet draws, and what each device has stored.

# %%
learned = evaluation.episodes["gradmap"]
clock, day = simulator.clock, 0
hours = [step * clock.hours for step in range(clock.steps)]

figure, (power, store) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for method in ("gradmap", "price_following", "idle"):
    power.step(hours, evaluation.episodes[method].fleet_power[day], where="post", label=method)
power.set(xlabel=f"hour of {evaluation.dates[day]}", ylabel="all meters, kW")
power.legend()
for name, stored in zip(simulator.fleet.names, learned.store[day].T, strict=True):
    store.plot(hours, stored, label=name)
store.set(xlabel=f"hour of {evaluation.dates[day]}", ylabel="share of the device's range")
store.legend()
plt.show()

# %% [markdown]
# ## The feeder
#
# After one step of the ten policies, from midnight: buses by voltage, lines by how full they are,
# homes where they live.

# %%
state = simulator.reset(split="test", days=days[:1], seed=0)
action = learner.policies(*simulator.observe_parts(state))
_, result = simulator.step(state, action)
draw_feeder(
    simulator.feeder,
    result.voltage[0].detach(),
    result.loading[0].detach(),
    fleet=simulator.fleet,
    power=result.power[0].detach(),
)
