"""Whether a file need not be copied, for its target is like it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from aioobs.errors import NotFound, ObjectChanged
from aioobs.s3.objects import multipart_etag
from aioobs.s3.parts import cut, part_size_for
from aioobs.store.local import READING, local_errors
from aioobs.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aioobs.s3.client import Client
    from aioobs.transfer.plan import Comparison, Job
    from aioobs.transfer.tree import Found
    from aioobs.url import ObjectURL

__all__ = ["difference", "is_alike"]

SECOND = 1_000_000_000
SETTLED = 2 * SECOND  # after which a file was not changed together with one that is as old
CHUNK = 8 << 20
TAG = re.compile(r"[0-9a-f]{32}(?:-([0-9]{1,5}))?")


def difference(source: Found, target: Found, by: Comparison) -> str | None:
    """Return "size" if two files differ in it; "": they do not differ; `None`: look at content.

    A target of the same size and a later time is taken for a copy of the source.  Times tell
    nothing of two that are written within one second, for some stores count whole seconds; but
    equal times were given to a copy, and unless that was made at once, the source was done by then.
    An older target need not differ: a store says when it got an object, not how old that is.
    """
    if source.size != target.size:
        return "size"
    if by == "size" or source.is_directory:
        return ""
    if by != "time":
        return None
    before, after = source.mtime_nsec // SECOND, target.mtime_nsec // SECOND
    if before != after:
        return "" if before < after else None
    settled = max(source.ctime_nsec, target.ctime_nsec) >= source.mtime_nsec + SETTLED
    return "" if settled and source.mtime_nsec == target.mtime_nsec else None


async def is_alike(client: Client, job: Job, etag: str, *, reads: bool) -> bool:
    """Tell whether the target of a job, which has the same size, has the same content.

    Two local files are read.  Else ETags decide, those of local files being what most stores make
    of them; what they cannot tell is read if *reads* is true, and taken for different if not.
    """
    source, target, size = job.source, job.target, job.size or 0
    if not size:
        return True
    if isinstance(source, str) != isinstance(target, str):
        local, tag = (source, etag) if isinstance(source, str) else (target, job.etag)
        with local_errors(str(local)):
            if await in_thread(has_etag, str(local), size, tag, client.config.part_size):
                return True
    elif not (isinstance(source, str) or reads) and etag and job.etag == etag:
        return True
    is_local = isinstance(source, str) and isinstance(target, str)
    return (reads or is_local) and await has_same_bytes(client, job, etag)


async def has_same_bytes(client: Client, job: Job, etag: str) -> bool:
    """Read both sides up to the first difference."""
    for _, offset, length in cut(job.size or 0, CHUNK):
        stop = offset + length
        try:
            data = await read(client, job.source, offset, stop, job.etag)
            if data != await read(client, job.target, offset, stop, etag):
                return False
        except (NotFound, ObjectChanged):  # it is not as it was listed
            return False
    return True


async def read(
    client: Client, place: ObjectURL | str, start: int, stop: int, etag: str
) -> bytes | None:
    if isinstance(place, str):
        return await in_thread(read_range, place, start, stop)
    return await client.get_object(place.bucket, place.key, start=start, stop=stop, if_match=etag)


def read_range(path: str, start: int, stop: int) -> bytes:
    with local_errors(path):
        descriptor = os.open(path, READING)
    try:
        return b"".join(pieces(descriptor, start, stop))
    finally:
        os.close(descriptor)


def pieces(descriptor: int, start: int, stop: int) -> Iterable[bytes]:
    while start < stop and (data := os.pread(descriptor, min(stop - start, 1 << 20), start)):
        yield data
        start += len(data)


def has_etag(path: str, size: int, etag: str, part_size: int) -> bool:
    """Tell whether an ETag is that of a local file, sent in one piece or in usual parts."""
    if not (found := TAG.fullmatch(etag)):
        return False
    descriptor = os.open(path, READING)
    try:
        if not found[1]:
            return md5(descriptor, 0, size) == etag
        for wanted in dict.fromkeys((part_size_for(size, part_size), CHUNK)):
            parts = cut(size, wanted)
            if len(parts) == int(found[1]) and etag == multipart_etag(
                [md5(descriptor, part.offset, part.offset + part.size) for part in parts]
            ):
                return True
        return False
    finally:
        os.close(descriptor)


def md5(descriptor: int, start: int, stop: int) -> str:
    import hashlib

    hashing = hashlib.md5(usedforsecurity=False)
    for data in pieces(descriptor, start, stop):
        hashing.update(data)
    return hashing.hexdigest()
