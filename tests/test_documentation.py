"""The documentation's Python runs, and the shell commands, files and sections it names exist.

Every ```python block of a file is executed, all in one namespace and in an empty working directory.
Every line of a ```bash block must start with a command known here: `make` with targets of the
Makefile, one of the package's own commands with options that its `--help` lists, `python` with a
module or script that exists, or a plain shell tool. A path in backticks is one of the repository or
the end of one, and a link leads to a file, and to a heading if it names one.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("docs/**/*.md")),
]
SHELL_TOOLS = {"cd", "cp", "git", "pip", "ray", "rm", "source", "torchrun"}
# Where a path may begin that is not told from the root on.
SOURCES = ("gridedge_gateway", "gridedge_env", "gradmap_trainer", "baselines", "benchmarks")

# A document that loses its code would pass unseen.
WITH_PYTHON = {
    *("README.md", "docs/baselines.md", "docs/data.md", "docs/environment.md", "docs/feeders.md"),
    *("docs/deployment.md", "docs/first_contribution.md", "docs/gradmap.md"),
    *("docs/learners.md", "docs/power_flow.md", "docs/your_case.md"),
}
WITH_SHELL = {
    *("README.md", "CONTRIBUTING.md", "docs/baselines.md", "docs/benchmarks.md"),
    *(
        "docs/comparison.md",
        "docs/deployment.md",
        "docs/environment.md",
        "docs/first_contribution.md",
        "docs/gradmap.md",
        "docs/gradmap_findings.md",
        "docs/learners.md",
    ),
    *("docs/results.md", "docs/scale.md", "docs/validation.md", "docs/your_case.md"),
}
# What code needs that not everybody has installed.
NEEDED = {"docs/learners.md": ("stable_baselines3", "torchrl")}
# Commands of several parts: "gridedge-case new".
WITH_PARTS = {"gridedge-case", "gridedge-gateway"}

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", flags=re.MULTILINE | re.DOTALL)
# In backticks: "devices/fleet.py", "feeder/opendss/", "clock.py"; not "runs/*.json", "policies/",
# nor topics of MQTT.
PATH = re.compile(r"`(?!gridedge/|homeassistant/)((?:[\w.-]+/)+[\w.-]+/?|[\w-]+\.py)`")
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)")
COMMAND = re.compile(r'^((?:gradmap|gridedge)-[\w-]+) = "([\w.]+):(\w+)"$', flags=re.MULTILINE)
COMMANDS = {
    name: (module, function)
    for name, module, function in COMMAND.findall(
        (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    )
}
TARGETS = set(re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def test_documents_have_the_code_that_is_tested_here():
    """And no code but that: every fence is one that is found, in a language that is looked at."""
    assert {d for d in DOCUMENTS if list(blocks(d, "python"))} == WITH_PYTHON
    assert {d for d in DOCUMENTS if list(blocks(d, "bash"))} == WITH_SHELL
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        fences = FENCE.findall(text)
        assert 2 * len(fences) == len(re.findall(r"^\s*(```|~~~)", text, flags=re.MULTILINE))
        assert {language for language, _ in fences} <= {"python", "bash", "toml"}, document


@pytest.mark.parametrize("document", sorted(WITH_PYTHON))
def test_python_blocks_run(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    for library in NEEDED.get(document, ()):
        pytest.importorskip(library, reason="the extra `learners` is not installed")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for line, code in blocks(document, "python"):
        # Blank lines in front, so that a traceback shows the document's own line.
        exec(compile("\n" * line + code, str(ROOT / document), "exec"), namespace)


@pytest.mark.parametrize("document", sorted(WITH_SHELL))
def test_shell_commands_exist(document):
    wrong = [
        f"{document}, {complaint}: {line}"
        for _, block in blocks(document, "bash")
        for line in block.replace("\\\n", " ").splitlines()
        if (words := shlex.split(line, comments=True))
        for complaint in complaints(words)
    ]
    assert not wrong


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_pointed_at_exists(document):
    text = FENCE.sub("", (ROOT / document).read_text(encoding="utf-8"))
    wrong = [path for path in PATH.findall(text) if not is_of_the_repository(path.rstrip("/"))]
    for target, section in LINK.findall(text):
        file = (ROOT / document).parent / target if target else ROOT / document
        if not file.exists() or (section and section not in sections(file)):
            wrong.append(f"{target}#{section}")
    assert not wrong


def test_what_does_not_exist_is_told():
    assert PATH.findall("`a/b.py` `c.py` `d/e/` `f/` `g/*.py` `h.csv`") == [
        *("a/b.py", "c.py", "d/e/")
    ]
    assert is_of_the_repository("devices/fleet.py")
    assert not is_of_the_repository("vices/fleet.py")
    assert LINK.findall("[a](b.md#c) [d](#e) [f](g.png) [h](https://i.org)") == [
        *(("b.md", "c"), ("", "e"), ("g.png", ""))
    ]
    assert "what-is-inside" in sections(ROOT / "README.md")


def test_complaints_are_made():
    assert list(complaints(["make", "traim"])) == ["no such make target: traim"]
    assert list(complaints(["frobnicate"])) == ["unknown command: frobnicate"]
    assert list(complaints(["python", "-m", "baselines_of.nothing"])) == ["no such module"]
    assert list(complaints(["python", "examples/none.py"])) == ["no such script"]
    assert list(complaints(["gradmap-train", "--run", "runs/a", "--no-such"])) == [
        "unknown option: --no-such"
    ]


def blocks(document: str, language: str) -> Iterator[tuple[int, str]]:
    """Yield the blocks of a language, each with the number of lines before it."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for fence in FENCE.finditer(text):
        if fence[1] == language:
            yield text.count("\n", 0, fence.start(2)), fence[2]


@functools.cache
def is_of_the_repository(path: str) -> bool:
    """Whether there is such a path from the root, or one that ends so in a folder of sources."""
    return (ROOT / path).exists() or any(
        next((ROOT / folder).rglob(path), None) for folder in SOURCES
    )


def sections(file: Path) -> set[str]:
    """What links call the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def complaints(words: list[str]) -> Iterator[str]:
    """Yield what is wrong with a command line."""
    while re.match(r"\w+=", words[0]):
        words = words[1:]
    command, *arguments = words
    if command == "make":
        for target in arguments:
            if "=" not in target and target not in TARGETS:
                yield f"no such make target: {target}"
    elif command in COMMANDS:
        options = {word.split("=")[0] for word in arguments if word.startswith("--")}
        part = () if arguments[0].startswith("-") or command not in WITH_PARTS else arguments[:1]
        told = help_of(command, *part)
        yield from (f"unknown option: {o}" for o in sorted(options) if o not in told)
    elif command == "python" and arguments[0] == "-m":
        try:
            known = importlib.util.find_spec(arguments[1])
        except ModuleNotFoundError:
            known = None
        if known is None:
            yield "no such module"
    elif command == "python":
        if not (ROOT / arguments[0]).is_file():
            yield "no such script"
    elif command not in SHELL_TOOLS:
        yield f"unknown command: {command}"


@functools.cache
def help_of(command: str, *part: str) -> str:
    """In this process, which spares it the imports."""
    module, function = COMMANDS[command]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as told:
        patch.setattr(sys, "argv", [command, *part, "--help"])
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit, match="^0$"):
            getattr(importlib.import_module(module), function)()
    return told.getvalue()
