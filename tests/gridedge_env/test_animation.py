"""Windows that follow an episode, and films of it."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import supersuit
from matplotlib import animation, pyplot
from pettingzoo.test.render_test import render_test
from pettingzoo.utils.conversions import parallel_to_aec
from PIL import Image, ImageSequence

from gridedge_env import GridEdgeParallelEnv, make_simulator
from gridedge_env.animation import film_episode, save_film

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


def test_what_cannot_be_filmed_is_refused(simulator, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="render_mode: got None, expected 'rgb_array'"):
        film_episode(GridEdgeParallelEnv(simulator), tmp_path / "day.gif")
    with pytest.raises(ValueError, match=r"path: got 'day.avi', expected one that ends in .gif or"):
        save_film("day.avi", [])
    with pytest.raises(ValueError, match="pictures: got none, expected at least one"):
        save_film("day.gif", [])
    monkeypatch.setattr(animation.FFMpegWriter, "isAvailable", lambda: False)
    with pytest.raises(ValueError, match=r"path: got 'day.mp4' and no ffmpeg, expected one that"):
        save_film("day.mp4", [])
