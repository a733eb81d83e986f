"""`Feeder`: records that fit together, and what is asked of them as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from gridedge_env.feeder.records import FeederRecords, Load
from gridedge_env.feeder.tables import to_texts
from gridedge_env.feeder.validation import validate


@dataclass(frozen=True)
class Feeder(FeederRecords):
    """A feeder; immutable.

    Raises:
        ValueError: when the records do not fit together; names the record, the field, what came and
            what was expected.
    """

    def __post_init__(self) -> None:
        validate(self)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the tables, hexadecimal; the provenance text does not count."""
        digest = hashlib.sha256()
        for file_name, text in sorted(to_texts(replace(self, provenance="")).items()):
            digest.update(f"{file_name}\n{text}\n".encode())
        return digest.hexdigest()

    def without_loads(self) -> Feeder:
        """The same feeder with no loads."""
        return self.with_loads(())

    def with_loads(self, loads: Iterable[Load]) -> Feeder:
        """The same feeder with these loads in the place of its own.

        Raises:
            ValueError: one that does not fit the feeder.
        """
        return replace(self, loads=tuple(loads))

    def with_source_voltage(self, per_unit: float) -> Feeder:
        """The same feeder with the source at another voltage, per unit."""
        return replace(self, source=replace(self.source, per_unit=per_unit))

    def with_neutral_taps(self) -> Feeder:
        """The same feeder with every regulator at its neutral position."""
        neutral = tuple(replace(regulator, tap_position=0) for regulator in self.regulators)
        return replace(self, regulators=neutral)

    def save(self, folder: str | Path) -> None:
        """Write the feeder as a folder of tables that `load_feeder` reads back exactly."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for file_name, text in to_texts(self).items():
            (folder / file_name).write_text(text, encoding="utf-8", newline="")
