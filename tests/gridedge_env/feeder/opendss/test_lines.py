"""Imported lines, line codes and switches against OpenDSS."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gridedge_env.feeder import Feeder

Check = Callable[..., Feeder]

HEAD = "new line.head bus1=s bus2=b r1=0.3 x1=0.5 r0=0.6 x0=1.5 c1=10 c0=5 length=2"
LOADS = (
    "new load.b bus1=b kv=12.47 kw=300 kvar=100",
    "new load.c bus1=c.1 phases=1 kv=7.2 kw=200 kvar=100",
)
WIRES = (
    "new wiredata.phase rac=0.3 gmrac=0.02 gmrunits=ft radunits=in diam=0.7 runits=mi",
    "new wiredata.neutral rac=0.5 gmrac=0.01 gmrunits=ft radunits=in diam=0.5 runits=mi "
    "normamps=230",
    "new cndata.cable k=13 diastrand=0.064 gmrstrand=0.0021 rstrand=14 epsr=2.3 inslayer=0.22 "
    "diains=1.06 diacable=1.16 rac=0.41 gmrac=0.0171 diam=0.567 runits=mi radunits=in gmrunits=ft",
    "new linegeometry.overhead nconds=4 nphases=3 reduce=yes units=ft "
    "cond=1 wire=phase x=-1 h=30 cond=2 wire=phase x=0 h=30 cond=3 wire=phase x=1 h=30 "
    "cond=4 wire=neutral x=0 h=25",
    "new linegeometry.four_wire nconds=4 nphases=4 reduce=no units=ft "
    "cond=1 wire=phase x=-1 h=30 cond=2 wire=phase x=0 h=30 cond=3 wire=phase x=1 h=30 "
    "cond=4 wire=neutral x=0 h=25",
    "new linegeometry.underground nconds=3 nphases=3 units=ft "
    "cond=1 cncable=cable x=-0.5 h=-4 cond=2 cncable=cable x=0 h=-4 "
    "cond=3 cncable=cable x=0.5 h=-4",
    "new linespacing.spacing nconds=4 nphases=3 units=ft x=[-1 0 1 0] h=[30 30 30 25]",
)
CODES = (
    "new linecode.sequence r1=0.1 x1=0.2 r0=0.3 x0=0.4 c1=10 c0=5 units=km basefreq=60 "
    "normamps=300",
    "new linecode.matrix nphases=2 units=mi basefreq=60 "
    "rmatrix=(0.3 | 0.1 0.3) xmatrix=(0.6 | 0.2 0.7) cmatrix=(10 | -2 11)",
    "new linecode.kron nphases=4 units=mi basefreq=60 "
    "rmatrix=(0.3 | 0.1 0.3 | 0.1 0.1 0.3 | 0.1 0.1 0.1 0.5) "
    "xmatrix=(0.6 | 0.2 0.7 | 0.2 0.2 0.6 | 0.2 0.2 0.2 1) neutral=4 kron=yes",
    "new linecode.no_unit r1=0.1 x1=0.2 r0=0.3 x0=0.4 c1=10 c0=5 basefreq=60",
)
LINES = {
    "geometry": "bus1=b bus2=c geometry=overhead length=2 units=km",
    "cables": "bus1=b bus2=c geometry=underground length=2000 units=ft",
    "spacing and wires": "bus1=b bus2=c spacing=spacing wires=(phase phase phase neutral) "
    "length=2000 units=ft",
    "line code": "bus1=b bus2=c linecode=sequence length=300 units=m",
    "line code, length without unit": "bus1=b bus2=c linecode=sequence length=0.3",
    "line code without unit": "bus1=b bus2=c linecode=no_unit length=0.3 units=km",
    "line code of two phases": "bus1=b.1.3 bus2=c.1.3 linecode=matrix length=1 units=mi",
    "transposed": "bus1=b.2.3 bus2=c.3.1 linecode=matrix length=500 units=ft",
    "reduced neutral": "bus1=b bus2=c linecode=kron length=500 units=ft",
    "matrices": "bus1=b bus2=c rmatrix=(0.3 | 0.1 0.3 | 0.1 0.1 0.3) length=0.1 units=kft "
    "xmatrix=(0.6 | 0.2 0.7 | 0.2 0.2 0.6) cmatrix=(10 | -2 11 | 0 0 10)",
    "without unit": "bus1=b bus2=c r1=0.1 x1=0.1 r0=0.2 x0=0.3 c1=0 c0=0 length=2",
    "default impedance": "bus1=b bus2=c length=0.1",
}


@pytest.mark.parametrize("frequency", [50, 60])
@pytest.mark.parametrize("kind", LINES)
def test_line(same_as_opendss: Check, kind: str, frequency: int) -> None:
    """Data for 60 Hz in a 50-Hz circuit, too: OpenDSS moves the earth return with the frequency."""
    line = f"new line.l {LINES[kind]}"
    feeder = same_as_opendss(HEAD, *WIRES, *CODES, line, *LOADS, frequency=frequency)
    assert feeder.frequency == frequency
    assert [line.name for line in feeder.lines] == ["head", "l"]


def test_neutral_conductor(same_as_opendss: Check) -> None:
    """A fourth wire, grounded at its end through a resistance, that carries what is unbalanced."""
    feeder = same_as_opendss(
        *WIRES,
        "new line.l bus1=s.1.2.3.0 bus2=c.1.2.3.4 geometry=four_wire length=2 units=km",
        "new line.earth bus1=c.4 bus2=c.0 phases=1 r1=15 x1=0 c1=0 c0=0 length=1",
        "new load.c bus1=c.1.4 phases=1 kv=7.2 kw=200 kvar=100",
        "new load.d bus1=c.2.3.4 phases=2 kv=12.47 kw=200 kvar=100",
    )
    assert feeder.lines[0].from_phases == (1, 2, 3, 0)
    assert [a.name for a in feeder.admittances] == ["line.earth"]


def test_line_codes_are_shared_and_readable(same_as_opendss: Check) -> None:
    """As declared, per kilometre; lines of another rating get a code of their own."""
    feeder = same_as_opendss(
        CODES[0],
        "new line.a bus1=s bus2=b linecode=sequence length=1 units=km",
        "new line.b bus1=b bus2=c linecode=sequence length=300 units=m",
        "new line.c bus1=c bus2=d linecode=sequence length=1 normamps=150",
        "new line.d bus1=d bus2=e linecode=sequence length=1 normamps=150",
        "new load.d bus1=e kv=12.47 kw=300 kvar=100",
    )
    shared, slighter = feeder.line_codes
    assert [line.line_code for line in feeder.lines] == ["sequence", "sequence", "c", "c"]
    assert [(line.length, line.length_unit) for line in feeder.lines[:2]] == [(1, "km"), (300, "m")]
    assert (shared.name, shared.ampacity, shared.length_unit) == ("sequence", 300.0, "km")
    assert shared.reactance[0][1] == pytest.approx((0.4 - 0.2) / 3)
    assert (slighter.name, slighter.ampacity) == ("c", 150.0)


RATINGS = {
    "r1=1 x1=1": None,  # OpenDSS says 400 A, but nobody else does
    "r1=1 x1=1 normamps=400": 400.0,
    "linecode=unrated": None,
    "linecode=rated": 400.0,
    "linecode=unrated normamps=200": 200.0,
    "geometry=overhead": None,
    "geometry=underground normamps=170": 170.0,
}


@pytest.mark.parametrize("line", RATINGS)
def test_rating(import_script: Check, line: str) -> None:
    feeder = import_script(
        *WIRES,
        "new linecode.rated r1=0.1 x1=0.1 normamps=400",
        "new linecode.unrated r1=0.1 x1=0.1",
        f"new line.l bus1=s bus2=b length=1 {line}",
    )
    assert feeder.line_codes[0].ampacity == RATINGS[line]


PLAIN = "r1=1e-4 x1=0 r0=1e-4 x0=0 c1=0 c0=0"


def test_switches(same_as_opendss: Check) -> None:
    feeder = same_as_opendss(
        HEAD,
        f"new line.plain bus1=b bus2=c switch=yes {PLAIN}",
        "new line.usual bus1=b bus2=d switch=yes",
        f"new line.rated bus1=b bus2=e switch=yes {PLAIN} normamps=600",
        "new load.d bus1=d kv=12.47 kw=100",
        "new load.e bus1=e kv=12.47 kw=100",
        *LOADS,
    )
    assert [(s.name, s.closed) for s in feeder.switches] == [("plain", True)]
    assert feeder.switches[0].resistance_ohm == pytest.approx(1e-7)
    assert [line.name for line in feeder.lines] == ["head", "usual", "rated"]


OPENED = {
    "at its first terminal": ("open line.x 1",),
    "at its second terminal": ("open line.x 2",),
    "at both": ("open line.x 1", "open line.x 2"),
    "by a control": ("new swtcontrol.w switchedobj=line.x action=open",),
    "by a fuse": (
        "new fuse.f monitoredobj=line.x switchedobj=line.x state=(open open open)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("opened", OPENED)
@pytest.mark.parametrize(
    ("impedance", "charged"), [(PLAIN, False), ("r1=0.4 x1=0.5 c1=10 c0=5", True)]
)
def test_open(same_as_opendss: Check, impedance: str, charged: bool, opened: str) -> None:
    """An open line, whatever it is, is an open switch; what charges it from one end remains."""
    feeder = same_as_opendss(
        HEAD,
        f"new line.x bus1=b bus2=c {impedance} length=1",
        "new line.tie bus1=b bus2=c r1=1 x1=1 length=1",
        *LOADS,
        end="\n".join(("set voltagebases=[12.47]", "calcvoltagebases", *OPENED[opened], "solve")),
    )
    assert [(s.name, s.closed) for s in feeder.switches] == [("x", False)]
    assert [line.name for line in feeder.lines] == ["head", "tie"]
    assert len(feeder.admittances) == (charged and opened != "at both")


def test_one_open_conductor(same_as_opendss: Check) -> None:
    feeder = same_as_opendss(
        HEAD,
        "new line.x bus1=b bus2=c r1=0.4 x1=0.5 c1=10 c0=5 length=1",
        *LOADS,
        "open line.x 1 2",
    )
    assert [a.name for a in feeder.admittances] == ["line.x"]
    assert len(feeder.admittances[0].to_nodes) == 3


def test_isolated_and_disabled(same_as_opendss: Check) -> None:
    """A part without source is at 0 V; a disabled element is no element."""
    feeder = same_as_opendss(
        HEAD,
        "new line.island bus1=x bus2=y",
        "new load.island bus1=y kv=12.47 kw=10",
        "new line.gone bus1=b bus2=c enabled=no",
        LOADS[0],
    )
    assert [line.name for line in feeder.lines] == ["head", "island"]
