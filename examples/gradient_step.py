"""A gradient through the power flow: who has to hold back so that the feeder stays within limits?

At midnight every battery and heat pump starts at full power. The gradient of the network's
violation in each home's action says who causes how much of it; a few steps downhill solve it.

Run it with `python examples/gradient_step.py`; it takes a few seconds.
"""

from __future__ import annotations

import torch

import gridedge_env

env = gridedge_env.parallel_env()

# One number for each home: +1 charges or heats at full power, -1 keeps a generator off.
wish = torch.tensor([[-1.0 if name.startswith("gen") else 1.0] for name in env.possible_agents])
action = wish.clone().requires_grad_()

for iteration in range(50):
    env.reset(seed=7)  # back to the same midnight
    result = env.differentiable_step(action)  # as env.step, but tensors, with their graph
    violation = result.violation.sum()
    print(
        f"{iteration:2d}  violation {violation.item():6.3f}   "
        f"lowest voltage {result.voltage_magnitude.min().item():.4f} pu   "
        f"fullest line {100 * result.loading.max().item():3.0f} %"
    )
    if violation == 0.0:
        break
    (gradient,) = torch.autograd.grad(violation, action)
    with torch.no_grad():
        action -= 0.05 * gradient / gradient.abs().max()
        action.clamp_(-1.0, 1.0)

change = (action - wish).abs().detach()[:, 0]
for kind in ("battery", "heat_pump", "generator"):
    mine = torch.tensor([name.startswith(kind) for name in env.possible_agents])
    print(f"{kind}: changed by {change[mine].mean():.2f} on average, {change[mine].max():.2f} most")
