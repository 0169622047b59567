"""What a built site must not have: foreign resources, broken links, errors, mute pictures."""

import re
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

LOADING = ["script", "iframe", "embed", "audio", "img", "source", "video", "object", "link", "use"]
FROM = ["src", "srcset", "poster", "data", "href", "xlink:href"]
"""Tags, and the attributes from which a browser loads something without being asked."""
ELSEWHERE = re.compile(r"^\s*(https?:)?//")
IN_STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?\s*((?:https?:)?//[^\s\"')]+)")
IN_SCRIPT = re.compile(r"[\"'`]((?:https?:)?//[^\s\"'`]+\.(?:js|mjs|css|json|woff2?)[^\s\"'`]*)")


class Site:
    """The HTML pages of a folder, parsed, and the ids of each."""

    def __init__(self, folder):
        self.folder = folder
        found = sorted(path for path in folder.rglob("*.html") if "_static" not in path.parts)
        texts = {path: path.read_text(encoding="utf-8") for path in found}
        self.pages = {path: BeautifulSoup(text, "html.parser") for path, text in texts.items()}
        ids = {path: page.find_all(id=True) for path, page in self.pages.items()}
        self.anchors = {path: {str(tag["id"]) for tag in tags} for path, tags in ids.items()}

    def problems(self):
        """Yield all that the site must not have, each with its page."""
        for path, page in self.pages.items():
            found = [*external(page), *_errors_and_mute_pictures(page), *self._broken(path, page)]
            yield from (f"{path.name}: {said}" for said in found)
        for path in self.folder.rglob("*.css"):
            text = path.read_text(encoding="utf-8")
            yield from (f"{path.name}: {url}" for url in IN_STYLE.findall(text))

    def _broken(self, path, page):
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


def external(page):
    """Yield what a browser would load from another host."""
    for tag in page.find_all(LOADING):
        values = [str(tag.get(attribute, "")) for attribute in FROM]
        yield from (f"<{tag.name}> {value}" for value in values if ELSEWHERE.match(value))
    for tag in page.find_all(["style", "script"]):
        yield from (IN_STYLE if tag.name == "style" else IN_SCRIPT).findall(tag.string or "")


def _errors_and_mute_pictures(page):
    """Yield cells' errors, images without an alternative text, and drawings without a label."""
    for tag in page.select(".output.traceback, .output.stderr"):
        yield " ".join(tag.get_text(" ").split())[:200]
    for tag in page.find_all("img"):
        words = str(tag.get("alt") or "").strip()
        if not words or words.startswith(("../", "_images")):
            yield f"without words: {tag.get('src')}"
    for tag in page.select(".cell_output svg"):
        placeholder = tag.find_parent(["table", "noscript"])  # a table's, until its script runs
        if not tag.get("aria-label") and not placeholder:
            yield "without words: an inline drawing"
