"""IPPO and MAPPO on RLlib's new API stack. Needs the `rllib` extra.

    python -m baselines.rllib.train --run runs/mappo --algorithm mappo --seconds 600
    python -m baselines.rllib.train --run runs/shared --policies shared --seconds 600
    python -m baselines.rllib.tune --run runs/tune --algorithm ippo --num-agents 30

RLlib's own multi-agent path costs Python work for every agent in every step. Two forms of IPPO go
that way (`--policies by-kind`, `--policies separate`), for reference. The default, `--policies
joint`, shows RLlib the whole fleet as one agent, whose observation has a row for each home; inside,
1,000 unshared policies keep ratios, advantages and clipping of their own. `--policies shared` does
likewise, with one network for all homes that have the same devices (`baselines.rllib.shared`).
"""

import os

# Read by whatever computes when it is imported: one thread per process, for a budget is seconds.
os.environ["OMP_NUM_THREADS"] = "1"
