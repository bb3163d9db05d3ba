"""The checksums of open files: computed in worker threads, several of them in one pass."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Protocol

from aioobs.s3.objects import multipart_etag
from aioobs.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "Hash",
    "PartsHash",
    "algorithms",
    "base64_of",
    "crc32_of",
    "digests",
    "md5_of",
    "update_from",
]

CHUNK = 1 << 20
STRETCH = 64 << 20  # of a file that is read before a cancellation is noticed


class Hash(Protocol):
    """An algorithm of `hashlib`, or what looks like one."""

    def update(self, data: memoryview, /) -> object:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """Return the digest of all that was taken."""


async def update_from(descriptor: int, offset: int, size: int, hashes: Iterable[Hash]) -> None:
    """Update hashes with a range of an open file, in worker threads."""
    updated = list(hashes)
    for start in range(offset, offset + size, STRETCH):
        await in_thread(update_all, descriptor, start, min(STRETCH, offset + size - start), updated)


def update_all(descriptor: int, offset: int, size: int, hashes: list[Hash]) -> None:
    while size and (data := os.pread(descriptor, min(size, CHUNK), offset)):
        for one in hashes:
            one.update(memoryview(data))
        offset, size = offset + len(data), size - len(data)


async def md5_of(descriptor: int, size: int) -> str:
    """Return the MD5 of an open file as it is kept in the metadata of an object."""
    found = hashlib.md5(usedforsecurity=False)
    await update_from(descriptor, 0, size, [found])
    return base64_of(found.digest())


async def digests(descriptor: int, size: int, hashes: list[Hash]) -> set[str]:
    """Return the digests of an open file, as ETags are written."""
    await update_from(descriptor, 0, size, hashes)
    return {one.etag() if isinstance(one, PartsHash) else one.digest().hex() for one in hashes}


def crc32_of(descriptor: int, offset: int, size: int) -> str:
    """Return the CRC-32 of a range of an open file, or of what the file has of it."""
    found = 0
    while size and (data := os.pread(descriptor, min(size, CHUNK), offset)):
        found = zlib.crc32(data, found)
        offset, size = offset + len(data), size - len(data)
    return f"{found:08x}" if not size else ""


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


class PartsHash:
    """The MD5s of all parts of one size, and the ETag that they make."""

    def __init__(self, part_size: int) -> None:
        self._part_size = part_size
        self._room = part_size
        self._hash = hashlib.md5(usedforsecurity=False)
        self._parts: list[str] = []

    def update(self, data: memoryview, /) -> None:
        """Take the next bytes."""
        while data:
            self._hash.update(data[: self._room])
            self._room, data = self._room - len(data[: self._room]), data[self._room :]
            if not self._room:
                self._end()

    def _end(self) -> None:
        self._parts.append(self._hash.hexdigest())
        self._hash, self._room = hashlib.md5(usedforsecurity=False), self._part_size

    def digest(self) -> bytes:
        """Return the ETag."""
        return self.etag().encode()

    def etag(self) -> str:
        """Return the ETag of an object of these parts."""
        if self._room < self._part_size:
            self._end()
        return multipart_etag(self._parts)


class Crc:
    """A CRC of 32 bits."""

    def __init__(self, add: Callable[[memoryview, int], int]) -> None:
        self._add = add
        self._sum = 0

    def update(self, data: memoryview, /) -> None:
        """Take the next bytes."""
        self._sum = self._add(data, self._sum)

    def digest(self) -> bytes:
        """Return the sum."""
        return self._sum.to_bytes(4)


@cache
def algorithms() -> dict[str, Callable[[], Hash]]:
    """Return the algorithms that this machine has, by the names that stores give them."""
    found: dict[str, Callable[[], Hash]] = {
        "crc32": lambda: Crc(zlib.crc32),
        "md5": lambda: hashlib.md5(usedforsecurity=False),
        "sha1": lambda: hashlib.sha1(usedforsecurity=False),
        "sha256": hashlib.sha256,
    }
    with suppress(ImportError):
        from crc32c import crc32c  # slow to import, and seldom needed

        found["crc32c"] = lambda: Crc(crc32c)
    return found
