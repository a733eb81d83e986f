"""The explorer: one HTML file of an evaluation that answers back, and needs no network.

The page is made of the files beside this one: `page.html` with `page.css`, our own scripts in the
order of `SCRIPTS`, and two libraries as they were published. Whatever anybody named is in blocks of
compressed text, which cannot be taken for markup, and is shown as text.
"""

from __future__ import annotations

from pathlib import Path
from string import Template

from gradmap_trainer.report.explorer.contents import Contents
from gradmap_trainer.report.explorer.packing import block
from gradmap_trainer.report.run import EvaluatedRun

FOLDER = Path(__file__).parent
LIBRARIES = ("d3.min.js", "plot.umd.min.js")
SCRIPTS = ("data.js", "words.js", "feeder.js", "days.js", "main.js")


def explorer_page(run: EvaluatedRun) -> str:
    """The page of a run that was evaluated."""
    contents = Contents(run)
    blocks = {"about": block(contents.about())}
    blocks |= {f"day-{day}": text for day, text in enumerate(contents.day_blocks())}
    return Template(_read("page.html")).substitute(
        style=_read("page.css"),
        licences=_read("libraries/licences.txt"),
        libraries="\n".join(f"<script>{_read(f'libraries/{name}')}</script>" for name in LIBRARIES),
        data="\n".join(
            f'<script type="text/plain" id="{name}">{text}</script>'
            for name, text in blocks.items()
        ),
        script="\n".join(map(_read, SCRIPTS)),
    )


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
