"""Where a journal is kept: in a local file, or in a folder of a store."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import re
import secrets
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aioobs.errors import AccessDenied, ConfigError, NotFound, ObsError
from aioobs.store.source import check_regular
from aioobs.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aioobs.s3.client import Client
    from aioobs.url import ObjectURL

    Read = Callable[[Iterable[bytes]], None]

__all__ = ["LocalStorage", "RemoteStorage"]

NAME = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}-\d{6}\.jsonl")
LOCK = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}\.lock")
CLEANUP_TIMEOUT = 5.0
IN_USE = "another copy is writing this journal: wait for its end, or give another one"
in_use: set[tuple[int, int]] = set()  # the files of this process, which its own locks do not hold
opening: threading.Lock = threading.Lock()

log: logging.Logger = logging.getLogger("aioobs.transfer")


class LocalStorage:
    """A file to which one line after the other is added, by one process at a time.

    Each line is handed to the system with a call of its own, so that it outlives the process; it
    is not synced, so it need not outlive a crash of the machine.

    Args:
        path: The file.
        lasts: Whether it outlives its use, and not only a process that is killed.  One that does
            not is opened only if it can be locked.
    """

    pause: float = 0.05
    """Seconds from one `append` to the next: a trip into a thread for each line would cost more."""

    def __init__(self, path: str, *, lasts: bool = True) -> None:
        self.lasts: bool = lasts
        self._path = path
        self._descriptor = -1
        self._identity = (0, 0)
        self._torn = False

    def __str__(self) -> str:
        return self._path

    async def open(self, read: Read) -> None:
        """Open it, and have all lines read.

        Raises:
            ConfigError: it is in use.
        """
        await in_thread(self._open, read)

    def _open(self, read: Read) -> None:
        with opening:
            self._claim()
        # Closing another descriptor of this file would end the lock.
        with open(self._descriptor, "rb", closefd=False) as file:
            read(file)
        size = os.fstat(self._descriptor).st_size
        self._torn = bool(size) and os.pread(self._descriptor, 1, size - 1) != b"\n"

    def _claim(self) -> None:
        with suppress(FileNotFoundError):
            info = os.stat(self._path)  # to open and close it would end our own lock
            if (info.st_dev, info.st_ino) in in_use:
                raise ConfigError(IN_USE, url=self._path)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK
        self._descriptor = os.open(self._path, flags, 0o666)
        info = os.fstat(self._descriptor)
        check_regular(info, self._path)
        self._lock()
        if not self.lasts and not os.path.samestat(info, os.stat(self._path)):
            raise ConfigError(
                "another copy has just removed this journal: try again", url=self._path
            )
        self._identity = (info.st_dev, info.st_ino)
        in_use.add(self._identity)

    def _lock(self) -> None:
        try:
            # Not flock, which processes that were forked meanwhile would hold as well.
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):  # a file system without locks
                if self.lasts:
                    return
                raise
            raise ConfigError(IN_USE, url=self._path) from error

    async def append(self, lines: list[str]) -> None:
        """Add lines."""
        await in_thread(self._append, lines)

    def _append(self, lines: list[str]) -> None:
        if self._torn:
            os.write(self._descriptor, b"\n")
            self._torn = False
        for line in lines:
            data = line.encode("ascii")
            self._torn = os.write(self._descriptor, data) != len(data)

    async def aclose(self) -> None:
        """Close it, for others to use."""
        if not self.lasts and self._identity in in_use:
            with suppress(OSError):
                os.unlink(self._path)  # while it is locked
        in_use.discard(self._identity)
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class RemoteStorage:
    """A folder of objects, each with the lines of some seconds, as objects cannot grow."""

    lasts: bool = True
    pause: float = 10.0
    """Seconds from one `append` to the next."""
    silence: float = 30.0
    """Seconds after which a run counts as dead."""

    def __init__(self, client: Client, folder: ObjectURL) -> None:
        self._client = client
        self._folder = folder
        self._run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self._written = 0
        self._lock = folder / f"{self._run}.lock"
        self._state = "waiting"
        self._locking: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()  # or what is said first might be what stays

    def __str__(self) -> str:
        return str(self._folder)

    async def open(self, read: Read) -> None:
        """Lock the folder, and have all lines read, run by run.

        Raises:
            ConfigError: another run is writing there.
        """
        keys = await self._alone()
        for key in sorted(keys):
            data = await self._client.get_object(self._folder.bucket, key)
            await in_thread(read, data.splitlines(keepends=True))

    async def _alone(self) -> list[str]:
        """Lock the folder; return the keys of the lines."""
        try:
            await self._write_lock()
        except AccessDenied:  # it is told once there are lines
            return (await self._look())[0]
        self._locking = asyncio.create_task(self._keep_lock())
        keys, ages = await self._look()
        alive = [age for age in ages.values() if age < self.silence]
        if alive:
            log.info("waiting to see whether another copy still writes the journal %s", self)
            await asyncio.sleep(self.silence - min(alive))
            await self._write_lock()
            keys, ages = await self._look()
        for key, age in ages.items():
            if age < self.silence:
                await self._yield_to(key)
            else:
                await self._remove(key)
        self._state = "writing"
        await self._write_lock()
        return keys

    async def _look(self) -> tuple[list[str], dict[str, float]]:
        """Return the keys of the lines, and those of the locks of others with their ages."""
        keys: list[str] = []
        locks: dict[str, int] = {}
        start = len(self._folder.folder)
        async for page in self._client.list_pages(self._folder.bucket, self._folder.folder):
            keys += [item.key for item in page.objects if NAME.fullmatch(item.key[start:])]
            found = [item for item in page.objects if LOCK.fullmatch(item.key[start:])]
            locks.update((item.key, item.mtime_nsec) for item in found)
        now = locks.pop(self._lock.key, time.time_ns())
        return keys, {key: (now - then) / 1e9 for key, then in locks.items()}

    async def _yield_to(self, key: str) -> None:
        """Raise if another run has the folder, and not if it also waits and has begun later."""
        try:
            words = (await self._client.get_object(self._folder.bucket, key)).decode("ascii")
        except NotFound:  # it has ended
            return
        if key < self._lock.key or not words.startswith("waiting"):
            raise ConfigError(
                f"another copy is writing this journal, or was a moment ago ({words}): wait for "
                "its end, or give another one",
                url=str(self),
            )

    async def _write_lock(self) -> None:
        async with self._one_at_a_time:
            words = f"{self._state}: process {os.getpid()} of {socket.gethostname()}"
            data = words.encode("ascii", "replace")
            await self._client.put_object(self._lock.bucket, self._lock.key, data)

    async def _keep_lock(self) -> None:
        while True:
            await asyncio.sleep(self.pause)
            try:
                await self._write_lock()
            except ObsError as error:
                log.info("others may take the journal %s for left: %s", self, error)

    async def _remove(self, key: str) -> None:
        try:
            async with asyncio.timeout(CLEANUP_TIMEOUT):
                await self._client.delete_object(self._folder.bucket, key)
        except (ObsError, TimeoutError) as error:
            log.info("%s stays in %s: %s", key, self, error)

    async def append(self, lines: list[str]) -> None:
        """Write an object with these lines."""
        self._written += 1
        target = self._folder / f"{self._run}-{self._written:06}.jsonl"
        await self._client.put_object(target.bucket, target.key, "".join(lines).encode("ascii"))

    async def aclose(self) -> None:
        """Unlock the folder."""
        if self._locking is not None:
            self._locking.cancel()
            await asyncio.wait([self._locking])
            await self._remove(self._lock.key)
