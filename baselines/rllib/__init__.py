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

# Ray reads these when it is imported, and so does every process that it starts: no telemetry, no
# tokens, no looking for accelerators, one thread per process. None gives way to other programs: a
# budget is seconds.
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AUTH_MODE="disabled",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    RAY_worker_niceness="0",
    OMP_NUM_THREADS="1",
)
