"""A feeder of any size: medium-voltage cables with low-voltage networks, as in European towns.

python -m benchmarks.synthetic 8500 runs/large
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from gridedge_env.feeder import Feeder
from gridedge_env.feeder.records import Bus, Line, LineCode, Load, Source, Transformer, Winding
from gridedge_gateway import process

# Standard types of pandapower (Thurner et al., IEEE Trans. Power Systems 33, 6510-6521, 2018):
# NA2XS2Y 1x185 RM/25 12/20 kV, NAYY 4x150 SE, and the 0.4 MVA 20/0.4 kV transformer.
MEDIUM = {"r": 0.161, "x": 0.117, "nanofarad": 273.0, "ampacity": 362.0}
LOW = {"r": 0.208, "x": 0.080, "nanofarad": 261.0, "ampacity": 270.0}
KVA, SHORT_CIRCUIT_PERCENT, RESISTANCE_PERCENT = 400.0, 6.0, 1.425
# Zero-sequence over positive-sequence impedance of cables whose neutral carries the return.
ZERO_SEQUENCE = 4.0
MEDIUM_KV, LOW_KV = 20.0, 0.4
# Of a low-voltage network: streets, houses' joints along each, homes, and what each draws.
STREETS, JOINTS, HOMES, HOME_KW, HOME_KVAR = 3, 10, 20, 2.0, 0.4
MEDIUM_KM, JOINT_KM = 0.4, 0.05
PHASES = (1, 2, 3)
NODES_OF_AREA = len(PHASES) * (2 + STREETS * JOINTS)
# A cable of the substation's serves so many low-voltage networks, one after the other.
AREAS_OF_CABLE = 20


def synthetic_feeder(nodes: int, seed: int = 0) -> Feeder:
    """As many low-voltage networks as make up so many nodes, or just over.

    Args:
        nodes: how many there should be.
        seed: of where homes are.
    """
    random = np.random.default_rng(seed)
    areas = max(1, math.ceil((nodes - len(PHASES)) / NODES_OF_AREA))
    buses = [Bus("substation", PHASES, MEDIUM_KV / math.sqrt(3.0))]
    lines, transformers, loads = [], [], []
    for area in range(areas):
        first = area % AREAS_OF_CABLE == 0
        before = "substation" if first else f"medium{area - 1}"
        medium, low = f"medium{area}", f"low{area}"
        buses.append(Bus(medium, PHASES, MEDIUM_KV / math.sqrt(3.0)))
        buses.append(Bus(low, PHASES, LOW_KV / math.sqrt(3.0)))
        lines.append(_line(f"cable{area}", before, medium, "medium", MEDIUM_KM))
        transformers.append(_transformer(f"transformer{area}", medium, low))
        for street in range(STREETS):
            along = [low, *(f"{low}_{street}_{joint}" for joint in range(JOINTS))]
            for begin, end in pairwise(along):
                buses.append(Bus(end, PHASES, LOW_KV / math.sqrt(3.0)))
                lines.append(_line(end, begin, end, "low", JOINT_KM))
        for home in range(HOMES):
            where = random.integers(STREETS), random.integers(JOINTS)
            phase = int(random.choice(PHASES))
            loads.append(_home(f"home{area}_{home}", f"{low}_{where[0]}_{where[1]}", phase))
    return Feeder(
        name=f"synthetic_{nodes}",
        frequency=50.0,
        # 500 MVA of short circuit at 20 kV.
        source=Source("substation", PHASES, MEDIUM_KV, 1.02, 0.0, 0.08, 0.796, 0.08, 0.796),
        buses=tuple(buses),
        line_codes=(_code("medium", **MEDIUM), _code("low", **LOW)),
        lines=tuple(lines),
        transformers=tuple(transformers),
        loads=tuple(loads),
        provenance="Made by benchmarks/synthetic.py.",
    )


def _code(name: str, r: float, x: float, nanofarad: float, ampacity: float) -> LineCode:
    def matrix(positive: float, zero: float) -> tuple[tuple[float, ...], ...]:
        own, mutual = (2.0 * positive + zero) / 3.0, (zero - positive) / 3.0
        return tuple(tuple(own if i == j else mutual for j in PHASES) for i in PHASES)

    return LineCode(
        name,
        len(PHASES),
        matrix(r, ZERO_SEQUENCE * r),
        matrix(x, ZERO_SEQUENCE * x),
        matrix(nanofarad, nanofarad),
        ampacity,
        "km",
    )


def _line(name: str, begin: str, end: str, code: str, length: float) -> Line:
    return Line(name, begin, end, PHASES, PHASES, code, length, "km")


def _transformer(name: str, medium: str, low: str) -> Transformer:
    resistance = RESISTANCE_PERCENT / 2.0
    reactance = math.sqrt(SHORT_CIRCUIT_PERCENT**2 - RESISTANCE_PERCENT**2)
    windings = (
        Winding(medium, PHASES, "delta", MEDIUM_KV, KVA, resistance),
        Winding(low, PHASES, "wye", LOW_KV, KVA, resistance),
    )
    return Transformer(name, len(PHASES), (reactance,), "lag", 1.0, windings)


def _home(name: str, bus: str, phase: int) -> Load:
    kv = LOW_KV / math.sqrt(3.0)
    return Load(name, bus, (phase,), "wye", "constant_power", kv, HOME_KW, HOME_KVAR)


def main(
    nodes: Annotated[int, tyro.conf.Positional], folder: Annotated[Path, tyro.conf.Positional]
) -> None:
    """Write a feeder's tables.

    Args:
        nodes: how many it should have, or just over.
        folder: to write to.
    """
    synthetic_feeder(nodes).save(folder)


if __name__ == "__main__":
    process.run(lambda: tyro.cli(main))
