"""The report of a run is complete, true to the run's files, self-contained and safe to open."""

from __future__ import annotations

import base64
import json
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import gridedge_env
from gradmap_trainer.report import EXPLORER_FILE, SECTIONS, write_report
from gradmap_trainer.report.appearance import appearance
from gradmap_trainer.report.bills import BILLS_FILE
from gradmap_trainer.report.measured import how_this_was_measured
from gradmap_trainer.report.run import read_run
from gradmap_trainer.report.sections import distributions, headline, one_day, out_of_sample
from gridedge_env.constraints import Limits
from gridedge_env.evaluation import evaluate, evaluation_days
from gridedge_env.evaluation_files import EPISODES_FILE, load_evaluation, save_evaluation
from gridedge_env.reference import Thermostat
from gridedge_env.scenarios import Fixed, Flat, Tariff

CONFIG = {"run": "runs/small", "num_agents": 6, "device": "cpu", "hidden_sizes": [8], "home": None}
COLUMNS = ("voltage_steps", "loading_steps", "unbalance_steps")
HEADER = ",".join(("iteration", "seconds", "cost", *COLUMNS))
SVG = "data:image/svg+xml;base64,"


@pytest.fixture(scope="module")
def simulator():
    return gridedge_env.make_simulator(num_agents=6)


@pytest.fixture(scope="module")
def finished(simulator, tmp_path_factory) -> Path:
    """A run that was evaluated on two days; tests do not change it."""
    folder = tmp_path_factory.mktemp("finished")
    evaluation = evaluate(
        simulator,
        {"gradmap": Thermostat(simulator)},
        evaluation_days(simulator, "test", 2),
        foresight_iterations=5,
    )
    save_evaluation(replace(evaluation, iteration=12), Limits(), folder)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    write_metrics(folder, extra=True)
    return folder


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture(scope="module")
def report(finished, simulator, tmp_path_factory) -> Path:
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("reported") / "run")
    return write_report(Path(folder), simulator)


@pytest.fixture(scope="module")
def parsed(report) -> Page:
    return Page.read(report)


def write_metrics(folder: Path, extra: bool, rows: int = 12) -> None:
    """A log; `extra` adds the columns that need not be there, one of which is never positive."""
    metrics = {
        "iteration": 1,
        "seconds": 65.5 / rows,
        "cost": 100.0,
        **dict.fromkeys(COLUMNS, 0.001),
    }
    if extra:
        metrics |= {"dual_norm": 3.0, "beyond_trust_region": 0.01, "gradient_norm": 0.0}
        metrics |= {"predicted_improvement": -1.0, "realised_improvement": 0.5}
        metrics |= {"trust_region": 0.1, "learning_rate": 0.01, "powerflow_residual": 1e-6}
        metrics |= {"seconds_rollout": 1.0, "seconds_gradient": 2.0, "seconds_update": 1.0}
    lines = [",".join(metrics)]
    lines += [",".join(str(k * value) for value in metrics.values()) for k in range(1, rows + 1)]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


class Page(HTMLParser):
    """What a browser would make of the file.

    Attributes:
        text: all that is not markup or style.
        tags: every tag with its attributes.
        headings: texts of h1 and h2.
        rows: of the first table: the method's name, and its cells as (value, text).
    """

    def __init__(self) -> None:
        super().__init__()
        self.text, self.style = "", ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.rows: dict[str, list[tuple[float, str]]] = {}
        self._open: list[str] = []
        self._tables = 0

    @staticmethod
    def read(path: Path) -> Page:
        page = Page()
        page.feed(path.read_text(encoding="utf-8"))
        return page

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        self._tables += tag == "table"
        if tag in ("h1", "h2"):
            self.headings.append("")

    def handle_endtag(self, tag):
        while self._open.pop() != tag:
            pass  # tags that are never closed, such as img

    def handle_data(self, data):
        inside = self._open[-1] if self._open else ""
        if inside == "style":
            self.style += data
            return
        self.text += data
        if inside in ("h1", "h2"):
            self.headings[-1] += data
        elif self._tables > 1:
            return
        elif inside == "th" and "row" in self.tags[-2][1].values():
            self.rows[data] = []
        elif inside == "data":
            value = self.tags[-1][1]["value"]
            self.rows[list(self.rows)[-1]].append((float(value or "nan"), data))

    def images(self) -> list[bytes]:
        sources = [attributes["src"] or "" for tag, attributes in self.tags if tag == "img"]
        assert all(source.startswith(SVG) for source in sources)
        return [base64.b64decode(source.removeprefix(SVG)) for source in sources]


