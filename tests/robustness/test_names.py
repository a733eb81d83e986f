"""Names that anybody may give are names: in paths, pages, pictures, tables and on terminals."""

from __future__ import annotations

import base64
import csv
import io
import re
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.export import export_run
from gradmap_trainer.monitor import logged_tables, read_fleet, write_monitor
from gradmap_trainer.report import page, write_report
from gradmap_trainer.run_folder import signed
from gradmap_trainer.training import open_run, train
from gridedge_env import Case, Clock, load_case, make_simulator
from gridedge_env.devices import KINDS, Devices, make_fleet
from gridedge_env.evaluation import evaluate
from gridedge_env.evaluation_files import save_evaluation
from gridedge_env.feeder import Feeder
from gridedge_env.terminal import Terminal
from gridedge_gateway.cli import main as gateway
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.names import LONGEST_FILE_NAME, UNPRINTED, check_name, fit, printable
from tests.extension.street import STREET
from tests.gradmap_trainer.monitor.gateway_logs import log_episodes

NASTY = [
    *("..", ".", "/", "../../x", "a/../b", "/etc/passwd", "C:\\x", "\\\\host\\x", "~", "-rf"),
    *("CON", "nul.txt", "com1", "LPT¹", "conin$", "aux .x", "*?", "|", "%2F", "%", "#+", "a:b"),
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'\"&;", "]]>", "<!--"),
    *("a[/x]", "[bold red]", ":smile:", "$\\frac{", "$x$", "{{7*7}}", "{0}", "%s%n", "`id`"),
    *("=1+1", "@SUM(1)", "+1", "a,b", 'a"b', "a;b", "nan", "None", "_x", "é", "名", "🏠"),
    "x" * LONGEST_FILE_NAME,
    "/" * (LONGEST_FILE_NAME // 3),
]
SIGNS = "ab/\\.:*?\"'<>|%&;=[]{}$#+-@ \u202e\x1b\x00\né🏠"

DEVICE = re.compile(r"-|(con|prn|aux|nul|(com|lpt)[0-9¹²³]|con(in|out)\$) *\.", re.IGNORECASE)

texts = st.sampled_from(NASTY) | st.text(SIGNS, min_size=1, max_size=12)


def is_name(text: str) -> bool:
    with suppress(ValueError):
        return bool(check_name(text, "name"))
    return False


names = texts.filter(is_name)


@given(name=names)
def test_a_name_is_one_part_of_a_path(name: str) -> None:
    """On Windows, too, and it comes back."""
    part = fit(name)
    assert unquote(part) == name
    for suffix in (".onnx", ".csv", ".onnx.4194304.temporary"):
        file = f"{part}{suffix}"
        assert len(file.encode()) <= 255
        assert not re.search(r'[/\\:*?"<>|\x00-\x1f]', file)
        assert PureWindowsPath(file).name == file
        assert not re.match(
            r"-|(con|prn|aux|nul|(com|lpt)[0-9¹²³]|con(in|out)\$) *\.", file.lower()
        )


@given(text=texts)
def test_what_is_no_name_acts_on_nothing(text: str) -> None:
    """Control characters are told of; brackets are no markup, and no exception."""
    shown = printable(text)
    assert not UNPRINTED.search(shown.replace("\n", ""))
    terminal = Terminal()
    terminal.file = io.StringIO()
    terminal.print(text, soft_wrap=True, highlight=False)
    assert terminal.file.getvalue() == f"{shown}\n"


@given(text=texts)
def test_pages_have_texts_as_texts(text: str) -> None:
    """The same tags and attributes, whatever it is."""
    with_text, plain = Tags.of(page_of(text)), Tags.of(page_of("x"))
    assert with_text.tags == plain.tags
    assert with_text.attributes == plain.attributes
    assert printable(text).replace("\n", "") in printable(with_text.text).replace("\n", "")


def page_of(text: str) -> str:
    """A page with a text in all places that there are."""
    return page.page(
        text,
        *(page.heading(text), page.paragraph(text), page.bullets([(text, text)])),
        *(page.section(text), page.contents([text]), page.tiles([(text, text, text)])),
        *(page.legend({text: text}), page.figure(text, text, text, [(text, b"")])),
        page.table([text], [page.row(text, [page.cell(text), page.number(1.0, text)], text)]),
        *(page.pairs([(text, text)]), page.link(text, text)),
    )


class Tags(HTMLParser):
    """The tags and attributes of a page, and the texts and pictures in it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.pictures: list[bytes] = []
        self.text = ""

    @classmethod
    def of(cls, text: str) -> Tags:
        tags = cls()
        tags.feed(text)
        return tags

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        for name, value in attrs:
            if name == "src" and value and value.startswith("data:image/svg+xml;base64,"):
                self.pictures.append(base64.b64decode(value.partition(",")[2]))

    def handle_data(self, data: str) -> None:
        self.text += data


def street(buses: list[str], name: str) -> Feeder:
    """Two of its buses, and itself, with other names."""
    new = {"middle": buses[0], "far": buses[1]}
    return replace(
        STREET,
        name=name,
        buses=tuple(replace(bus, name=new.get(bus.name, bus.name)) for bus in STREET.buses),
        lines=tuple(
            replace(
                line,
                from_bus=new.get(line.from_bus, line.from_bus),
                to_bus=new.get(line.to_bus, line.to_bus),
            )
            for line in STREET.lines
        ),
        loads=(),
    )


def is_bus(text: str) -> bool:
    return is_name(text) and text == text.lower() and not re.search(r"[.\s]", text)


buses = st.lists(texts.map(str.lower).filter(is_bus), min_size=2, max_size=2, unique=True).filter(
    lambda found: not {"station", "near"} & set(found)
)
fleets = st.lists(names, min_size=6, max_size=6, unique_by=str.casefold)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder with nothing else in it, and nothing else around it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@settings(max_examples=2, deadline=None, derandomize=True, phases=[Phase.generate])
@given(agents=fleets, places=buses, name=names)
def test_from_a_case_to_the_pages(
    home: Path, agents: list[str], places: list[str], name: str
) -> None:
    """A case is saved, trained on, evaluated, reported, exported, logged and monitored."""
    shutil.rmtree(home / "here", ignore_errors=True)
    folder = home / "here" / "a[x]$"
    case = case_of(agents, places, name)
    case.save(folder / "case")
    assert load_case(folder / "case") == case
    run, simulator = folder / "run", make_simulator(case=load_case(folder / "case"))
    config = TrainConfig(
        run=str(run), case=None, iterations=1, batch_days=1, minibatches=1, hidden_sizes=(2,)
    )
    learner = train(config, simulator, open_run(config, simulator))
    played = evaluate(simulator, {"gradmap": learner.policies}, [0], foresight_iterations=0)
    save_evaluation(signed(played, learner), case.limits, run)
    report = write_report(run, simulator)
    exact = make_simulator(case=simulator.case, dtype=torch.float64)
    files = export_run(config, exact, learner.policies, run / "policies")
    log_episodes(exact, learner.policies, run / "policies", run / "logs", [100])
    tables = logged_tables(run / "logs", run / "policies", run)
    fleet = read_fleet(run, config, simulator, learner.policies, tables, run / "policies")
    monitor = write_monitor(fleet, run)

    assert [CustomerFile(file).customer["name"] for file in files] == agents
    assert not fleet.faults
    assert {one.customer for one in fleet.findings} == set(agents)
    assert {file.resolve().parent for file in files} == {(run / "policies").resolve()}
    assert len(list((run / "policies").iterdir())) == len(list((run / "logs").iterdir())) == 6
    assert [path.name for path in home.iterdir()] == ["here"]
    assert {path.name for path in (home / "here").iterdir()} == {"a[x]$"}
    for path in (report, monitor):
        check_page(path)
    with (run / "bills.csv").open(encoding="utf-8", newline="") as bills:
        cells = [cell for row in csv.DictReader(bills) for cell in (row["customer"], row["place"])]
    assert not [cell for cell in cells if cell[0] in "=+-@"]
    picture, log = folder / "picture.svg", next((run / "logs").glob("*.csv"))
    file = files[agents.index(unquote(log.stem))]
    words = ["--readings", str(log), "--out", str(folder / "out.csv"), "--picture", str(picture)]
    gateway(["replay", str(file), *words])
    check_picture(picture.read_bytes())


def case_of(agents: list[str], places: list[str], name: str) -> Case:
    """Agents with a battery each on the street, in hours."""
    columns = KINDS["battery"].sample(len(agents), 1.0, np.random.default_rng(0))
    where = {agent: f"{places[number % 2]}.{1 + number % 3}" for number, agent in enumerate(agents)}
    fleet = make_fleet(where, {"battery": Devices(agents, columns)})
    return Case(street(places, name), fleet, Clock.of_minutes(60), name=name, currency="$x$")


def check_page(path: Path) -> None:
    """It holds no script, and its pictures are pictures and hold none."""
    seen = Tags.of(path.read_text(encoding="utf-8"))
    assert not {"script", "iframe", "object", "svg"} & set(seen.tags)
    assert not [name for name in seen.attributes if name.startswith("on")]
    assert seen.pictures
    for picture in seen.pictures:
        check_picture(picture)


def check_picture(svg: bytes) -> None:
    """It is one, without what a browser would act on; images in it bring their own data."""
    elements = list(ElementTree.fromstring(svg).iter())
    assert not {"script", "foreignObject", "a"} & {e.tag.rpartition("}")[2] for e in elements}
    links = [value for e in elements for name, value in e.items() if name.endswith("href")]
    assert all(link.startswith(("#", "data:image/png")) for link in links)
