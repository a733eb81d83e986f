"""The PettingZoo loop: 1,000 homes live through one day, each following a rule of thumb.

Run it with `python examples/pettingzoo_loop.py`; it takes a few seconds.
"""

from __future__ import annotations

import gridedge_env

env = gridedge_env.parallel_env()  # the IEEE 123-bus feeder, 1,000 agents, a day of 48 half-hours
observations, infos = env.reset(seed=7)  # the seed chooses the day

# An observation is a row of numbers; these are their names.
names = [field.name for field in env.simulator.observation_fields]
rank = names.index("price_rank")  # -1 in the cheapest half-hour of the day, about +1 in the dearest

step, cost, violation = 0, 0.0, 0.0
print("time    cost so far   violation so far")
while env.agents:  # empty when the day is over
    actions = {}
    for agent in env.agents:
        dear = observations[agent][[rank]]
        # Batteries charge and heat pumps heat when power is cheap; generators run when it is dear.
        actions[agent] = dear if agent.startswith("generator") else -dear

    observations, rewards, terminations, truncations, infos = env.step(actions)

    cost += sum(info["cost"] for info in infos.values())  # €
    # Each agent is told its equal share of what goes wrong on the network; here they add up again.
    violation += sum(info["violation"] for info in infos.values())
    step += 1
    if step % 4 == 0:
        print(f"{step // 2:02d}:00  {cost:9.2f} €   {violation:14.1f}")

print("Everyone followed the same price, and the network paid for it: learning must do better.")
