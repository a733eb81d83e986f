"""What commands show of themselves: on which addresses they listen, what they leave behind."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from getpass import getuser
from pathlib import Path

LISTENING = "0A"


def written(home: Path) -> list[Path]:
    """What a command has in a home of its own, beside what libraries keep for the next time."""
    kept = {".cache", ".config", f"torchinductor_{getuser()}"}
    return [path for path in home.iterdir() if path.name not in kept]


def addresses_listened_on(processes: Iterable[int]) -> set[str]:
    """Of all TCP servers of some processes, as Linux tells."""
    sockets = set()
    for number in processes:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{number}/fd").iterdir():
                with suppress(OSError):
                    sockets.add(os.readlink(descriptor))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENING and f"socket:[{words[9]}]" in sockets:
                found.add(_address(words[1].partition(":")[0]))
    return found


def _address(digits: str) -> str:
    """Of four bytes or sixteen, which the kernel tells in words of four, in its own order."""
    raw = bytes.fromhex(digits)
    order = -1 if sys.byteorder == "little" else 1
    words = b"".join(raw[k : k + 4][::order] for k in range(0, len(raw), 4))
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, words).removeprefix("::ffff:")
