"""What follows from what is published of an episode's days, the same for all customers of a run.

    day                            -> what all observe
    flexibility -> program -> told -> what the public plan says to homes, where there is one

The large graphs are kept, which other customers and days need, too.
"""

from __future__ import annotations

import io
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from gridedge_gateway.graph import Arrays, Graph
from gridedge_gateway.model import Model
from gridedge_gateway.packing import MOST_UNPACKED, arrays_of, unpacked
from gridedge_gateway.program import FleetProgram, Flexibility, HomeDemand, Network

# An array that can be a key: its name, type, shape and bytes.
Key: TypeAlias = tuple[str, str, tuple[int, ...], bytes]

OF_DAYS = ("day", "flexibility", "told")


def graph_of(text: str) -> Graph:
    """A packed one."""
    return Graph(Model.of(unpacked(text)))


_kept_graph = lru_cache(maxsize=2 * len(OF_DAYS))(graph_of)  # of two cases


def inputs_of(graphs: tuple[str, ...]) -> frozenset[str]:
    """Names of what some of `OF_DAYS` act on, packed."""
    return frozenset(name for text in graphs for name in _kept_graph(text).inputs)


def work_out(graphs: tuple[str, ...], program: str | None, news: tuple[Key, ...]) -> Arrays:
    """What a day's graphs make of the news.

    Args:
        graphs: those of `OF_DAYS` that there are, packed.
        program: of the public plan, packed; None: there is none.
        news: what is published, as of `CustomerFile.of_days`.
    """
    known: Arrays = {
        name: np.frombuffer(data, dtype).reshape(shape) for name, dtype, shape, data in news
    }
    found = _kept_graph(graphs[0]).run(known)
    if program is not None:
        known |= found
        able = _kept_graph(graphs[1]).run(known)
        surcharge, days = able.pop("surcharge"), (known["month"], known["weekend"].astype(int))
        plan = _program(program).plan(Flexibility(**able), surcharge, *days)
        known |= {f"fleet.{name}": values for name, values in vars(plan).items()}
        found |= _kept_graph(graphs[2]).run(known)
    return found


# For a gateway: of an episode, and of one that became known better, of two cases.
worked_out_last = lru_cache(maxsize=4)(work_out)


def _program(text: str) -> FleetProgram:
    found: dict[str, Any] = dict(arrays_of(io.BytesIO(unpacked(text)), MOST_UNPACKED))
    network = Network(*(found.pop(entry.name) for entry in fields(Network)))
    demand = HomeDemand(*(found.pop(entry.name) for entry in fields(HomeDemand)))
    hours = float(found.pop("hours"))
    return FleetProgram(network=network, demand=demand, hours=hours, **found)
