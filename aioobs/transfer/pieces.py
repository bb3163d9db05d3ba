"""Big files that several processes move together, each of them some of the parts.

Whoever has the job begins and ends the file: the upload, or the draft on this machine.  Where a
process that moves a piece dies, nothing is left but a piece to be moved again.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from aioobs.errors import ReadError, SourceError
from aioobs.s3.body import FilePart, FileSink
from aioobs.s3.parts import Part, cut, part_size_for
from aioobs.store.local import CLOSE_ON_EXEC, Draft, Source, local_errors
from aioobs.store.upload import abort_upload, begin_upload
from aioobs.threads import in_thread
from aioobs.url import ObjectURL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aioobs.s3.client import Client
    from aioobs.transfer.crew import Crew
    from aioobs.transfer.plan import Job
    from aioobs.transfer.progress import Meter

__all__ = ["Download", "Piece", "Upload", "Whole", "is_big", "move_piece", "whole_of"]

PIECE = 64 << 20  # bytes, and at least one part
COPIED_PIECE = 16  # parts that the store copies by itself
COPIED_PART = 512 << 20


class Piece(NamedTuple):
    """Some parts of a big file."""

    job: Job
    parts: tuple[Part, ...]
    upload_id: str = ""
    """The upload that they belong to."""
    draft: str = ""
    """The local file that they are written to."""
    stamp: tuple[int, int] = (0, 0)
    """Size and time of a local source when the upload began."""

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


def whole_of(job: Job, client: Client) -> Whole:
    """Return the big file of a job."""
    return Download(client, job) if isinstance(job.target, str) else Upload(client, job)


class Whole:
    """A big file, of which others move the pieces."""

    def __init__(self, client: Client, job: Job) -> None:
        self.job = job
        self.error: OSError | None = None
        self.under_way: int = 0  # pieces
        self.moved: int = 0  # bytes
        self.all_given = False
        self._client = client
        self._etags: dict[int, str] = {}

    async def begin(self) -> list[Piece]:
        """Make what the pieces belong to, and return them; none if it is no file for pieces."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Publish the file."""
        raise NotImplementedError

    async def give_up(self) -> None:
        """Leave nothing of it; may be called at any time, also again."""
        raise NotImplementedError

    def returned(self, piece: Piece, result: Mapping[int, str] | OSError) -> None:
        """Take what came of a piece."""
        self.under_way -= 1
        if isinstance(result, OSError):
            self.error = self.error or result
        else:
            self.moved += piece.size
            self._etags.update(result)


