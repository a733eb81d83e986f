"""Three-phase feeders: their data and their admittances."""

from __future__ import annotations

from pathlib import Path

from gridedge_env.feeder.admittance import Network, build_network
from gridedge_env.feeder.model import Feeder
from gridedge_env.feeder.tables import load_tables

__all__ = ["Feeder", "Network", "build_network", "load_feeder"]

DATA = Path(__file__).parent / "data"


def load_feeder(name_or_path: str | Path) -> Feeder:
    """A built-in feeder by its name, or a folder of tables by its path.

    Raises:
        ValueError: for a name that is neither, naming the built-in feeders; for tables that do not
            fit together; for an OpenDSS file.
        FileNotFoundError: when the folder lacks a table.
    """
    built_in = sorted(folder.name for folder in DATA.iterdir() if folder.is_dir())
    if name_or_path in built_in:
        return load_tables(DATA / str(name_or_path))
    path = Path(name_or_path)
    if path.suffix.lower() == ".dss":
        raise ValueError(
            f"feeder: {str(name_or_path)!r}, expected a built-in feeder or a folder of tables: "
            "this version cannot import OpenDSS models"
        )
    if not path.is_dir():
        raise ValueError(
            f"feeder: unknown {str(name_or_path)!r}, expected one of {', '.join(built_in)} "
            "or a folder of tables"
        )
    return load_tables(path)
