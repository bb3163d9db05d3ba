"""Big files that several processes move together, each of them some of the parts.

Whoever has the job begins and ends the file: the upload, or the staged file on this machine.
Where a process that moves a piece dies, nothing is left but a piece to be moved again.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from aioobs.errors import ObjectChanged, SourceError
from aioobs.s3.body import FilePart
from aioobs.store.folders import make_folder
from aioobs.store.source import opened
from aioobs.store.staged_file import StagedFile
from aioobs.store.upload import abort_upload, check_version
from aioobs.threads import in_thread
from aioobs.transfer.job import Versions
from aioobs.transfer.journals.automatic import journal_for
from aioobs.transfer.journals.resume import (
    Started,
    is_kept,
    is_refusal,
    start_staged,
    start_upload,
)
from aioobs.transfer.multipart import COPIED_PART, copy_part, fetch_missing_part
from aioobs.url import ObjectURL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from aioobs.s3.client import Client
    from aioobs.s3.parts import Part
    from aioobs.transfer.copier import Copier
    from aioobs.transfer.job import Job, Safety
    from aioobs.transfer.progress import Meter
    from aioobs.transfer.scheduler import Scheduler

__all__ = ["BigFile", "Download", "Piece", "Upload", "big_file_of", "is_big", "move_piece"]

PIECE = 64 << 20  # bytes, and at least one part
COPIED_PIECE = 16  # parts that the store copies by itself


class Piece(NamedTuple):
    """Some parts of a big file."""

    job: Job
    parts: tuple[Part, ...]
    upload_id: str = ""
    """The upload that they belong to."""
    staged: str = ""
    """The local file that they are written to."""
    version: str = ""
    """The version of a local source when the upload began."""
    sums: Mapping[int, str] | None = None
    """Of parts that an earlier run has written; none are wanted without a journal."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(part.size for part in self.parts)


def is_big(job: Job, client: Client, *, shared: bool) -> bool:
    """Tell whether a file is moved in pieces; *shared*: all processes are on this machine."""
    size, config = job.size or 0, client.config
    if isinstance(job.target, str):
        return shared and bool(job.etag) and not isinstance(job.source, str) and size > 2 * PIECE
    if isinstance(job.source, str):
        return size >= config.multipart_threshold
    return size > config.largest_copy and not job.source.is_same(job.target)


def big_file_of(job: Job, copier: Copier) -> BigFile:
    """Return the big file of a job."""
    return Download(copier, job) if isinstance(job.target, str) else Upload(copier, job)


class BigFile(ABC):
    """A big file, of which others move the pieces."""

    def __init__(self, copier: Copier, job: Job) -> None:
        self.job = job
        self.error: OSError | None = None
        self.under_way: int = 0  # pieces
        self.moved: int = 0  # bytes
        self.all_given = False
        self._copier = copier
        self._client = copier.client
        self._journal = copier.journal
        self._noted = AsyncExitStack()
        self._started = Started("", [], {})
        self._etags: dict[int, str] = {}

    async def begin(self) -> list[Piece] | None:
        """Make what the pieces belong to, and return those to be moved.

        `None`: it cannot be moved in pieces.
        """
        job = self.job
        journal = journal_for(self._journal, self._client, job.source, job.target, job.size or 0)
        self._journal = await self._noted.enter_async_context(journal)
        return await self._begin()

    @abstractmethod
    async def _begin(self) -> list[Piece] | None:
        """Do what `begin` says, with a journal if there is one."""

    @abstractmethod
    async def finish(self) -> Versions:
        """Publish the file."""

    async def give_up(self) -> None:
        """Remove what was begun, unless a journal keeps it; can be called at any time and again."""
        try:
            await self._give_up()
        finally:
            await self._noted.aclose()

    @abstractmethod
    async def _give_up(self) -> None:
        """Do what `give_up` says, while the journal is still open."""

    @property
    @abstractmethod
    def begins_anew(self) -> bool:
        """Whether another attempt, from the beginning, may fare better."""

    @property
    def is_kept(self) -> bool:
        """Whether another run may continue what was begun."""
        return is_kept(self._journal, self.error)

    def returned(self, piece: Piece, result: Mapping[int, str] | OSError) -> None:
        """Record what came of a piece."""
        self.under_way -= 1
        if isinstance(result, OSError):
            self.error = self.error or result
        else:
            self.moved += piece.size
            self._etags.update(result)
            if self._journal is not None:
                for number, version in result.items():
                    self._journal.part(self.job.target, self._started.at, number, version)


