"""What commands say, a line drawn over on a terminal or plain lines, and what they are told."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gridedge_gateway.names import printable

# Told the share that is done, 0 to 1, and a few words.
Tell: TypeAlias = Callable[[float, str], None]
# Parts of the whole after which a plain line is due.
PLAIN_LINES = 10


def say(console: Console, text: str) -> None:
    """A line as it is: whatever breaks it, no path in it gets a new line."""
    console.print(text, soft_wrap=True, highlight=False)


@contextmanager
def progress_line(console: Console, what: str) -> Iterator[Tell]:
    """How far something is: a bar and words, in 80 columns; or plain lines, few of them."""
    if not console.is_terminal:
        yield _plain_lines(console, what)
        return
    columns = (
        TextColumn(what),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, expand=True) as bar:
        task = bar.add_task("", total=1.0, note="")
        yield lambda share, note: bar.update(task, completed=share, note=printable(note))


def _plain_lines(console: Console, what: str) -> Tell:
    """A line when something begins, and after each tenth of it."""
    before = 1.0

    def tell(share: float, note: str) -> None:
        nonlocal before
        if share <= before or int(PLAIN_LINES * share) > int(PLAIN_LINES * before):
            say(console, f"{what} {share:.0%}: {note}")
        before = share

    return tell


def outside_limits(row: Mapping[str, float], kinds: Iterable[str]) -> str:
    """The kind of limit that is broken in the largest share of steps: "loading outside 0.5%"."""
    share, kind = max((row[f"{kind}_steps"], kind) for kind in kinds)
    return f"{kind} outside {share:.1%}" if share > 0.0 else "within limits"


def trained(iteration: int, seconds: float, begun_at: int) -> str:
    """That so much was trained, or nothing more since the iteration at which a command began."""
    whole = f"{iteration} iterations in {seconds:.0f} s"
    if iteration > begun_at:
        return f"Trained {whole}."
    return f"Nothing left to train: the run has had {whole}, all that it is to have, or more."


def stopped(iteration: int) -> str:
    """That training was interrupted, and saved."""
    return f"Stopped after iteration {iteration}; go on with --resume."


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C (or SIGTERM) into a request to stop; a second one acts at once."""
    requested = False

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        requested = True
        signal.signal(number, previous[number])

    previous = {
        number: signal.signal(number, request)
        for number in (int(signal.SIGINT), int(signal.SIGTERM))
    }
    try:
        yield lambda: requested
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
