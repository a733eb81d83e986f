"""The site that `make docs` builds has every page and every public name, and its notebooks run.

Where the `docs` extra is installed it is built, too, and every link followed.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SITE = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
PACKAGES = ("gridedge_gateway", "gridedge_env", "gradmap_trainer", "baselines")
NOTEBOOKS = sorted(path.name for path in DOCS.glob("notebooks/*.py"))
# Pages that lie in the root of the repository.
FROM_ROOT = {"contributing.md", "changelog.md"}


def public_names() -> Iterator[str]:
    """What the packages, and those within them, offer by `__all__`."""
    for package in map(importlib.import_module, PACKAGES):
        inner = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        names = [package.__name__, *(module.name for module in inner if module.ispkg)]
        for module in map(importlib.import_module, names):
            yield from (f"{module.__name__}.{name}" for name in getattr(module, "__all__", ()))


def found(path: str) -> Any:
    """What a path of the reference leads to: a module, or something in one."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)


def test_every_public_name_is_in_the_reference_once():
    """Under its own path, or under that of another package which offers the same."""
    pages = (path.read_text(encoding="utf-8") for path in DOCS.glob("reference/*.md"))
    told = [path for page in pages for path in re.findall(r"^::: (\S+)$", page, flags=re.MULTILINE)]
    times = Counter(id(found(path)) for path in told)
    public = {path: id(found(path)) for path in public_names()}
    assert len(public) > 100
    assert {path: times[what] for path, what in public.items() if times[what] != 1} == {}
    assert max(times.values()) == 1


def test_every_page_is_in_the_navigation_once():
    listed = re.findall(r": ([\w/]+\.(?:md|py))$", SITE, flags=re.MULTILINE)
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert set(listed) == pages | FROM_ROOT | {f"notebooks/{name}" for name in NOTEBOOKS}
    assert len(listed) == len(set(listed))


def test_the_site_is_built(tmp_path, monkeypatch):
    """Strictly, as by `make docs`, but for what notebooks make, which run below."""
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.chdir(ROOT)
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path))
    config.plugins["mkdocs-jupyter"].config["execute"] = False
    build(config)
    assert "GradMAP" in (tmp_path / "gradmap.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_run(name, tmp_path, monkeypatch):
    """As scripts; the site shows what they make."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(plt, "show", lambda: None)
    code = compile((DOCS / "notebooks" / name).read_text(encoding="utf-8"), name, "exec")
    with plt.rc_context({"backend": "Agg"}):
        exec(code, {"__name__": "__main__"})
    plt.close("all")
