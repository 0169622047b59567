"""What a data set's sheet says, and the published files behind it."""

from __future__ import annotations

from dataclasses import dataclass

from prunemia.kinds.networks import Holds


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
    read : the place of a function from the verified archives, in order, to features and labels;
        None where the data are generated.
    generate : the place of a function from a number of rows and a seed (None: the published rows)
        to arrays, at least as many.
    archives : the published files.
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
