"""Where loads and devices stand: each is one or more branches between two nodes, or to ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import sparse

from gridedge_env.feeder import Feeder
from gridedge_env.feeder.places import PLACE_FORMS, place_at, rated_voltage
from gridedge_env.powerflow.load_models import DEVICE_LAW, BranchLaw, law_of_load


@dataclass(frozen=True)
class DeviceBranch:
    """One phase of one injection: what stands between a node and the neutral or another node.

    Attributes:
        injection: index of the injection that it is a phase of.
        share: part of that injection's power that it draws.
        node: index of the node where its current enters.
        return_node: index of the node where it leaves; -1 for the ground.
        rated_voltage: V, the base of its per-unit voltage.
        nominal: kVA that it draws at 1 pu when nobody says otherwise; 0 for a device.
        law: how its power depends on the voltage.
    """

    injection: int
    share: float
    node: int
    return_node: int
    rated_voltage: float
    nominal: complex
    law: BranchLaw


def load_branches(feeder: Feeder) -> list[DeviceBranch]:
    """The phases of the feeder's own loads; injection k is the feeder's k-th load."""
    node_index = {name: k for k, name in enumerate(feeder.node_names)}
    return [
        DeviceBranch(
            injection,
            1.0 / len(load.branches),
            node_index[f"{load.bus}.{phase}"],
            node_index.get(f"{load.bus}.{return_phase}", -1),
            load.branch_kv * 1e3,
            complex(load.kw, load.kvar) / len(load.branches),
            law_of_load(load),
        )
        for injection, load in enumerate(feeder.loads)
        for phase, return_phase in load.branches
    ]


def device_branches(
    feeder: Feeder, names: Sequence[str], first_injection: int, law: BranchLaw = DEVICE_LAW
) -> list[DeviceBranch]:
    """Devices of a law, by default constant power, at places by name, see `feeder.places`.

    Raises:
        ValueError: a name that is not of that form, or names a node that the feeder does not have.
    """
    node_index = {name: k for k, name in enumerate(feeder.node_names)}
    buses = {bus.name: bus for bus in feeder.buses}
    branches = []
    for injection, name in enumerate(names, start=first_injection):
        try:
            place = place_at(name, buses)
        except ValueError as error:
            raise ValueError(
                f"injections: {name!r} is not at nodes of this feeder; expected {PLACE_FORMS}, "
                f"with nodes such as {feeder.node_names[0]!r}"
            ) from error
        share, rated = 1.0 / len(place.branches), rated_voltage(place, buses)
        for phase, other in place.branches:
            branches.append(
                DeviceBranch(
                    injection,
                    share,
                    node_index[f"{place.bus}.{phase}"],
                    node_index.get(f"{place.bus}.{other}", -1),
                    rated,
                    0j,
                    law,
                )
            )
    return branches


def branch_incidence(branches: Sequence[DeviceBranch], nodes: int) -> sparse.csr_array:
    """(branches, nodes): from node voltages in V to the voltage across each branch, pu."""
    entries = [
        (row, node, sign / branch.rated_voltage)
        for row, branch in enumerate(branches)
        for node, sign in ((branch.node, 1.0), (branch.return_node, -1.0))
        if node >= 0
    ]
    row, node, value = zip(*entries, strict=True)
    return sparse.csr_array((value, (row, node)), shape=(len(branches), nodes))
