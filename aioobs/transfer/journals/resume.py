"""Big files that an earlier run has begun, and how far it got."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from aioobs.errors import (
    NotFound,
    ObjectChanged,
    ObsError,
    ReadError,
    ResponseError,
    SourceError,
)
from aioobs.s3.objects import multipart_etag
from aioobs.s3.parts import MOST_PARTS, SMALLEST_PART, Part, cut, part_size_for
from aioobs.store.upload import abort_upload, begin_upload
from aioobs.threads import in_thread
from aioobs.transfer.checksums import crc32_of, update_from
from aioobs.transfer.content import can_tell, check_staged
from aioobs.transfer.journals.journal import UNSUMMED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aioobs.s3.client import Client
    from aioobs.store.staged_file import StagedFile
    from aioobs.transfer.journals.journal import Begun, Journal
    from aioobs.url import ObjectURL

__all__ = [
    "Started",
    "discard",
    "is_kept",
    "is_refusal",
    "is_there",
    "prove",
    "start_staged",
    "start_upload",
]

log: logging.Logger = logging.getLogger("aioobs.transfer")


class Started(NamedTuple):
    """An upload, or a staged file, of which some parts may be there already."""

    at: str
    """The id of the upload, or the path of the staged file."""
    parts: list[Part]
    """All of them."""
    there: dict[int, str]
    """By number, the ETags of those in the store, or the sums that a staged file should have."""
    etag: str = ""
    """Of the object, if it is whole already."""

    @property
    def missing(self) -> list[Part]:
        """The parts that are still to be moved."""
        return [part for part in self.parts if part.number not in self.there]

    @property
    def is_unproved(self) -> bool:
        """Whether parts of a staged file have no sums, so that only the whole can be checked."""
        return UNSUMMED in self.there.values()

    @property
    def bytes_there(self) -> int:
        """How much need not be moved."""
        return sum(part.size for part in self.parts if part.number in self.there)


async def start_upload(
    client: Client,
    journal: Journal | None,
    target: ObjectURL,
    version: str,
    size: int,
    part_size: int,
    *,
    descriptor: int = -1,
    content_type: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Started:
    """Go on with the upload of this version of a file that the journal has, or begin one.

    Where nobody has asked for the journal, and the *descriptor* of a local file is given, parts
    count only if their ETags are the MD5s of what the file has there.
    """
    if journal is not None and version:
        begun = journal.begun(target, version)
        if begun and descriptor >= 0 and not journal.lasts:
            begun = begun._replace(parts=await confirmed(begun, descriptor, size))
        found = begun and await found_upload(client, target, begun, size)
        if found:
            log.info("going on with %s: %d bytes are there", target, found.bytes_there)
            return found
        if stale := journal.outdated(target, version):
            await abort_upload(client, target, stale)
    part_size = part_size_for(size, part_size)
    upload_id = await begin_upload(client, target, content_type=content_type, metadata=metadata)
    if journal is not None and version:
        journal.begin(target, version, upload_id, part_size)
    return Started(upload_id, cut(size, part_size), {})


async def confirmed(begun: Begun, descriptor: int, size: int) -> dict[int, str]:
    """Return those parts of an upload that have the bytes of an open file."""
    parts = cut(size, begun.part_size) if begun.part_size >= SMALLEST_PART else []
    confirmed = {}
    for part in parts:
        said = begun.parts.get(part.number)
        if said:
            found = hashlib.md5(usedforsecurity=False)
            await update_from(descriptor, part.offset, part.size, [found])
            if found.hexdigest() == said:
                confirmed[part.number] = said
    return confirmed


async def found_upload(
    client: Client, target: ObjectURL, begun: Begun, size: int
) -> Started | None:
    """Return what the store has of an upload, if it has it and it is what the journal says."""
    if begun.part_size < SMALLEST_PART or begun.part_size * MOST_PARTS < size:
        return None
    parts = cut(size, begun.part_size)
    sizes = {part.number: part.size for part in parts}
    there: dict[int, str] = {}
    try:
        async for part in client.list_parts(target.bucket, target.key, begun.at):
            said = sizes.pop(part.number, None), begun.parts.get(part.number)
            if part.etag and said == (part.size, part.etag):
                there[part.number] = part.etag
            else:  # as one that was sent twice and is listed so: nobody knows which one counts
                there.pop(part.number, None)
    except NotFound:
        return await found_object(client, target, begun, parts)
    except ResponseError as error:
        log.info("%s is begun anew, its parts cannot be listed: %s", target, error)
        return None
    return Started(begun.at, parts, there)


async def found_object(
    client: Client, target: ObjectURL, begun: Begun, parts: list[Part]
) -> Started | None:
    """Return the object that has been made of all parts, if it is there."""
    etags = [begun.parts.get(part.number, "") for part in parts]
    expected = multipart_etag(etags)
    if not expected:
        return None
    try:
        info = await client.head_object(target.bucket, target.key)
    except NotFound:
        return None
    size = sum(part.size for part in parts)
    if info.size != size or info.etag != expected:
        return None
    return Started(begun.at, parts, begun.parts, info.etag)


async def start_staged(
    client: Client,
    journal: Journal | None,
    source: ObjectURL,
    staged: StagedFile,
    version: str,
    size: int,
) -> Started:
    """Open the staged file of this version of an object that the journal has, or a new one.

    Whether its parts still have their sums has yet to be checked.
    """
    target = staged.target
    begun = journal.begun(target, version) if journal is not None else None
    if begun is not None and begun.part_size >= SMALLEST_PART:
        found = Started(begun.at, cut(size, begun.part_size), dict(begun.parts))
        if found.is_unproved and not await can_tell(client, source, version):
            await in_thread(discard, staged, begun.at)
        elif await in_thread(staged.reopen, begun.at, size):
            log.info("going on with %s", target)
            return found
    elif journal is not None and (stale := journal.outdated(target, version)):
        await in_thread(discard, staged, stale)
    await in_thread(staged.open)
    part_size = part_size_for(size, client.config.part_size)
    if journal is not None and staged.path:
        staged.lock()
        at = await in_thread(os.path.abspath, staged.path)
        journal.begin(target, version, at, part_size)
        return Started(at, cut(size, part_size), {})
    return Started(staged.path, cut(size, part_size), {})


async def prove(
    client: Client, source: ObjectURL, etag: str, staged: StagedFile, size: int
) -> None:
    """Check a staged file with parts of which nothing is known but that they were written.

    Raises:
        ObjectChanged: it is not, or cannot be told to be, of this version.
    """
    with suppress(ReadError):
        if await check_staged(client, source, etag, staged, size):
            return
    raise ObjectChanged("what a killed process has left is of no use", url=str(staged.target))


def discard(staged: StagedFile, path: str) -> None:
    """Remove the staged file of another version."""
    if staged.reopen(path):
        staged.discard()


async def is_there(descriptor: int, offset: int, size: int, said: str | None) -> bool:
    """Tell whether a part of a staged file has the sum that it is said to have, if it has one."""
    if said == UNSUMMED:
        return True
    return bool(said) and await in_thread(crc32_of, descriptor, offset, size) == said


def is_refusal(error: BaseException) -> bool:
    """Tell whether the store will never make an object of an upload."""
    status = error.resp.status if isinstance(error, ResponseError | NotFound) and error.resp else 0
    return status in (400, 404, 501)


def is_kept(journal: Journal | None, error: BaseException | None) -> bool:
    """Tell whether what was begun stays for a later run; else it takes room, and goes."""
    if journal is None or not journal.lasts:
        return False
    return error is None or not is_final(error)


def is_final(error: BaseException) -> bool:
    """Tell whether what was begun is of no use to a later run."""
    if isinstance(error, SourceError | ObjectChanged) or is_refusal(error):
        return True
    return isinstance(error, OSError) and not isinstance(error, ObsError)  # as of a full disk
