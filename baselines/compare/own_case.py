"""A case of one's own in a comparison: the folder that a table of settings gives way to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gridedge_env.case import CaseSettings, settings_from_record
from gridedge_env.checks import check_text


def case_from_record(record: Mapping[str, Any]) -> CaseSettings | str:
    """What a comparison is about, from its record: settings, or the folder of a case.

    Raises:
        ValueError: neither, or a seed among the settings.
    """
    case = record.get("case", {})
    if isinstance(case, str):
        return check_text(case, "case", "a table, or the folder of a case")
    if not isinstance(case, Mapping):
        raise ValueError(f"case: got {case!r}, expected a table, or the folder of a case")
    if "seed" in case:
        raise ValueError("case.seed: got one, expected seeds for the whole comparison")
    return settings_from_record(dict(case))


def fingerprint(folder: Path) -> str:
    """SHA-256 of the files of a case, hexadecimal; but for the picture of `gridedge-case check`."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix != ".svg":
            name, content = path.relative_to(folder).as_posix(), path.read_bytes()
            digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()
