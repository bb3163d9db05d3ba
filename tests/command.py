"""The command, in processes of its own, and the files that it is tried on."""

from __future__ import annotations

import atexit
import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest
from prepared import Prepared

from aioobs.sync import file

ROOT = Path(__file__).parents[1]
PROGRAM = (sys.executable, "-W", "error", "-m", "aioobs")


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, with aioobs of this checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@cache
def prepared() -> Prepared:
    """Return what runs commands in a moment."""
    found = Prepared()
    atexit.register(found.end)
    return found


def run(
    *arguments: str, status: int = 0, data: bytes | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command, and expect it to end with a status; no error takes more than one line."""
    with TemporaryFile() as stdout, TemporaryFile() as stderr:
        if data is None:
            returned = prepared().run(*arguments, stdout=stdout.fileno(), stderr=stderr.fileno())
        else:
            program = [*PROGRAM, *arguments]
            returned = subprocess.run(
                program, input=data, stdout=stdout, stderr=stderr, timeout=50, check=False
            ).returncode
        stdout.seek(0)
        stderr.seek(0)
        out, err = stdout.read().decode(), stderr.read().decode()
    assert returned == status, out + err
    assert "Traceback" not in err
    return subprocess.CompletedProcess(arguments, status, out, err)


def objects(*arguments: str) -> list[dict[str, Any]]:
    """Run the command, and return the objects that it writes as JSON."""
    return [json.loads(line) for line in run(*arguments, "--json").stdout.splitlines()]


def make(*names: str, below: str = ".") -> None:
    """Write local files, the content of each being its name; a slash at the end makes a folder."""
    for name in names:
        path = Path(below, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_text(name)


def local(folder: str = ".") -> list[str]:
    """Return the files below a local folder."""
    return sorted(
        str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()
    )


def remote(url: str) -> list[str]:
    """Return the files below a folder of the store."""
    return file.list_directory(url, recursive=True, skip_dir=True)


def at_terminal(*arguments: str, columns: int = 100) -> str:
    """Run the command at a terminal, and return what that shows."""
    return typed_at_terminal(*PROGRAM, *arguments, columns=columns)


def typed_at_terminal(*program: str, keys: str = "", columns: int = 100) -> str:
    """Run a program at a terminal, press keys there, and return what it shows."""
    main, other = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "dumb"}
    shown = b""
    with subprocess.Popen(
        program, stdin=other, stdout=other, stderr=other, env=environment, start_new_session=True
    ) as it:
        os.close(other)
        os.write(main, keys.encode())
        with suppress(OSError):  # the terminal ends with its last process
            while data := os.read(main, 1 << 16):
                shown += data
    os.close(main)
    assert it.returncode == 0, shown
    return shown.decode()
