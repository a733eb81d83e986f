"""The explorer shows the numbers of the evaluation's file, for every choice, without a network."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gridedge_env
from benchmarks.explorer import browser, installed_browser, opened
from gradmap_trainer.report.explorer import contents, explorer_page
from gradmap_trainer.report.explorer.packing import (
    MOST,
    POWER,
    STORE,
    Stores,
    day_block,
    differences,
    limited,
    multiples,
)
from gradmap_trainer.report.run import EvaluatedRun
from gridedge_env.constraints import VoltageBand
from gridedge_env.evaluation import (
    Episode,
    Evaluation,
    evaluate,
    evaluation_days,
    outside_limits,
    summarise,
)
from gridedge_env.evaluation_files import load_evaluation, save_evaluation
from gridedge_env.reference import PriceFollowing
from gridedge_env.simulator import Simulator

HOSTILE = '"><script>document.title = "broken"</script><b>&amp;'
SPACE = "\u00a0"


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return gridedge_env.make_simulator(num_agents=6)


@pytest.fixture(scope="module")
def evaluation(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Of two days, as its file has it; in one step of a rule there is no solution."""
    days = evaluation_days(simulator, "test", 2)
    policies = {"gradmap": PriceFollowing(simulator)}
    played = evaluate(simulator, policies, days, foresight_iterations=0)
    rule = played.episodes["thermostat"]
    solved = rule.converged.copy()
    solved[1, 7] = False
    episodes = {**played.episodes, "thermostat": replace(rule, converged=solved)}
    folder = tmp_path_factory.mktemp("evaluated")
    save_evaluation(replace(played, episodes=episodes), simulator.case.limits, folder)
    return load_evaluation(folder, simulator)


@pytest.fixture(scope="module")
def run(simulator: Simulator, evaluation: Evaluation) -> EvaluatedRun:
    """Whose name anybody may have given."""
    limits = simulator.case.limits
    table = {name: summarise(episode, limits) for name, episode in evaluation.episodes.items()}
    nothing: Any = None
    return EvaluatedRun(HOSTILE, {}, nothing, table, evaluation, "test", simulator)


# ---------------------------------------------------------------------------------- in few bytes


