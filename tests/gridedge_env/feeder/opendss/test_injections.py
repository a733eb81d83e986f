"""Imported loads, generators, PV systems and storage against OpenDSS."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gridedge_env.feeder import Feeder

Check = Callable[..., Feeder]

# Two per cent below nominal at the far end, and a neutral that is grounded through a resistance.
LINES = (
    "new line.l bus1=s bus2=b r1=1.3 x1=2.5 r0=2.6 x0=4.5 c1=10 c0=5 length=2",
    "new line.n bus1=b.4 bus2=b.0 phases=1 r1=20 x1=1 c1=0 c0=0 length=1",
)
MODELS = {
    1: ("constant_power", ""),
    2: ("constant_impedance", ""),
    4: ("exponential", "cvrwatts=0.8 cvrvars=2.5"),
    5: ("constant_current", ""),
}
PLACES = {
    "phase to ground": ("bus1=b.1 phases=1 kv=7.2", (1,), "wye", 0),
    "phase to neutral": ("bus1=b.3.4 phases=1 kv=7.2", (3,), "wye", 4),
    "ground to phase": ("bus1=b.0.3 phases=1 kv=7.2", (3,), "wye", 0),
    "phase to phase": ("bus1=b.1.2 phases=1 kv=12.47 conn=delta", (1, 2), "delta", 0),
    "wye from phase to phase": ("bus1=b.1.2 phases=1 kv=12.47", (1, 2), "delta", 0),
    "two phases to ground": ("bus1=b.2.3 phases=2 kv=12.47", (2, 3), "wye", 0),
    "two phases to neutral": ("bus1=b.2.3.4 phases=2 kv=12.47", (2, 3), "wye", 4),
    "open delta": ("bus1=b.2.3.1 phases=2 kv=12.47 conn=delta", (2, 3, 1), "open_delta", 0),
    "three-phase wye": ("bus1=b kv=12.47", (1, 2, 3), "wye", 0),
    "three-phase wye to neutral": ("bus1=b.1.2.3.4 kv=12.47", (1, 2, 3), "wye", 4),
    "delta": ("bus1=b kv=12.47 conn=delta", (1, 2, 3), "delta", 0),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("place", PLACES)
def test_load(same_as_opendss: Check, place: str, model: int) -> None:
    terminals, phases, connection, neutral = PLACES[place]
    name, exponents = MODELS[model]
    feeder = same_as_opendss(
        *LINES,
        f"new load.x {terminals} model={model} {exponents} kw=600 kvar=150 vminpu=0.8 vmaxpu=1.1",
        "new load.unbalance bus1=b.1.4 phases=1 kv=7.2 kw=200",
    )
    load = feeder.loads[0]
    assert (load.phases, load.connection, load.neutral) == (phases, connection, neutral)
    assert (load.model, load.kw, load.kvar) == (name, 600.0, 150.0)
    assert (load.p_exponent, load.q_exponent) == ((0.8, 2.5) if model == 4 else (None, None))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("band", "edges"),
    [
        ("vminpu=0.99 vlowpu=0.6", (0.99, 1.05, 0.6)),  # below
        ("vmaxpu=0.9 vminpu=0.85", (0.85, 0.9, 0.5)),  # above
        ("vminpu=0.1", (0.5 + 1e-6, 1.05, 0.5)),  # the impedance below vlowpu comes first
        ("vminpu=0 vlowpu=0", (1e-3, 1.05, 0.0)),
    ],
)
def test_voltage_band(
    same_as_opendss: Check, band: str, edges: tuple[float, float, float], model: int
) -> None:
    feeder = same_as_opendss(
        *LINES, f"new load.x bus1=b kv=12.47 model={model} kw=900 kvar=300 {band}"
    )
    load = feeder.loads[0]
    assert (load.vmin_pu, load.vmax_pu, load.vlow_pu) == edges


POWERS = {
    "kva and pf": ("kva=100 pf=0.8", (80.0, 60.0)),
    "leading": ("kw=80 pf=-0.8", (80.0, -60.0)),
    "allocation": ("pf=0.8 xfkva=200 allocationfactor=0.5", (80.0, 60.0)),
    "energy": ("kwh=720 kwhdays=30 cfactor=4 pf=0.8", (4.0, 3.0)),
    "load multiplier": ("kw=100 kvar=50\nset loadmult=0.8", (80.0, 40.0)),
    "exempt from it": ("kw=100 kvar=50 status=exempt\nset loadmult=0.8", (100.0, 50.0)),
    "growth": ("kw=100 kvar=50\nset year=1 %growth=3", (100.0, 50.0)),
    "nothing": ("kw=0 kvar=0", (0.0, 0.0)),
    "export": ("kw=-100 kvar=-50", (-100.0, -50.0)),
}


@pytest.mark.parametrize("given", POWERS)
def test_power(same_as_opendss: Check, given: str) -> None:
    text, power = POWERS[given]
    feeder = same_as_opendss(*LINES, f"new load.x bus1=b kv=12.47 {text}")
    assert (feeder.loads[0].kw, feeder.loads[0].kvar) == pytest.approx(power, rel=1e-12)


def test_neutral_impedance_of_a_load_has_no_effect(same_as_opendss: Check) -> None:
    """OpenDSS puts rneut into the load's admittance and takes it back out with its current."""
    same_as_opendss(*LINES, "new load.x bus1=b.1.2.3.4 kv=12.47 kw=100 rneut=1000")


