"""Pictures that move: a window that follows an episode, and a film of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from gridedge_env.checks import check_callable, check_number, check_type, check_writable, shown
from gridedge_env.writing import whole_file

if TYPE_CHECKING:
    from matplotlib.image import AxesImage

Picture = NDArray[np.uint8]
Values = Mapping[str, NDArray[Any]]
Write = Callable[[Path, Iterable[Picture], float], None]

# Of matplotlib's backends those that have no window, its own names.
WITHOUT_WINDOW = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}
DOTS_PER_INCH = 100.0
# A GIF's side, and what it counts time in: hundredths of a second.
MOST_DOTS = 2**16 - 1
FEWEST_FRAMES, MOST_FRAMES = 0.01, 100.0


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
    frames_per_second: float = 4.0,
) -> Path:
    """Play an episode and film it: a GIF or, where there is an ffmpeg, an MP4.

    At rest actions are 0; numbered ones that of the level in the middle, of two the upper. Needs
    matplotlib.

    Args:
        environment: as of `parallel_env(render_mode="rgb_array")`, or a wrapper of it.
        path: of the film, which ends in .gif or .mp4.
        act: from the observations of all agents to their actions; without it all are at rest.
        seed: of the episode, as in `reset`.
        options: likewise.
        frames_per_second: steps that it shows in one, see `save_film`.

    Returns:
        The path.

    Raises:
        ValueError: an environment without pictures, `act` that is no function, actions of which
            none is rest, a path that ends otherwise or cannot be written, or another number of
            frames. Nothing is left at the path then that was not there before.
    """
    check_type(environment, ParallelEnv, "environment", "a parallel environment of PettingZoo")
    mode = getattr(environment, "render_mode", None)
    if mode != "rgb_array":
        raise ValueError(f"render_mode: got {shown(mode)}, expected 'rgb_array'")
    policy = _at_rest(environment) if act is None else act
    check_callable(policy, "act", "a function of the observations of all agents")

    def pictures() -> Iterator[Picture]:
        observations, _ = environment.reset(seed=seed, options=options)
        yield environment.render()
        while environment.agents:
            observations = environment.step(policy(observations))[0]
            yield environment.render()

    return save_film(path, pictures(), frames_per_second)


def save_film(
    path: str | Path, pictures: Iterable[Picture], frames_per_second: float = 4.0
) -> Path:
    """Write pictures of one size, (height, width, 3) each, as a GIF or an MP4, whole or not at all.

    Args:
        path: of the film; its folder is made.
        pictures: of whole numbers from 0 to 255 (`numpy.uint8`).
        frames_per_second: how many it shows in one, from 0.01 to 100. A GIF shows each for whole
            hundredths of a second, the nearest.

    Returns:
        The path.

    Raises:
        ValueError: no picture, one of another size or type, a path that ends otherwise or cannot be
            written, or an MP4 where there is no ffmpeg.
    """
    path, write, rate = _checked(path, frames_per_second)
    check_type(pictures, Iterable, "pictures", "pictures, one after the other")
    following = _alike(pictures)
    first = next(following, None)
    if first is None:
        raise ValueError("pictures: got none, expected at least one")
    with TemporaryDirectory() as folder:
        film = Path(folder) / path.name
        write(film, chain((first,), following), rate)
        with whole_file(path) as file:
            file.write(film.read_bytes())
    return path


def _write_gif(film: Path, pictures: Iterable[Picture], rate: float) -> None:
    """An octree keeps rare colours, as of marks, which Pillow's own median cut does not."""
    from PIL import Image

    first, *others = (
        Image.fromarray(picture).quantize(
            method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
        )
        for picture in pictures
    )
    duration = 10 * max(1, round(100.0 / rate))  # ms
    first.save(film, save_all=True, append_images=others, duration=duration, loop=0)


def _write_mp4(film: Path, pictures: Iterable[Picture], rate: float) -> None:
    from matplotlib.animation import FFMpegWriter
    from matplotlib.figure import Figure

    following, figure = iter(pictures), Figure(dpi=DOTS_PER_INCH)
    image = _image(figure, next(following))
    writer: Any = FFMpegWriter(fps=rate)  # type: ignore[arg-type]  # it takes fractions, too
    with writer.saving(figure, str(film), DOTS_PER_INCH):
        writer.grab_frame()
        for picture in following:
            image.set_data(picture)
            writer.grab_frame()


def _checked(path: str | Path, frames_per_second: float) -> tuple[Path, Write, float]:
    """Where a film is to be, what writes it, and its pictures in a second.

    Raises:
        ValueError: as of `save_film`, but for its pictures.
    """
    from matplotlib.animation import FFMpegWriter

    check_type(path, (str, os.PathLike), "path", "a path that ends in .gif or .mp4")
    path = Path(path)
    writers: dict[str, Write] = {".gif": _write_gif, ".mp4": _write_mp4}
    if path.suffix not in writers:
        raise ValueError(f"path: got {shown(str(path))}, expected one that ends in .gif or .mp4")
    if path.suffix == ".mp4" and not FFMpegWriter.isAvailable():
        raise ValueError(
            f"path: got {shown(str(path))} and no ffmpeg, expected one that ends in .gif"
        )
    rate = check_number(
        frames_per_second,
        "frames_per_second",
        f"a number from {FEWEST_FRAMES:g} to {MOST_FRAMES:g}",
        lambda number: FEWEST_FRAMES <= number <= MOST_FRAMES,
    )
    check_writable(path, "path")
    return path, writers[path.suffix], rate


def _alike(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Pictures, each of which has to be one, and as large as the first."""
    expected = None
    for number, picture in enumerate(pictures):
        size = _size(picture)
        expected = expected or size
        if size is None or size != expected:
            is_array = isinstance(picture, np.ndarray)
            came = f"{picture.dtype} {picture.shape}" if is_array else shown(picture)
            wanted = expected or f"(height, width, 3) of 1 to {MOST_DOTS} dots"
            raise ValueError(f"pictures[{number}]: got {came}, expected uint8 {wanted}")
        yield picture


def _size(picture: Any) -> tuple[int, ...] | None:
    """(height, width, 3) of what can be filmed, None of all else."""
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
        return None
    *sides, colours = picture.shape or (0,)
    fits = len(sides) == 2 and colours == 3 and 1 <= min(sides) <= max(sides) <= MOST_DOTS
    return picture.shape if fits else None


def _at_rest(environment: ParallelEnv[str, Any, Any]) -> Callable[[Values], Values]:
    """What has all agents do nothing, whatever they observe."""
    spaces = {agent: environment.action_space(agent) for agent in environment.possible_agents}
    rest = {agent: _rest(space) for agent, space in spaces.items()}
    return lambda observations: rest


def _rest(space: Space[Any]) -> Any:
    """The action of a space that is nearest to doing nothing."""
    if isinstance(space, Box):
        return np.zeros_like(space.low)
    if isinstance(space, Discrete):
        return int(space.start) + int(space.n) // 2
    if isinstance(space, MultiDiscrete):
        return space.start + space.nvec // 2
    raise ValueError(
        f"environment: got actions in {shown(space)}, expected continuous or numbered ones, or act"
    )


def _image(figure: Any, picture: Picture) -> AxesImage:
    """A picture that fills a figure, dot by dot."""
    height, width, _ = picture.shape
    figure.set_size_inches(width / DOTS_PER_INCH, height / DOTS_PER_INCH)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    return axes.imshow(picture, aspect="auto", interpolation="none")
