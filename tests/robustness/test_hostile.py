"""Whatever is handed over is refused in a line, or works; the same examples every time.

    make fuzz SECONDS=600

tries others, of files too.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.robustness.hostile import TARGETS

# So many that all of them take some ten seconds of a processor.
EXAMPLES = {"arguments": 60, "variations": 80, "command lines": 40}
USUAL = 150
QUICK = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_is_handed_over_is_refused_in_a_line_or_works(name: str) -> None:
    seen: Counter[str] = Counter()

    @settings(QUICK, max_examples=EXAMPLES.get(name, USUAL))
    @given(data=st.data())
    def check(data: Any) -> None:
        seen[TARGETS[name](data.draw)] += 1

    check()
    # One that always ended in the same way would say little.
    assert len(seen) == 2, seen
