"""Fresh environments: an interpreter, the wheel, and the oldest or newest of what it needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from release.package import ROOT, CheckFailed, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release.package import Built

# Those that need little besides the package itself.
CORE = [
    "client",
    "config",
    "copy",
    "credentials",
    "errors",
    "file",
    "reading",
    "requests",
    "retry",
    "round_trip",
    "session",
    "sync_file",
    "sync_io",
    "url",
    "xml",
]
FOR_TESTS = ["pytest>=8", "pytest-timeout", "hypothesis"]
# The oldest aiohttp leaves a transport open when a handshake fails.
LENIENT = ["-W", "ignore::ResourceWarning", "-W", "ignore::pytest.PytestUnraisableExceptionWarning"]
FLOOR = re.compile(r"^([\w-]+)>=([\d.]+)")


class Choice(NamedTuple):
    """An interpreter, and which versions it gets."""

    python: str
    oldest: bool


def checks(built: Built, here: Path, *, quick: bool) -> Iterator[str]:
    """Make the checks, and yield what each has shown.

    Raises:
        CheckFailed: one has failed.
    """
    if quick:
        made = make(here / "quick", Choice(sys.executable, oldest=False), built, [])
        yield f"uses a store from the wheel: {smoke(made)}"
        return
    tests = unpack(built.sdist, here) / "tests"
    named = supported()
    pythons = [python for python in named if runs(python)]
    if pythons[:1] != named[:1]:
        raise CheckFailed(f"there is no {named[0]} on PATH")
    for python in named:
        if python not in pythons:
            yield f"{python} is not here: nothing is known of it"
    choices = [Choice(pythons[0], oldest=True), *(Choice(one, oldest=False) for one in pythons)]
    for number, choice in enumerate(choices):
        made = make(here / str(number), choice, built, FOR_TESTS)
        versions = "oldest" if choice.oldest else "newest"
        yield f"{choice.python}, {versions} dependencies: {smoke(made)}"
        yield f"{choice.python}, {versions} dependencies: {core(made, tests, oldest=choice.oldest)}"


def supported() -> list[str]:
    """Return the interpreters that the package says it is for, oldest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    return [f"python{version}" for version in versions]


def runs(python: str) -> bool:
    """Tell whether an interpreter is there, and not only the name of one."""
    return (
        shutil.which(python) is not None
        and not subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode
    )


def floors() -> list[str]:
    """Return the oldest version of each dependency that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    fast = project["optional-dependencies"]["fast"]
    found = filter(None, map(FLOOR.match, [*project["dependencies"], *fast]))
    return [f"{one[1]}=={one[2]}" for one in found]


def make(place: Path, choice: Choice, built: Built, more: list[str]) -> Path:
    """Make an environment with the wheel in it, and return its interpreter."""
    run([choice.python, "-m", "venv", str(place)], ROOT)
    python = place / "bin" / "python"
    wanted = [f"aioobs[fast,server] @ {built.wheel.as_uri()}", *more]
    if choice.oldest:
        wanted += floors()
    run([str(python), "-m", "pip", "install", "--quiet", *wanted], place)
    return python


def smoke(python: Path) -> str:
    """Have the package do what it is for; return its version."""
    script = Path(__file__).with_name("smoke.py")
    said = run([str(python), "-I", "-W", "error", str(script)], python.parent).strip()
    for command in ([str(python.with_name("aioobs"))], [str(python), "-I", "-m", "aioobs"]):
        version = run([*command, "--version"], python.parent).strip()
        if not said.startswith(f"{version} "):
            raise CheckFailed(f"{command} says that it is {version}, and the package {said}")
    return said


def core(python: Path, tests: Path, *, oldest: bool) -> str:
    """Run the core tests on what is installed; return how they ended."""
    files = [f"test_{name}.py" for name in CORE]
    config = Path(__file__).with_name("pytest.ini")
    command = [str(python), "-m", "pytest", "-q", "-c", str(config), "--rootdir", str(tests)]
    command += ["-p", "release.anyio_mode", "-m", "not slow"]
    said = run([*command, *(LENIENT if oldest else []), *files], tests)
    return said.strip().splitlines()[-1]


def run(command: list[str], where: Path) -> str:
    """Run a program to its end, and return what it says.

    Raises:
        CalledProcessError: it failed; `stdout` has what it said.
    """
    return subprocess.run(
        command,
        cwd=where,
        env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    ).stdout
