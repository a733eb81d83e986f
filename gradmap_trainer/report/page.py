"""Building blocks of a self-contained HTML page: nothing in it asks the network for anything.

Arguments are plain text, escaped here, but for the markup in `parts`, `html`, `rows` and `cells`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from string import Template

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")

_STYLE = """
:root { color-scheme: light; --ink: #1c2430; --quiet: #5a6472; --line: #dde2e8; --wash: #f5f7f9; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.55 system-ui, -apple-system,
  "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 64px; overflow-wrap: anywhere; }
h1 { font-size: clamp(1.4rem, 3.6vw, 1.95rem); line-height: 1.25; margin: 4px 0 14px;
  max-width: 31em; }
h2 { font-size: 1.35rem; margin: 52px 0 8px; padding-top: 14px; border-top: 2px solid var(--ink); }
h3 { font-size: 1.05rem; margin: 32px 0 4px; }
p, ul { max-width: 46em; margin: 8px 0; }
li { margin: 3px 0; }
.over { color: var(--quiet); font-size: .9rem; margin: 0; }
.lead { font-size: 1.08rem; }
nav { margin: 20px 0 0; font-size: .92rem; }
nav a { margin-right: 16px; color: #0b5c94; white-space: nowrap; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px;
  margin: 22px 0; }
.tile { border: 1px solid var(--line); border-radius: 6px; padding: 12px 14px;
  background: var(--wash); }
.tile b { display: block; font-size: 1.6rem; line-height: 1.25; }
.tile span { display: block; font-size: .9rem; }
.tile small { display: block; color: var(--quiet); font-size: .82rem; margin-top: 4px; }
.scroll { overflow-x: auto; margin: 14px 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 12px; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: baseline; overflow-wrap: normal; }
th { font-weight: 600; color: var(--quiet); line-height: 1.3; }
thead th { vertical-align: bottom; }
tbody th, td:first-child, th:first-child { text-align: left; }
tbody th { color: var(--ink); white-space: nowrap; position: sticky; left: 0; background: #fff; }
tr.ours, tr.ours th { background: #eaf3fa; }
tr.ours th { font-weight: 700; }
td.bad { color: #a61b1b; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .45em;
  vertical-align: -.05em; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.legend { font-size: .88rem; margin: 8px 0 2px; max-width: none; }
.legend span { margin-right: 18px; white-space: nowrap; }
figure { margin: 0; }
.panels { display: grid; gap: 12px 24px; align-items: start; margin-top: 8px; }
.across2 { grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); }
.across3 { grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr)); }
.panels img { width: 100%; max-width: 560px; height: auto; display: block; }
figcaption { font-size: .94rem; color: #333c48; }
figcaption p { max-width: 50em; margin: 6px 0; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr));
  gap: 0 28px; margin: 10px 0; font-size: .92rem; font-variant-numeric: tabular-nums; }
.pairs div { display: flex; justify-content: space-between; gap: 12px; padding: 4px 0;
  border-bottom: 1px solid var(--line); }
.pairs dt { color: var(--quiet); }
.pairs dd { margin: 0; text-align: right; }
@media print {
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  figure, .tiles, .pairs div, tr, li { break-inside: avoid; }
  .across3 { grid-template-columns: repeat(3, 1fr); }
  .across2 { grid-template-columns: repeat(2, 1fr); }
  .scroll { overflow: visible; }
  table { font-size: .78rem; }
  th, td { padding: 3px 6px; }
}
"""


def page(title: str, *parts: str) -> str:
    """The whole document."""
    return _PAGE.substitute(title=escape(title), style=_STYLE, body="\n".join(parts))


def heading(text: str) -> str:
    """The page's heading."""
    return f"<h1>{escape(text)}</h1>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph, of a class of the style sheet if `kind` is given."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def link(file: str, text: str) -> str:
    """A paragraph that leads to a file beside the page."""
    return f'<p><a href="{escape(file)}">{escape(text)}</a></p>'


def bullets(items: Iterable[tuple[str, str]]) -> str:
    """A list of things, each with what is to be said of it."""
    return "<ul>" + "".join(f"<li><b>{escape(a)}</b>: {escape(b)}</li>" for a, b in items) + "</ul>"


def section(title: str, *parts: str) -> str:
    """A section that `contents` links to."""
    return f'<section id="{_anchor(title)}">\n<h2>{escape(title)}</h2>\n' + "\n".join(
        [*parts, "</section>"]
    )


def contents(titles: Iterable[str]) -> str:
    """Links to the sections."""
    links = (f'<a href="#{_anchor(title)}">{escape(title)}</a>' for title in titles)
    return f"<nav>{' '.join(links)}</nav>"


def tiles(items: Iterable[tuple[str, str, str]]) -> str:
    """Key figures: number, what it is, what to hold it against."""
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><b>{escape(number)}</b><span>{escape(what)}</span>'
            f"<small>{escape(against)}</small></div>"
            for number, what, against in items
        )
        + "</div>"
    )


def legend(colours: Mapping[str, str]) -> str:
    """Names with their colours."""
    entries = (f"<span>{swatch(c)}{escape(name)}</span>" for name, c in colours.items())
    return f'<p class="legend">{"".join(entries)}</p>'


def swatch(colour: str) -> str:
    """A patch of colour."""
    return f'<i class="swatch" style="background:{escape(colour)}"></i>'


def figure(
    about: str,
    shown: str,
    look_for: str,
    panels: Iterable[tuple[str, bytes]],
    html: str = "",
    across: int = 2,
) -> str:
    """Panels side by side under a heading, with a caption.

    Args:
        about: heading.
        shown: what is shown.
        look_for: what to look for.
        panels: a few words for those who do not see it, and the SVG picture.
        html: between the heading and the panels, such as a legend.
        across: panels in a row, 2 or 3, on a wide screen.
    """
    images = "".join(
        f'<img alt="{escape(words)}" src="data:image/svg+xml;base64,{b64encode(picture).decode()}">'
        for words, picture in panels
    )
    return (
        f"<figure>\n<h3>{escape(about)}</h3>{html}\n"
        f'<div class="panels across{across}">{images}</div>\n'
        f"<figcaption><p>{escape(shown)}</p><p><b>Look for</b> {escape(look_for)}</p></figcaption>"
        "</figure>"
    )


def number(value: float, text: str, bad: bool = False) -> str:
    """A table cell: a number as it reads, and exactly, for machines."""
    return f'<td{" class=bad" if bad else ""}><data value="{value!r}">{escape(text)}</data></td>'


def cell(text: str) -> str:
    """A table cell of text."""
    return f"<td>{escape(text)}</td>"


def row(name: str, cells: Iterable[str], colour: str = "", ours: bool = False) -> str:
    """A table row of cells in markup; `ours` makes it stand out."""
    mark = swatch(colour) if colour else ""
    return (
        f'<tr{" class=ours" if ours else ""}><th scope="row">{mark}{escape(name)}</th>'
        f"{''.join(cells)}</tr>"
    )


def table(header: Iterable[str], rows: Iterable[str]) -> str:
    """A table of rows in markup."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in header)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def pairs(items: Iterable[tuple[str, str]]) -> str:
    """Names and values, in columns."""
    body = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in items
    )
    return f'<dl class="pairs">{body}</dl>'


def _anchor(title: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in title.lower())
