"""Feeders from files: built-in ones, folders of tables, OpenDSS scripts."""

from __future__ import annotations

from pathlib import Path

from gridedge_env.feeder.feeder import Feeder
from gridedge_env.feeder.tables import TABLES, read_tables
from gridedge_env.feeder.validation import InvalidFeeder

DATA = Path(__file__).parent / "data"
"""The folder of the built-in feeders: each is a folder of tables."""


def built_in_feeders() -> tuple[str, ...]:
    """The names of the feeders that come with the package."""
    return tuple(sorted(folder.name for folder in DATA.iterdir() if folder.is_dir()))


def load_feeder(name_or_path: str | Path) -> Feeder:
    """A built-in feeder by its name, or by its path a folder of tables or an OpenDSS script.

    Raises:
        ValueError: for a name that is none of them, naming the built-in feeders; for tables that do
            not fit together; for a script that OpenDSS cannot solve or that has an element that
            cannot be represented.
        FileNotFoundError: when the folder lacks a table, or there is no such script.
        ImportError: for a script, when dss_python is not installed.
    """
    if not isinstance(name_or_path, str | Path) or not str(name_or_path).strip():
        raise ValueError(f"feeder: got {name_or_path!r:.80}, expected a name or a path")
    built_in = built_in_feeders()
    if name_or_path in built_in:
        return load_tables(DATA / str(name_or_path))
    path = Path(name_or_path)
    if path.suffix.lower() == ".dss":
        from gridedge_env.feeder.opendss import load_opendss  # only this way needs it

        return load_opendss(path)
    if not path.is_dir():
        raise ValueError(
            f"feeder: unknown {str(name_or_path)!r}, expected one of {', '.join(built_in)}, "
            "a folder of tables or an OpenDSS script (.dss)"
        )
    return load_tables(path)


def load_tables(folder: Path) -> Feeder:
    """A folder of tables; see `load_feeder`."""
    try:
        return Feeder(**read_tables(folder))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"feeder: '{error.filename}' not found, expected a folder of a feeder's tables"
        ) from error
    except InvalidFeeder as error:
        raise ValueError(f"{_place(error)}: {error.problem}") from error


def _place(error: InvalidFeeder) -> str:
    """Where in the files the record stands that `error` speaks of."""
    if error.table in TABLES:
        return f"{error.table}.csv, row {error.index + 2}, column {error.field}"
    return f"feeder.json, {error.table}.{error.field}"
