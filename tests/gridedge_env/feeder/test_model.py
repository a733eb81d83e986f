from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gridedge_env.feeder import Feeder, build_network, load_feeder
from gridedge_env.feeder.records import Load, Regulator, terminal_pairs


@pytest.fixture(scope="module")
def feeder() -> Feeder:
    return load_feeder("ieee123")


def test_ieee123_nodes_come_in_the_order_that_opendss_prints(feeder: Feeder) -> None:
    names = feeder.node_names
    assert len(names) == len(set(names)) == 278
    assert names[:4] == ["150.1", "150.2", "150.3", "150r.1"]
    assert names[-3:] == ["610.1", "610.2", "610.3"]


def test_ieee123_totals_are_the_published_ones(feeder: Feeder) -> None:
    """Spot loads of 3,490 kW and 1,920 kvar; capacitors of 600 + 3 · 50 kvar."""
    assert sum(load.kw for load in feeder.loads) == 3490
    assert sum(load.kvar for load in feeder.loads) == 1920
    assert sum(capacitor.kvar for capacitor in feeder.capacitors) == 750


def test_source_voltage_scales_the_source_current_alone(feeder: Feeder) -> None:
    low = feeder.with_source_voltage(0.98)
    before, after = build_network(feeder), build_network(low)
    # One product and one quotient apart: a few units in the last place.
    np.testing.assert_allclose(after.source_current, 0.98 * before.source_current, rtol=1e-14)
    assert (after.nodal_admittance != before.nodal_admittance).nnz == 0
    assert feeder.source.per_unit == 1.0


def test_loads_are_no_part_of_the_network(feeder: Feeder) -> None:
    bare = feeder.without_loads()
    assert not bare.loads
    with_loads, without = build_network(feeder), build_network(bare)
    assert (with_loads.nodal_admittance != without.nodal_admittance).nnz == 0


def test_fingerprint_watches_the_figures_and_not_the_prose(feeder: Feeder) -> None:
    first, *others = feeder.loads
    changed = replace(feeder, loads=(replace(first, kw=first.kw + 1e-9), *others))
    assert len(feeder.fingerprint) == 64
    assert changed.fingerprint != feeder.fingerprint
    assert replace(feeder, provenance="elsewhere").fingerprint == feeder.fingerprint
    assert feeder.with_source_voltage(1).fingerprint == feeder.fingerprint  # 1 is 1.0


def test_load_branches_and_their_rated_voltage() -> None:
    """A three-phase wye load of 4.16 kV stands at 4.16 / sqrt(3) = 2.4018 kV a phase."""
    wye = Load("a", "1", (1, 2, 3), "wye", "constant_power", 4.16, 30.0, 15.0)
    single = replace(wye, phases=(2,), kv=2.4)
    delta = replace(wye, phases=(3, 1), connection="delta")
    assert wye.branches == ((1, 0), (2, 0), (3, 0))
    assert wye.branch_kv == pytest.approx(2.40178, rel=1e-5)
    assert (single.branches, single.branch_kv) == (((2, 0),), 2.4)
    assert (delta.branches, delta.branch_kv) == (((3, 1),), 4.16)


def test_delta_can_be_wound_both_ways() -> None:
    assert terminal_pairs((1, 2, 3), "delta") == ((1, 2), (2, 3), (3, 1))
    assert terminal_pairs((1, 2, 3), "delta", step=-1) == ((1, 3), (2, 1), (3, 2))


def test_records_made_in_memory_are_checked_too(feeder: Feeder) -> None:
    stray = Load("stray", "999", (1,), "wye", "constant_power", 2.4, 1.0, 0.0)
    with pytest.raises(ValueError, match=r"loads\[91\].bus: unknown bus '999'"):
        replace(feeder, loads=(*feeder.loads, stray))
    regulator: Regulator = replace(feeder.regulators[0], tap_position=17)
    with pytest.raises(ValueError, match=r"regulators\[0\].tap_position: 17, expected -16 to 16"):
        replace(feeder, regulators=(regulator,))
