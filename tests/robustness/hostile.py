"""What a tired or hostile user hands over, and what may come of it.

Each target takes Hypothesis's draws, hands something over, and returns "refused" or "taken".
Refused is one line of a `ValueError` or an `OSError`; what is taken must work, with finite numbers
and no warning. Everything else that happens is a fault of GridEdge.
"""

from __future__ import annotations

import json
import math
import shlex
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tomlkit
import torch
from hypothesis import strategies as st

from baselines import compare
from baselines.compare.config import comparison_from
from gradmap_trainer.commands.train import parse_train
from gradmap_trainer.config import CONFIG_FILE, TrainConfig, load_config, save_config
from gridedge_env import Simulator, make_simulator, parallel_env
from gridedge_env.case import CaseSettings
from gridedge_env.feeder import load_feeder
from gridedge_env.parallel import GridEdgeParallelEnv
from gridedge_env.powerflow import PowerFlow
from gridedge_env.scenarios import Variation

AGENTS = 3
DAYS = 2
NUMBERS = [
    *(
        0,
        1,
        -1,
        3,
        15,
        2**31,
        2**63,
        2**64,
        10**400,
        -(10**400),
        0.0,
        -0.0,
        0.5,
        -0.5,
        1.5,
        1e-45,
    ),
    *(1e-320, 1e6, 1e15, 1e30, -1e30, 1e39, 1e300, -1e300, math.nan, math.inf, -math.inf),
]
TEXTS = [
    *("", " ", "x", "0.5", "nan", "\0", "x" * 5000, "../..", "=1+1", "cpu", "meta", "cuda:99"),
    *("ieee13", "train", "kW", "Europe/Berlin", "é", "\ud800", "a\nb", "true", "null"),
]
# What JSON and TOML can hold.
PLAIN = st.sampled_from([None, True, False, *NUMBERS, *TEXTS, [], {}, [[]], [1], {"a": 1}])
PLAIN |= st.integers() | st.floats() | st.text(max_size=4)
DTYPES = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
DTYPES += [torch.complex64, torch.float32]


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """Small ones, of all kinds."""
    shape = draw(st.sampled_from([(1,), (1,), (1,), (DAYS,), (2,), (0,), (), (1, 1), (3, 1)]))
    dtype = draw(st.sampled_from(DTYPES))
    value = draw(st.sampled_from([0.0, 0.5, 1.0, 200.0, 6e4, math.nan, math.inf, 1e30]))
    if not dtype.is_floating_point and not dtype.is_complex:
        value = min(value, 200.0) if math.isfinite(value) else 0.0
    if dtype == torch.float16:
        value = min(value, 6e4)
    made = torch.full(shape, value, dtype=dtype)
    kind = draw(st.sampled_from(["", "", "", "graph", "meta", "sparse"]))
    if kind == "graph" and dtype.is_floating_point:
        return made.requires_grad_()
    if kind == "meta":
        return made.to("meta")
    return made.to_sparse() if kind == "sparse" and shape else made


ARRAYS = [
    *(np.array([0.5]), np.array([1e300]), np.array([6e4], np.float16), np.array([200], np.uint8)),
    *(np.array([2**63], np.uint64), np.array([True]), np.array([1j]), np.array(["0.5"])),
    *(np.array(["2024-01-01"], "datetime64[D]"), np.array([3], "timedelta64[s]")),
    *(np.zeros(1, [("a", "f4")]), np.array([None]), np.array([10**400], object), np.zeros((1, 1))),
    *(np.zeros(0), np.float32(0.5), np.ones(DAYS), np.array([b"1"]), np.array([np.nan])),
]
ODD = [
    *(Decimal("0.5"), Decimal("1e500"), Fraction(1, 3), Fraction(10**400), date(2024, 1, 1), 1j),
    *(
        b"x",
        {0.5},
        ("day",),
        object(),
        range(1),
        np.bool_(True),
        np.int64(1),
        slice(None),
        len,
        10**5000,
    ),
]
ANYTHING = PLAIN | tensors() | st.sampled_from(ARRAYS) | st.sampled_from(ODD)
ACTIONS = ANYTHING | ANYTHING.map(lambda value: [value]) | ANYTHING.map(lambda value: (value,))


