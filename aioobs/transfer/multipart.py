"""Objects that are made of parts, which everybody who is free moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aioobs.errors import ObjectChanged, ResponseError
from aioobs.store.headers import Headers
from aioobs.store.source import Source
from aioobs.store.upload import Guard, abort_upload, check_version
from aioobs.transfer.job import Job
from aioobs.transfer.journals.automatic import journal_for
from aioobs.transfer.journals.resume import is_kept, is_refusal, start_upload
from aioobs.transfer.shared_parts import Lending, Piece

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aioobs.s3.client import Client
    from aioobs.s3.parts import Part
    from aioobs.transfer.journals.journal import Journal
    from aioobs.transfer.journals.resume import Started
    from aioobs.transfer.progress import Meter
    from aioobs.transfer.scheduler import Scheduler
    from aioobs.url import ObjectURL

__all__ = ["COPIED_PART", "MultipartUpload"]

COPIED_PART = 512 << 20  # bytes of a part that the store copies by itself


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

        def sent(part: Part, etag: str) -> None:
            nonlocal counted
            etags[part.number] = etag
            counted += part.size
            self.meter.moved(part.size)
            if self.journal is not None:
                self.journal.part(target, upload_id, part.number, etag)

        async def send(part: Part) -> None:
            sent(part, await self.send(upload_id, part))

        try:
            self.meter.moved(counted)
            if started.etag:
                return started.etag
            await self.scheduler.share(started.missing, send, self._lending(upload_id, sent))
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

    def _lending(self, upload_id: str, sent: Callable[[Part, str], None]) -> Lending | None:
        """Return how others send parts of what is copied."""
        match self.source:
            case None:
                return None
            case Source(path=path, version=version):
                job = Job(path, self.target)
                return Lending(Piece(job, upload_id=upload_id, version=version), sent)
            case source:
                job = Job(source, self.target, etag=self.version)
                return Lending(Piece(job, upload_id=upload_id), sent)
