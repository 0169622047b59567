"""An empty store for each test of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunemia.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
