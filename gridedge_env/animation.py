"""Pictures that move: a window that follows an episode, and a film of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.image import AxesImage
    from pettingzoo import ParallelEnv

Picture = NDArray[np.uint8]
Values = Mapping[str, NDArray[Any]]

# Of matplotlib's backends those that have no window, its own names.
WITHOUT_WINDOW = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}
DOTS_PER_INCH = 100.0


class Window:
    """A window that shows one picture after another, by whatever backend matplotlib has."""

    def __init__(self) -> None:
        self._image: AxesImage | None = None

    def show(self, picture: Picture) -> None:
        """Show a picture, (height, width, 3); the first one, and one after `close`, opens it."""
        from matplotlib import pyplot

        if self._image is None:
            if pyplot.get_backend().lower() in WITHOUT_WINDOW:
                warnings.warn(
                    f"render_mode: got 'human' with matplotlib's backend {pyplot.get_backend()!r}, "
                    "which has no window; expected a display, or 'rgb_array'",
                    stacklevel=2,
                )
            self._image = _image(pyplot.figure(dpi=DOTS_PER_INCH), picture)
            pyplot.show(block=False)
        self._image.set_data(picture)
        canvas = self._image.figure.canvas
        canvas.draw_idle()
        canvas.flush_events()

    def close(self) -> None:
        """Close it; nothing if none is open."""
        from matplotlib import pyplot

        if self._image is not None:
            pyplot.close(self._image.axes.get_figure(root=True))
        self._image = None


def film_episode(
    environment: ParallelEnv[str, Any, Any],
    path: str | Path,
    act: Callable[[Values], Values] | None = None,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    frames_per_second: int = 4,
) -> Path:
    """Play an episode and film it: a GIF or, where there is an ffmpeg, an MP4.

    Needs matplotlib.

    Args:
        environment: as of `parallel_env(render_mode="rgb_array")`, or a wrapper of it.
        path: of the film, which ends in .gif or .mp4.
        act: from the observations of all agents to their actions; without it all are at rest.
        seed: of the episode, as in `reset`.
        options: likewise.
        frames_per_second: steps that it shows in one.

    Returns:
        The path.

    Raises:
        ValueError: an environment without pictures, or a path that ends otherwise.
    """
    if environment.render_mode != "rgb_array":
        raise ValueError(f"render_mode: got {environment.render_mode!r}, expected 'rgb_array'")
    rest = {
        agent: np.zeros_like(environment.action_space(agent).low)
        for agent in environment.possible_agents
    }

    def pictures() -> Iterator[Picture]:
        observations, _ = environment.reset(seed=seed, options=options)
        yield environment.render()
        while environment.agents:
            observations = environment.step(rest if act is None else act(observations))[0]
            yield environment.render()

    return save_film(path, pictures(), frames_per_second)


def save_film(path: str | Path, pictures: Iterable[Picture], frames_per_second: int = 4) -> Path:
    """Write pictures of one size, (height, width, 3) each, as a GIF or an MP4.

    Raises:
        ValueError: no picture, a path that ends otherwise, or an MP4 where there is no ffmpeg.
    """
    from matplotlib.animation import FFMpegWriter, PillowWriter
    from matplotlib.figure import Figure

    path = Path(path)
    writers: dict[str, Any] = {".gif": PillowWriter, ".mp4": FFMpegWriter}
    if path.suffix not in writers:
        raise ValueError(f"path: got {str(path)!r}, expected one that ends in .gif or .mp4")
    if not writers[path.suffix].isAvailable():
        raise ValueError(f"path: got {str(path)!r} and no ffmpeg, expected one that ends in .gif")
    following = iter(pictures)
    first = next(following, None)
    if first is None:
        raise ValueError("pictures: got none, expected at least one")
    figure = Figure(dpi=DOTS_PER_INCH)
    image, writer = _image(figure, first), writers[path.suffix](fps=frames_per_second)
    with writer.saving(figure, str(path), DOTS_PER_INCH):
        writer.grab_frame()
        for picture in following:
            image.set_data(picture)
            writer.grab_frame()
    return path


def _image(figure: Any, picture: Picture) -> AxesImage:
    """A picture that fills a figure, dot by dot."""
    height, width, _ = picture.shape
    figure.set_size_inches(width / DOTS_PER_INCH, height / DOTS_PER_INCH)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    return axes.imshow(picture, aspect="auto", interpolation="none")