def test_all_sections_are_there_and_linked(parsed):
    assert parsed.headings[1:] == list(SECTIONS)
    files = {BILLS_FILE, EXPLORER_FILE}
    links = [a["href"] for tag, a in parsed.tags if tag == "a" and a["href"] not in files]
    places = [f"#{a['id']}" for tag, a in parsed.tags if tag == "section"]
    assert links == places
    assert len(set(places)) == len(SECTIONS)


def test_every_figure_is_a_picture_with_a_description(parsed):
    """2 by day, savings, 3 of learning, 3 distributions, 3 homes, 5 of a day, 4 maps, 6 others."""
    images = parsed.images()
    assert len(images) == 27
    for image in images:
        assert ElementTree.fromstring(image).tag == "{http://www.w3.org/2000/svg}svg"
    assert all(attributes["alt"] for tag, attributes in parsed.tags if tag == "img")


def test_nothing_is_fetched_from_elsewhere(parsed):
    for tag, attributes in parsed.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        for name, value in attributes.items():
            if name in ("src", "href", "srcset", "style", "background", "data", "poster"):
                beside = BILLS_FILE, EXPLORER_FILE
                assert (value or "").startswith(("#", SVG, "background:#", *beside))
    assert "url(" not in parsed.style
    assert "@import" not in parsed.style
    assert "://" not in parsed.text
    for image in parsed.images():
        for element in ElementTree.fromstring(image).iter():
            for name, value in element.attrib.items():
                if name.endswith("href"):
                    assert value.startswith(("#", "data:"))


def test_table_holds_the_numbers_of_the_evaluation(parsed, finished):
    table = json.loads((finished / "evaluation.json").read_text())
    floor = table["perfect_foresight"]["cost"]
    assert list(parsed.rows) == [appearance(key).name for key in table]
    for key, row in table.items():
        values = [value for value, _ in parsed.rows[appearance(key).name]]
        expected = [row["cost"], *(row[column] for column in COLUMNS)]
        expected += [row[kind.worst_name] for kind in Limits()] + [row["nonconverged"]]
        if key != "perfect_foresight":
            expected.insert(1, (row["cost"] - floor) / abs(floor))
        assert values == expected


def test_table_reads_as_its_numbers_say(parsed):
    """Text against value, to half a unit of its last digit; € amounts here are below 1,000."""
    for row in parsed.rows.values():
        for value, text in row:
            digits = text.replace("\u00a0", "").replace("€", "").replace("−", "-").replace("+", "")
            shown = float(digits.removesuffix("%").replace(",", ""))
            decimals = len(digits.removesuffix("%").partition(".")[2])
            exact = 100.0 * value if digits.endswith("%") else value
            # The last term is for the rounding of the sum itself.
            assert abs(shown - exact) <= 0.5 * 10.0**-decimals + 1e-9


