"""Admittances against OpenDSS's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from gridedge_env.feeder import build_network, load_feeder
from gridedge_env.feeder.admittance import transformer_element
from gridedge_env.feeder.records import Transformer, Winding

dss = pytest.importorskip("dss")

ROOT = Path(__file__).parents[3]
MODELS = Path(os.environ.get("GRIDEDGE_OPENDSS_FEEDERS", ROOT.parent / "shared" / "feeders"))
MASTER = {"ieee123": MODELS / "123Bus" / "IEEE123Master.dss"}


def run(*commands: str) -> Any:
    """Run OpenDSS commands and return its circuit; the working directory stays."""
    folder = Path.cwd()
    try:
        for command in commands:
            dss.DSS.Text.Command = command
    finally:
        os.chdir(folder)
    return dss.DSS.ActiveCircuit


@pytest.mark.parametrize("name", MASTER)
def test_nodal_admittance(name: str) -> None:
    """Both sum the same primitives: they differ by rounding.

    Compared with sqrt(|Y_ii| |Y_jj|), since a 1e-6 ohm switch puts 1e6 S beside lines of 1 S and
    carries its own rounding (1e6 · 2e-16 S) into its neighbours.
    """
    if not MASTER[name].exists():
        pytest.skip(f"OpenDSS model {MASTER[name].name} not found; set GRIDEDGE_OPENDSS_FEEDERS")
    feeder = load_feeder(name)
    circuit = run(
        f'compile "{MASTER[name]}"',
        *(
            f"transformer.{r.transformer}.wdg={r.winding} tap={1 + 0.00625 * r.tap_position!r}"
            for r in feeder.regulators
        ),
        "batchedit load..* enabled=no",
        "set controlmode=off",
        "solve",
    )
    values, indices, offsets = dss.DSS.YMatrix.GetCompressedYMatrix()
    order = [node.lower() for node in circuit.YNodeOrder]
    theirs = sparse.csc_array((values, indices, offsets), shape=(len(order), len(order))).toarray()
    network = build_network(feeder)
    assert sorted(order) == sorted(network.node_names)
    position = [order.index(node) for node in network.node_names]
    theirs = theirs[np.ix_(position, position)]
    ours = network.nodal_admittance.toarray()
    diagonal = np.sqrt(np.abs(np.diag(theirs)))
    assert (np.abs(ours - theirs) / np.outer(diagonal, diagonal)).max() < 1e-14


TRANSFORMERS = {
    "delta-wye, lag": Transformer(
        "t",
        3,
        (4.0,),
        "lag",
        1.0,
        (
            Winding("a", (1, 2, 3), "delta", 11.0, 800.0, 0.4, 1.025),
            Winding("b", (1, 2, 3), "wye", 0.416, 800.0, 0.6),
        ),
    ),
    "delta-wye, lead, with more voltage on the wye": Transformer(
        "t",
        3,
        (4.0,),
        "lead",
        1.0,
        (
            Winding("a", (1, 2, 3), "delta", 0.416, 800.0, 0.4),
            Winding("b", (1, 2, 3), "wye", 11.0, 800.0, 0.6),
        ),
    ),
    "wye-delta, lag": Transformer(
        "t",
        3,
        (7.0,),
        "lag",
        500.0,
        (
            Winding("a", (1, 2, 3), "wye", 12.47, 6000.0, 0.5),
            Winding("b", (1, 2, 3), "delta", 4.16, 6000.0, 0.5),
        ),
    ),
    "single-phase between lines": Transformer(
        "t",
        1,
        (2.0,),
        "lag",
        100.0,
        (
            Winding("a", (2, 3), "delta", 4.16, 100.0, 0.5),
            Winding("b", (1,), "wye", 0.24, 100.0, 0.5, 0.975),
        ),
    ),
    "three windings": Transformer(
        "t",
        3,
        (7.0, 9.0, 5.0),
        "lag",
        10.0,
        (
            Winding("a", (1, 2, 3), "delta", 115.0, 10000.0, 0.3),
            Winding("b", (1, 2, 3), "wye", 12.47, 8000.0, 0.4),
            Winding("c", (1, 2, 3), "wye", 4.16, 2000.0, 0.6, 1.05),
        ),
    ),
}


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_transformer(kind: str) -> None:
    """The primitive admittance over the same terminals, grounded neutrals left out."""
    transformer = TRANSFORMERS[kind]
    circuit = run("clear", "new circuit.c", opendss_definition(transformer), "solve")
    circuit.SetActiveElement("transformer.t")
    element = circuit.ActiveCktElement
    nodes = np.asarray(element.NodeOrder)
    theirs = np.asarray(element.Yprim).view(complex).reshape(len(nodes), len(nodes))
    live = np.flatnonzero(nodes)
    taps = [winding.tap for winding in transformer.windings]
    ours = transformer_element(transformer, taps).admittance
    diagonal = np.sqrt(np.abs(np.diag(ours)))
    difference = np.abs(ours - theirs[np.ix_(live, live)]) / np.outer(diagonal, diagonal)
    assert difference.max() < 1e-13  # rounding alone


def opendss_definition(transformer: Transformer) -> str:
    names = ("xhl", "xht", "xlt")
    reactances = zip(names, transformer.reactance_percent, strict=False)
    windings = " ".join(
        f"wdg={number} bus={w.bus}.{'.'.join(map(str, w.phases))} conn={w.connection} kv={w.kv} "
        f"kva={w.kva} %r={w.resistance_percent} tap={w.tap}"
        for number, w in enumerate(transformer.windings, start=1)
    )
    return (
        f"new transformer.t phases={transformer.phases} windings={len(transformer.windings)} "
        f"{windings} {' '.join(f'{name}={value}' for name, value in reactances)} "
        f"leadlag={transformer.lead_lag} ppm={transformer.antifloat_ppm}"
    )
