"""Batched three-phase AC power flow with exact implicit gradients."""

from gridedge_env.powerflow.failures import Failure, PowerFlowFailure
from gridedge_env.powerflow.fixed_point import FixedPoint
from gridedge_env.powerflow.iteration import Status
from gridedge_env.powerflow.power_flow import PowerFlow, check_dtype
from gridedge_env.powerflow.regulator_control import settle_taps
from gridedge_env.powerflow.solution import PowerFlowSolution

__all__ = [
    "Failure",
    "FixedPoint",
    "PowerFlow",
    "PowerFlowFailure",
    "PowerFlowSolution",
    "Status",
    "check_dtype",
    "settle_taps",
]