class Upload(Whole):
    """An object made of parts, from a local file or another object."""

    _id = ""
    _size = 0

    async def begin(self) -> list[Piece]:
        """Begin the upload."""
        job, config = self.job, self._client.config
        target = as_object(job.target)
        if isinstance(job.source, str):
            with local_errors(job.source):
                stamp = await in_thread(stamp_of, job.source)
            self._size = stamp[0]
            self._id = await begin_upload(self._client, target)
            parts = cut(self._size, part_size_for(self._size, config.part_size))
            share = pieces_of(parts, max(PIECE // parts[0].size, 1)) if parts else []
        else:
            stamp = (0, 0)
            info = await self._client.head_object(job.source.bucket, job.source.key)
            job = job._replace(etag=info.etag)
            self._size = info.size
            self._id = await begin_upload(
                self._client,
                target,
                content_type=info.headers.get("content-type", ""),
                metadata=info.metadata,
            )
            parts = cut(
                self._size, part_size_for(self._size, min(COPIED_PART, config.largest_copy))
            )
            share = pieces_of(parts, COPIED_PIECE)
        return [Piece(job, parts, self._id, stamp=stamp) for parts in share]

    async def finish(self) -> None:
        """Have the store make the object."""
        target = as_object(self.job.target)
        await self._client.complete_multipart_upload(
            target.bucket, target.key, self._id, self._etags, size=self._size
        )
        self._id = ""

    async def give_up(self) -> None:
        """Give up the upload."""
        upload_id, self._id = self._id, ""
        if upload_id:
            await abort_upload(self._client, as_object(self.job.target), upload_id)


class Download(Whole):
    """A local file, written as a draft by several processes of this machine."""

    _draft: Draft | None = None

    async def begin(self) -> list[Piece]:
        """Create the draft."""
        target, size = str(self.job.target), self.job.size or 0
        await in_thread(os.makedirs, os.path.dirname(target) or ".", exist_ok=True)
        self._draft = Draft(target, mtime_nsec=self.job.mtime_nsec)
        await in_thread(self._draft.open)
        if not self._draft.path:
            return []
        parts = cut(size, part_size_for(size, self._client.config.part_size))
        share = pieces_of(parts, max(PIECE // parts[0].size, 1))
        return [Piece(self.job, parts, draft=self._draft.path) for parts in share]

    async def finish(self) -> None:
        """Give the file its name."""
        if self._draft is not None:
            await in_thread(self._draft.publish)

    async def give_up(self) -> None:
        """Remove the draft."""
        if self._draft is not None:
            await in_thread(self._draft.discard)


def pieces_of(parts: list[Part], count: int) -> Iterator[tuple[Part, ...]]:
    for start in range(0, len(parts), count):
        yield tuple(parts[start : start + count])


def stamp_of(source: str | int) -> tuple[int, int]:
    info = os.stat(source)
    return info.st_size, info.st_mtime_ns


def as_object(place: ObjectURL | str) -> ObjectURL:
    assert isinstance(place, ObjectURL)
    return place


async def move_piece(client: Client, crew: Crew, meter: Meter, piece: Piece) -> dict[int, str]:
    """Move the parts of a piece, within a task of the crew; return the ETags of those sent."""
    if piece.draft:
        await fetch(client, crew, meter, piece)
        return {}
    etags: dict[int, str] = {}
    target = as_object(piece.job.target)

    async def share(send: Callable[..., object]) -> None:
        async def one(part: Part) -> None:
            etags[part.number] = await send(part)  # type: ignore[misc]
            meter.moved(part.size)

        await crew.share([partial(one, part) for part in piece.parts])

    source = piece.job.source
    if not isinstance(source, str):
        await share(
            lambda part: client.upload_part_copy(
                target.bucket,
                target.key,
                piece.upload_id,
                part.number,
                (source.bucket, source.key),
                start=part.offset,
                stop=part.offset + part.size,
                if_match=piece.job.etag,
            )
        )
        return etags
    file = Source(source)
    try:
        await in_thread(file.open)
        if await in_thread(stamp_of, file.descriptor) != piece.stamp:
            raise SourceError("the file changed while it was being sent", url=source)
        await share(
            lambda part: client.upload_part(
                target.bucket,
                target.key,
                piece.upload_id,
                part.number,
                FilePart(file.descriptor, part.offset, part.size, file.check),
            )
        )
        file.check()
    finally:
        file.close()
    return etags


async def fetch(client: Client, crew: Crew, meter: Meter, piece: Piece) -> None:
    """Write the parts of a piece to the draft."""
    source = as_object(piece.job.source)
    descriptor = await in_thread(os.open, piece.draft, os.O_WRONLY | CLOSE_ON_EXEC)

    async def one(part: Part) -> None:
        sink = FileSink(descriptor, part.offset)
        await client.get_object_into(
            source.bucket,
            source.key,
            sink,
            start=part.offset,
            stop=part.offset + part.size,
            if_match=piece.job.etag,
        )
        if sink.received != part.size:
            raise ReadError(f"{part.size} bytes were wanted, {sink.received} came")
        meter.moved(part.size)

    try:
        await crew.share([partial(one, part) for part in piece.parts])
    finally:
        os.close(descriptor)