def unpacked(text: str) -> np.ndarray:
    """The numbers of a block, as `data.js` finds them."""
    low, high = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(2, -1)
    folded = low.astype(np.int64) + 256 * high.astype(np.int64)
    return np.where(folded % 2, -(folded + 1) // 2, folded // 2)


def test_blocks_hold_numbers_of_sixteen_bits() -> None:
    numbers = np.array([[0, -1, 1, 32_767], [-32_768, 300, -300, 2]])
    assert unpacked(day_block([numbers[:1], numbers[1:]])).tolist() == numbers.ravel().tolist()


def test_differences_add_up_to_the_numbers_step_by_step() -> None:
    numbers = np.array([[[5, -3], [6, -3], [4, 0]]])  # a day, three steps, two places
    assert differences(numbers).tolist() == [[[5, 1, -2], [-3, 0, 3]]]


def test_rounding_takes_nothing_across_a_limit() -> None:
    """At 0.002 pu, within 0.95 to 1.05 pu: 0.9499 would round to 0.95 and is outside, 1.0504 to
    1.05 likewise; 1.05 and what the evaluation takes for it, 5e-6 pu more, is inside.
    """
    values = np.array([[[0.9499, 0.95, 1.0504, 1.050005]], [[0.9, 1.0, 1.0, 1.0]]])
    episode = Episode(
        **{name: np.zeros(0) for name in ("cost", "agent_cost", "agent_electricity")},
        agent_moved=np.zeros(0),
        quantities={"voltage": values},
        converged=np.array([[True], [False]]),
        power=np.zeros(0),
        store=np.zeros(0),
    )
    found = limited(VoltageBand(), episode, 0.002)
    assert found.tolist() == [[[474, 475, 526, 525]], [[0, 0, 0, 0]]]


def test_what_is_stored_follows_from_what_is_drawn(
    simulator: Simulator, evaluation: Evaluation
) -> None:
    """A battery's state needs few corrections, and none leaves it further off than half a unit."""
    episodes = evaluation.episodes
    owner = np.concatenate([group.agent.numpy() for group in simulator.fleet.groups])
    rest, played = episodes["idle"], episodes["gradmap"]
    stores = Stores(episodes, "idle", owner)
    beyond = played.store - STORE * multiples(rest.store, STORE)
    drawn = POWER * multiples(played.power - rest.power, POWER)
    corrections = stores.corrections(beyond, drawn)
    shown = np.zeros((2, 6))
    for step in range(48):
        now = shown + STORE * corrections[..., step]
        np.testing.assert_array_less(np.abs(now - beyond[:, step]), 0.5 * STORE + 1e-9)
        own = drawn[:, step, owner]
        causes = np.stack((now, np.maximum(own, 0.0), np.minimum(own, 0.0)), axis=-1)
        shown = (causes * stores.factors).sum(axis=-1)
    batteries = [agent for agent in range(6) if simulator.fleet.agent_kinds[agent] == "battery"]
    moved = np.abs(np.diff(multiples(beyond, STORE), axis=1))[..., batteries].sum()
    assert np.abs(corrections[:, batteries]).sum() < 0.1 * moved


def test_stores_far_out_of_range_are_shown_more_coarsely(evaluation: Evaluation) -> None:
    """As of rooms far out of a narrow band, or of a file that nobody has played."""
    far = replace(evaluation.episodes["gradmap"], store=np.full((2, 48, 6), -4.4e16))
    stores = Stores({"idle": evaluation.episodes["idle"], "gradmap": far}, "idle", np.arange(6))
    assert stores.unit == pytest.approx(4.4e16 / MOST)
    corrections = stores.corrections(far.store, np.zeros((2, 48, 6)))
    day_block(corrections)
    with pytest.raises(ValueError, match="^evaluation: got a number that changes by 32768 units"):
        day_block([np.array([0, 2**15])])


def test_of_too_many_days_some_are_shown(
    run: EvaluatedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never fewer than one, from the middle of all."""
    monkeypatch.setattr(contents, "MOST_NUMBERS", 1)
    shown = contents.Contents(run)
    told = json.loads(shown.about())
    assert told["dates"] == [run.evaluation.dates[1]]
    assert told["evaluated"] == 2
    assert len(list(shown.day_blocks())) == 1


def test_the_same_run_gives_the_same_page_and_names_are_no_markup(run: EvaluatedRun) -> None:
    page = explorer_page(run)
    assert page == explorer_page(run)
    assert HOSTILE not in page
    assert not re.search(r"(src|href)=[\"']?(?!report\.html|data:,)\w+[:/.]", page.split("<!--")[0])


# ---------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def page(run: EvaluatedRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("playwright")
    path = installed_browser()
    if path is None:
        pytest.skip("no Chromium is installed")
    file = tmp_path_factory.mktemp("page") / "explorer.html"
    file.write_text(explorer_page(run), encoding="utf-8")
    with browser(path) as started:
        shown = opened(started, file)
        shown.set_default_timeout(120_000)  # of a busy machine
        shown.faults = []
        shown.on("pageerror", lambda error: shown.faults.append(str(error)))
        shown.on("request", lambda request: shown.faults.append(request.url))
        yield shown
        assert shown.faults == []


def choose(page: Any, evaluation: Evaluation, method: str, day: int, step: int, agent: str) -> None:
    """By clicks and keys, as anybody would."""
    page.click(f"#methods label:has-text('{method}')")
    page.select_option("#day", str(evaluation.dates[day]))
    page.fill("#agent", agent)
    page.press("#agent", "Enter")
    page.fill("#step", str(step))
    page.wait_for_function(
        "words => document.getElementById('now').innerText.includes(words)",
        arg=f"{evaluation.dates[day]} at {step // 2:02d}:{30 * (step % 2):02d}, {method}",
    )
    page.wait_for_function(
        "words => document.getElementById('agent-title').innerText.includes(words)", arg=agent
    )


def number(text: str) -> float:
    return float(text.replace("−", "-").replace(",", "").replace("%", "").replace(SPACE, ""))


def after(text: str, words: str) -> float:
    """The number that comes after some words."""
    found = re.search(rf"{words}\s([−\d.,]+)", text)
    assert found is not None, (words, text)
    return number(found[1].rstrip("."))


CHOICES = [
    ("GradMAP", "gradmap", 0, 9, "battery_1"),
    ("Doing nothing", "idle", 1, 0, "heat_pump_0"),
    ("Price-following", "price_following", 1, 36, "generator_1"),
]


@pytest.mark.parametrize(("name", "method", "day", "step", "agent"), CHOICES)
def test_numbers_are_those_of_the_evaluation(
    page: Any, evaluation: Evaluation, simulator: Simulator, name, method, day, step, agent
) -> None:
    """To the rounding that the page tells, and that of the digits shown."""
    choose(page, evaluation, name, day, step, agent)
    played = evaluation.episodes[method]
    row = simulator.fleet.names.index(agent)
    now = page.inner_text("#now")
    assert after(now, "all homes draw") == pytest.approx(
        played.fleet_power[day, step], abs=6 * POWER + 0.005
    )
    assert after(now, "kW;") == pytest.approx(evaluation.import_price[day, step], abs=0.5e-4 + 1e-6)
    assert after(now, f"costs −?{simulator.case.currency}") == pytest.approx(
        abs(played.cost[day]), abs=0.005 + 1e-3
    )
    assert after(now, "Worst loading:") / 100 == pytest.approx(
        played.quantities["loading"][day, step].max(), abs=0.004 + 0.0005
    )
    assert after(now, "Worst unbalance:") / 100 == pytest.approx(
        played.quantities["unbalance"][day, step].max(), abs=0.02 / 250 + 0.0005
    )
    volts = played.quantities["voltage"][day, step]
    worst = volts[np.abs(volts - 1.0).argmax()]
    assert after(now, "Worst voltage:") == pytest.approx(worst, abs=0.0002 + 0.00005)

    (kind,) = (group.kind for group in simulator.fleet.groups if row in group.agent.tolist())
    group = simulator.fleet.group(kind.name)
    axis = kind.store_axis(group.parameters, group.agent.tolist().index(row))
    node = simulator.power_flow.phase_names.index(simulator.fleet.places[row])
    page.evaluate("document.querySelector('details').open = true")
    cells = [line.split("\t") for line in page.inner_text("#table tbody").splitlines()]
    assert len(cells) == 48
    shown = np.array([[number(cell) for cell in line[1:]] for line in cells])
    store = axis.offset + axis.scale * played.store[day, :, row]
    expected = [
        (evaluation.import_price[day], 0.5e-4),
        (evaluation.outdoor_temperature[day], 0.05),
        (played.power[day, :, row], POWER + 0.005),
        (
            100 * store if axis.percent else store,
            STORE * axis.scale * (100 if axis.percent else 1) + 0.5,
        ),
        (played.quantities["voltage"][day, :, node], 0.0002 + 0.00005),
    ]
    for column, (values, rounding) in enumerate(expected):
        np.testing.assert_allclose(shown[:, column], values, rtol=0.0, atol=rounding + 1e-6)


def test_what_is_outside_a_limit_is_marked(page: Any, evaluation: Evaluation, simulator) -> None:
    """As often as the evaluation counts it: told in red above, red among all days."""
    played = evaluation.episodes["price_following"]
    outside = outside_limits(played, simulator.case.limits)
    choose(page, evaluation, "Price-following", 1, 0, "battery_0")
    for step in range(48):
        told = " ".join(element.inner_text() for element in page.query_selector_all("#now .bad"))
        for kind, steps in outside.items():
            assert (f"Worst {kind}" in told) == bool(steps[1, step]), step
        page.press("#step", "ArrowRight")


def test_a_bus_is_pointed_at_and_chosen(page: Any, evaluation: Evaluation, simulator) -> None:
    choose(page, evaluation, "GradMAP", 0, 20, "battery_1")
    place = simulator.fleet.places[simulator.fleet.names.index("battery_1")]
    bus, _, phase = place.partition(".")
    page.select_option("#bus-choice", label="1")
    assert page.inner_text("#bus b") == "Bus 1"
    page.select_option("#bus-choice", label=bus)
    told = page.inner_text("#bus")
    node = simulator.power_flow.phase_names.index(place)
    assert after(told, rf"phase {phase}") == pytest.approx(
        evaluation.episodes["gradmap"].quantities["voltage"][0, 20, node], abs=0.00025
    )
    assert "battery_1" in told
    page.hover("#feeder svg", position={"x": 300, "y": 200})
    page.wait_for_selector("#feeder [aria-label=tip] text")
    name, *lines = page.text_content("#feeder [aria-label=tip]").strip("\u200b").split("\u200b")
    assert name.startswith("Bus ")
    page.click("#feeder svg", position={"x": 300, "y": 200})
    assert page.inner_text("#bus b") == name
    assert page.inner_text("#bus").splitlines()[1:][: len(lines)] == lines
    page.select_option("#bus-choice", label=bus)
    page.click("#bus button:has-text('battery_1')")
    assert page.inner_text("#agent-title") == "The day of battery_1"


def test_a_day_and_a_step_are_chosen_among_all(page: Any, evaluation: Evaluation) -> None:
    """By a click on a picture: a quarter of the way across the day, on the first day."""
    choose(page, evaluation, "GradMAP", 1, 40, "battery_1")
    page.evaluate("document.getElementById('all').scrollIntoView({ block: 'center' })")
    image = page.query_selector("#all image").bounding_box()
    # By the mouse alone: the picture that is clicked is another one afterwards.
    page.mouse.click(image["x"] + 12.5 / 48 * image["width"], image["y"] + 0.25 * image["height"])
    page.wait_for_function(
        "words => document.getElementById('now').innerText.includes(words)",
        arg=f"{evaluation.dates[0]} at 06:00",
    )


def test_what_is_chosen_faster_than_days_are_unpacked_counts(
    page: Any, evaluation: Evaluation
) -> None:
    """A day and, before it is shown, a step, a method, and the day after."""
    choose(page, evaluation, "GradMAP", 1, 40, "battery_1")
    page.evaluate(
        """() => {
        const changed = (id, value, heard) => {
            const control = document.getElementById(id);
            control.value = value;
            control.dispatchEvent(new Event(heard));
        };
        changed("day", 0, "change");
        changed("step", 3, "input");
        document.querySelectorAll("input[name=method]")[1].click();
        document.getElementById("later").click();
    }"""
    )
    name = page.inner_text("#methods label:nth-child(2)").strip()
    page.wait_for_function(
        "words => document.getElementById('now').innerText.includes(words)",
        arg=f"{evaluation.dates[1]} at 01:30, {name}",
    )


def test_a_power_flow_without_solution_is_told(page: Any, evaluation: Evaluation) -> None:
    choose(page, evaluation, "Thermostat", 1, 7, "battery_0")
    assert "The power flow has no solution." in page.inner_text("#now")
    assert "no solution" in page.inner_text("#bus")
    page.press("#step", "ArrowRight")
    assert "no solution" not in page.inner_text("#now")


def test_an_unknown_home_is_marked_and_nothing_else_happens(page: Any) -> None:
    before = page.inner_text("#agent-title")
    page.fill("#agent", HOSTILE)
    page.press("#agent", "Enter")
    assert page.get_attribute("#agent", "aria-invalid") == "true"
    assert page.inner_text("#agent-title") == before


def test_names_are_shown_as_they_are(page: Any) -> None:
    assert page.inner_text("h1") == HOSTILE
    assert page.title() == f"Explorer: {HOSTILE}"


@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
