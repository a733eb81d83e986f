"""IPPO and MAPPO whose agents share parameters with their like: `--policies shared`.

As its authors run it (Yu et al., "The Surprising Effectiveness of PPO in Cooperative Multi-Agent
Games", 2022): one network for all devices of a kind, each home's constants observed beside its
meter, normalised values, orthogonal weights, clipped values and a Huber loss. All days and homes
are one batch, in the simulator as in the networks.
"""
