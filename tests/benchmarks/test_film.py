"""The README's film shows a day of two policies, side by side."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from PIL import Image

from benchmarks.film import pictures_of, side_by_side
from gridedge_env import make_simulator
from gridedge_env.reference import Idle, PriceFollowing

FILM = Path(__file__).parents[2] / "docs" / "images" / "day.gif"


def test_policies_play_the_day_that_is_filmed():
    """At the first step they differ in what homes do, not in the day, of whose title rows are."""
    simulator = make_simulator("ieee13", 3, step_minutes=60)
    policies = Idle(simulator), PriceFollowing(simulator)
    one, other = (next(iter(pictures_of(simulator, policy, 31))) for policy in policies)
    title = one.shape[0] // 20
    assert (one[:title] == other[:title]).all()
    assert (one[title:] != other[title:]).any()
    again = list(islice(pictures_of(simulator, policies[1], 31), 2))
    assert (again[0] == other).all()
    assert (again[1][:title] != other[:title]).any()
    height, width, _ = one.shape
    assert side_by_side((one, other)).shape == ((height + 1) // 2, width, 3)


def test_the_film_in_the_documentation_is_a_day_and_small():
    assert FILM.stat().st_size < 2_000_000
    with Image.open(FILM) as film:
        assert getattr(film, "n_frames", 1) == 48
