"""Runs modules of CPython's tests in processes of their own and compares what became of them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[1]
MODULES = (
    "test_csv",
    "test_filecmp",
    "test_fileinput",
    "test_genericpath",
    "test_glob",
    "test_gzip",
    "test_io",
    "test_logging",
    "test_os",
    "test_pathlib",
    "test_posixpath",
    "test_shutil",
    "test_tarfile",
    "test_tempfile",
    "test_zipfile",
)
# Tests that cannot have the same end when the standard library is shifted.
EXCLUDED = {
    "test.test_posixpath.PosixPathTest.test_fast_paths_in_use": (
        "asks whether os.path.normpath is the function of the module posix, and not another "
        "one around it"
    ),
}
INSTALL = (
    "CPython's own tests are not installed with this Python; Debian and Ubuntu have them in the "
    "package libpython3-testsuite"
)


def is_installed() -> bool:
    """Tell whether this Python has the tests of its standard library."""
    try:
        return find_spec("test.test_glob") is not None
    except ModuleNotFoundError:
        return False


class Results(NamedTuple):
    """What became of the tests of one module."""

    ends: dict[str, list[str]]
    details: dict[str, str]

    def count(self, *ends: str) -> int:
        """Return how many tests have ended so."""
        return sum(end in ends for found in self.ends.values() for end in found)


def results(module: str, *, shifted: bool, url: str = "", seconds: float = 600) -> Results:
    """Run one module of tests in an empty directory; one that takes too long is killed."""
    folder = Path(tempfile.mkdtemp(prefix="cpython-"))
    try:
        for name in ("work", "tmp"):
            (folder / name).mkdir()
        (folder / "notes").touch()
        command = [sys.executable, "-m", "cpython.run", str(folder / "notes"), module]
        command += ["--shifted"] * shifted + ["--url", url] * bool(url)
        code, output = run(command, folder, seconds)
        found = read(folder / "notes")
        if code != 0:
            last = list(found.ends)[-1:]
            raise RuntimeError(f"{module} ended with {code} after {last}: {output[-2000:]}")
        return found
    finally:
        # Some tests take away permissions.
        subprocess.run(["chmod", "-R", "u+rwX", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def run(command: list[str], folder: Path, seconds: float) -> tuple[int, str]:
    """Return how a process has ended, which is killed with its children in time, and its output."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
        "TMPDIR": str(folder / "tmp"),
    }
    with (folder / "output").open("w+b") as output:
        child = subprocess.Popen(
            command,
            cwd=folder / "work",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        code = child.wait()
        output.seek(0)
        return code, output.read().decode(errors="replace")


def read(notes: Path) -> Results:
    found = Results({}, {})
    with notes.open(encoding="utf-8") as lines:
        for line in lines:
            test, end, details = json.loads(line)
            found.ends.setdefault(test, []).append(end)
            found.details[test] = details
    return found


def differences(before: Results, after: Results) -> list[str]:
    """Return the tests that have another end, but for those that are excluded."""
    tests = before.ends.keys() | after.ends.keys()
    return sorted(
        test for test in tests - EXCLUDED.keys() if before.ends.get(test) != after.ends.get(test)
    )
