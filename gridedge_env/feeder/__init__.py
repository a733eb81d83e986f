"""Three-phase feeders: their data and their admittances."""

from gridedge_env.feeder.admittance import Network, build_network
from gridedge_env.feeder.feeder import Feeder
from gridedge_env.feeder.loading import DATA, load_feeder

__all__ = ["DATA", "Feeder", "Network", "build_network", "load_feeder"]
