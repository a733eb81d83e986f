"""A file of metered homes, as a table of pandas."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from gridedge_env.scenarios.unpacking import check_parquet, unpacked
from gridedge_gateway.mistakes import one_line, regular_file

if TYPE_CHECKING:
    import pandas as pd

LONG_COLUMNS = ["timestamp", "home", "power"]


def read_homes(source: Path) -> pd.DataFrame:
    """The file, its timestamps in the first column.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or no table of homes.
    """
    name = one_line(source)
    if not source.exists():
        raise FileNotFoundError(f"{name}: not found, expected a file of metered demand")
    if not source.name.endswith((".csv", ".csv.gz", ".parquet")):
        raise ValueError(f"{name}: expected a .csv, .csv.gz or .parquet file")
    try:
        table = _table(regular_file(source).read_bytes(), source.suffix == ".parquet")
    except ValueError as damage:
        raise ValueError(f"{name}: {damage}") from damage
    if table.shape[0] == 0 or table.shape[1] < 2:
        raise ValueError(
            f"{name}: {table.shape[0]} rows, {table.shape[1]} columns; expected timestamps in "
            f"the first column and a column for every home, or the columns {LONG_COLUMNS}"
        )
    return table[LONG_COLUMNS].copy() if is_long(table) else table


def is_long(table: pd.DataFrame) -> bool:
    """Whether homes stand one below the other."""
    return sorted(map(str, table.columns)) == sorted(LONG_COLUMNS)


def _table(content: bytes, is_parquet: bool) -> pd.DataFrame:
    import pandas as pd

    if not is_parquet:
        return pd.read_csv(io.BytesIO(unpacked(content)))
    check_parquet(content)
    table = pd.read_parquet(io.BytesIO(content))
    return (
        table.reset_index(names="timestamp") if isinstance(table.index, pd.DatetimeIndex) else table
    )
