"""Files that are held in memory as a whole, thousands of them in a row.

They are read and written many to a trip into a worker thread, and their requests follow one
another on a few connections.  At the first sign of trouble a file is left to `Copier.copy`.
"""

from __future__ import annotations

import base64
import os
from functools import partial
from typing import TYPE_CHECKING

from aioobs.errors import NotFound, ObjectChanged
from aioobs.s3.client import exchange_of
from aioobs.s3.objects import MD5
from aioobs.s3.queued_requests import QueuedCopy, QueuedGet, QueuedPut
from aioobs.store.folders import make_folder
from aioobs.store.headers import headers_of
from aioobs.store.local import local_errors
from aioobs.store.source import READING, check_regular
from aioobs.store.staged_file import StagedFile
from aioobs.transfer.batched_calls import BatchedCall, BatchedCalls
from aioobs.transfer.failures import failure_of
from aioobs.transfer.job import Versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aioobs.s3.client import Client
    from aioobs.s3.http.memory_limit import MemoryLimit
    from aioobs.transfer.job import Job, Safety
    from aioobs.transfer.progress import Meter
    from aioobs.transfer.scheduler import Scheduler
    from aioobs.url import ObjectURL

    Ended = Callable[[Job, Versions | OSError], None]

__all__ = ["SMALL", "SmallFiles"]

SMALL = 1 << 20  # bytes
MOST_FOLDERS = 10_000
COPIED = Versions()


class SmallFiles:
    """Copies small files with the help of a scheduler.

    Args:
        client: The store.
        scheduler: Sends the requests.
        meter: Counts what has moved.
        otherwise: Has a file copied that cannot be copied here.
        safety: How sure a copy has to be.
        versioned: Whether anybody wants to know the versions of the files.
    """

    def __init__(
        self,
        client: Client,
        scheduler: Scheduler,
        meter: Meter,
        otherwise: Callable[[Job, Ended], None],
        safety: Safety,
        *,
        versioned: bool,
    ) -> None:
        self.scheduler = scheduler
        self.meter = meter
        self.otherwise = otherwise
        self.calls: BatchedCalls = BatchedCalls(scheduler.fail)
        self._client = client
        self._memory: MemoryLimit | None = None
        self._held = 0
        self.new_folders: set[str] = set()
        """Some of those that were made for this."""
        self.checks: bool = safety.compares_content
        self.versioned = versioned
        self._safety = safety

    def take(self, job: Job) -> bool:
        """Tell whether a file is one of these."""
        if job.size is None or job.size > SMALL or job.is_directory or job.error is not None:
            return False
        if isinstance(job.source, str):
            return not isinstance(job.target, str) and self._safety.verify != "digest"
        if not job.etag:
            return False
        if isinstance(job.target, str):
            known = not self.checks or MD5.fullmatch(job.etag) is not None
            return known and not self._safety.durable
        return not self.checks and not job.source.is_same(job.target)

    async def add(self, job: Job, ended: Ended, *, wait: bool = True) -> bool:
        """Queue a file to be copied, once there is memory, or without *wait* only if there is."""
        source, target, size = job.source, job.target, job.size or 0
        if not isinstance(source, str) and not isinstance(target, str):
            self.scheduler.begin()
            self.scheduler.add_request(Copy(File(self, job, 0, ended), source, target))
            return True
        if self._memory is None:
            connections = await exchange_of(self._client).connections.get()
            self._memory = connections.memory
            self.calls.before_loop = connections.send_now
        held = self._memory.take(size)
        if held is None:
            if not wait:
                return False
            held = await self._memory.acquire(size)
        self._held += held
        self.scheduler.begin()
        file = File(self, job, held, ended)
        if isinstance(source, str):
            read = partial(read_small, source, size, job.changed_nsec, with_md5=self.checks)
            self.calls.post(read, file.read)
        else:
            self.scheduler.add_request(Download(file, source, size))
        return True

    def release(self, held: int) -> None:
        """Give back the memory of a file."""
        if held and self._memory is not None:
            self._held -= held
            self._memory.release(held)

    async def aclose(self) -> None:
        """Stop, whether or not everything is done."""
        try:
            await self.calls.aclose()
        finally:
            self.release(self._held)


