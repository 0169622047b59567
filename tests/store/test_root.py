"""The store's folder is named, or the book's, or the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunemia.store import default_root


def test_default_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRUNEMIA_STORE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    repository = tmp_path / "book"
    (repository / "notebooks" / "attacks").mkdir(parents=True)
    (repository / "_config.yml").write_text("")
    assert default_root(repository) != repository / ".prunemia"
    (repository / "pyproject.toml").write_text('[project]\nname = "another"\n')
    assert default_root(repository) != repository / ".prunemia"
    (repository / "pyproject.toml").write_text('[project]\nname = "prunemia"\n')
    assert default_root(repository / "notebooks" / "attacks") == repository / ".prunemia"
    monkeypatch.chdir(repository / "notebooks")
    assert default_root() == repository / ".prunemia"
    assert default_root(tmp_path).name == "store"
    monkeypatch.setenv("PRUNEMIA_STORE", str(tmp_path / "named"))
    assert default_root(repository) == tmp_path / "named"
