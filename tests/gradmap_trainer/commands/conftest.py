"""A small run, trained once for all commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.gradmap_trainer.commands.calling import SMALL, call


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """The folder of a whole small run."""
    folder = tmp_path_factory.mktemp("runs") / "new" / "small"
    assert call("gradmap-train", "--run", folder, *SMALL) == 0
    return folder


@pytest.fixture
def copy(trained, tmp_path) -> Path:
    """A copy of that folder, to damage or to add to."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))