def refused(call: Callable[[], Any], errors: tuple[type[Exception], ...] = (ValueError,)) -> bool:
    """Whether a call ends in such an error, of one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            call()
    except errors as error:
        if len(str(error).strip().splitlines()) != 1:
            raise AssertionError(f"not one line: {error}") from error
        return True
    return False


def outcome(*arguments: Any) -> str:
    """A word for what came of it."""
    return "refused" if refused(*arguments) else "taken"


@lru_cache
def a_simulator() -> Simulator:
    """Of three homes."""
    return make_simulator("ieee13", AGENTS)


@lru_cache
def an_environment() -> GridEdgeParallelEnv:
    """Of three homes."""
    return parallel_env("ieee13", AGENTS)


def hand_over_actions(draw: Callable[[Any], Any]) -> str:
    """Actions of one agent or of all, or something in place of the dictionary."""
    env = an_environment()
    env.reset(seed=0)
    given: Any = {agent: np.zeros(1, np.float32) for agent in env.agents}
    for agent in draw(st.lists(st.sampled_from([*env.agents, "nobody", 3]), max_size=3)):
        given[agent] = draw(ACTIONS)
    if draw(st.integers(0, 9)) == 0:
        given = draw(ANYTHING)

    def step() -> None:
        _, rewards, *_ = env.step(given)
        assert all(map(math.isfinite, rewards.values()))

    found = outcome(step)
    state = env.simulator_state
    assert state is not None
    assert state.step == (found == "taken")
    return found


def hand_over_resets(draw: Callable[[Any], Any]) -> str:
    """A seed and options of an environment's reset."""
    env = an_environment()
    env.reset(seed=0)
    before, whole = env.simulator_state, st.integers(0, 400)
    seed = draw(ANYTHING | whole)
    options = draw(
        st.one_of(ANYTHING, st.dictionaries(st.sampled_from(["day", "Day", 3]), ANYTHING))
    )
    found = outcome(lambda: env.reset(seed=seed, options=options))
    if found == "refused":
        assert env.simulator_state is before
    return found


def hand_over_arguments(draw: Callable[[Any], Any]) -> str:
    """Arguments of `parallel_env`; whoever is let in can play a step."""
    names = [entry.name for entry in fields(CaseSettings)]
    more = ["split", "render_mode", "device", "dtype", "case", "nonsense"]
    given: dict[str, Any] = {"feeder": "ieee13", "num_agents": AGENTS}
    for name in draw(st.lists(st.sampled_from([*names, *more]), min_size=1, max_size=2)):
        given[name] = draw(ANYTHING)
    if given.get("keep_loads") is None and isinstance(given["num_agents"], int):
        # A million agents are no mistake, and take their time.
        given["num_agents"] = min(given["num_agents"], 50)

    def play() -> None:
        env = parallel_env(**given)
        env.reset(seed=0)
        seen, rewards, *_ = env.step(
            {agent: np.zeros(env.action_space(agent).shape) for agent in env.agents}
        )
        assert all(np.isfinite(each).all() for each in seen.values())
        assert all(map(math.isfinite, rewards.values()))

    return outcome(play, (ValueError, OSError))


def hand_over_variations(draw: Callable[[Any], Any]) -> str:
    """A departure from the observed days."""
    simulator = a_simulator()
    names = [entry.name for entry in fields(Variation)]
    given = draw(st.dictionaries(st.sampled_from(names), ANYTHING, min_size=1))

    def play() -> None:
        state = simulator.reset(DAYS, variation=Variation(**given))
        _, result = simulator.step(state, torch.zeros(DAYS, AGENTS, 1))
        assert simulator.observe(state).isfinite().all()
        assert result.cost.isfinite().all()

    return outcome(play)


@lru_cache
def a_power_flow(backend: str, dtype: torch.dtype) -> PowerFlow:
    """IEEE 13 with homes at two of its buses."""
    return PowerFlow(load_feeder("ieee13"), ["671.1", "645.2"], dtype=dtype, backend=backend)


STARTS = st.sampled_from([0.0, -0.0, 1e-30, 1e30, math.nan, math.inf]) | st.floats(-3, 3)


