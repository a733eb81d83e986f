"""What is in a customer's file, in words."""

from __future__ import annotations

from collections.abc import Iterator

from gridedge_gateway.file import CustomerFile
from gridedge_gateway.readings import METER_POWER, OUTDOOR_TEMPERATURE, SERIES
