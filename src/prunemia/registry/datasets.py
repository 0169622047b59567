"""The table of data sets: where each comes from, its checksum, its license, how it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from prunemia.registry.tables import Holds, Registry


@dataclass(frozen=True)
class Archive:
    """One published file.

    Parameters
    ----------
    file : its path inside a data folder.
    url : where it is published.
    checksum : ``algorithm:hex``; algorithm ``gitblob`` is a git blob id.
    installed : folder where the system's package manager puts a file of the same name. The package
        manager has verified it, and the packager may have compressed it anew: it is read as it is.
    """

    file: str
    url: str
    checksum: str
    installed: str | None = None


@dataclass(frozen=True)
class Source:
    """A data set's sheet, and where its reader is.

    Parameters
    ----------
    rows, shape, classes : what the published data hold; checked on reading.
    about, used_for, origin, license, citation : the sheet's text; an anchor of references.md.
    read : where a function is from the verified archives, in order, to features and labels;
        None where the data are generated.
    generate : where a function is from a number of rows and a seed (None: the published rows)
        to arrays, at least as many.
    archives : the published files.
    label : what tables and figures call it, its name unless given; where results/ was made of
        other files, it says so.
    """

    name: str
    rows: int
    shape: tuple[int, ...]
    classes: int
    about: str
    used_for: str
    origin: str
    license: str
    citation: str
    read: str | None = None
    generate: str | None = None
    archives: tuple[Archive, ...] = ()
    label: str = ""

    @property
    def holds(self) -> Holds:
        """What one sample is, by its dimensions."""
        dimensions: dict[int, Holds] = {1: "features", 2: "series", 3: "images"}
        return dimensions[len(self.shape)]

    @property
    def integrity(self) -> str:
        """How the contents are verified, in words."""
        checksums = ", ".join(archive.checksum.replace(":", " ") for archive in self.archives)
        return checksums.replace("gitblob", "git blob") or "no download"


def _source(name: str, archives: tuple[dict[str, Any], ...] = (), **sheet: Any) -> Source:
    sheet["shape"] = tuple(sheet["shape"])
    sheet.setdefault("label", name)
    return Source(name=name, archives=tuple(Archive(**each) for each in archives), **sheet)


_SHEETS = yaml.safe_load(Path(__file__).with_name("datasets.yml").read_text(encoding="utf-8"))
SOURCES = Registry("data set", {name: _source(name, **sheet) for name, sheet in _SHEETS.items()})
LABELS = {name: source.label for name, source in SOURCES.items()}
