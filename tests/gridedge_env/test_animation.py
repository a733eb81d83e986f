"""Windows that follow an episode, and films of it."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import supersuit
from gymnasium.spaces import MultiBinary
from matplotlib import animation, pyplot
from pettingzoo.test.render_test import render_test
from pettingzoo.utils.conversions import parallel_to_aec
from PIL import Image, ImageSequence

from gridedge_env import GridEdgeParallelEnv, make_simulator
from gridedge_env.animation import film_episode, save_film
from gridedge_env.wrappers import DiscreteActions

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def simulator():
    return make_simulator("ieee13", num_agents=6, step_minutes=60)


@pytest.fixture
def quiet():
    """Where there is no display, a window is announced as none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "render_mode: got 'human' with matplotlib's backend")
        yield


def shown() -> np.ndarray[Any, Any]:
    """What the one window shows."""
    (number,) = pyplot.get_fignums()
    return np.asarray(pyplot.figure(number).axes[0].images[0].get_array())


@pytest.mark.usefixtures("quiet")
def test_passes_pettingzoos_own_test(simulator):
    modes = []

    def make(render_mode):
        modes.append(render_mode)
        return parallel_to_aec(GridEdgeParallelEnv(simulator, render_mode=render_mode))

    render_test(make)
    assert set(modes) == {"human", "rgb_array"}


@pytest.mark.usefixtures("quiet")
def test_a_window_follows_the_episode(simulator):
    """The picture of the other mode, one window for all steps; none is left at the end."""
    env = GridEdgeParallelEnv(simulator, render_mode="human")
    other = GridEdgeParallelEnv(simulator, render_mode="rgb_array")
    pyplot.close("all")
    env.reset(seed=1), other.reset(seed=1)
    assert (shown() == other.render()).all()
    for _ in range(2):
        actions = dict.fromkeys(env.agents, np.ones(1))
        env.step(actions), other.step(actions)
        assert (shown() == other.render()).all()
    assert env.render() is None
    later = copy.deepcopy(env)
    env.close()
    assert not pyplot.get_fignums()
    later.step(actions)
    assert len(pyplot.get_fignums()) == 1
    later.close()
    env.close()


def test_a_window_that_nobody_sees_is_told(simulator):
    assert mpl.get_backend().lower() == "agg"
    env = GridEdgeParallelEnv(simulator, render_mode="human")
    with pytest.warns(UserWarning, match="got 'human' with matplotlib's backend 'agg', which has"):
        env.reset(seed=1)
    env.close()


def test_an_episode_is_filmed_in_one_call(simulator, tmp_path):
    """Midnight and every step, each a picture of its own; of a wrapper of eight hours each, too."""
    env = GridEdgeParallelEnv(simulator, render_mode="rgb_array")
    eight_hours = supersuit.frame_skip_v0(env, 8)

    def film(name, act, frames_per_second):
        path = tmp_path / name
        assert film_episode(eight_hours, path, act, 0, {"day": 31}, frames_per_second) == path
        with Image.open(path) as pictures:
            assert len(list(ImageSequence.all_frames(pictures))) == 1 + 24 // 8
            pictures.seek(1)
            picture = env.render()
            assert picture is not None
            assert pictures.size == picture.shape[1::-1]
            assert pictures.info["duration"] == 1000 // frames_per_second
            return np.asarray(pictures.convert("RGB"))

    def pull(observations):
        return {agent: np.ones(1, np.float32) for agent in observations}

    assert (film("rest.gif", None, 4) != film("pull.gif", pull, 10)).any()
    assert not env.agents


@pytest.mark.parametrize(
    ("rate", "milliseconds"), [(4, 250), (40, 20), (60, 20), (3, 330), (100, 10)]
)
def test_a_gif_shows_each_picture_for_the_nearest_hundredths_of_a_second(
    rate, milliseconds, tmp_path
):
    """Half a hundredth to the even one."""
    pictures = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), np.uint8)
    with Image.open(save_film(tmp_path / "a.gif", pictures, rate)) as film:
        assert film.info["duration"] == milliseconds


