"""The public plan of a fleet, which every home can work out by itself."""

from gridedge_env.public_plan.plan import PlanSettings, PublicPlan

__all__ = ["PlanSettings", "PublicPlan"]
