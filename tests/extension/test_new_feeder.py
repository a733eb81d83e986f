"""A feeder is a folder of tables beside the others, and nothing else.

`STREET` in `street.py` is what its tables say; the folder is put beside a copy of the others.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradmap_trainer.run_folder import load_policies
from gridedge_env import CaseSettings, PowerFlow, load_feeder
from gridedge_env.feeder import DATA, loading
from tests.extension.street import STREET
from tests.extension.whole_run import assert_complete, assert_exported, files_that_name, whole_run


@pytest.fixture(scope="module", autouse=True)
def built_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    data = tmp_path_factory.mktemp("package") / "data"
    shutil.copytree(DATA, data)
    STREET.save(data / "street")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "DATA", data)
        yield


def test_no_file_of_the_packages_need_know_it() -> None:
    """Those that came with the package are known by name where a name for people is kept."""
    assert files_that_name('"european_lv"') == ["gradmap_trainer/report/sections.py"]


def test_it_is_one_of_those_offered() -> None:
    assert load_feeder("street") == STREET
    with pytest.raises(ValueError, match=r"unknown 'stret', expected one of .*ieee37, street, a "):
        load_feeder("stret")


def test_voltages_by_hand() -> None:
    """Each phase alone: 0.02 + 0.03j ohm of source and 0.4 km of 0.3 + 0.1j ohm/km to the far end.

    A load of S at 230 V is an impedance of 230² / S*, which has its share of the voltage.
    """
    flow = PowerFlow(STREET)
    solution = flow.solve()
    series = complex(0.02, 0.03) + 0.4 * complex(0.3, 0.1)
    for phase in (1, 2, 3):
        load = 230.0**2 / complex(4e3 * phase, -1e3)
        expected = abs(load / (load + series))
        found = solution.voltage_magnitude[0, flow.node_names.index(f"far.{phase}")]
        assert float(found) == pytest.approx(expected, abs=1e-9)  # the tolerance of the solution
    assert expected < 0.97  # loaded enough to tell


def test_it_goes_the_whole_way(tmp_path: Path) -> None:
    settings = CaseSettings(feeder="street", num_agents=3)
    run = whole_run(settings.make(), tmp_path / "run", case=settings)
    assert_complete(run)
    assert_exported(run)
    assert "3 homes on the feeder street" in run.report
    config, simulator, _ = load_policies(tmp_path / "run")
    assert (config.case, simulator.case.feeder.name) == (settings, "street")
