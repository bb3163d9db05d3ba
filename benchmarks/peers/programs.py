"""The clients that are programs; their start is part of what is measured."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.stores import Store

SAID = 1000  # characters of what a failed program said


class S5cmd:
    """Its `cp` with as many workers, and parts of a file, as there may be requests."""

    def __init__(self, store: Store, concurrency: int) -> None:
        at_once = str(concurrency)
        self._command = [required("s5cmd"), "--endpoint-url", store.endpoint]
        self._command += ["--numworkers", at_once]
        self._options = ["--concurrency", at_once, "--part-size", "8"]
        self._region, self._root = store.region, f"s3://{store.bucket}"
        self._environment = os.environ | {
            "AWS_ACCESS_KEY_ID": store.access_key,
            "AWS_SECRET_ACCESS_KEY": store.secret_key,
            "AWS_SESSION_TOKEN": store.token,
            "AWS_REGION": store.region,
        }
        self._run("ls", self._root)

    def up(self, folder: str, prefix: str) -> None:
        self._copy(f"{folder}/", f"{self._root}/{prefix}", "destination")

    def copy(self, source: str, target: str) -> None:
        self._copy(f"{self._root}/{source}*", f"{self._root}/{target}", "source", "destination")

    def down(self, prefix: str, folder: str) -> None:
        self._copy(f"{self._root}/{prefix}*", f"{folder}/", "source")

    def list_all(self, prefix: str) -> int:
        return self._run("ls", f"{self._root}/{prefix}*")

    def _copy(self, source: str, target: str, *remote: str) -> None:
        regions = [word for end in remote for word in (f"--{end}-region", self._region)]
        self._run("--log", "error", "cp", *self._options, *regions, source, target)

    def _run(self, *arguments: str) -> int:
        return run([*self._command, *arguments], self._environment)


class Rclone:
    """Its `copy` without the checks and checksums that no other client makes."""

    def __init__(self, store: Store, concurrency: int) -> None:
        at_once = str(concurrency)
        self._command = [required("rclone"), "--config", "", "--transfers", at_once]
        self._command += ["--checkers", at_once]
        self._command += ["--no-check-dest", "--ignore-checksum", "--use-server-modtime"]
        self._command += ["--fast-list", "--retries", "1"]
        settings = {
            "TYPE": "s3",
            "PROVIDER": "Other",
            "ENDPOINT": store.endpoint,
            "ACCESS_KEY_ID": store.access_key,
            "SECRET_ACCESS_KEY": store.secret_key,
            "SESSION_TOKEN": store.token,
            "REGION": store.region,
            "FORCE_PATH_STYLE": "true",
            "CHUNK_SIZE": "8M",
            "UPLOAD_CUTOFF": "16M",
            "UPLOAD_CONCURRENCY": at_once,
            "DISABLE_CHECKSUM": "true",
            "NO_CHECK_BUCKET": "true",
            "NO_HEAD": "true",
            "NO_HEAD_OBJECT": "true",
            "USE_UNSIGNED_PAYLOAD": "true",
        }
        self._environment = os.environ | {
            f"RCLONE_CONFIG_STORE_{name}": value for name, value in settings.items()
        }
        self._streams = ["--multi-thread-cutoff", "16M", "--multi-thread-chunk-size", "8M"]
        self._streams += ["--multi-thread-streams", at_once]
        self._root = f"store:{store.bucket}"
        run([*self._command, "lsf", self._root], self._environment)

    def up(self, folder: str, prefix: str) -> None:
        # Uploads have parts of their own; together with NO_HEAD the streams break them.
        self._copy(folder, f"{self._root}/{prefix}", "--multi-thread-streams", "0")

    def copy(self, source: str, target: str) -> None:
        self._copy(f"{self._root}/{source}", f"{self._root}/{target}")

    def down(self, prefix: str, folder: str) -> None:
        self._copy(f"{self._root}/{prefix}", folder, *self._streams)

    def list_all(self, prefix: str) -> int:
        return run([*self._command, "lsf", "-R", f"{self._root}/{prefix}"], self._environment)

    def _copy(self, source: str, target: str, *options: str) -> None:
        run([*self._command, "copy", *options, source, target], self._environment)


def run(command: list[str], environment: dict[str, str]) -> int:
    """Run a program to its end, and return how many lines it wrote.

    Raises:
        RuntimeError: it failed; the message has the end of what it said.
    """
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace")[-SAID:]
        raise RuntimeError(f"{os.path.basename(command[0])} failed: {said}")
    return done.stdout.count(b"\n")


def find_program(name: str) -> str | None:
    """Return the path of a program: next to this Python, or on the search path.

    A package may put a Python script there that starts the program; the program is what counts.
    """
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.parts[-2:] == ("bin", name) and file.parts[0] == name:
            return str(file.locate())
    here = os.path.dirname(sys.executable)
    return shutil.which(name, path=os.pathsep.join((here, os.environ.get("PATH", ""))))


def required(name: str) -> str:
    program = find_program(name)
    if program is None:
        raise FileNotFoundError(f"{name} is not installed")
    return program


def version_of(program: str) -> str:
    """Return the version that a program tells."""
    told = subprocess.run(
        [program, "version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    return told.stdout.split("\n")[0].split(" ")[-1].removeprefix("v")