class Upload(BigFile):
    """An object made of parts, from a local file or another object."""

    _is_open = False
    _size = 0
    _version = ""

    async def _begin(self) -> list[Piece] | None:
        """Begin the upload, or continue it."""
        job, config = self.job, self._client.config
        start = partial(start_upload, self._client, self._journal, as_object(job.target))
        version = ""
        if isinstance(job.source, str):
            async with opened(job.source) as file:
                self._size, self._version = file.size, file.version
                if not self._size:
                    return None
                self._started = await start(
                    self._version,
                    self._size,
                    config.part_size,
                    descriptor=file.descriptor,
                    **await self._copier.headers_of(
                        as_object(job.target), job.headers, file.descriptor, self._size
                    ),
                )
            version = self._version
            count = max(PIECE // self._started.parts[0].size, 1)
        else:
            found = await self._client.head_object(job.source.bucket, job.source.key)
            job = job._replace(etag=found.etag)
            self._size, self._version, count = found.size, found.etag, COPIED_PIECE
            if not self._size:
                return None
            self._started = await start(
                self._version,
                self._size,
                min(COPIED_PART, config.largest_copy),
                content_type=found.headers.get("content-type", ""),
                metadata=found.metadata,
            )
        self._is_open = True
        self._etags.update(self._started.there)
        self.moved: int = self._started.bytes_there
        upload_id, share = self._started.at, pieces_of(self._started.missing, count)
        return [Piece(job, parts, upload_id, version=version) for parts in share]

    async def finish(self) -> Versions:
        """Complete the upload."""
        target, upload_id = as_object(self.job.target), self._started.at
        if not isinstance(self.job.source, str):
            source = self.job.source
            await check_version(self._client, source.bucket, source.key, self._version)
        etag = self._started.etag or await self._client.complete_multipart_upload(
            target.bucket, target.key, upload_id, self._etags, size=self._size
        )
        self._is_open = False
        if isinstance(self.job.source, str):
            return Versions(self._version, etag)
        return await self._copier.copied(self.job.source, self._version, target, etag)

    @property
    def begins_anew(self) -> bool:
        """Whether it is an earlier run's, and the store will not have it any more."""
        return bool(self._started.there) and self.error is not None and is_refusal(self.error)

    async def _give_up(self) -> None:
        """Give up the upload."""
        is_open, self._is_open = self._is_open, False
        if is_open and not self.is_kept:
            await abort_upload(self._client, as_object(self.job.target), self._started.at)


class Download(BigFile):
    """A local file, written as a staged file by several processes of this machine."""

    _staged: StagedFile | None = None

    async def _begin(self) -> list[Piece] | None:
        """Create the staged file, or continue one."""
        job, target, size = self.job, str(self.job.target), self.job.size or 0
        source, journal = as_object(job.source), self._journal
        await in_thread(make_folder, os.path.dirname(target), self._copier.folders)
        self._staged = StagedFile(target, self._copier.folders, mtime_nsec=job.mtime_nsec)
        self._started = started = await start_staged(
            self._client, journal, source, self._staged, job.etag, size
        )
        if not self._staged.path:
            return None
        path, sums, parts = self._staged.path, None, started.missing
        if journal is not None and journal.lasts:
            sums, parts = started.there, started.parts
        self.moved: int = size - sum(part.size for part in parts)
        share = pieces_of(parts, max(PIECE // started.parts[0].size, 1))
        return [Piece(job, parts, staged=path, sums=sums) for parts in share]

    async def finish(self) -> Versions:
        """Give the file its name."""
        assert self._staged is not None
        job, source = self.job, as_object(self.job.source)
        return await self._copier.publish(
            self._staged, source, job.etag, job.size or 0, self._started
        )

    @property
    def begins_anew(self) -> bool:
        """Whether the object was replaced meanwhile."""
        return isinstance(self.error, ObjectChanged)

    async def _give_up(self) -> None:
        """Remove the staged file."""
        if self._staged is not None:
            await in_thread(self._staged.leave if self.is_kept else self._staged.discard)


def pieces_of(parts: list[Part], count: int) -> Iterator[tuple[Part, ...]]:
    for start in range(0, len(parts), count):
        yield tuple(parts[start : start + count])


def as_object(place: ObjectURL | str) -> ObjectURL:
    assert isinstance(place, ObjectURL)
    return place


async def move_piece(
    client: Client, scheduler: Scheduler, meter: Meter, piece: Piece, safety: Safety
) -> dict[int, str]:
    """Move the parts of a piece, within a task of the scheduler.

    Return the ETags of parts that were sent, or the sums of parts that were fetched.
    """
    if piece.staged:
        return await fetch_piece(client, scheduler, meter, piece)
    source, target = piece.job.source, as_object(piece.job.target)
    etags: dict[int, str] = {}

    async def send_all(send: Callable[[Part], Awaitable[str]]) -> None:
        async def one(part: Part) -> None:
            etags[part.number] = await send(part)
            meter.moved(part.size)

        await scheduler.share([partial(one, part) for part in piece.parts])

    if not isinstance(source, str):
        await send_all(partial(copy_part, client, source, piece.job.etag, target, piece.upload_id))
        return etags
    async with opened(source) as file:
        if file.version != piece.version:
            raise SourceError("the file changed while it was being sent", url=source)
        await send_all(
            lambda part: client.upload_part(
                target.bucket,
                target.key,
                piece.upload_id,
                part.number,
                FilePart(file.descriptor, part.offset, part.size, file.check, zero_copy=True),
                with_md5=safety.compares_content,
            )
        )
        file.check()
    return etags


async def fetch_piece(
    client: Client, scheduler: Scheduler, meter: Meter, piece: Piece
) -> dict[int, str]:
    """Write the parts of a piece to the staged file; return their sums, if those are wanted."""
    source = as_object(piece.job.source)
    descriptor = -1
    sums: dict[int, str] = {}

    def open_staged() -> None:  # which is to be closed even if nobody waits for it any more
        nonlocal descriptor
        descriptor = os.open(piece.staged, os.O_RDWR)

    async def one(part: Part) -> None:
        said = piece.sums.get(part.number) if piece.sums else None
        wanted = piece.sums is not None
        found = await fetch_missing_part(
            client, source, piece.job.etag, descriptor, part, said, with_sum=wanted
        )
        meter.moved(part.size)
        if found:
            sums[part.number] = found

    try:
        await in_thread(open_staged)
        await scheduler.share([partial(one, part) for part in piece.parts])
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return sums
