"""The public plan of a fleet, which every home can work out by itself."""

from gridedge_env.public_plan.homes import PlannedHomes
from gridedge_env.public_plan.plan import PublicPlan

__all__ = ["PlannedHomes", "PublicPlan"]
