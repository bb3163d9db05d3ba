"""Sources and targets of copies.

A pytest plugin, to be used with `verbs`: a test that asks for `ends` runs for each direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

DIRECTIONS = ["local-local", "local-remote", "remote-local", "remote-remote"]


@pytest.fixture(params=DIRECTIONS)
def ends(request: pytest.FixtureRequest, bucket: str, tmp_path: Path) -> tuple[str, str]:
    """Give a source and a target folder for each direction; local ones exist."""
    found = []
    for name, kind in zip(("src", "dst"), request.param.split("-"), strict=True):
        if kind == "local":
            (tmp_path / name).mkdir()
        found.append(str(tmp_path / name) if kind == "local" else f"{bucket}/{name}")
    return found[0], found[1]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a local folder."""
    (tmp_path / "src").mkdir()
    return tmp_path / "src"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Give the path of a local folder that does not exist."""
    return tmp_path / "dst"
