"""Whether a sync has to copy a file: by time, size, ETag or content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs.errors import NotFound, ObjectChanged
from aioobs.s3.parts import cut, part_size_for
from aioobs.store.source import opened
from aioobs.transfer.content import Place, has_etag, has_same_bytes

if TYPE_CHECKING:
    from aioobs.s3.client import Client
    from aioobs.transfer.job import Comparison, Job
    from aioobs.transfer.tree import Found

__all__ = ["difference", "is_alike"]

SECOND = 1_000_000_000
SETTLED = 2 * SECOND  # after which a file was not changed together with one that is as old
USUAL_PART = 8 << 20  # of most programs that upload in parts
RANGE = 8 << 20  # bytes that are compared with one request


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
        part_sizes = (part_size_for(size, client.config.part_size), USUAL_PART)
        async with opened(str(local)) as file:
            if await has_etag(file.descriptor, size, tag, part_sizes):
                return True
    elif not (isinstance(source, str) or reads) and etag and job.etag == etag:
        return True
    is_local = isinstance(source, str) and isinstance(target, str)
    return (reads or is_local) and await is_read_alike(client, job, etag)


async def is_read_alike(client: Client, job: Job, etag: str) -> bool:
    """Read both sides up to the first range that differs."""
    first, second = Place(job.source, job.etag), Place(job.target, etag)
    try:
        for _, offset, size in cut(job.size or 0, RANGE):
            if not await has_same_bytes(client, first, second, offset, size):
                return False
    except (NotFound, ObjectChanged):  # it is not as it was listed
        return False
    return True