class File:
    """One small file on its way."""

    __slots__ = ("ended", "files", "held", "job")

    def __init__(self, files: SmallFiles, job: Job, held: int, ended: Ended) -> None:
        self.files: SmallFiles = files
        self.job: Job = job
        self.held: int = held
        self.ended: Ended = ended

    def read(self, call: BatchedCall[tuple[bytes, str] | None]) -> None:
        """Send what has been read of a local file."""
        target = self.job.target
        if call.error is not None:
            self.failed(call.error)
        elif call.result is None or isinstance(target, str):
            self.leave()  # it has been written to since it was found
        else:
            self.files.scheduler.add_request(Upload(self, target, *call.result))

    def received(self, body: list[memoryview]) -> None:
        """Write the content of an object to its local file."""
        job, files = self.job, self.files
        md5 = job.etag if files.checks else ""
        write = partial(
            write_small,
            str(job.target),
            body,
            job.mtime_nsec,
            files.new_folders,
            md5=md5,
            versioned=files.versioned,
        )
        files.calls.post(write, self.written)

    def written(self, call: BatchedCall[str | None]) -> None:
        """Report the local file, or that it could not be written."""
        if call.error is not None:
            self.failed(call.error)
        elif call.result is None:
            self.leave()  # its ETag is no MD5, or it was damaged
        else:
            self.done(call.result)

    def done(self, version: str) -> None:
        """Report that the file is copied, and the *version* of the copy."""
        job, files = self.job, self.files
        files.release(self.held)
        files.meter.moved(job.size or 0)
        self.ended(job, Versions(job.version, version) if files.versioned else COPIED)
        files.scheduler.end()

    def leave(self) -> None:
        """Leave the file to the general way of copying."""
        self.files.release(self.held)
        self.files.otherwise(self.job, self.ended)
        self.files.scheduler.end()

    def failed(self, error: Exception) -> None:
        """Report that the file cannot be copied."""
        if not isinstance(error, OSError):
            raise error
        self.files.release(self.held)
        self.ended(self.job, failure_of(error, self.job))
        self.files.scheduler.end()


class Download(QueuedGet):
    """A small object that becomes a local file."""

    __slots__ = ("_file",)

    def __init__(self, file: File, source: ObjectURL, size: int) -> None:
        super().__init__(source.bucket, source.key, size, file.job.etag)
        self._file = file

    def received(self, body: list[memoryview]) -> None:
        """Write it."""
        self._file.received(body)

    def failed(self, error: OSError) -> None:
        """Leave it to the general way if it was replaced since it was listed; else report it."""
        if isinstance(error, ObjectChanged):
            self._file.leave()
        else:
            self._file.failed(error)


class Upload(QueuedPut):
    """A small local file that becomes an object."""

    __slots__ = ("_file",)

    def __init__(self, file: File, target: ObjectURL, data: bytes, md5: str) -> None:
        headers = headers_of(target.key, file.job.headers)
        content_type, metadata = headers.get("content_type", ""), headers.get("metadata")
        super().__init__(target.bucket, target.key, data, md5, content_type, metadata)
        self._file = file

    def done(self, etag: str) -> None:
        """Report it."""
        self._file.done(etag)

    def failed(self, error: OSError) -> None:
        """Report it."""
        self._file.failed(error)


class Copy(QueuedCopy):
    """A small object that the store copies."""

    __slots__ = ("_file",)

    def __init__(self, file: File, source: ObjectURL, target: ObjectURL) -> None:
        origin = source.bucket, source.key
        super().__init__(origin, target.bucket, target.key, file.job.etag)
        self._file = file

    def done(self, etag: str) -> None:
        """Report it."""
        self._file.done(etag)

    def failed(self, error: OSError) -> None:
        """Do as `Download.failed`, also where a folder is missing; the general way makes it."""
        if isinstance(error, ObjectChanged | NotFound):
            self._file.leave()
        else:
            self._file.failed(error)


def read_small(
    path: str, size: int, changed_nsec: int, *, with_md5: bool = False
) -> tuple[bytes, str] | None:
    """Return the content of a file and on request its MD5; `None`: it is not what it was."""
    with local_errors(path):
        descriptor = os.open(path, READING)
    try:
        if not size:  # as a pipe has none
            check_regular(os.fstat(descriptor), path)
        data = os.read(descriptor, size + 1)
        same = not changed_nsec or os.fstat(descriptor).st_mtime_ns == changed_nsec
    finally:
        os.close(descriptor)
    if not same or len(data) != size:
        return None
    return data, base64.b64encode(md5_of([data])).decode() if with_md5 else ""


def md5_of(body: Iterable[bytes | memoryview]) -> bytes:
    import hashlib

    found = hashlib.md5(usedforsecurity=False)
    for piece in body:
        found.update(piece)
    return found.digest()


def write_small(
    target: str,
    body: list[memoryview],
    mtime_nsec: int,
    new_folders: set[str],
    *,
    md5: str = "",
    versioned: bool = True,
) -> str | None:
    """Write a file and return its version if wanted; make the folders it stands in if need be.

    `None`: it does not have the MD5 that it should have, and nothing was written.
    """
    if md5 and md5_of(body).hex() != md5:
        return None
    folder = target.rpartition("/")[0]
    staged = StagedFile(target, alone=folder in new_folders, mtime_nsec=mtime_nsec)
    try:
        try:
            staged.open()
        except (FileNotFoundError, NotADirectoryError):
            if make_folder(folder):
                if len(new_folders) >= MOST_FOLDERS:
                    new_folders.clear()
                new_folders.add(folder)
            staged.open()
        for view in body:
            while view:
                view = view[os.write(staged.descriptor, view) :]
        return staged.publish(versioned=versioned)
    finally:
        staged.discard()
