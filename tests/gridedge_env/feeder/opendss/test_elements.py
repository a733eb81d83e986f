"""Imported sources, capacitors and other linear elements against OpenDSS."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable

import pytest

from gridedge_env.feeder import Feeder

Check = Callable[..., Feeder]

LINE = "new line.l bus1=s bus2=b r1=0.3 x1=0.5 r0=0.6 x0=1.5 length=2"
LOAD = "new load.x bus1=b kv=12.47 kw=300 kvar=100"

SOURCES = {
    "short-circuit powers": "mvasc3=50 mvasc1=30 x1r1=3 x0r0=2",
    "short-circuit currents": "isc3=3000 isc1=2500",
    "sequence impedances": "r1=0.1 x1=0.5 r0=0.2 x0=0.9",
    "per unit and angle": "pu=1.03 angle=-30",
    "ideal": "model=ideal",
    "negative sequence": "sequence=neg",
}


@pytest.mark.parametrize("kind", SOURCES)
def test_source(same_as_opendss: Check, kind: str) -> None:
    feeder = same_as_opendss(f"edit vsource.source {SOURCES[kind]}", LINE, LOAD)
    assert feeder.source.phases == ((1, 3, 2) if kind == "negative sequence" else (1, 2, 3))


@pytest.mark.parametrize("impedance", ["r1=1 x1=2", "mvasc3=100 mvasc1=90"])
def test_single_phase_source(same_as_opendss: Check, impedance: str) -> None:
    feeder = same_as_opendss(
        "new line.l bus1=s.2 bus2=b.2 phases=1 r1=0.3 x1=0.5 length=2",
        "new load.x bus1=b.2 phases=1 kv=7.2 kw=300 kvar=100",
        circuit=f"basekv=7.2 phases=1 bus1=s.2 {impedance}",
    )
    assert feeder.source.phases == (2,)


CAPACITORS = {
    "wye": ("bus1=b kvar=300 kv=12.47", 300.0, "wye", 0),
    "delta": ("bus1=b kvar=300 kv=12.47 conn=delta", 300.0, "delta", 0),
    "ungrounded wye": ("bus1=b bus2=b.4.4.4 kvar=300 kv=12.47", 300.0, "wye", 4),
    "single-phase": ("bus1=b.3 phases=1 kvar=50 kv=7.2", 50.0, "wye", 0),
    "between phases": ("bus1=b.1.2 phases=1 conn=delta kvar=50 kv=12.47", 50.0, "delta", 0),
    "from bus to bus": ("bus1=b.1 bus2=b.2 phases=1 kvar=50 kv=12.47", 50.0, "delta", 0),
    "two phases": ("bus1=b.2.3 phases=2 kvar=100 kv=12.47", 100.0, "wye", 0),
    "steps": ("bus1=b numsteps=3 kvar=(90 90 90) kv=12.47 states=(1 0 1)", 180.0, "wye", 0),
    # OpenDSS takes each of its steps for the first.
    "unequal": ("bus1=b numsteps=3 kvar=(90 60 9) kv=12.47 states=(1 0 1)", 180.0, "wye", 0),
}


def test_memory_that_nobody_set_is_no_number() -> None:
    """As OpenDSS prints a matrix of a capacitor that has none; names stay names."""
    pytest.importorskip("dss")
    parsed = importlib.import_module("gridedge_env.feeder.opendss.engine").parsed
    text = '[{"Name":"nan","CMatrix":[[1.5E+000, Nan],[+Inf,-nan]],"kV":7.2,"Like":"inf"}]'
    (found,) = parsed(text)
    assert (found["Name"], found["kV"], found["Like"]) == ("nan", 7.2, "inf")
    (first, *others), rest = found["CMatrix"]
    assert first == 1.5
    assert all(math.isnan(value) for value in (*others, *rest))


@pytest.mark.parametrize("kind", CAPACITORS)
def test_capacitor(same_as_opendss: Check, kind: str) -> None:
    text, kvar, connection, neutral = CAPACITORS[kind]
    feeder = same_as_opendss(LINE, f"new capacitor.c {text}", LOAD)
    (capacitor,) = feeder.capacitors
    assert capacitor.kvar == pytest.approx(kvar, rel=1e-12)
    assert (capacitor.connection, capacitor.neutral) == (connection, neutral)


def test_capacitor_after_its_control(same_as_opendss: Check) -> None:
    """The line draws 100 kvar, too little for the control to keep the bank in."""
    feeder = same_as_opendss(
        LINE,
        "new capacitor.c bus1=b kvar=300 kv=12.47",
        "new capcontrol.c capacitor=c element=line.l terminal=1 type=kvar onsetting=200 "
        "offsetting=-100",
        LOAD,
    )
    assert feeder.capacitors == ()


OTHERS = {
    "capacitor in series": ("capacitor.x", "bus1=b bus2=c kvar=10000 kv=12.47", 3),
    "tuned capacitor": ("capacitor.x", "bus1=b kvar=300 kv=12.47 r=2 xl=3", 0),
    "reactor in series": ("reactor.x", "bus1=b bus2=c r=1 x=2", 3),
    "reactor by sequence": ("reactor.x", "bus1=b bus2=c z1=[1, 2] z0=[2, 3]", 3),
    "reactor of one phase in series": ("reactor.x", "bus1=b.2 bus2=c.2 phases=1 r=1 x=2 rp=100", 1),
    "reactor to ground": ("reactor.x", "bus1=b kvar=100 kv=12.47", 0),
    "delta reactor": ("reactor.x", "bus1=b kvar=100 kv=12.47 conn=delta", 0),
    "fault": ("fault.x", "bus1=b.1 bus2=b.2 r=500", 1),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_admittance(same_as_opendss: Check, kind: str) -> None:
    """What has no record of its own is there by its primitive, in series if it is."""
    name, text, branches = OTHERS[kind]
    loads = [LOAD, "new load.y bus1=c.2 phases=1 kv=7.2 kw=100"][: 2 if "c" in text[10:18] else 1]
    feeder = same_as_opendss(LINE, f"new {name} {text}", *loads)
    (admittance,) = feeder.admittances
    assert admittance.name == name
    assert len(admittance.to_nodes) == branches


def test_autotransformer(import_script: Check) -> None:
    """Its series winding ends at the common one, though OpenDSS's list of nodes says otherwise.

    Without load the common winding's 4.16 kV stand against 12.47 kV of both in series.
    """
    feeder = import_script(
        "new autotrans.x phases=3 windings=2 buses=(s b) kvs=(12.47 4.16) kvas=(1000 1000)",
        end="solve",
    )
    base = {bus.name: bus.base_kv for bus in feeder.buses}
    assert base["b"] / base["s"] == pytest.approx(4.16 / 12.47, rel=1e-4)


REFUSED = {
    "new vsource.x bus1=b basekv=12.47": r"Vsource\.x: .*a second source",
    "edit vsource.source bus2=b.4.4.4": r"Vsource\.source: .*between nodes",
    "edit vsource.source z1=[1, 2] z2=[1, 3]": r"Vsource\.source: .*balanced",
    "new isource.x bus1=b amps=3": r"Isource\.x: .*class Isource",
    "new vccs.x bus1=b phases=1 prated=1000 vrated=7200": r"VCCS\.x: .*class VCCS",
    "new upfc.x bus1=b.1 bus2=c.1 phases=1 refkv=7.2": r"UPFC\.x: .*class UPFC",
    "new reactor.x bus1=b bus2=c z1=[1, 2] z0=[2, 3] z2=[1, 2.5]": r"Reactor\.x: .*not symmetric",
}


@pytest.mark.parametrize("line", REFUSED)
def test_refused_by_name(import_script: Check, line: str) -> None:
    with pytest.raises(ValueError, match=r"Master\.dss: .*" + REFUSED[line]):
        import_script(LINE, line, LOAD)