def hand_over_starts(draw: Callable[[Any], Any]) -> str:
    """A load and a start from anywhere: what is solved from no load is solved from there, too."""
    backend = draw(st.sampled_from(["dense", "factored", "compiled"]))
    power_flow = a_power_flow(backend, draw(st.sampled_from([torch.float32, torch.float64])))
    size = draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, 4.0, 5.0, -3.0]) | st.floats(-9, 9))
    power = size * power_flow.nominal_power[None]
    power[:, -2:] = draw(st.sampled_from([0.0, 10.0, 500.0, -2000.0, 1e6]))
    flat = power_flow.solve(power)
    start = torch.full_like(flat.device_voltage, draw(STARTS))
    count = start.shape[1]
    noise = (
        draw(st.lists(st.floats(-3, 3), min_size=count, max_size=count))
        if draw(st.booleans())
        else 0.0
    )
    warm = power_flow.solve(power, start + torch.as_tensor(noise, dtype=start.dtype))
    assert (warm.converged >= flat.converged).all()
    assert warm.voltage_magnitude.isfinite().all()
    return "solved" if bool(warm.converged.all()) else "unsolved"


def hand_over_configurations(draw: Callable[[Any], Any]) -> str:
    """`config.json` of a run with other values, keys or texts."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / CONFIG_FILE
        save_config(TrainConfig(), Path(folder))
        record = json.loads(path.read_text())
        for _ in range(draw(st.integers(1, 2))):
            part = draw(st.sampled_from([record, record["case"]]))
            if not isinstance(part, dict):
                continue
            name = draw(st.sampled_from([*sorted(part), "kind"]) | st.text(max_size=3))
            part[name] = draw(PLAIN | st.dictionaries(st.sampled_from(["imports", "kind"]), PLAIN))
        text = json.dumps(record)
        depth = draw(st.sampled_from([0] * 8 + [1000, 100_000]))
        if depth:
            text = text.replace("null", "[" * depth + "]" * depth, 1)
        if draw(st.integers(0, 5)) == 0:
            at = draw(st.integers(0, len(text)))
            text = (
                text[:at]
                + draw(st.sampled_from(["", "}", '"', "\0", "NaN", "1e999"]))
                + text[at + 1 :]
            )
        path.write_text(text, encoding="utf-8", errors="surrogatepass")

        def read() -> None:
            read_once = load_config(Path(folder), TrainConfig)
            save_config(read_once, Path(folder))
            assert load_config(Path(folder), TrainConfig) == read_once

        return outcome(read, (ValueError, OSError))


WORDS = st.sampled_from([*map(str, NUMBERS), *TEXTS, "--", "-1", "flat", "price=nan", "price=1e39"])
WORDS |= st.sampled_from(["day_ahead", "adder=nan", "factor=-1", "battery", "periods=x", "None"])


def hand_over_command_lines(draw: Callable[[Any], Any]) -> str:
    """Words after `gradmap-train`: said to be wrong in a line, or by the usage."""
    flags = [entry.name for entry in (*fields(TrainConfig), *fields(CaseSettings))]
    flags = [
        *flags,
        "tariff.imports",
        "tariff.exports",
        "resume",
        "workers",
        "address",
        "no-resume",
    ]
    words = []
    for name in draw(st.lists(st.sampled_from(flags), min_size=1, max_size=3)):
        words += [f"--{name.replace('_', '-')}", *draw(st.lists(WORDS, max_size=2))]
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            return outcome(lambda: parse_train(words), (ValueError, OSError))
    except SystemExit as stop:
        if stop.code != 2:
            raise AssertionError(shlex.join(words)) from stop
        return "refused"


@lru_cache
def a_comparison() -> str:
    """The text of the one that says everything."""
    return (Path(compare.__file__).parent / "full.toml").read_text(encoding="utf-8")


def hand_over_comparisons(draw: Callable[[Any], Any]) -> str:
    """The description of a comparison with other values or keys; nothing of it is made."""
    record: dict[str, Any] = tomlkit.parse(a_comparison()).unwrap()
    for _ in range(draw(st.integers(1, 2))):
        part: Any = record
        while isinstance(part, dict) and part and draw(st.integers(0, 3)):
            above, name = part, draw(st.sampled_from(sorted(part)))
            part = above[name]
        if part is record:
            record[draw(st.text(max_size=3))] = draw(PLAIN)
        else:
            above[name] = draw(PLAIN | PLAIN.map(lambda value: [value]))
    return outcome(lambda: comparison_from(record))


TARGETS: Mapping[str, Callable[[Callable[[Any], Any]], str]] = {
    "actions": hand_over_actions,
    "resets": hand_over_resets,
    "arguments": hand_over_arguments,
    "variations": hand_over_variations,
    "starts of power flows": hand_over_starts,
    "configurations": hand_over_configurations,
    "command lines": hand_over_command_lines,
    "comparisons": hand_over_comparisons,
}
