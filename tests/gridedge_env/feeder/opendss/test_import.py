"""Whole scripts: the IEEE feeders, what goes wrong, and what an import leaves alone."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridedge_env import PowerFlow, load_feeder
from gridedge_env.feeder import Feeder
from gridedge_env.feeder.elements import Element

Check = Callable[..., Feeder]

LINE = "new line.l bus1=s bus2=b r1=0.3 x1=0.5 r0=0.6 x0=1.5 length=2"
LOAD = "new load.x bus1=b kv=12.47 kw=300 kvar=100"
MODELS = {
    "4Bus-DY-Bal/4Bus-DY-Bal.DSS": 12,
    "4Bus-OYOD-UnBal/4bus-OYOD-UnBal.dss": 12,
    "4Bus-YY-Bal/4Bus-YY-Bal.DSS": 12,
    "13Bus/IEEE13Nodeckt.dss": 41,
    "37Bus/ieee37.dss": 117,
    "123Bus/IEEE123Master.dss": 278,
    "LVTestCase/Master.dss": 2721,
}


@pytest.mark.parametrize("model", MODELS)
def test_ieee_feeder(model_same_as_opendss: Check, model: str) -> None:
    """Every element has a record of its own."""
    feeder = model_same_as_opendss(model)
    assert len(feeder.node_names) == MODELS[model]
    assert feeder.admittances == ()


def test_ieee_13_as_published(model_same_as_opendss: Check) -> None:
    feeder = model_same_as_opendss("13Bus/IEEE13Nodeckt.dss")
    assert [r.tap_position for r in feeder.regulators] == [9, 6, 9]
    assert [line.line_code for line in feeder.lines if line.name == "650632"] == ["mtx601"]
    assert [(bus.x, bus.y) for bus in feeder.buses[:2]] == [(200.0, 400.0), (200.0, 350.0)]


@pytest.mark.parametrize("kind", ["line", "transformer"])
def test_no_record_is_taken_on_trust(
    same_as_opendss: Check, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Had we got a kind of element wrong, by one in ten thousand, its primitive would stand in."""
    module = importlib.import_module(f"gridedge_env.feeder.opendss.{kind}s")
    right = getattr(module, f"{kind}_element")

    def wrong(*arguments: Any) -> Element:
        element = right(*arguments)
        return replace(element, admittance=1.0001 * element.admittance)

    monkeypatch.setattr(module, f"{kind}_element", wrong)
    feeder = same_as_opendss(
        LINE,
        "new transformer.t windings=2 buses=(b c) kvs=(12.47 4.16) kvas=(1000 1000) xhl=6",
        "new load.c bus1=c kv=4.16 kw=500 kvar=200",
    )
    assert [a.name for a in feeder.admittances] == [{"line": "line.l"}.get(kind, "transformer.t")]


def test_saved_feeder_is_the_same(import_script: Check, tmp_path: Path) -> None:
    feeder = import_script(LINE, "new reactor.r bus1=b bus2=c r=1 x=2", LOAD)
    feeder.save(tmp_path / "tables")
    assert load_feeder(tmp_path / "tables") == feeder


def test_suffix_in_any_case(write_script: Callable[..., Path]) -> None:
    pytest.importorskip("dss")
    path = write_script(LINE, LOAD)
    assert load_feeder(path.rename(path.with_suffix(".DSS"))).name == "test"


def test_unsolved_script(same_as_opendss: Check) -> None:
    """The import solves it, so that the regulator moves."""
    feeder = same_as_opendss(
        LINE,
        "new transformer.t windings=2 buses=(b c) kvs=(12.47 4.16) kvas=(1000 1000) xhl=6",
        "new regcontrol.t transformer=t winding=2 vreg=124 band=2 ptratio=20",
        "new load.c bus1=c kv=4.16 kw=500 kvar=200",
        end="set voltagebases=[12.47 4.16]\ncalcvoltagebases",
    )
    assert feeder.regulators[0].tap_position > 0


def test_controls_off(same_as_opendss: Check) -> None:
    """As the script says: the tap stays where it was put."""
    feeder = same_as_opendss(
        LINE,
        "new transformer.t windings=2 buses=(b c) kvs=(12.47 4.16) kvas=(1000 1000) xhl=6 "
        "taps=(1 0.95)",
        "new regcontrol.t transformer=t winding=2 vreg=124 band=2 ptratio=20",
        "new load.c bus1=c kv=4.16 kw=500 kvar=200",
        "set controlmode=off",
    )
    assert feeder.regulators[0].tap_position == -8