def test_headline_states_the_verdict(run, simulator):
    """Costs 103, 100, 120 and 206: 3 % above, 17/120 = 14.2 % below; 17 of the 20 € are 85 %.
    Ours is put outside its limits in 12 of 96 half-hours.
    """
    evaluation = load_evaluation(run, simulator)
    costs = {"gradmap": 103, "perfect_foresight": 100, "idle": 120, "price_following": 206}
    episodes = {
        key: replace(evaluation.episodes[key], cost=np.full(2, float(cost)))
        for key, cost in costs.items()
    }
    still = {k: np.zeros_like(x) for k, x in episodes["gradmap"].quantities.items()}
    within = np.full_like(still["voltage"], 1.0)
    within[1, :12, 7] = 1.1
    episodes["gradmap"] = replace(episodes["gradmap"], quantities={**still, "voltage": within})
    save_evaluation(replace(evaluation, episodes=episodes), Limits(), run)
    page = Page()
    page.feed("".join(headline(read_run(run, simulator))))
    assert page.headings[0].replace("\u00a0", " ") == (
        "GradMAP costs 3.0 % more than perfect foresight, 14.2 % less than doing nothing, and is "
        "outside the network's limits in 12.5 % of half-hours"
    )
    text = page.text.replace("\u00a0", " ")
    assert "cost 100.0 % more than GradMAP" in text
    assert "85.0 %of what perfect foresight saves over doing nothing" in text
    assert "trained together for 66 s (12 iterations, cpu)" in text
    assert "tested on 2 days of 2024 with the weather of Düsseldorf" in text


@pytest.mark.parametrize("cheaper", [True, False])
def test_a_cost_below_perfect_foresight_is_explained(run, simulator, cheaper):
    evaluation = load_evaluation(run, simulator)
    costs = {"gradmap": 90.0 if cheaper else 110.0, "perfect_foresight": 100.0}
    episodes = {
        key: replace(episode, cost=np.full(2, costs.get(key, 120.0)))
        for key, episode in evaluation.episodes.items()
    }
    save_evaluation(replace(evaluation, episodes=episodes), Limits(), run)
    section = "".join(out_of_sample(read_run(run, simulator)))
    assert ("Here GradMAP cost less than perfect foresight." in section) == cheaper


def test_the_same_run_gives_the_same_file(run, report, simulator):
    assert write_report(run, simulator).read_bytes() == report.read_bytes()


def test_hostile_names_are_text(run, simulator):
    hostile = '"><script>alert(1)</script>$x$ \\frac{ & é'
    (run / "config.json").write_text(json.dumps({"run": hostile, hostile: hostile}))
    evaluation = load_evaluation(run, simulator)
    episodes = {**evaluation.episodes, hostile: evaluation.episodes["idle"]}
    save_evaluation(replace(evaluation, episodes=episodes), Limits(), run)
    path = write_report(run, simulator)
    assert "<script" not in path.read_text(encoding="utf-8")
    page = Page.read(path)
    # Title of the page, line over the headline, key and value of the configuration.
    assert page.text.count(hostile) >= 4
    assert appearance(hostile).name in page.rows


def test_what_a_run_lacks_is_left_out(run, simulator):
    """No diagnostics in the log, no perfect foresight: 1 by day, savings, 2 of learning, 15."""
    write_metrics(run, extra=False, rows=1)
    evaluation = load_evaluation(run, simulator)
    episodes = {k: v for k, v in evaluation.episodes.items() if k != "perfect_foresight"}
    save_evaluation(replace(evaluation, episodes=episodes, iteration=1), Limits(), run)
    page = Page.read(write_report(run, simulator))
    assert len(page.images()) == 19
    assert "The log holds no diagnostics." in page.text
    assert "costs" in page.headings[0]
    assert "perfect foresight" not in page.headings[0]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (("price_variation", "demand_variation"), "prices and demand of each day varied at random"),
        ((), None),
    ],
)
def test_varied_training_days_are_told(run, simulator, fields, told):
    varied = {f"{what}_variation": 0.0 for what in ("price", "temperature", "demand")}
    config = {**CONFIG, **varied, **dict.fromkeys(fields, 0.5)}
    (run / "config.json").write_text(json.dumps(config))
    section = "".join(how_this_was_measured(read_run(run, simulator)))
    assert ("varied at random" in section) == bool(told)
    assert (told or "") in section


