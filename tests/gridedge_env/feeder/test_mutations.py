"""Two thousand damaged feeders: refused by name or solved rightly, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from gridedge_env.feeder import Feeder, load_feeder
from tests.gridedge_env.feeder.damage import (
    COLUMNS,
    DAMAGES,
    FILES,
    MOST_ROWS,
    Damages,
    Folder,
    drop_row,
    put,
    put_in_header,
    repeat_row,
    scale,
)

Solve = Callable[[Feeder], str]

EXAMPLES = 1000

# What must come of it ---

NAMES_A_FILE = re.compile(rf"({'|'.join(map(re.escape, FILES))})(: |, row \d+|, \w+|')")


def outcome(folder: Path, copy: Path, solved: Solve) -> str:
    """Load, save, build and solve whatever stands in a folder."""
    try:
        feeder = load_feeder(folder)
    except (FileNotFoundError, ValueError) as error:
        if NAMES_A_FILE.search(str(error)):
            return "refused"
        raise
    feeder.save(copy)
    again = load_feeder(copy)
    assert again == feeder
    assert again.fingerprint == feeder.fingerprint
    return solved(feeder)


@pytest.fixture(scope="module")
def sound(sound_feeder: Feeder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("sound")
    sound_feeder.save(path)
    return Folder.read(path)


def test_the_sound_feeder_has_rows_in_every_table_and_converges(
    sound: Folder, sound_feeder: Feeder, solved: Solve
) -> None:
    assert all(2 <= len(rows) <= 1 + MOST_ROWS for rows in sound.tables.values())
    assert {file: tuple(rows[0]) for file, rows in sound.tables.items()} == {
        file: tuple(columns) for file, columns in COLUMNS.items()
    }
    assert solved(sound_feeder) == "converged"


def column(table: str, name: str) -> int:
    return list(COLUMNS[table]).index(name)


# What chance rarely finds, and what should come of it.
POINTED: dict[str, tuple[str, list[Any]]] = {
    "delta on nothing": ("refused", [partial(put, "0", "transformers.csv", 4, 4)]),
    "delta on next to nothing": ("refused", [partial(put, "1e-6", "transformers.csv", 4, 4)]),
    "neutral on nothing": (
        "refused",
        [partial(drop_row, "admittances.csv", 1), partial(put, "0", "transformers.csv", 1, 4)],
    ),
    "neutral of a load alone": (
        "converged",
        [
            partial(put, "1 2 3 4", "buses.csv", 3, 1),
            partial(put, "4", "loads.csv", 1, column("loads.csv", "neutral")),
            partial(put, "constant_impedance", "loads.csv", 1, column("loads.csv", "model")),
        ],
    ),
    "neutral of a capacitor alone": (
        "converged",
        [
            partial(put, "1 2 3 4", "buses.csv", 3, 1),
            partial(put, "4", "capacitors.csv", 1, column("capacitors.csv", "neutral")),
        ],
    ),
    "load between a live node and a dead one": (
        "converged",
        [
            partial(put, "1 2", "buses.csv", 4, 1),
            partial(put, "1 2", "loads.csv", 4, 2),
            partial(put, "delta", "loads.csv", 4, 3),
        ],
    ),
    "line to itself": ("converged", [partial(put, "a", "lines.csv", 1, 2)]),
    "line from phase to phase": (
        "converged",
        [partial(put, "a", "lines.csv", 1, 2), partial(put, "2 3 1", "lines.csv", 1, 4)],
    ),
    "parallel lines": ("converged", [partial(repeat_row, "another", "lines.csv", 1)]),
    "line of no impedance": (
        "refused",
        [partial(put, "0", "line_codes.csv", 2, 2), partial(put, "0", "line_codes.csv", 2, 3)],
    ),
    "negative resistance": ("converged", [partial(scale, -1.0, "line_codes.csv", 1, 2)]),
    "indefinite resistance": (
        "converged",
        [partial(put, "0.1 | 0.3 0.1 | 0.3 0.3 0.1", "line_codes.csv", 1, 2)],
    ),
    "matrices of rank one": (
        "refused",
        [partial(put, "1 | 1 1 | 1 1 1", "line_codes.csv", 1, matrix) for matrix in (2, 3)],
    ),
    "source of no impedance in one sequence": (
        "refused",
        [partial(put_in_header, f"source.{name}", 0.0) for name in ("r0", "x0")],
    ),
    "reactances of no three windings": (
        "refused",
        [
            partial(put, "1 1 4", "transformers.csv", 3, 2),
            *[partial(put, "0", "windings.csv", row, 6) for row in (5, 6, 7)],
        ],
    ),
    "active element": ("refused", [partial(put, "0.3 | 1e9 0.3", "admittances.csv", 3, 3)]),
    "nothing but the source": (
        "converged",
        [
            partial(drop_row, table, 1)
            for table, rows in (("lines.csv", 2), ("switches.csv", 2), ("loads.csv", 9))
            for _ in range(rows)
        ],
    ),
}


@pytest.mark.parametrize("name", POINTED)
def test_a_pointed_change(name: str, sound: Folder, tmp_path: Path, solved: Solve) -> None:
    expected, changes = POINTED[name]
    assert damage_and_solve(sound, (changes, [], []), tmp_path, solved) == expected


def damage_and_solve(sound: Folder, damages: Damages, path: Path, solved: Solve) -> str:
    cells, header, text = damages
    folder = deepcopy(sound)
    for change in (*cells, *header):
        change(folder)
    folder.render()
    for change in text:
        change(folder)
    folder.write(path / "damaged")
    return outcome(path / "damaged", path / "copy", solved)


def test_a_damaged_feeder_is_refused_by_name_or_solved_rightly(
    sound: Folder, tmp_path: Path, solved: Solve
) -> None:
    seen: Counter[str] = Counter()

    # The same examples every time, and no time limit for a slow one.
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
    )
    @given(DAMAGES)
    def check(damages: Damages) -> None:
        seen[damage_and_solve(sound, damages, tmp_path, solved)] += 1

    check()
    # A fuzz test that ended always in the same way would say little.
    assert seen.total() >= EXAMPLES
    assert seen["refused"] > EXAMPLES / 4
    assert seen["converged"] > EXAMPLES / 4
