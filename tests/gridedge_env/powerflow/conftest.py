"""IEEE 123, and a feeder small enough for exhaustive gradient checks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.feeder.records import Bus, Line, LineCode, Load, Source
from gridedge_env.powerflow import PowerFlow

BASE_KV = 2.4


@pytest.fixture(scope="session")
def small_feeder() -> Feeder:
    """Four buses: three phases to b, phases 1 and 3 on to c, phase 2 to d; 1.03 pu at the source.

    At nominal load the voltages across the loads "low_..." are below their bands, that across
    "lowest" is below its `vlow_pu`, that across "high" above its band, the others are inside.
    """
    three = LineCode(
        "three",
        3,
        ((0.3, 0.1, 0.1), (0.1, 0.3, 0.1), (0.1, 0.1, 0.3)),
        ((0.7, 0.3, 0.25), (0.3, 0.7, 0.3), (0.25, 0.3, 0.7)),
        ((12.0, -3.0, -2.0), (-3.0, 12.0, -3.0), (-2.0, -3.0, 12.0)),
        ampacity=300.0,
        length_unit="km",
    )
    two = LineCode(
        "two",
        2,
        ((0.5, 0.1), (0.1, 0.5)),
        ((0.9, 0.3), (0.3, 0.9)),
        ((10.0, -2.0), (-2.0, 10.0)),
        ampacity=200.0,
        length_unit="km",
    )
    one = LineCode("one", 1, ((0.8,),), ((0.9,),), ((9.0,),), ampacity=150.0, length_unit="km")
    line_to_line = BASE_KV * math.sqrt(3.0)
    return Feeder(
        name="small",
        frequency=50.0,
        source=Source("a", (1, 2, 3), line_to_line, 1.03, 10.0, r1=0.01, x1=0.05, r0=0.02, x0=0.08),
        buses=(
            Bus("a", (1, 2, 3), BASE_KV),
            Bus("b", (1, 2, 3), BASE_KV),
            Bus("c", (1, 3), BASE_KV),
            Bus("d", (2,), BASE_KV),
        ),
        line_codes=(three, two, one),
        lines=(
            Line("ab", "a", "b", (1, 2, 3), (1, 2, 3), "three", 1.0, "km"),
            Line("bc", "b", "c", (1, 3), (1, 3), "two", 2.0, "km"),
            Line("bd", "b", "d", (2,), (2,), "one", 1.5, "km"),
        ),
        loads=(
            Load("wye_power", "b", (1,), "wye", "constant_power", 2.4, 60.0, 30.0),
            Load("wye_three", "b", (1, 2, 3), "wye", "constant_current", 4.16, 90.0, 30.0),
            Load("delta_power", "b", (1, 2), "delta", "constant_power", 4.16, 50.0, 20.0),
            Load("delta_three", "b", (1, 2, 3), "delta", "constant_impedance", 4.16, 80.0, 40.0),
            Load("low_power", "c", (1,), "wye", "constant_power", 2.4, 200.0, 80.0),
            Load("low_delta", "c", (3, 1), "delta", "constant_current", 4.3, 150.0, 60.0),
            Load("low_current", "d", (2,), "wye", "constant_current", 2.4, 190.0, 90.0),
            Load("low_impedance", "d", (2,), "wye", "constant_impedance", 2.4, 20.0, 10.0),
            Load("high", "b", (2,), "wye", "constant_power", 2.3, 10.0, 5.0, vmax_pu=1.02),
            Load("lowest", "c", (1,), "wye", "constant_power", 2.4, 30.0, 9.0, vlow_pu=0.92),
        ),
    )


@pytest.fixture(scope="session")
def ieee123() -> Feeder:
    return load_feeder("ieee123")


@pytest.fixture(scope="session")
def power_flow(ieee123: Feeder) -> PowerFlow:
    return PowerFlow(ieee123)


@pytest.fixture(scope="session")
def powers(power_flow: PowerFlow) -> Tensor:
    """(6, loads): nominal, none, feeding in, and each load at random between -0.5 and 2.5."""
    random = torch.Generator().manual_seed(0)
    scale = -0.5 + 3.0 * torch.rand(
        6, len(power_flow.injection_names), generator=random, dtype=torch.float64
    )
    scale[:3] = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)[:, None]
    return scale * power_flow.nominal_power
