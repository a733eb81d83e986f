"""Controllers that need no learning: rules, droop, and the perfect-foresight optimum."""

from gridedge_env.reference.droop import VOLT_VAR, VOLT_WATT, Curve, VoltVar, VoltWatt
from gridedge_env.reference.lower_bound import LowerBound, lower_bound
from gridedge_env.reference.perfect_foresight import perfect_foresight
from gridedge_env.reference.policies import Policy, play
from gridedge_env.reference.rules import Idle, PlanFollowing, PriceFollowing, Thermostat

__all__ = [
    "VOLT_VAR",
    "VOLT_WATT",
    "Curve",
    "Idle",
    "LowerBound",
    "PlanFollowing",
    "Policy",
    "PriceFollowing",
    "Thermostat",
    "VoltVar",
    "VoltWatt",
    "lower_bound",
    "perfect_foresight",
    "play",
]
