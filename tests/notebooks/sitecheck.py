"""What a built site must not have: foreign resources, broken links, errors, mute pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

LOADING = {
    **dict.fromkeys(("script", "iframe", "embed", "audio"), ("src",)),
    **dict.fromkeys(("img", "source"), ("src", "srcset")),
    **{"video": ("src", "poster"), "object": ("data",), "link": ("href",)},
    "use": ("href", "xlink:href"),
}
"""Tags and the attributes from which a browser loads something without being asked."""
ELSEWHERE = re.compile(r"^\s*(https?:)?//")
IN_STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?\s*((?:https?:)?//[^\s\"')]+)")
IN_SCRIPT = re.compile(r"[\"'`]((?:https?:)?//[^\s\"'`]+\.(?:js|mjs|css|json|woff2?)[^\s\"'`]*)")


class Site:
    """The HTML pages of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def pages(self) -> dict[Path, BeautifulSoup]:
        """Every HTML page by its path, parsed."""
        found = sorted(path for path in self.folder.rglob("*.html") if "_static" not in path.parts)
        texts = {path: path.read_text(encoding="utf-8") for path in found}
        return {path: BeautifulSoup(text, "html.parser") for path, text in texts.items()}

    @cached_property
    def anchors(self) -> dict[Path, set[str]]:
        """The ids of every page."""
        found = self.pages.items()
        return {path: {str(tag["id"]) for tag in page.find_all(id=True)} for path, page in found}

    def problems(self) -> Iterator[str]:
        """Yield all that the site must not have, each with its page."""
        for path, page in self.pages.items():
            checks = (_external, _errors, _pictures_without_words)
            found = [problem for check in checks for problem in check(page)]
            yield from (f"{path.name}: {said}" for said in [*found, *self._broken(path, page)])
        for path in self.folder.rglob("*.css"):
            text = path.read_text(encoding="utf-8")
            yield from (f"{path.name}: {url}" for url in IN_STYLE.findall(text))

    def _broken(self, path: Path, page: BeautifulSoup) -> Iterator[str]:
        """Yield links to files or anchors of this site that are not there."""
        for tag in page.find_all(["a", *LOADING]):
            for link in (str(tag.get("href") or ""), str(tag.get("src") or "")):
                url = urlsplit(link)
                if url.scheme or url.netloc:
                    continue
                file = (path.parent / unquote(url.path)).resolve() if url.path else path
                anchored = url.fragment and file in self.pages
                if not (unquote(url.fragment) in self.anchors[file] if anchored else file.exists()):
                    yield f"leads nowhere: {link}"


def _external(page: BeautifulSoup) -> Iterator[str]:
    """Yield what a browser would load from another host."""
    for tag in page.find_all(list(LOADING)):
        values = [str(tag.get(attribute, "")) for attribute in LOADING[tag.name]]
        yield from (f"<{tag.name}> {value}" for value in values if ELSEWHERE.match(value))
    for tag in page.find_all(["style", "script"]):
        yield from (IN_STYLE if tag.name == "style" else IN_SCRIPT).findall(tag.string or "")


def _errors(page: BeautifulSoup) -> Iterator[str]:
    """Yield what cells wrote as errors or to stderr."""
    for tag in page.select(".output.traceback, .output.stderr"):
        yield " ".join(tag.get_text(" ").split())[:200]


def _pictures_without_words(page: BeautifulSoup) -> Iterator[str]:
    """Yield images without an alternative text, and drawings in outputs without a label."""
    for tag in page.find_all("img"):
        words = str(tag.get("alt") or "").strip()
        if not words or words.startswith(("../", "_images")):
            yield f"without words: {tag.get('src')}"
    for tag in page.select(".cell_output svg"):
        placeholder = tag.find_parent(["table", "noscript"])  # a table's, until its script runs
        if not tag.get("aria-label") and not placeholder:
            yield "without words: an inline drawing"