def test_a_day_ends_as_a_snapshot(import_script: Check) -> None:
    """Load shapes act in their mode only; the feeder has the loads that were given."""
    feeder = import_script(
        LINE,
        "new loadshape.day npts=2 interval=12 mult=(0.2 0.4)",
        f"{LOAD} daily=day",
        end="set voltagebases=[12.47]\ncalcvoltagebases\nset mode=daily number=2\nsolve",
    )
    assert (feeder.loads[0].kw, feeder.loads[0].kvar) == (300.0, 100.0)


def test_buses_without_base_voltage(import_script: Check) -> None:
    """Their no-load voltage at 1 pu of the source; a dead bus has the source's."""
    feeder = import_script(
        LINE,
        "new transformer.t windings=2 buses=(b c) conns=(delta wye) kvs=(12.47 4.16) "
        "kvas=(1000 1000) xhl=6",
        "new line.n bus1=c.1.2.3.0 bus2=d.1.2.3.4 phases=4 r1=0.1 x1=0.1",
        "new load.d bus1=d.1.4 phases=1 kv=2.4 kw=50",
        "new line.island bus1=x bus2=y",
        circuit="basekv=12.47 bus1=s pu=1.05",
        end="solve",
    )
    base = {bus.name: bus.base_kv for bus in feeder.buses}
    expected = {"s": 12.47, "b": 12.47, "c": 4.16, "d": 4.16, "x": 12.47, "y": 12.47}
    assert base == pytest.approx({bus: kv / np.sqrt(3) for bus, kv in expected.items()}, rel=1e-3)


def test_solver_iterates_more_than_opendss(same_as_opendss: Check) -> None:
    """A load that OpenDSS's own 15 iterations do not reach, but 1000 do."""
    feeder = same_as_opendss(
        "new line.l bus1=s bus2=b r1=5 x1=9 length=2",
        "new load.x bus1=b kv=12.47 kw=1800 kvar=500 vminpu=0.5 vlowpu=0.4",
        end="set voltagebases=[12.47]\ncalcvoltagebases",
    )
    assert PowerFlow(feeder).solve().converged.all()


WRONG = {
    "unknown property": ("new line.k bus1=b badprop=3", "line 4: line: got .badprop."),
    "unknown command": ("nonsense foo=3", "nonsense"),
    "no number": ("new load.k bus1=b kv=abc", "abc"),
    "missing file": ("redirect nothere.dss", "nothere.dss"),
    "missing line code": ("new line.k bus1=b bus2=c linecode=nothere", "nothere"),
    "no solution": (
        "new load.k bus1=b kv=12.47 kw=1e7 vminpu=0.001 vlowpu=0",
        "does not converge in OpenDSS",
    ),
    "no circuit": ("clear", "no circuit"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_script(write_script: Callable[..., Path], kind: str) -> None:
    """OpenDSS's own message, after the name of the file."""
    pytest.importorskip("dss")
    line, message = WRONG[kind]
    path = write_script(line, end="solve" if kind == "no solution" else "")
    if kind == "no solution":
        path = write_script(LINE, line, end="solve")
    with pytest.raises(ValueError, match=f"(?s)Master.dss: .*{message}"):
        load_feeder(path)


def test_missing_script(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.dss"):
        load_feeder(tmp_path / "nowhere.dss")


def test_without_dss_python(
    write_script: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dss", None)
    with pytest.raises(ImportError, match=r"Master\.dss.*pip install gridedge\[opendss\]"):
        load_feeder(write_script(LINE, LOAD))


def test_import_leaves_everything_as_it_was(write_script: Callable[..., Path]) -> None:
    """The user's own circuit and settings, the working directory, and the script's folder."""
    dss = pytest.importorskip("dss")
    folder = Path.cwd()
    dss.DSS.Text.Command = "clear"
    dss.DSS.Text.Command = "new circuit.mine basekv=0.4"
    dss.DSS.AdvancedTypes = True
    before = dss.DSS.AllowForms, dss.DSS.AllowEditor, dss.DSS.AllowChangeDir
    path = write_script(LINE, LOAD, end="solve\nshow voltages\nexport currents")
    try:
        load_feeder(path)
        assert dss.DSS.AdvancedTypes
    finally:
        dss.DSS.AdvancedTypes = False
    assert dss.DSS.ActiveCircuit.Name == "mine"
    assert (dss.DSS.AllowForms, dss.DSS.AllowEditor, dss.DSS.AllowChangeDir) == before
    assert Path.cwd() == folder
    assert os.listdir(path.parent) == ["Master.dss"]


def test_errors_are_seen_where_the_user_has_silenced_them(
    write_script: Callable[..., Path],
) -> None:
    dss = pytest.importorskip("dss")
    path = write_script("nonsense foo=3")
    dss.DSS.Error.UseExceptions = False
    try:
        with pytest.raises(ValueError, match="nonsense"):
            load_feeder(path)
        assert not dss.DSS.Error.UseExceptions
    finally:
        dss.DSS.Error.UseExceptions = True
