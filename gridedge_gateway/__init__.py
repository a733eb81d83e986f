"""The controller at a customer's: from raw readings to kilowatts, by an exported file alone.

It needs NumPy alone, and nothing of the packages beside it, which import from here what both must
work out alike.
"""

from gridedge_gateway.controller import Controller, SetPoint
from gridedge_gateway.readings import Readings

__version__ = "0.1.0"

__all__ = ["Controller", "Readings", "SetPoint"]
