"""What `make docs` does beyond `mkdocs.yml`: pages of the repository's root, and a last look.

Pages link to files of the repository as they lie there. On the site, links to `CONTRIBUTING.md` and
`CHANGELOG.md` lead to their pages; of those to other files outside `docs/`, the words stay.
"""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
FROM_ROOT = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}

# Out of docs/, or into it.
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(((?:\.\./|docs/)[^)#\s]*)(#[^)]*)?\)")
ITEM = re.compile(r"\d+\. ")
# What a browser fetches by itself, and what a reader may follow.
FETCHED = re.compile(
    r'<(?:script|img|iframe)[^>]*\ssrc="(?:https?:)?//|<link[^>]*\shref="(?:https?:)?//'
)
FOLLOWED = re.compile(r'<a[^>]*\shref="(https?://[^"]*)"')

log = logging.getLogger("mkdocs.plugins.site_pages")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie in the root."""
    for name, page in FROM_ROOT.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where the site has what they name, if it has."""
    here = page.file.src_uri
    in_root = {there: name for name, there in FROM_ROOT.items()}
    folder = (ROOT / in_root.get(here, f"docs/{here}")).parent

    def on_the_site(link: re.Match[str]) -> str:
        words, target, section = link.groups(default="")
        path = (folder / target).resolve().relative_to(ROOT).as_posix()
        there = FROM_ROOT.get(path, path.removeprefix("docs/"))
        if there == path:
            return words
        return f"[{words}]({posixpath.relpath(there, posixpath.dirname(here))}{section})"

    return "\n".join(widened(LINK.sub(on_the_site, markdown).split("\n")))


def widened(lines: Iterable[str]) -> Iterator[str]:
    """Ordered lists as Python-Markdown takes them: a blank line between, one space more below.

    Their paragraphs and code are indented by three and seven spaces in these pages, as on GitHub.
    """
    within = False
    for line in lines:
        begins, indented = bool(ITEM.match(line)), line.startswith("   ")
        if begins and within:
            yield ""
        within = begins or (within and (indented or not line))
        yield f" {line}" if within and indented else line


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse pages that fetch anything from elsewhere, and tell the links that nobody checked.

    Raises:
        PluginError: names the pages.
    """
    pages = {
        path: path.read_text(encoding="utf-8") for path in Path(config.site_dir).rglob("*.html")
    }
    if fetching := [str(path) for path, text in pages.items() if FETCHED.search(text)]:
        raise PluginError(f"fetched from elsewhere by {', '.join(fetching)}")
    external = sorted({link for text in pages.values() for link in FOLLOWED.findall(text)})
    log.info("Links to elsewhere, not checked: %s", " ".join(external))
