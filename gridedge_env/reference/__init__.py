"""Controllers that need no learning: rules, and the perfect-foresight optimum."""

from gridedge_env.reference.perfect_foresight import perfect_foresight
from gridedge_env.reference.policies import Policy, play
from gridedge_env.reference.rules import Idle, PriceFollowing, Thermostat

__all__ = ["Idle", "Policy", "PriceFollowing", "Thermostat", "perfect_foresight", "play"]
