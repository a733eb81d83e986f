"""The rows of a run's log as TensorBoard's events, beside `metrics.csv`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

EVENTS_FOLDER = "tensorboard"

Write = Callable[[Mapping[str, float]], None]


def event_log(run: str, wanted: bool) -> Write:
    """What each new row of a log is to be handed to.

    The first one takes the place of what was written for its iteration and later ones, as a run
    that was killed and goes on from its last checkpoint needs it.

    Args:
        run: the run's folder.
        wanted: whether events are to be written; without, a row is handed to nobody.

    Raises:
        ValueError: TensorBoard is not installed.
    """
    if not wanted:
        return lambda row: None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        package = "pip install 'gridedge[tensorboard]'"
        raise ValueError(f"tensorboard: got no such package, expected {package}") from error
    writer: SummaryWriter | None = None

    def write(row: Mapping[str, float]) -> None:
        nonlocal writer
        iteration = int(row["iteration"])
        writer = writer or SummaryWriter(str(Path(run, EVENTS_FOLDER)), purge_step=iteration)
        for name, value in row.items():
            if name != "iteration":
                writer.add_scalar(name, value, iteration)
        writer.flush()

    return write
