"""What every test shares."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Small products on busy machines: more threads only get in each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def home() -> Iterator[Path]:
    """Home and place for temporary files of a command; short, as Ray's sockets need it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def opendss_models() -> Path:
    """Folder of the OpenDSS feeder models, which are not part of the repository."""
    default = ROOT.parent / "shared" / "feeders"
    folder = Path(os.environ.get("GRIDEDGE_OPENDSS_FEEDERS", default))
    if not folder.is_dir():
        pytest.skip("OpenDSS models not found; set GRIDEDGE_OPENDSS_FEEDERS to their folder")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names of tests that are others in each process: workers could not agree on them."""
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: got an address in a name, expected ids")
