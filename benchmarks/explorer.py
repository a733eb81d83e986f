"""How large a run's explorer is, and how soon a browser without a network shows it.

    python -m benchmarks.explorer runs/mine [--pictures FOLDER]

It needs playwright and a Chromium that is installed.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from gradmap_trainer.report import EXPLORER_FILE

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# A sandbox of its own is more than a container may give it; and it is to ask nobody anything.
OPTIONS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update")
TIMES = 5
# Width of a screen and colour scheme of the pictures.
SCREENS = ((400, "light"), (400, "dark"), (1400, "light"), (1400, "dark"))


def installed_browser() -> str | None:
    """Path of a Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def browser(path: str) -> Iterator[Any]:
    """A headless browser, closed at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        yield started
        started.close()


def opened(started: Any, page: Path, width: int = 1400, scheme: str = "light") -> Any:
    """The page as it is shown, without a network."""
    context = started.new_context(
        offline=True, viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    shown = context.new_page()
    shown.goto(page.absolute().as_uri())
    shown.wait_for_selector("#table td", state="attached")
    return shown


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    page, path = given.run / EXPLORER_FILE, installed_browser()
    if path is None:
        parser.error(f"browser: found none, expected one of {', '.join(BROWSERS)}")
    seconds = []
    with browser(path) as started:
        for _ in range(TIMES):
            began = time.perf_counter()
            opened(started, page).close()
            seconds.append(time.perf_counter() - began)
        if given.pictures:
            for width, scheme in SCREENS:
                shown = opened(started, page, width, scheme)
                shown.screenshot(
                    path=given.pictures / f"explorer_{width}_{scheme}.png", full_page=True
                )
    print(f"{page.stat().st_size / 1e6:.2f} MB; shown after {median(seconds):.2f} s, ", end="")
    print(f"the median of {TIMES}, {min(seconds):.2f} to {max(seconds):.2f} s")


if __name__ == "__main__":
    main()
