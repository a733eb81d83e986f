"""The model of an iteration's time and memory, against one that is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import workers
from benchmarks.iterations import Size
from benchmarks.scale import SIZES, model
from benchmarks.scale.model import Model, fit, received


def test_bytes_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 10 agents, 5 are a worker's own. It has seen 2 of their 4 days itself, and is told of the
    other 2: 5 · 2 · 100 numbers; and the 30 weights of each of the other 5: 150. 4 bytes each.
    """
    monkeypatch.setattr(model, "numbers_of_agent", lambda: (100, 30))
    assert received(Size(10, 41, 4, workers=2)) == 4 * (5 * 2 * 100 + 5 * 30)
    assert received(Size(10, 41, 4)) == 0.0


def test_a_known_model_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """All sizes together tell its terms apart; least squares of exact numbers round off at 1e-9."""
    monkeypatch.setattr(model, "numbers_of_agent", lambda: (3_000, 800))
    known = Model(
        np.array([2e-2, 3e-3, 2e-5, 8e-6, 2e-6, 8e-5, 1e-9]),
        np.array([500.0, 0.02, 0.01, 5e-3, 1e-3]),
    )
    found = fit(SIZES, *zip(*map(known.predict, SIZES), strict=True))
    np.testing.assert_allclose(found.seconds, known.seconds, rtol=1e-6)
    np.testing.assert_allclose(found.mebibytes, known.mebibytes, rtol=1e-6)


@pytest.mark.parametrize("name", ["agents", "workers"])
def test_sizes_that_are_none(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        workers.main(**{name: (1, 0)})
    told = f"error: {name}: got 0, expected a whole number of at least 1\n"
    assert capsys.readouterr().err.endswith(told)
