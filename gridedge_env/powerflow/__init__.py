"""Batched three-phase AC power flow with exact implicit gradients."""

from gridedge_env.powerflow.fixed_point import FixedPoint
from gridedge_env.powerflow.power_flow import PowerFlow, PowerFlowSolution

__all__ = ["FixedPoint", "PowerFlow", "PowerFlowSolution"]
