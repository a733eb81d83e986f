"""GridEdge: fleets of grid-edge devices on a differentiable three-phase AC feeder."""

from gridedge_env.case import Case, CaseSettings, default_case, load_case
from gridedge_env.clock import Clock
from gridedge_env.constraints import Limits
from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.forks import use_one_thread_after_a_fork
from gridedge_env.parallel import GridEdgeParallelEnv, parallel_env
from gridedge_env.powerflow import PowerFlow
from gridedge_env.simulator import Simulator, make_simulator

__version__ = "0.1.0"

__all__ = [
    "Case",
    "CaseSettings",
    "Clock",
    "Feeder",
    "GridEdgeParallelEnv",
    "Limits",
    "PowerFlow",
    "Simulator",
    "default_case",
    "load_case",
    "load_feeder",
    "make_simulator",
    "parallel_env",
]

use_one_thread_after_a_fork()
