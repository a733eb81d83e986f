"""Imported transformers and regulators against OpenDSS."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gridedge_env.feeder import Feeder

Check = Callable[..., Feeder]

UNBALANCED_WYE = tuple(
    f"new load.{phase} bus1=n4.{phase} phases=1 kv={{kv_to_ground}} kw={kw} pf=0.9 vminpu=0.6"
    for phase, kw in zip((1, 2, 3), (425, 600, 700), strict=True)
)
UNBALANCED_DELTA = tuple(
    f"new load.{pair} bus1=n4.{pair} phases=1 conn=delta kv={{kv}} kw={kw} pf=0.9 vminpu=0.6"
    for pair, kw in zip(("1.2", "2.3", "3.1"), (425, 600, 700), strict=True)
)


def four_bus(transformers: str, loads: tuple[str, ...], kv: float = 4.16) -> list[str]:
    """The IEEE 4-bus circuit: 12.47 kV line, transformers from bus n2 to n3, line, loads."""
    return [
        "new linecode.k nphases=3 units=mi rmatrix=(0.4576 | 0.156 0.4666 | 0.1535 0.158 0.4615) "
        "xmatrix=(1.078 | 0.5017 1.0482 | 0.3849 0.4236 1.0651)",
        "new line.l1 bus1=s bus2=n2 linecode=k length=2000 units=ft",
        *transformers.splitlines(),
        "new line.l2 bus1=n3 bus2=n4 linecode=k length=2500 units=ft",
        *(load.format(kv=kv, kv_to_ground=kv / 3**0.5) for load in loads),
        f"set voltagebases=[12.47 {kv}]",
    ]


@pytest.mark.parametrize("lead_lag", ["lag", "lead"])
@pytest.mark.parametrize("kv", [4.16, 24.9], ids=["step-down", "step-up"])
@pytest.mark.parametrize(
    ("connections", "loads"),
    [
        ("wye wye", UNBALANCED_WYE),
        ("delta wye", UNBALANCED_WYE),
        ("wye delta", UNBALANCED_DELTA),
        ("delta delta", UNBALANCED_DELTA),
    ],
)
def test_three_phase(
    same_as_opendss: Check, connections: str, loads: tuple[str, ...], kv: float, lead_lag: str
) -> None:
    transformer = (
        f"new transformer.t windings=2 buses=(n2 n3) conns=({connections}) kvs=(12.47 {kv}) "
        f"kvas=(6000 6000) xhl=6 %rs=(0.5 0.5) leadlag={lead_lag} taps=(1.025 0.975)"
    )
    feeder = same_as_opendss(*four_bus(transformer, loads, kv), end="calcvoltagebases\nsolve")
    assert [t.lead_lag for t in feeder.transformers] == [lead_lag]
    assert [w.connection for w in feeder.transformers[0].windings] == connections.split()
    assert [w.tap for w in feeder.transformers[0].windings] == [1.025, 0.975]


@pytest.mark.parametrize(
    ("buses", "connections", "loads"),
    [
        ("n2.1.2.3.4 n3", "wye delta", UNBALANCED_DELTA),
        ("n2 n3.1.2.3.4", "delta wye", UNBALANCED_DELTA),
    ],
)
def test_ungrounded_neutral(
    same_as_opendss: Check, buses: str, connections: str, loads: tuple[str, ...]
) -> None:
    transformer = (
        f"new transformer.t windings=2 buses=({buses}) conns=({connections}) kvs=(12.47 4.16) "
        "kvas=(6000 6000) xhl=6 %rs=(0.5 0.5)"
    )
    feeder = same_as_opendss(*four_bus(transformer, loads))
    assert [w.neutral for w in feeder.transformers[0].windings if w.connection == "wye"] == [4]


@pytest.mark.parametrize(
    "grounding",
    ["new reactor.g bus1=n3.4 bus2=n3.0 phases=1 r=1 x=2", "transformer.t.wdg=2 rneut=3"],
)
def test_neutral_impedance(same_as_opendss: Check, grounding: str) -> None:
    transformer = (
        "new transformer.t windings=2 buses=(n2 n3.1.2.3.4) conns=(delta wye) kvs=(12.47 4.16) "
        f"kvas=(6000 6000) xhl=6 %rs=(0.5 0.5)\n{grounding}"
    )
    same_as_opendss(*four_bus(transformer, UNBALANCED_WYE))


BANKS = {
    "open wye to open delta of two single-phase transformers": (
        "new transformer.a phases=1 windings=2 buses=(n2.1 n3.1.2) conns=(wye delta) "
        "kvs=(7.2 4.16) kvas=(2000 2000) xhl=6 %rs=(0.5 0.5)\n"
        "new transformer.b like=a buses=(n2.2 n3.2.3)"
    ),
    "open wye to open delta of one two-phase transformer": (
        "new transformer.a phases=2 windings=2 buses=(n2.1.2 n3.1.2.3) conns=(wye delta) "
        "kvs=(12.47 4.16) kvas=(4000 4000) xhl=6 %rs=(0.5 0.5)"
    ),
    "open delta to open delta": (
        "new transformer.a phases=2 windings=2 buses=(n2.1.2.3 n3.1.2.3) conns=(delta delta) "
        "kvs=(12.47 4.16) kvas=(4000 4000) xhl=6 %rs=(0.5 0.5)"
    ),
    "delta to delta of three single-phase transformers": (
        "new transformer.a phases=1 windings=2 buses=(n2.1.2 n3.1.2) conns=(delta delta) "
        "kvs=(12.47 4.16) kvas=(2000 2000) xhl=6 %rs=(0.5 0.5)\n"
        "new transformer.b like=a buses=(n2.2.3 n3.2.3)\n"
        "new transformer.c like=a buses=(n2.3.1 n3.3.1)"
    ),
}


@pytest.mark.parametrize("bank", BANKS)
def test_bank(same_as_opendss: Check, bank: str) -> None:
    feeder = same_as_opendss(*four_bus(BANKS[bank], UNBALANCED_DELTA))
    assert len(feeder.transformers) == BANKS[bank].count("new transformer")


def test_centre_tap(same_as_opendss: Check) -> None:
    feeder = same_as_opendss(
        "new transformer.t phases=1 windings=3 buses=(s.1 c.1.0 c.0.2) conns=(wye wye wye) "
        "kvs=(7.2 0.12 0.12) kvas=(25 25 25) xhl=2.04 xht=2.04 xlt=1.36 %rs=(0.6 1.2 1.2) "
        "%noloadloss=0.2 %imag=0.5",
        "new linecode.triplex nphases=2 units=kft rmatrix=(0.4 | 0.1 0.4) xmatrix=(0.3 | 0.1 0.3)",
        "new line.drop bus1=c.1.2 bus2=d.1.2 phases=2 linecode=triplex length=100 units=ft",
        "new load.upper bus1=d.1.0 phases=1 kv=0.12 kw=5 kvar=2",
        "new load.lower bus1=d.0.2 phases=1 kv=0.12 kw=3 kvar=1",
        "new load.both bus1=d.1.2 phases=1 kv=0.24 kw=4 kvar=1",
    )
    (transformer,) = feeder.transformers
    assert [w.phases for w in transformer.windings] == [(1,), (1,), (0, 2)]


@pytest.mark.parametrize(
    ("connections", "kvs", "reactance"),
    [
        ("delta wye wye", "12.47 4.16 0.48", (7.0, 9.0, 5.0)),
        ("wye wye delta", "12.47 4.16 0.48", (7.0, 9.0, 5.0)),
        ("wye wye wye delta", "12.47 4.16 0.48 2.4", (7.0, 9.0, 8.0, 5.0, 6.0, 4.0)),
    ],
)
def test_many_windings(
    same_as_opendss: Check, connections: str, kvs: str, reactance: tuple[float, ...]
) -> None:
    count = len(kvs.split())
    kvas = " ".join(("1000", "600", "500", "300")[:count])
    feeder = same_as_opendss(
        f"new transformer.t phases=3 windings={count} buses=({' '.join('sbcd'[:count])}) "
        f"conns=({connections}) kvs=({kvs}) kvas=({kvas}) "
        f"xscarray=({' '.join(map(str, reactance))}) %noloadloss=0.3 %imag=0.8 wdg=2 tap=1.05",
        "new load.b bus1=b.1 phases=1 kv=2.4 kw=100 kvar=40",
        "new load.c bus1=c.1.2 phases=1 conn=delta kv=0.48 kw=100",
    )
    (transformer,) = feeder.transformers
    assert transformer.reactance_percent == reactance
    assert (transformer.no_load_loss_percent, transformer.magnetising_percent) == (0.3, 0.8)


REGULATED = (
    "new transformer.r1 phases=1 windings=2 buses=(s.1 b.1) kvs=(7.2 7.2) kvas=(2000 2000) "
    "xhl=0.01 %loadloss=0.01",
    "new transformer.r2 like=r1 buses=(s.2 b.2)",
    "new transformer.r3 like=r1 buses=(s.3 b.3)",
    "new line.m bus1=b bus2=c r1=1 x1=2 length=1",
    "new load.a bus1=c kv=12.47 kw=3000 kvar=1000 vminpu=0.7",
)


def test_regulators_are_frozen_where_their_controls_leave_them(same_as_opendss: Check) -> None:
    feeder = same_as_opendss(
        *REGULATED,
        *(
            f"new regcontrol.c{n} transformer=r{n} winding=2 vreg=122 band=2 ptratio=60 ctprim=700 "
            f"r=3 x=7 delay={30 * n}"
            for n in (1, 2)
        ),
    )
    first, second = feeder.regulators
    assert (first.transformer, second.transformer) == ("r1", "r2")
    assert first.tap_position > 0
    assert (first.target_voltage, first.bandwidth, first.pt_ratio) == (122.0, 2.0, 60.0)
    assert (first.ct_primary, first.r, first.x, first.delay) == (700.0, 3.0, 7.0, 30.0)
    assert (first.tap_step, first.tap_limit) == (0.00625, 16)
    assert [t.windings[1].tap for t in feeder.transformers] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "more", ["reversible=yes", "bus=c.1", "vlimit=130", "inversetime=yes", "ldc_z=2"]
)
def test_other_controls_leave_a_tap(same_as_opendss: Check, more: str) -> None:
    """What a regulator cannot hold acts once, in OpenDSS, and is a tap of the winding then."""
    feeder = same_as_opendss(
        *REGULATED,
        f"new regcontrol.c1 transformer=r1 winding=2 vreg=122 band=2 ptratio=60 {more}",
    )
    assert not feeder.regulators
    assert feeder.transformers[0].windings[1].tap > 1.0


@pytest.mark.parametrize(
    ("taps", "step", "limit"),
    [
        ("mintap=0.95 maxtap=1.05 numtaps=16", 0.00625, 8),
        ("mintap=0.9 maxtap=1.1 numtaps=16", 0.0125, 8),
        ("mintap=0.9 maxtap=1.05 numtaps=24", None, None),  # not about 1: a tap of the winding
    ],
)
def test_tap_ranges(
    same_as_opendss: Check, taps: str, step: float | None, limit: int | None
) -> None:
    feeder = same_as_opendss(
        "new transformer.t windings=2 buses=(s b) conns=(delta wye) kvs=(12.47 4.16) "
        f"kvas=(3000 3000) xhl=6 wdg=2 {taps}",
        "new regcontrol.t transformer=t winding=2 vreg=124 band=2 ptratio=20",
        "new load.a bus1=b kv=4.16 kw=1500 kvar=800",
    )
    assert [(r.tap_step, r.tap_limit) for r in feeder.regulators] == (
        [(step, limit)] if step else []
    )


def test_unusual_transformer_becomes_an_admittance(same_as_opendss: Check) -> None:
    """Two windings that share a corner twice: no record says so, its primitive does."""
    feeder = same_as_opendss(
        "new transformer.t phases=3 windings=2 buses=(s b.1.1.1.0) conns=(wye wye) "
        "kvs=(12.47 4.16) kvas=(500 500) xhl=6",
        "new load.a bus1=b.1 phases=1 kv=2.4 kw=0.1",
    )
    assert not feeder.transformers
    assert [a.name for a in feeder.admittances] == ["transformer.t"]
