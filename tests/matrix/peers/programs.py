"""The clients that are programs; one that ends with a status has told of an error."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

from benchmarks.peers.programs import find_program
from matrix.peers import PART, SECONDS, TRIES

if TYPE_CHECKING:
    from matrix.peers import Reach

__all__ = ["Rclone", "S5cmd"]

MIB = 1 << 20


class ProgramFailed(Exception):
    """What a program has said last."""


class S5cmd:
    """Its commands; it has no timeout that one could set, and no way to ask for a piece."""

    def __init__(self, reach: Reach) -> None:
        self._command = [str(find_program("s5cmd")), "--endpoint-url", reach.endpoint]
        self._command += ["--retry-count", str(TRIES - 1)]
        self._parts = ["--part-size", str(PART // MIB)]
        self._root = f"s3://{reach.bucket}/"
        self._environment = os.environ | {
            "AWS_ACCESS_KEY_ID": reach.access_key,
            "AWS_SECRET_ACCESS_KEY": reach.secret_key,
            "AWS_REGION": reach.region,
        }

    def get(self, key: str) -> bytes:
        return self._run("cat", *self._parts, self._root + key)

    get_big = get

    def put(self, key: str, data: bytes) -> None:
        self._run("pipe", *self._parts, self._root + key, given=data)

    put_big = put

    def head(self, key: str) -> int:
        return int(json.loads(self._run("--json", "head", self._root + key))["size"])

    def list_all(self, prefix: str) -> list[str]:
        lines = self._run("--json", "ls", f"{self._root}{prefix}*").splitlines()
        return [json.loads(line)["key"].removeprefix(self._root) for line in lines]

    def delete(self, key: str) -> None:
        self._run("rm", self._root + key)

    def copy(self, source: str, target: str) -> None:
        self._run("cp", self._root + source, self._root + target)

    def download(self, key: str, path: str) -> None:
        self._run("cp", *self._parts, self._root + key, path)

    def upload(self, path: str, key: str) -> None:
        self._run("cp", *self._parts, path, self._root + key)

    def _run(self, *arguments: str, given: bytes = b"") -> bytes:
        return run([*self._command, *arguments], self._environment, given)


class Rclone:
    """Its commands, with its settings for SeaweedFS, which is the store behind."""

    def __init__(self, reach: Reach) -> None:
        size = f"{PART // MIB}M"
        self._command = [str(find_program("rclone")), "--config", ""]
        self._command += ["--timeout", f"{SECONDS}s", "--contimeout", f"{SECONDS}s"]
        # Those of its own are around those of the library that it uses.
        self._command += ["--low-level-retries", str(TRIES // 2), "--retries", "1"]
        # What is of one size and second is taken for a copy otherwise.
        self._command += ["--ignore-times"]
        self._command += ["--multi-thread-cutoff", size, "--multi-thread-chunk-size", size]
        settings = {
            "TYPE": "s3",
            "PROVIDER": "SeaweedFS",
            "ENDPOINT": reach.endpoint,
            "ACCESS_KEY_ID": reach.access_key,
            "SECRET_ACCESS_KEY": reach.secret_key,
            "REGION": reach.region,
            "CHUNK_SIZE": size,
            "UPLOAD_CUTOFF": size,
            "NO_CHECK_BUCKET": "true",
        }
        self._environment = os.environ | {
            f"RCLONE_CONFIG_STORE_{name}": value for name, value in settings.items()
        }
        self._root = f"store:{reach.bucket}/"

    def get(self, key: str) -> bytes:
        return self._run("cat", self._root + key)

    get_big = get

    def get_range(self, key: str, start: int, size: int) -> bytes:
        piece = ["--offset", str(start), "--count", str(size)]
        return self._run("cat", *piece, self._root + key)

    def put(self, key: str, data: bytes) -> None:
        self._run("rcat", self._root + key, given=data)

    put_big = put

    def head(self, key: str) -> int:
        return int(json.loads(self._run("lsjson", "--stat", self._root + key))["Size"])

    def list_all(self, prefix: str) -> list[str]:
        lines = self._run("lsf", "--files-only", "--recursive", self._root + prefix).decode()
        return [prefix + name for name in lines.splitlines()]

    def delete(self, key: str) -> None:
        self._run("deletefile", self._root + key)

    def copy(self, source: str, target: str) -> None:
        self._run("copyto", self._root + source, self._root + target)

    def download(self, key: str, path: str) -> None:
        self._run("copyto", self._root + key, path)

    def upload(self, path: str, key: str) -> None:
        self._run("copyto", path, self._root + key)

    def _run(self, *arguments: str, given: bytes = b"") -> bytes:
        return run([*self._command, *arguments], self._environment, given)


def run(command: list[str], environment: dict[str, str], given: bytes) -> bytes:
    """Return what a program writes.

    Raises:
        ProgramFailed: it ended with a status.
    """
    done = subprocess.run(command, env=environment, input=given, capture_output=True, check=False)
    if done.returncode:
        raise ProgramFailed(done.stderr.decode(errors="replace").strip()[-300:])
    return done.stdout
