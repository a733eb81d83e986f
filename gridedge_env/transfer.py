"""Between host and device, without making either wait for the other more than it must."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gridedge_env.checks import check_type
from gridedge_gateway.mistakes import one_line


def check_device(device: str | torch.device, computes: bool = True) -> torch.device:
    """A device that this machine has; also "meta", which has shapes alone, unless it computes.

    Raises:
        ValueError: it has no such device; names what came.
    """
    check_type(device, (str, torch.device), "device", "a name such as 'cpu'")
    try:
        checked = torch.device(device)
        one = torch.ones(1, device=checked, dtype=torch.float32)
        if computes:
            one.tolist()  # "meta" has no numbers
    except (RuntimeError, AssertionError, ImportError) as error:
        why = f"{one_line(str(error)):.80}"
        raise ValueError(
            f"device: got {str(device)!r:.80}, expected 'cpu' or a device of this machine ({why})"
        ) from error
    return checked


def in_memory(values: Tensor) -> Tensor:
    """Numbers in memory one after the other as they are, for who reads what is at an address.

    PyTorch's views may be of every second number, or negative or conjugated in name only.
    """
    plain = values.is_contiguous() and not (values.is_neg() or values.is_conj())
    return values if plain else values.contiguous().resolve_conj().resolve_neg()


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Send what the host has drawn. From pinned memory it leaves while the host goes on."""
    pinned = values.pin_memory() if device.type == "cuda" else values
    return pinned.to(device, non_blocking=True)


def to_host(numbers: Mapping[str, Tensor | float]) -> dict[str, float]:
    """Fetch scalars, all at once: the host waits for everything that it has launched so far.

    Numbers that are on the host already stay what they are.
    """
    far = {name: number for name, number in numbers.items() if isinstance(number, Tensor)}
    fetched = torch.stack([number.detach().double() for number in far.values()]).tolist()
    found = dict(zip(far, fetched, strict=True))
    return {name: found.get(name, number) for name, number in numbers.items()}
