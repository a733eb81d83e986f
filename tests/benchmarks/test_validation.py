"""The command that compares a model of one's own with OpenDSS."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from benchmarks import validation

pytest.importorskip("dss")

STREET = """
clear
set defaultbasefrequency=50
new circuit.street basekv=11 pu=1.0 mvasc3=100 mvasc1=50
new transformer.station buses=[sourcebus.1.2.3 low] conns=[delta wye] kvs=[11 0.416] kvas=[400 400]
new linecode.cable nphases=3 r1=0.32 x1=0.07 r0=0.8 x0=0.09 c1=0 c0=0 units=km
new line.street bus1=low bus2=end linecode=cable length=250 units=m
new load.home bus1=end.1 phases=1 kv=0.24 kw=4 pf=0.95
new load.works bus1=end phases=3 kv=0.416 kw=30 pf=0.9 model=2
set voltagebases=[11 0.416]
calcvoltagebases
solve
"""


@pytest.fixture
def street(tmp_path: Path) -> Path:
    path = tmp_path / "street.dss"
    path.write_text(STREET)
    return path


def test_a_model_of_ones_own(street: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One row in each table, and the differences that it prints are small."""
    threads = torch.get_num_threads()
    validation.main((street,), scenarios=8)
    torch.set_num_threads(threads)
    rows = re.findall(r"^\| street \|.*$", capsys.readouterr().out, flags=re.MULTILINE)
    base, scenarios, gradients = ([cell.strip() for cell in row.split("|")] for row in rows)
    assert base[2:4] == ["9", "2"]
    assert float(base[4].removesuffix(" pu")) < 1e-8
    assert scenarios[2] == "8"
    assert float(scenarios[4].removesuffix(" pu")) < 1e-8
    assert float(gradients[2]) < 1e-6


def test_a_difference_is_seen(street: Path) -> None:
    """The model of another line is not this feeder's: 300 m instead of 250, some 1e-3 pu."""
    feeder = validation.load_feeder(street)
    other = street.with_name("other.dss")
    other.write_text(STREET.replace("length=250", "length=300"))
    found = validation.validate("street", feeder, other, scenarios=4, seed=0)
    assert found.base.voltage > 1e-4
    assert found.scenarios.current > 1e-5


def test_scenarios_are_what_the_page_says(street: Path) -> None:
    feeder = validation.load_feeder(street)
    nominal = validation.PowerFlow(feeder).nominal_power[None]
    random = validation.np.random.default_rng(0)
    drawn = validation.draw_scenarios(feeder, nominal, 400, random)
    factor = drawn.real / nominal.real
    assert float(factor[0::4].min()) >= 0.0  # plain
    assert float(factor.max()) <= 1.5
    assert float((factor[2::4] < 0.0).double().mean()) == pytest.approx(0.5, abs=0.15)  # export
    both_begin_at_phase_1 = factor[3::4]
    torch.testing.assert_close(both_begin_at_phase_1[:, 0], both_begin_at_phase_1[:, 1])


@pytest.mark.parametrize("arguments", [{}, {"model": (Path("a.dss"),), "models": Path("b")}])
def test_one_or_the_other(arguments: dict) -> None:
    with pytest.raises(SystemExit, match="either master files of your own or --models FOLDER"):
        validation.main(**arguments)


# A day's worth of steps at the end; a PV system instead of loads, whose power is not varied.
DAILY = STREET + "set mode=daily number=3 stepsize=1h\nsolve\n"
SUN = re.sub(r"new load\..*\n", "", STREET).replace(
    "set voltagebases", "new pvsystem.roof bus1=end kv=0.416 kva=30 pmpp=30\nset voltagebases"
)


@pytest.mark.parametrize("script", [DAILY, SUN], ids=["left in another mode", "without a load"])
def test_other_scripts(script: str, tmp_path: Path) -> None:
    path = tmp_path / "street.dss"
    path.write_text(script)
    found = validation.validate("street", validation.load_feeder(path), path, 8, seed=0)
    assert found.scenarios.scenarios == 8
    assert found.scenarios.voltage < 1e-8
