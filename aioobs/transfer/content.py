"""Whether files have the same content: by ETag, by checksum, or byte by byte.

An ETag is the MD5 of an object that was written in one request, and otherwise one made of the MD5s
of its parts; of encrypted and appended objects it is neither.  Some stores also keep checksums that
were sent along, and anybody can keep one in the metadata.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from aioobs.errors import ReadError, ResponseError
from aioobs.s3.body import DirectSink
from aioobs.s3.objects import STORED_MD5
from aioobs.s3.parts import part_size_for
from aioobs.store.source import opened
from aioobs.threads import in_thread
from aioobs.transfer.checksums import PartsHash, algorithms, base64_of, digests, update_from

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aioobs.s3.client import Client
    from aioobs.s3.objects import ObjectInfo
    from aioobs.store.staged_file import StagedFile
    from aioobs.transfer.checksums import Hash
    from aioobs.url import ObjectURL

__all__ = [
    "Place",
    "agrees",
    "are_same",
    "can_tell",
    "check_copy",
    "check_staged",
    "has_etag",
    "has_same_bytes",
    "is_digest",
]

DIGEST = re.compile(r"[0-9a-f]{32}(-[1-9][0-9]{0,4})?")
MIB = 1 << 20
BUFFER = 512 << 10
FORGOTTEN = (400, 405, 416, 501)  # statuses of a store that knows nothing of an object's parts
PART_SIZES = [size * MIB for size in (5, 6, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 256, 512)]
ENCRYPTION = re.compile(r"x-(amz|obs)-server-side-encryption(-aws-kms-.*|-customer-.*|-kms-.*)?")
# Of whole objects alone: those made of the sums of parts are compared with nothing.
SUMS = {
    "x-amz-checksum-crc32": "crc32",
    "x-amz-checksum-crc32c": "crc32c",
    "x-amz-checksum-crc64nvme": "crc64nvme",
    "x-amz-checksum-sha1": "sha1",
    "x-amz-checksum-sha256": "sha256",
    "x-obs-checksum-crc64ecma": "crc64ecma",
    "x-obs-hash-crc64ecma": "crc64ecma",
    f"x-amz-meta-{STORED_MD5}": "md5",
    f"x-obs-meta-{STORED_MD5}": "md5",
}


class Place(NamedTuple):
    """Where a content is, and which version of it if it is an object."""

    at: ObjectURL | str
    etag: str = ""


def is_digest(etag: str) -> bool:
    """Tell whether an ETag looks like the MD5 of a content, or of its parts."""
    return bool(DIGEST.fullmatch(etag))


async def agrees(
    client: Client, url: ObjectURL, etag: str, descriptor: int, size: int
) -> bool | None:
    """Tell whether an open file has the content of an object of the same size.

    The file is read, the object is not.  `None`: what the store knows does not tell.
    """
    if not size:
        return True
    if is_digest(etag):
        likely = [part_size_for(size, client.config.part_size), *likely_sizes(etag, size)]
        if await has_etag(descriptor, size, etag, likely):
            return True
    info = await client.head_object(url.bucket, url.key, checksums=True)
    if info.etag != etag:
        return None  # it is another object by now
    makers = algorithms()
    known = {name: value for name, value in sums_of(info).items() if name in makers}
    if known:
        made = {name: makers[name]() for name in known}
        await update_from(descriptor, 0, size, made.values())
        return all(base64_of(made[name].digest()) == value for name, value in known.items())
    if is_plain(info):
        return await has_parts(client, url, info, descriptor, size) if "-" in etag else False
    return None


async def can_tell(client: Client, url: ObjectURL, etag: str) -> bool:
    """Tell whether the store knows anything that a file can be compared by with an object."""
    info = await client.head_object(url.bucket, url.key, checksums=True)
    known = algorithms().keys() & sums_of(info).keys()
    return info.etag == etag and (is_plain(info) or bool(known))


async def has_etag(descriptor: int, size: int, etag: str, part_sizes: Iterable[int]) -> bool:
    """Tell whether an ETag is that of an open file, sent in one piece or in parts of these sizes.

    If it is not, the object may still have the same content.
    """
    hashes = hashes_for(etag, size, part_sizes) if is_digest(etag) else []
    return bool(hashes) and etag in await digests(descriptor, size, hashes)


async def has_parts(
    client: Client, url: ObjectURL, info: ObjectInfo, descriptor: int, size: int
) -> bool | None:
    """Tell whether an open file has the content of an object of parts, if they are of one size."""
    count = int(info.etag.partition("-")[2])
    try:
        first = (await client.head_object(url.bucket, url.key, part=1)).size
        last = (await client.head_object(url.bucket, url.key, part=count)).size
    except ResponseError as error:
        # Some stores, as JuiceFS, forget the parts of what is whole; other answers tell nothing.
        if error.resp is None or error.resp.status not in FORGOTTEN:
            raise
        return None
    if not 0 < last <= first or first * (count - 1) + last != size:
        return None
    return info.etag in await digests(descriptor, size, [PartsHash(first)])


async def check_staged(
    client: Client, url: ObjectURL, etag: str, staged: StagedFile, size: int
) -> bool:
    """Check a staged file of an object before it gets its name; tell whether that could be done.

    Raises:
        ReadError: it has another content.
    """
    same = await agrees(client, url, etag, staged.descriptor, size) if staged.path else None
    if same is False:
        raise ReadError("what came does not have the checksum that the store has", url=str(url))
    return bool(same)


async def check_copy(
    client: Client, source: ObjectURL, etag: str, target: ObjectURL, etag_of_copy: str
) -> bool:
    """Check an object that the store has copied; tell whether that could be done.

    Raises:
        ReadError: it has another content.
    """
    if etag == etag_of_copy and is_digest(etag):
        return True
    same = await are_same(client, source, target)
    if same is False:
        raise ReadError("the copy does not have the checksum of its source", url=str(target))
    return bool(same)


async def are_same(client: Client, first: ObjectURL, second: ObjectURL) -> bool | None:
    """Tell from what the store knows whether two objects of one size have the same content."""
    one = await client.head_object(first.bucket, first.key, checksums=True)
    other = await client.head_object(second.bucket, second.key, checksums=True)
    sums, others = sums_of(one), sums_of(other)
    if is_plain(one) and is_plain(other) and "-" not in one.etag + other.etag:
        return one.etag == other.etag
    if common := sums.keys() & others.keys():
        return all(sums[name] == others[name] for name in common)
    return None


def sums_of(info: ObjectInfo) -> dict[str, str]:
    """Return the sums of the whole object that came with it, in Base64 or as the store writes."""
    if info.headers.get("x-amz-checksum-type", "").upper() == "COMPOSITE":
        return {}
    found = {name: info.headers[header] for header, name in SUMS.items() if header in info.headers}
    return {name: value for name, value in found.items() if "-" not in value}


def is_plain(info: ObjectInfo) -> bool:
    """Tell whether an ETag is made of the content, as far as the headers of the object say."""
    if not is_digest(info.etag) or info.appendable:
        return False
    return all(
        value == "AES256" and not name.endswith("algorithm")
        for name, value in info.headers.items()
        if ENCRYPTION.fullmatch(name)
    )


def likely_sizes(etag: str, size: int) -> list[int]:
    """Return part sizes that may have led to an ETag, which says only how many parts there were."""
    count = int(etag.partition("-")[2] or 1)
    return [-(-size // count // MIB) * MIB, *PART_SIZES]


def hashes_for(etag: str, size: int, part_sizes: Iterable[int]) -> list[Hash]:
    """Return the hashes that may lead to an ETag, with parts of one of these sizes."""
    _, dash, count = etag.partition("-")
    if not dash:
        return [hashlib.md5(usedforsecurity=False)]
    fitting = {wanted for wanted in part_sizes if wanted and -(-size // wanted) == int(count)}
    return [PartsHash(wanted) for wanted in sorted(fitting)]


async def has_same_bytes(
    client: Client, first: Place, second: Place, offset: int, size: int
) -> bool:
    """Tell whether a range of two files has the same bytes, which are read and not kept."""
    one = await digest_of(client, first, offset, size)
    return one == await digest_of(client, second, offset, size)


async def digest_of(client: Client, place: Place, offset: int, size: int) -> bytes:
    """Return the SHA-256 of a range of a file, wherever it is."""
    url = place.at
    if isinstance(url, str):
        found = hashlib.sha256()
        async with opened(url) as file:
            await update_from(file.descriptor, offset, size, [found])
        return found.digest()
    sink = DigestSink()
    await client.stream_object(
        url.bucket, url.key, sink, start=offset, stop=offset + size, if_match=place.etag
    )
    return sink.digest()


class DigestSink(DirectSink):
    """Keeps only the digest of a body."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._buffer = memoryview(b"")

    async def write(self, chunk: bytes) -> None:
        """Hash the next bytes."""
        await in_thread(self._hash.update, chunk)
        self.received += len(chunk)

    def room(self, size: int) -> memoryview:
        """Return a buffer."""
        if not self._buffer:
            self._buffer = memoryview(bytearray(min(size, BUFFER)))
        return self._buffer[:size]

    def took(self, count: int) -> None:
        """Hash what is in the buffer."""
        self._hash.update(self._buffer[:count])
        self.received += count

    def digest(self) -> bytes:
        """Return the digest."""
        return self._hash.digest()
