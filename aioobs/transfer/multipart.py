"""Big files, part by part: how one part is moved, and how an object is made of all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from aioobs.errors import ObjectChanged, ReadError, ResponseError
from aioobs.s3.body import FileSink
from aioobs.store.headers import Headers
from aioobs.store.source import Source
from aioobs.store.upload import Guard, abort_upload, check_version
from aioobs.threads import in_thread
from aioobs.transfer.checksums import crc32_of
from aioobs.transfer.journals.automatic import journal_for
from aioobs.transfer.journals.journal import UNSUMMED
from aioobs.transfer.journals.resume import is_kept, is_refusal, is_there, start_upload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aioobs.s3.client import Client
    from aioobs.s3.parts import Part
    from aioobs.transfer.journals.journal import Journal
    from aioobs.transfer.journals.resume import Started
    from aioobs.transfer.progress import Meter
    from aioobs.transfer.scheduler import Scheduler
    from aioobs.url import ObjectURL

__all__ = ["COPIED_PART", "MultipartUpload", "copy_part", "fetch_missing_part"]

COPIED_PART = 512 << 20  # bytes of a part that the store copies by itself


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


@dataclass
class MultipartUpload:
    """An object whose parts all workers send: all of them, or nothing is left."""

    client: Client
    scheduler: Scheduler
    meter: Meter
    journal: Journal | None
    target: ObjectURL
    size: int
    part_size: int
    send: Callable[[str, Part], Awaitable[str]]
    """Sends a part to the upload of that id, and returns its ETag."""
    source: ObjectURL | Source | None = None
    """What is copied; if given, a later run may continue what this one has begun."""
    version: str = ""
    """The ETag of a source that is an object."""
    guard: Guard = field(default_factory=Guard)
    """What has to be at the target when the upload is completed."""
    headers: Headers = field(default_factory=Headers)

    async def run(self) -> str:
        """Send all parts and complete the upload; return the ETag of the object."""
        if self.source is None:
            self.journal = None
            return await self._run()
        source = self.source.path if isinstance(self.source, Source) else self.source
        noted = journal_for(self.journal, self.client, source, self.target, self.size)
        async with noted as self.journal:
            return await self._run()

    async def _run(self) -> str:
        started = await self._start()
        try:
            return await self._finish(started)
        except ResponseError as error:
            if self.journal is None or not (started.there and is_refusal(error)):
                raise
        # Another run has ended it, or the store takes no part twice.
        return await self._finish(await self._start())

    async def _start(self) -> Started:
        file = self.source if isinstance(self.source, Source) else None
        return await start_upload(
            self.client,
            self.journal,
            self.target,
            file.version if file is not None else self.version,
            self.size,
            self.part_size,
            descriptor=file.descriptor if file is not None else -1,
            **self.headers,
        )

    async def _finish(self, started: Started) -> str:
        """Send the parts that are missing, and make an object of all of them."""
        target, upload_id = self.target, started.at
        etags, counted = dict(started.there), started.bytes_there

        async def send(part: Part) -> None:
            nonlocal counted
            etags[part.number] = await self.send(upload_id, part)
            counted += part.size
            self.meter.moved(part.size)
            if self.journal is not None:
                self.journal.part(target, upload_id, part.number, etags[part.number])

        try:
            self.meter.moved(counted)
            if started.etag:
                return started.etag
            await self.scheduler.share([partial(send, part) for part in started.missing])
            if isinstance(self.source, Source):
                self.source.check()
            elif self.source is not None:
                source = self.source
                await check_version(self.client, source.bucket, source.key, self.version)
            return await self.client.complete_multipart_upload(
                target.bucket, target.key, upload_id, etags, size=self.size, **self.guard
            )
        except BaseException as error:
            if isinstance(error, ObjectChanged) or (is_refusal(error) and started.there):
                self.meter.moved(-counted)  # it all begins anew
            if not is_kept(self.journal, error):
                await abort_upload(self.client, target, upload_id)
            raise