GENERATION = {
    "generator": ("generator.x", "kw=200 kvar=50", (-200.0, -50.0)),
    "generator with multiplier": (
        "generator.x",
        "kw=200 kvar=50\nset genmult=0.5",
        (-100.0, -25.0),
    ),
    # OpenDSS has it draw 0.1 W for every kW.
    "generator off": ("generator.x", "kw=200 dispmode=loadlevel dispvalue=2", (0.02, 0.0)),
    "pv": ("pvsystem.x", "kva=100 pmpp=80 irradiance=0.5 pf=0.8", (-40.0, -30.0)),
    "pv at its rating": ("pvsystem.x", "kva=50 pmpp=80 irradiance=1 kvar=30", (-40.0, -30.0)),
    "pv at night": ("pvsystem.x", "kva=50 pmpp=80 irradiance=0", (0.0, 0.0)),
    "storage, discharging": (
        "storage.x",
        "kwrated=50 kwhrated=100 state=discharging %discharge=80",
        (-40.0, 0.0),
    ),
    "storage, charging": (
        "storage.x",
        "kwrated=50 kwhrated=100 %stored=50 state=charging %charge=60",
        (30.0, 0.0),
    ),
    "storage, idling": ("storage.x", "kwrated=50 kwhrated=100 state=idling", (0.5, 0.0)),
}
TERMINALS = {
    "wye": "bus1=b kv=12.47",
    "delta": "bus1=b kv=12.47 conn=delta",
    "phase to neutral": "bus1=b.2.4 phases=1 kv=7.2",
}


@pytest.mark.parametrize("terminals", TERMINALS)
@pytest.mark.parametrize("kind", GENERATION)
def test_generation(same_as_opendss: Check, kind: str, terminals: str) -> None:
    """Loads of the opposite sign, constant impedances outside 0.9 to 1.1 pu."""
    element, properties, power = GENERATION[kind]
    feeder = same_as_opendss(*LINES, f"new {element} {TERMINALS[terminals]} {properties}")
    (load,) = feeder.loads
    assert (load.kw, load.kvar) == pytest.approx(power, abs=1e-6)
    assert (load.vmin_pu, load.vmax_pu, load.vlow_pu) == (0.9, 1.1, 0.0)


@pytest.mark.parametrize("per_unit", [0.8, 1.15])
@pytest.mark.parametrize("kind", ["generator", "pv"])
def test_generation_outside_its_band(same_as_opendss: Check, kind: str, per_unit: float) -> None:
    element, properties, power = GENERATION[kind]
    feeder = same_as_opendss(
        *LINES,
        f"new {element} bus1=b kv=12.47 {properties}",
        circuit=f"basekv=12.47 bus1=s pu={per_unit}",
    )
    assert (feeder.loads[0].kw, feeder.loads[0].kvar) == pytest.approx(power, rel=1e-9)


def test_inverter_control(same_as_opendss: Check) -> None:
    """The reactive power that volt-var control has found, frozen."""
    feeder = same_as_opendss(
        *LINES,
        "new pvsystem.x bus1=b kv=12.47 kva=2000 pmpp=1800 irradiance=1",
        "new xycurve.curve npts=4 xarray=(0.5 0.95 1.05 1.5) yarray=(1 1 -1 -1)",
        "new invcontrol.x mode=voltvar voltage_curvex_ref=rated vvc_curve1=curve",
    )
    assert feeder.loads[0].kw == pytest.approx(-1800, rel=1e-6)
    assert feeder.loads[0].kvar > 10.0


def test_equal_names(same_as_opendss: Check) -> None:
    feeder = same_as_opendss(
        *LINES,
        "new load.x bus1=b kv=12.47 kw=100",
        "new generator.x bus1=b kv=12.47 kw=20",
        "new pvsystem.x bus1=b kv=12.47 kva=20 pmpp=10",
    )
    assert [load.name for load in feeder.loads] == ["x", "generator_x", "pvsystem_x"]


REFUSED = {
    "new load.x bus1=b kv=12.47 kw=3 model=3": r"Load\.x: .*load model 3, expected 1, 2, 4 or 5",
    "new load.x bus1=b kv=12.47 kw=3 model=8 zipv=(1 0 0 1 0 0 0)": r"Load\.x: .*load model 8",
    "new load.x bus1=b.1.2.2 kv=12.47 kw=3": r"Load\.x: .*3 phases at nodes \(1, 2, 2, 0\)",
    "new load.x bus1=b kv=12.47 kw=300\nsolve\nopen load.x 1 1": r"b\.1, b\.2, b\.3 .*open loads",
    "new load.x bus1=b kv=12.47 vminpu=1.2": r"loads, x: vmin_pu: 1.2",
    "new generator.x bus1=b kv=12.47 model=3": r"Generator\.x: .*model 3",
    "new generator.x bus1=b kv=12.47 balanced=yes": r"Generator\.x: .*balanced True",
    "new pvsystem.x bus1=b kv=12.47 limitcurrent=yes": r"PVSystem\.x: .*limitcurrent True",
    "new storage.x bus1=b kv=12.47 model=2": r"Storage\.x: .*model 2",
    "new indmach012.x bus1=b kv=12.47 kw=10": r"IndMach012\.x: .*class IndMach012",
    "set loadmodel=admittance": r"loadmodel",
}


@pytest.mark.parametrize("line", REFUSED)
def test_refused_by_name(import_script: Check, line: str) -> None:
    with pytest.raises(ValueError, match=r"Master\.dss: .*" + REFUSED[line]):
        import_script(*LINES, *line.splitlines())


def test_disabled_elements_are_not_refused(import_script: Check) -> None:
    lines = [line for line in REFUSED if line.startswith("new") and "\n" not in line]
    names = [f"{line.replace('.x', f'.x{number}')} enabled=no" for number, line in enumerate(lines)]
    assert import_script(*LINES, *names).loads == ()
