"""Checkpoints of a run: saved so that a kill at any instant leaves a usable one, loaded exactly.

A checkpoint is one safetensors file. Its tensors are the run's weights, duals and optimiser
moments; its header carries the rest of the run, the *record*, as JSON, and the SHA-256 of the whole
file. Loading checks the digest and executes no code.

Where several workers save, each writes the rows of its own agents to a file of its own, a *shard*,
and the checkpoint names them: written last, it is what makes them count. Loading joins them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None

LATEST = "checkpoint-latest.safetensors"
PREVIOUS = "checkpoint-previous.safetensors"
TEMPORARY = "checkpoint-temporary.safetensors"
SHARDS = "shard-*.safetensors"


def shard_names(iteration: int, size: int) -> list[str]:
    """Files of the shards that so many workers write after an iteration, in the agents' order."""
    return [f"shard-{iteration}-{rank}-of-{size}.safetensors" for rank in range(size)]


def save_shard(folder: Path, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a shard, whole and on the disk before anything has its name."""
    temporary = folder / f"{name}.temporary"
    _write(temporary, _serialise(tensors, {}, ()))
    os.replace(temporary, folder / name)
    _flush_names(folder)


def save_checkpoint(
    folder: Path,
    tensors: Mapping[str, torch.Tensor],
    record: Mapping[str, Json],
    shards: Sequence[str] = (),
) -> None:
    """Make `tensors` and `record` the newest checkpoint of `folder`, and keep the one before.

    At every instant the folder holds at least one complete checkpoint, once it has held one: the
    new file is complete and on the disk before any name changes, and only a sound checkpoint
    becomes the previous one. A temporary file that a killed run left behind is written over.

    Args:
        folder: The run's folder, made if it does not exist. One process at a time saves to it.
        tensors: Any shapes, dtypes and devices; a generator's state is a uint8 tensor.
        record: Whatever else resuming needs; floats come back bit for bit.
        shards: files in the folder that hold the rest, all of them written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    latest, previous, temporary = folder / LATEST, folder / PREVIOUS, folder / TEMPORARY
    _write(temporary, _serialise(tensors, record, shards))
    if _is_sound(latest):
        os.replace(latest, previous)
    os.replace(temporary, latest)
    _flush_names(folder)
    needed = {name for path in (latest, previous) for name in _shards_of(path)}
    for path in folder.glob(f"{SHARDS}*"):
        if path.name not in needed:
            path.unlink()


def load_checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Json]]:
    """Return the tensors (on the CPU) and the record of the newest usable checkpoint in `folder`.

    Warns when that is not the newest file. Writes and removes nothing, so that another process may
    look at a run in progress.

    Raises:
        FileNotFoundError: `folder` does not exist or holds no checkpoint.
        ValueError: It holds checkpoints, and all of them are damaged or not GridEdge's.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"folder {folder}: not found, expected the folder of a run")
    unusable: dict[str, str] = {}
    for name in (LATEST, PREVIOUS):
        try:
            contents = _joined(folder, (folder / name).read_bytes())
        except FileNotFoundError:
            unusable[name] = "not found"
        except ValueError as error:
            unusable[name] = str(error)
        else:
            if unusable:
                warnings.warn(
                    f"folder {folder}: {LATEST} is {unusable[LATEST]}; using {PREVIOUS}",
                    stacklevel=2,
                )
            return contents
    found = "; ".join(f"{name} is {reason}" for name, reason in unusable.items())
    message = f"folder {folder}: expected a checkpoint of a GridEdge run, but {found}"
    if set(unusable.values()) == {"not found"}:
        raise FileNotFoundError(message)
    raise ValueError(message)


def check_matches(record: Mapping[str, Json], expected: Mapping[str, Json]) -> None:
    """Refuse a checkpoint that belongs to something else than what is about to be resumed.

    Args:
        record: As loaded.
        expected: The fields that must agree, a subset of the record's; a nested object is compared
            field by field.

    Raises:
        ValueError: Some differ. The message names each, with what the checkpoint has and what was
            expected.
    """
    differences = _differences(record, json.loads(json.dumps(expected)), prefix="")
    if differences:
        raise ValueError("the checkpoint does not match this run: " + "; ".join(differences))


def _differences(
    record: Mapping[str, Json], expected: Mapping[str, Json], prefix: str
) -> list[str]:
    differences = []
    for field, wanted in expected.items():
        if field not in record:
            differences.append(f"{prefix}{field} is not in the checkpoint, expected {wanted!r}")
            continue
        found = record[field]
        if isinstance(found, dict) and isinstance(wanted, dict):
            differences += _differences(found, wanted, f"{prefix}{field}.")
        elif found != wanted:
            differences.append(
                f"{prefix}{field} is {found!r} in the checkpoint, expected {wanted!r}"
            )
    return differences


# The digest covers the whole file, with these zeros in the digest's own place.
_NO_DIGEST = "0" * 64
# Inside a JSON string a quotation mark is escaped, so nothing in the record can look like this.
_DIGEST_FIELD = re.compile(rb'"sha256":"([0-9a-f]{64})"')


def _serialise(
    tensors: Mapping[str, torch.Tensor], record: Mapping[str, Json], shards: Sequence[str]
) -> bytes:
    from safetensors.torch import save

    # Copies, because safetensors takes neither views of shared memory nor strides.
    plain = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    told = {"record": json.dumps(record), "sha256": _NO_DIGEST}
    data = save(plain, metadata=told | ({"shards": json.dumps(shards)} if shards else {}))
    field = _DIGEST_FIELD.search(data)
    assert field is not None
    digest = hashlib.sha256(data).hexdigest().encode()
    return data[: field.start(1)] + digest + data[field.end(1) :]


def _write(path: Path, data: bytes) -> None:
    """And bring it to the disk; where that fails, nothing of it takes up room there."""
    try:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _joined(folder: Path, data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, Json]]:
    """A checkpoint's tensors, its shards' rows among them, and its record."""
    tensors, told = _deserialise(data)
    parts = []
    for name in json.loads(told.get("shards", "[]")):
        try:
            parts.append(_deserialise((folder / name).read_bytes())[0])
        except (FileNotFoundError, ValueError) as error:
            raise ValueError(f"without a part: {name} is lost or damaged") from error
    rows = {name: torch.cat([part[name] for part in parts]) for name in (parts or [{}])[0]}
    return {**tensors, **rows}, json.loads(told["record"])


def _deserialise(data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """A file's tensors, and what its header says of them."""
    from safetensors.torch import load

    _check_digest(data)
    header_length = int.from_bytes(data[:8], "little")
    return load(data), json.loads(data[8 : 8 + header_length])["__metadata__"]


def _shards_of(path: Path) -> list[str]:
    """What a checkpoint names, if there is one."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return json.loads(header["__metadata__"].get("shards", "[]"))
    except (FileNotFoundError, ValueError, KeyError):
        return []


def _is_sound(path: Path) -> bool:
    try:
        _check_digest(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return True


def _check_digest(data: bytes) -> None:
    """Raise a `ValueError` unless `data` is, to the last bit, what `_serialise` returned."""
    field = _DIGEST_FIELD.search(data)
    if field is None:
        raise ValueError("damaged or no GridEdge checkpoint (it carries no digest)")
    digest = hashlib.sha256(data[: field.start(1)])
    digest.update(_NO_DIGEST.encode())
    digest.update(memoryview(data)[field.end(1) :])
    if digest.hexdigest().encode() != field[1]:
        raise ValueError(f"damaged (SHA-256 {digest.hexdigest()}, expected {field[1].decode()})")


def _flush_names(folder: Path) -> None:
    """Bring the folder's new names to the disk."""
    if os.name == "nt":  # Windows opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
