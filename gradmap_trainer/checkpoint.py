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
import math
import os
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch

from gridedge_gateway.mistakes import one_line, regular_file

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None

LATEST = "checkpoint-latest.safetensors"
PREVIOUS = "checkpoint-previous.safetensors"
TEMPORARY = "checkpoint-temporary.safetensors"
SHARDS = "shard-*.safetensors"
_SHARD = re.compile(r"shard-\d+-\d+-of-\d+\.safetensors")


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
        raise FileNotFoundError(
            f"folder {one_line(folder)}: not found, expected the folder of a run"
        )
    unusable: dict[str, str] = {}
    for name in (LATEST, PREVIOUS):
        try:
            contents = _joined(folder, regular_file(folder / name).read_bytes())
        except FileNotFoundError:
            unusable[name] = "not found"
        except MemoryError:
            unusable[name] = "larger than there is memory"
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


def check_tensors(
    tensors: Mapping[str, torch.Tensor],
    expected: Mapping[str, torch.Tensor],
    not_negative: Collection[str] = (),
) -> None:
    """Refuse tensors that cannot be what they stand for: whatever uses them would, at best, fail.

    Args:
        tensors: As loaded.
        expected: Tensors of the same names, shapes and types; their values do not matter.
        not_negative: Names of those that have no number below 0.

    Raises:
        ValueError: A name is missing or unknown, a shape or type is another, or a number is none.
    """
    for name in sorted(tensors.keys() | expected.keys()):
        if name not in tensors or name not in expected:
            there = "no tensor" if name not in tensors else "a tensor"
            wanted = "one" if name in expected else "none"
            raise ValueError(f"the checkpoint has {there} {name!r:.80}, expected {wanted}")
        found, like = tensors[name], expected[name]
        if (found.shape, found.dtype) != (like.shape, like.dtype):
            raise ValueError(
                f"{name} is {found.dtype} {tuple(found.shape)} in the checkpoint, expected "
                f"{like.dtype} {tuple(like.shape)}"
            )
        least = 0.0 if name in not_negative else -math.inf
        if not (found.isfinite() & (found >= least)).all():
            what = "numbers of at least 0" if name in not_negative else "finite numbers"
            raise ValueError(f"{name} has others in the checkpoint, expected {what}")


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
    record, parts = _parsed(told.get("record", "")), []
    if not isinstance(record, dict):
        raise ValueError("no GridEdge checkpoint (it carries no record)")
    for name in _shards(told):
        try:
            parts.append(_deserialise(regular_file(folder / name).read_bytes())[0])
        except (FileNotFoundError, ValueError) as error:
            raise ValueError(f"without a part: {name} is lost or damaged") from error
    try:
        rows = {name: torch.cat([part[name] for part in parts]) for name in (parts or [{}])[0]}
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"of parts that do not fit together ({error})") from error
    return {**tensors, **rows}, record


def _deserialise(data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """A file's tensors, and what its header says of them."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    _check_digest(data)
    try:
        return load(data), _told(data[: 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"no GridEdge checkpoint ({error})") from error


def _told(header: bytes) -> dict[str, str]:
    """What a file says of its tensors, from its first bytes."""
    parsed = _parsed(header[8:].decode())
    told = parsed.get("__metadata__") if isinstance(parsed, dict) else None
    return {name: str(text) for name, text in told.items()} if isinstance(told, dict) else {}


def _shards(told: Mapping[str, str]) -> list[str]:
    """Names of a checkpoint's shards, which lie beside it."""
    names = _parsed(told.get("shards", "[]"))
    if not isinstance(names, list) or not all(_SHARD.fullmatch(str(name)) for name in names):
        raise ValueError("no GridEdge checkpoint (its parts are called otherwise)")
    return [str(name) for name in names]


def _parsed(text: str) -> Json:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("text that is nested too deep") from error


def _shards_of(path: Path) -> list[str]:
    """What a checkpoint names, if there is one."""
    try:
        with regular_file(path).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            file.seek(0)
            return _shards(_told(file.read(8 + min(length, path.stat().st_size))))
    except (FileNotFoundError, ValueError):
        return []


def _is_sound(path: Path) -> bool:
    try:
        _check_digest(regular_file(path).read_bytes())
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
