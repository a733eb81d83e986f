"""A factor whose product is the matrix, in an order that leaves idle nodes out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from gridedge_env.feeder import build_network, load_feeder
from gridedge_env.powerflow.elimination import Elimination, eliminate
from gridedge_env.powerflow.injections import branch_incidence, load_branches


def of_feeder(name: str) -> tuple[sparse.csr_array, sparse.csr_array, Elimination]:
    """Admittance in kVA per pu², incidence per pu, and their elimination."""
    feeder = load_feeder(name)
    network = build_network(feeder)
    base = sparse.diags_array(network.voltage_base.astype(np.longdouble))
    admittance = (base @ network.exact_admittance @ base / 1e3).tocsr()
    incidence = branch_incidence(load_branches(feeder), len(network.node_names))
    incidence = (incidence @ sparse.diags_array(network.voltage_base)).tocsr()
    return admittance, incidence, eliminate(admittance, incidence)


@pytest.fixture(scope="module", params=["ieee13", "ieee37", "ieee123"])
def case(request: pytest.FixtureRequest) -> tuple[sparse.csr_array, sparse.csr_array, Elimination]:
    return of_feeder(request.param)


def test_the_factor_is_that_of_the_matrix(case: tuple) -> None:
    """To the rounding of each entry of L and D, 1e-16 of the largest admittance times a few."""
    admittance, _, found = case
    lower = sparse.eye_array(len(found.node)) + found.lower
    product = lower @ sparse.diags_array(found.pivot) @ lower.T
    expected = admittance[found.node][:, found.node].astype(complex)
    assert abs(product - expected).max() < 1e-15 * abs(expected).max()
    assert sparse.triu(found.lower).nnz == 0


def test_no_current_enters_at_idle_nodes(case: tuple) -> None:
    _, incidence, found = case
    assert sorted(found.node.tolist()) == list(range(len(found.node)))
    busy = set(incidence.indices.tolist())
    assert busy.isdisjoint(found.node[: found.idle].tolist())
    assert found.idle > 0.2 * len(found.node)


def test_leaving_nodes_out_pays() -> None:
    """On IEEE 123 sweeps keep less than half of the nodes, and of the factor's 871 couplings."""
    _, _, found = of_feeder("ieee123")
    kept = found.lower[found.idle :, found.idle :]
    assert len(found.node) - found.idle < 0.5 * 278
    assert kept.nnz < 0.55 * 871


def test_what_enters_the_zero_sequence_of_a_floating_part() -> None:
    """A delta winding on antifloat shunts of 1e-6 of its rating feeds all of IEEE 37.

    Its loads are deltas. What they add to the sum of currents is little: what 1 - 1 leaves. Left to
    single precision it raises the node voltages by 5e-5 pu (`test_single_precision` sees that).
    """
    _, incidence, found = of_feeder("ieee37")
    assert len(found.weak) >= 1
    across = np.abs(incidence).max()
    assert np.abs(found.into_weak).max() < 1e-2 * across
    lower = (sparse.eye_array(len(found.node)) + found.lower).toarray()
    expected = np.linalg.solve(lower, incidence[:, found.node].toarray().T)[found.weak]
    np.testing.assert_allclose(found.into_weak, expected, rtol=0.0, atol=1e-12 * across)


def test_a_chain_and_a_star_by_hand() -> None:
    """Source - a - device: the middle node goes first and leaves two ohms in series.

    Admittances 2 and 2 in series, 1 to ground at the source: Y = [[3, -2, 0], [-2, 4, -2], [0, -2,
    2]]. Without the middle node, -2 / 4 of each neighbour: [[3 - 1, -1], [-1, 2 - 1]]. Of these two
    the device's node is not idle, the source's is: 2 goes next, and 1 - 1 / 2 is left.
    """
    matrix = np.array([[3.0, -2.0, 0.0], [-2.0, 4.0, -2.0], [0.0, -2.0, 2.0]])
    admittance = sparse.csr_array(matrix.astype(np.clongdouble))
    found = eliminate(admittance, sparse.csr_array([[0.0, 0.0, 1.0]]))
    assert found.idle == 2
    assert found.node[2] == 2
    pivots = dict(zip(found.node.tolist(), found.pivot.tolist(), strict=True))
    first = found.node[0]
    assert pivots == {1: 4.0, 0: 2.0, 2: 0.5} if first == 1 else {0: 3.0, 1: 8 / 3, 2: 0.5}
    assert not len(found.weak)
