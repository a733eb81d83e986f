"""One Ray for all tests here that need one; without Ray they are left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("ray", reason="needs the rllib extra")

from gradmap_trainer.workers.session import ray_session


@pytest.fixture(scope="package")
def ray_running() -> Iterator[None]:
    with ray_session(2):
        yield