def test_the_tariff_is_told_in_its_own_words(run, simulator):
    """And prices that do not follow the market are none that training varies."""
    section = "".join(how_this_was_measured(read_run(run, simulator)))
    assert "Consumption costs 1.21 × day-ahead price + 0.15 €/kWh; what is fed in" in section
    case = replace(simulator.case, tariff=Tariff(Flat(0.3), Fixed(0.08)))
    varied = {**CONFIG, "price_variation": 0.5, "temperature_variation": 0.5}
    other = read_run(run, gridedge_env.make_simulator(case=case))
    section = "".join(how_this_was_measured(replace(other, config=varied)))
    assert "costs 0.3 €/kWh at all times; what is fed in earns 0.08 €/kWh at all times" in section
    assert "with the temperatures of each day varied at random" in section


def test_power_flows_without_solution_are_shown(run, simulator):
    """A method none of whose 96 power flows converged is drawn without its voltages."""
    evaluation = load_evaluation(run, simulator)
    idle = evaluation.episodes["idle"]
    unsolved = replace(idle, converged=np.zeros_like(idle.converged))
    episodes = {**evaluation.episodes, "idle": unsolved}
    save_evaluation(replace(evaluation, episodes=episodes), Limits(), run)
    page, read = Page(), read_run(run, simulator)
    for section in (out_of_sample, distributions, one_day, how_this_was_measured):
        page.feed("".join(section(read)))
    row = page.rows[appearance("idle").name]
    assert row[-1] == (96.0, "96")
    assert row[2] == (1.0, "100.0\u00a0%")
    assert "Of 480 power flows 96 did not converge" in page.text


@pytest.mark.parametrize("name", ["config.json", "metrics.csv", EPISODES_FILE])
def test_missing_files_are_named(run, simulator, name):
    (run / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}: not found, expected"):
        write_report(run, simulator)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("config.json", "{", r"config\.json: damaged"),
        ("config.json", "[1]", r"config\.json: got a list, expected a JSON object"),
        ("metrics.csv", "", r"metrics\.csv: damaged"),
        (
            "metrics.csv",
            "seconds,cost\n1,2\n",
            r"metrics\.csv: got no column iteration, loading_steps",
        ),
        ("metrics.csv", f"{HEADER}\n", r"metrics\.csv: got no rows"),
        (
            "metrics.csv",
            f"{HEADER}\n1,1,much,0,0,0\n",
            r"metrics\.csv, column cost: got text, expected numbers",
        ),
        (EPISODES_FILE, "no archive", r"evaluation\.npz: damaged"),
    ],
)
def test_damaged_files_are_named(run, simulator, name, content, complaint):
    (run / name).write_text(content)
    with pytest.raises(ValueError, match=complaint):
        write_report(run, simulator)


def test_a_table_is_not_believed(run, simulator):
    """It is made of the trajectories again, whatever its file says."""
    expected = write_report(run, simulator).read_text(encoding="utf-8")
    (run / "evaluation.json").write_text('{"gradmap": {"cost": 1.0}}')
    assert write_report(run, simulator).read_text(encoding="utf-8") == expected


def test_trajectories_without_a_method_are_refused(run, simulator):
    evaluation = load_evaluation(run, simulator)
    episodes = {name: played for name, played in evaluation.episodes.items() if name != "idle"}
    save_evaluation(replace(evaluation, episodes=episodes), Limits(), run)
    with pytest.raises(
        ValueError, match=r"evaluation\.npz: got methods gradmap, .* and idle among"
    ):
        write_report(run, simulator)


def test_another_case_is_refused(run):
    """A fleet of one home is not one of six."""
    with pytest.raises(ValueError, match=r"agents: got <U\d+ \(6,\), expected text \(1,\)"):
        write_report(run, gridedge_env.make_simulator(num_agents=1))


def test_another_feeder_is_refused(run, simulator):
    evaluation = load_evaluation(run, simulator)
    ours = evaluation.episodes["gradmap"]
    quantities = {**ours.quantities, "voltage": ours.quantities["voltage"][..., :5]}
    fewer = replace(ours, quantities=quantities)
    episodes = {**evaluation.episodes, "gradmap": fewer}
    save_evaluation(replace(evaluation, episodes=episodes), Limits(), run)
    with pytest.raises(ValueError, match=r"voltage: got float32 \(2, 48, 5\), expected"):
        write_report(run, simulator)
