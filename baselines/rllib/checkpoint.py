"""RLlib's checkpoints in a run's folder: known to be whole before anything of them is restored.

Each has a record beside RLlib's files, written last: what it belongs to, how far it is, and the
SHA-256 of every other file. RLlib itself takes a part that is missing for one that begins afresh.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm

from gridedge_env.checks import (
    check_not_negative,
    check_text,
    check_type,
    check_whole_number,
    shown,
)
from gridedge_env.writing import folder_to_disk, write_whole
from gridedge_gateway.mistakes import regular_file, writing

MODULES = Path("learner_group", "learner", "rl_module")  # in RLlib's checkpoint
RECORD_FILE = "gridedge.json"
_NAME = re.compile(r"checkpoint_(\d{6,})")


def save_checkpoint(folder: Path, algorithm: Algorithm, record: Mapping[str, Any]) -> None:
    """Make what was learned the newest checkpoint of a run's folder, unless it is that already.

    A kill at any instant leaves this one or the one before: it has its name once it is whole and on
    the disk, and the one before goes after that.

    Args:
        folder: of the run.
        algorithm: RLlib's.
        record: what the checkpoint belongs to, its `iteration` among it.
    """
    checkpoint = folder / _name(record["iteration"])
    if checkpoint.exists():
        return
    unfinished, discarded = folder / "unfinished", folder / "discarded"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with writing(unfinished):
            algorithm.save_to_path(unfinished.absolute())
            record = {**record, "files": _digests(unfinished)}
            write_whole(unfinished / RECORD_FILE, json.dumps(record, indent=2) + "\n")
            folder_to_disk(unfinished)
            unfinished.rename(checkpoint)
    except BaseException:  # on a disk that is full nothing of it takes up room
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    for older in _checkpoints(folder)[:-1]:
        shutil.rmtree(discarded, ignore_errors=True)
        shutil.rmtree(older.rename(discarded))


def newest_checkpoint(folder: Path) -> Path | None:
    """Of a run, if there is one."""
    return next(reversed(_checkpoints(folder)), None)


def read_record(checkpoint: Path) -> dict[str, Any]:
    """The record of a checkpoint that is whole.

    Raises:
        FileNotFoundError: there is no record.
        ValueError: it is damaged, or a file of the checkpoint is, or is missing, or is foreign.
    """
    path = checkpoint / RECORD_FILE
    try:
        record = _checked(json.loads(regular_file(path).read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"run: {path} is damaged: {error}") from error
    if checkpoint.name != _name(record["iteration"]):
        raise ValueError(f"run: {checkpoint}: expected {_name(record['iteration'])}, its own name")
    saved, found = record["files"], _digests(checkpoint)
    for name in sorted(saved.keys() | found.keys()):
        if name not in found:
            raise ValueError(f"run: {checkpoint / name}: not found, expected it as it was saved")
        if name not in saved:
            raise ValueError(f"run: {checkpoint / name} is foreign, expected what was saved alone")
        if saved[name] != found[name]:
            raise ValueError(
                f"run: {checkpoint / name} is damaged (SHA-256 {found[name]}, "
                f"expected {shown(saved[name])})"
            )
    return record


def weights_digest(checkpoint: Path) -> str:
    """SHA-256 of RLlib's files of the policies, hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted((checkpoint / MODULES).rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _name(iteration: int) -> str:
    return f"checkpoint_{iteration:06d}"


def _checkpoints(folder: Path) -> list[Path]:
    """All of a run, the newest last; others' files and folders may have names that begin so."""
    named = [(_NAME.fullmatch(path.name), path) for path in folder.glob("checkpoint_*")]
    found = [(int(name[1]), path) for name, path in named if name and path.is_dir()]
    return [path for _, path in sorted(found)]


def _digests(checkpoint: Path) -> dict[str, str]:
    """SHA-256 of all files but the record, by their names in the checkpoint."""
    return {
        path.relative_to(checkpoint).as_posix(): _sha256(path)
        for path in checkpoint.rglob("*")
        if (path.is_symlink() or not path.is_dir()) and path != checkpoint / RECORD_FILE
    }


def _sha256(path: Path) -> str:
    if path.is_symlink():
        raise ValueError(f"run: {path} is a link, expected what was saved alone")
    return hashlib.sha256(regular_file(path).read_bytes()).hexdigest()


def _checked(record: Any) -> dict[str, Any]:
    """What a record says of how far its run is is what it can be."""
    check_type(record, dict, "record", "an object")
    check_whole_number(record.get("iteration"), 0, "iteration")
    check_not_negative(record.get("seconds"), "seconds")
    check_text(record.get("log"), "log", "a digest")
    for name in ("multipliers", "files"):
        check_type(record.get(name), dict, name, "an object")
    for kind, multiplier in record["multipliers"].items():
        check_not_negative(multiplier, f"multipliers.{kind}")
    return dict(record)
