"""How the parts of big files are moved: one by one, and as pieces by other processes."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from aioobs.errors import ReadError, SourceError
from aioobs.s3.body import FilePart, FileSink
from aioobs.store.source import opened
from aioobs.threads import in_thread
from aioobs.transfer.checksums import crc32_of
from aioobs.transfer.journals.journal import UNSUMMED
from aioobs.transfer.journals.resume import is_there
from aioobs.url import ObjectURL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aioobs.s3.client import Client
    from aioobs.s3.parts import Part
    from aioobs.transfer.job import Safety
    from aioobs.transfer.progress import Meter
    from aioobs.transfer.scheduler import Scheduler
    from aioobs.transfer.shared_parts import Piece

    Share = Callable[[Callable[[Part], Awaitable[str]]], Awaitable[None]]

__all__ = ["copy_part", "fetch_missing_part", "move_piece"]


async def fetch_part(
    client: Client, source: ObjectURL, etag: str, descriptor: int, part: Part
) -> None:
    """Write a part of an object to its place in an open file.

    Raises:
        ObjectChanged: the object is not the one with the ETag *etag*.
    """
    sink = FileSink(descriptor, part.offset)
    stop = part.offset + part.size
    await client.stream_object(
        source.bucket, source.key, sink, start=part.offset, stop=stop, if_match=etag
    )
    if sink.received != part.size:
        raise ReadError(f"{part.size} bytes were wanted, {sink.received} came")


async def fetch_missing_part(
    client: Client,
    source: ObjectURL,
    etag: str,
    descriptor: int,
    part: Part,
    said: str | None,
    *,
    with_sum: bool,
) -> str:
    """Fetch a part unless it is there already, with the sum that it is *said* to have.

    Return what it can be checked by later: its sum, `UNSUMMED` without one, "" if it was there.
    """
    if await is_there(descriptor, part.offset, part.size, said):
        return ""
    await fetch_part(client, source, etag, descriptor, part)
    if not with_sum:
        return UNSUMMED
    return await in_thread(crc32_of, descriptor, part.offset, part.size)


async def copy_part(
    client: Client, source: ObjectURL, etag: str, target: ObjectURL, upload_id: str, part: Part
) -> str:
    """Have the store copy a part of an object into an upload; return the part's ETag."""
    return await client.upload_part_copy(
        target.bucket,
        target.key,
        upload_id,
        part.number,
        (source.bucket, source.key),
        start=part.offset,
        stop=part.offset + part.size,
        if_match=etag,
    )


async def move_piece(
    client: Client, scheduler: Scheduler, meter: Meter, piece: Piece, safety: Safety
) -> dict[int, str]:
    """Move the parts of a piece, within a task of the scheduler.

    Return the ETags of parts that were sent, or the sums of parts that were fetched.
    """
    found: dict[int, str] = {}

    async def share(move: Callable[[Part], Awaitable[str]]) -> None:
        async def one(part: Part) -> None:
            found[part.number] = await move(part)
            meter.moved(part.size)

        await scheduler.share(piece.parts, one)

    source, target = piece.job.source, piece.job.target
    if isinstance(target, str):
        assert isinstance(source, ObjectURL)
        await fetch_piece(client, piece, source, share)
    elif isinstance(source, str):
        await send_piece(client, piece, source, target, share, with_md5=safety.compares_content)
    else:
        etag, upload_id = piece.job.etag, piece.upload_id
        await share(partial(copy_part, client, source, etag, target, upload_id))
    return found


async def send_piece(
    client: Client, piece: Piece, source: str, target: ObjectURL, share: Share, *, with_md5: bool
) -> None:
    """Send the parts of a piece of a local file.

    Raises:
        SourceError: the file has changed since the upload began.
    """
    async with opened(source) as file:
        if file.version != piece.version:
            raise SourceError("the file changed while it was being sent", url=source)
        await share(
            lambda part: client.upload_part(
                target.bucket,
                target.key,
                piece.upload_id,
                part.number,
                FilePart(file.descriptor, part.offset, part.size, file.check, zero_copy=True),
                with_md5=with_md5,
            )
        )
        file.check()


async def fetch_piece(client: Client, piece: Piece, source: ObjectURL, share: Share) -> None:
    """Write the parts of a piece to the staged file."""
    descriptor = -1

    def open_staged() -> None:  # which is to be closed even if nobody waits for it any more
        nonlocal descriptor
        descriptor = os.open(piece.staged, os.O_RDWR)

    async def fetch(part: Part) -> str:
        said = piece.sums.get(part.number)
        return await fetch_missing_part(
            client, source, piece.job.etag, descriptor, part, said, with_sum=piece.with_sums
        )

    try:
        await in_thread(open_staged)
        await share(fetch)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
