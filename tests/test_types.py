"""What a type checker of a program that uses the package sees of it; mypy is run on both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyright", reason="is in the extra dev")

ROOT = Path(__file__).parent.parent
# Their base classes are those of fsspec, which has no types.
INCOMPLETE = {
    "aioobs.filesystem.ObsFileSystem",
    "aioobs.filesystem.files.CachedFile",
    "aioobs.filesystem.options.Instances",
}


def pyright(*arguments: str) -> Any:
    """Run it for this interpreter, and return its report."""
    programs = str(Path(sys.executable).parent)
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return json.loads(done.stdout)


def test_every_public_name_has_a_type() -> None:
    found = pyright("--verifytypes", "aioobs", "--ignoreexternal")["typeCompleteness"]

    names = {symbol["name"] for symbol in found["symbols"] if symbol["isExported"]}
    assert {"aioobs.errors.NotFound", "aioobs.file.read", "aioobs.sync.file.copy"} <= names
    unknown = {
        symbol["name"]: [said["message"] for said in symbol["diagnostics"]]
        for symbol in found["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    }
    assert unknown.keys() <= INCOMPLETE, unknown


def test_a_program_has_the_types_that_it_expects() -> None:
    found = pyright("tests/typed.py")

    assert found["summary"]["filesAnalyzed"] == 1
    assert [said["message"] for said in found["generalDiagnostics"]] == []
