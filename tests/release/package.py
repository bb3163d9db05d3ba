"""The wheel and the sdist: how they are made, and what is in them."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
EPOCH = "1577836800"  # the time of every file in them: 2020 began
EXPECTED = {"aioobs/__init__.py", "aioobs/py.typed", "aioobs/sync/file.py", "aioobs/cli/parser.py"}


class CheckFailed(Exception):
    """Something is not as it should be, which the message says."""


class Built(NamedTuple):
    """What a build has made."""

    wheel: Path
    sdist: Path


def build(into: Path, source: Path = ROOT) -> Built:
    """Build the sdist, and from that the wheel."""
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(into), str(source)],
        env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    (wheel,), (sdist,) = into.glob("*.whl"), into.glob("*.tar.gz")
    return Built(wheel, sdist)


def build_again(built: Built, place: Path) -> None:
    """Build once more, elsewhere and from the sdist, and compare.

    Raises:
        CheckFailed: something else has come out.
    """
    again = build(place / "dist", unpack(built.sdist, place))
    for first, second in zip(built, again, strict=True):
        if first.read_bytes() != second.read_bytes():
            raise CheckFailed(f"{first.name} is another one when it is built again")


def unpack(sdist: Path, into: Path) -> Path:
    """Unpack an sdist, and return the folder that is in it."""
    with tarfile.open(sdist) as archive:
        archive.extractall(into, filter="data")
    return into / sdist.name.removesuffix(".tar.gz")


def check(built: Built) -> None:
    """Look at what is in them.

    Raises:
        CheckFailed: a file is missing, or there is one too many.
    """
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "aioobs").rglob("*.py")}
    if missing := (EXPECTED | modules) - names:
        raise CheckFailed(f"the wheel is without {sorted(missing)}")
    if more := {name for name in names if not name.startswith(("aioobs/", "aioobs-"))}:
        raise CheckFailed(f"the wheel has {sorted(more)} as well")
    with tarfile.open(built.sdist) as archive:
        top = {name.split("/")[1] for name in archive.getnames()}
    documents = {path.name for path in ROOT.iterdir() if path.suffix in (".md", ".toml")}
    if missing := (documents | {"LICENSE", "Makefile", "docs", "tests"}) - top:
        raise CheckFailed(f"the sdist is without {sorted(missing)}")