def test_rare_colours_of_a_gif_are_those_of_the_pictures(tmp_path):
    """As of a legend's marks beside a whole scale of colours: 3 of 256 levels, a palette's."""
    picture = np.empty((256, 256, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 2)
    picture[..., 2] = 255 - picture[..., 0]
    picture[:100], picture[3:6, 3:6] = 255, (217, 162, 27)
    with Image.open(save_film(tmp_path / "a.gif", [picture])) as film:
        shown = np.asarray(film.convert("RGB"))[3:6, 3:6].astype(int)
    assert np.abs(shown - (217, 162, 27)).max() <= 3


@pytest.mark.usefixtures("quiet")
def test_a_window_that_fails_leaves_the_day_sound(simulator, monkeypatch):
    env = GridEdgeParallelEnv(simulator, render_mode="human")
    env.reset(seed=1)
    monkeypatch.setattr(env, "render", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        env.step({agent: [0.0] for agent in env.agents})
    assert env.simulator_state is not None
    assert not env.simulator_state.device_voltage.is_inference()


@pytest.mark.parametrize("levels", [5, 6])
@pytest.mark.parametrize("reactive_power", [False, True], ids=["Discrete", "MultiDiscrete"])
def test_numbered_actions_rest_in_the_middle(levels, reactive_power, tmp_path):
    """At 0 of five levels, where it is the film of the plain environment; of six 0.2 is nearest."""
    simulator = make_simulator("ieee13", 3, step_minutes=60, reactive_power=reactive_power)
    env = GridEdgeParallelEnv(simulator, render_mode="rgb_array")
    plain = supersuit.frame_skip_v0(env, 12)

    def act(observations):
        near_zero = np.full(simulator.action_size, 0.0 if levels == 5 else 0.2, np.float32)
        return dict.fromkeys(observations, near_zero)

    expected = film_episode(plain, tmp_path / "plain.gif", act, 0, {"day": 31})
    numbered = DiscreteActions(plain, levels)
    found = film_episode(numbered, tmp_path / "numbered.gif", None, 0, {"day": 31})
    assert found.read_bytes() == expected.read_bytes()


# What is refused ----------------------------------------------------------------------------------


def test_what_cannot_be_filmed_is_refused(simulator, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="environment: got None, expected a parallel environment"):
        film_episode(None, tmp_path / "day.gif")
    with pytest.raises(ValueError, match="render_mode: got None, expected 'rgb_array'"):
        film_episode(GridEdgeParallelEnv(simulator), tmp_path / "day.gif")
    with pytest.raises(ValueError, match=r"path: got 'day.avi', expected one that ends in .gif or"):
        save_film("day.avi", [])
    with pytest.raises(ValueError, match="pictures: got none, expected at least one"):
        save_film(tmp_path / "day.gif", [])
    monkeypatch.setattr(animation.FFMpegWriter, "isAvailable", lambda: False)
    with pytest.raises(ValueError, match=r"path: got 'day.mp4' and no ffmpeg, expected one that"):
        save_film("day.mp4", [])


def test_actions_that_are_none_are_refused(simulator, tmp_path):
    """Before the episode where nobody could act, else by the environment; no film is left."""
    env = GridEdgeParallelEnv(simulator, render_mode="rgb_array")
    path = tmp_path / "day.gif"

    def nothing(observations) -> Any:
        return None

    with pytest.raises(ValueError, match="act: got 5, expected a function of the observations"):
        film_episode(env, path, 5)
    with pytest.raises(ValueError, match="actions: got NoneType, expected a dictionary by agent"):
        film_episode(env, path, nothing)
    env.action_spaces = dict.fromkeys(env.agents, MultiBinary(1))
    with pytest.raises(ValueError, match="environment: got actions in MultiBinary"):
        film_episode(env, path)
    assert not list(tmp_path.iterdir())


PICTURE = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (5, "pictures: got 5, expected pictures, one after the other"),
        ([None], r"pictures\[0\]: got None, expected uint8 \(height, width, 3\)"),
        ([PICTURE / 255.0], r"pictures\[0\]: got float64 \(4, 6, 3\), expected uint8"),
        ([PICTURE[..., 0]], r"pictures\[0\]: got uint8 \(4, 6\), expected uint8"),
        ([PICTURE[..., :2]], r"pictures\[0\]: got uint8 \(4, 6, 2\), expected uint8"),
        ([PICTURE[:0]], r"pictures\[0\]: got uint8 \(0, 6, 3\), expected uint8 .* of 1 to 65535"),
        ([np.zeros((1, 2**16, 3), np.uint8)], r"pictures\[0\]: got uint8 \(1, 65536, 3\)"),
        ([PICTURE, PICTURE[1:]], r"pictures\[1\]: got uint8 \(3, 6, 3\), expected uint8 \(4, 6, 3"),
        ([PICTURE, None], r"pictures\[1\]: got None, expected uint8 \(4, 6, 3\)"),
    ],
)
def test_pictures_that_are_none_are_refused(pictures, message, tmp_path):
    """What stood there still does, and nothing beside it."""
    path = tmp_path / "day.gif"
    path.write_text("an older film")
    with pytest.raises(ValueError, match=f"^{message}"):
        save_film(path, pictures)
    assert path.read_text() == "an older film"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf, 101, 1e-9, True, "4", None])
def test_rates_that_no_film_has_are_refused(rate, tmp_path):
    with pytest.raises(
        ValueError, match=r"^frames_per_second: got .*, expected a number from 0.01"
    ):
        save_film(tmp_path / "day.gif", [PICTURE], rate)


def test_paths_that_cannot_be_written_are_refused(tmp_path):
    """Before the first picture, which may take long."""
    pictures = map(pytest.fail, ["a picture was asked for"])
    for path in (5, None, b"day.gif"):
        with pytest.raises(ValueError, match="^path: got .*, expected a path that ends in .gif or"):
            save_film(path, pictures)
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(ValueError, match=r"^path: got .*folder.gif, expected a file that can be"):
        save_film(tmp_path / "folder.gif", pictures)
