"""Ranges of objects, merged so that few requests are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fsspec.asyn import _run_coros_in_chunks

from aioobs.errors import ResponseError
from aioobs.store.remote import RemoteStore, file_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aioobs.filesystem.interface import FileSystem
    from aioobs.s3.client import Client

__all__ = [
    "LARGEST_GAP",
    "each",
    "merged",
    "read_blocks",
    "read_range",
    "read_slice",
    "read_version",
]

LARGEST_GAP = 64 << 10
"""Bytes between two ranges that are rather read than asked for apart."""


class Block(NamedTuple):
    """A range that is read to serve several smaller ones."""

    path: str
    start: int
    stop: int
    parts: list[tuple[int, int, int]]
    """The number of each of them, its start and its stop."""


def each(bounds: Iterable[int | None] | int | None, count: int) -> list[int] | None:
    """Return a bound for each of *count* ranges; `None`: some are not known before the size is."""
    given = [bounds] * count if bounds is None or isinstance(bounds, int) else list(bounds)
    if len(given) != count:
        raise ValueError(f"{count} paths, but {len(given)} bounds")
    absolute = [bound for bound in given if bound is not None and bound >= 0]
    return absolute if len(absolute) == count else None


def merged(
    paths: list[str], starts: list[int], stops: list[int], gap: int, longest: int
) -> list[Block]:
    """Return the blocks to read: ranges that lie close together in one, up to *longest* bytes."""
    blocks: list[Block] = []
    for number in sorted(range(len(paths)), key=lambda n: (paths[n], starts[n], stops[n])):
        path, start, stop = paths[number], starts[number], max(starts[number], stops[number])
        last = blocks[-1] if blocks and blocks[-1].path == path else None
        if last and start - last.stop <= gap and stop - last.start <= longest:
            last.parts.append((number, start, stop))
            blocks[-1] = last._replace(stop=max(stop, last.stop))
        else:
            blocks.append(Block(path, start, stop, [(number, start, stop)]))
    return blocks


async def read_blocks(
    fs: FileSystem, blocks: list[Block], batch_size: int | None, on_error: str
) -> list[bytes | Exception]:
    """Read blocks, and return their parts in order, each one as bytes or as the error there was."""
    read = await _run_coros_in_chunks(
        [
            read_range(fs.client, str(fs.url_of(block.path)), block.start, block.stop)
            for block in blocks
        ],
        batch_size=batch_size,
        nofiles=True,
        return_exceptions=on_error == "return",
    )
    found: dict[int, bytes | Exception] = {}
    for block, data in zip(blocks, read, strict=True):
        for number, start, stop in block.parts:
            wanted = slice(start - block.start, stop - block.start)
            found[number] = data if isinstance(data, Exception) else data[wanted]
    return [found[number] for number in range(len(found))]


async def read_slice(client: Client, url: str, start: int | None, stop: int | None) -> bytes:
    """Return what a slice of an object's bytes has; negative bounds count from its end."""
    store, first, etag = RemoteStore(client), start or 0, ""
    if not first and stop is None:
        return await store.read(url)
    if stop is None and -client.config.part_size <= first < 0:
        bucket, key, _ = file_url(url)
        return await client.get_object(bucket, key, start=first)
    if stop is None or stop < 0 or first < 0:
        found = await store.stat(url)
        first, stop, _ = slice(first, stop).indices(found.length)
        etag = found.etag
    return await read_range(client, url, first, stop, etag)


async def read_version(
    client: Client, url: str, start: int | None, stop: int | None, version_id: str
) -> bytes:
    """Return what a slice of the bytes of one version has; see `read_slice`."""
    bucket, key, _ = file_url(url)
    info = await client.head_object(bucket, key, version_id=version_id)
    first, last, _ = slice(start, stop).indices(info.size)
    return await client.get_object(bucket, key, start=first, stop=last, version_id=version_id)


async def read_range(client: Client, url: str, start: int, stop: int, etag: str = "") -> bytes:
    """Return the bytes of an object from *start* to before *stop*, as far as there are any.

    Raises:
        ObjectChanged: the object is not the one with the ETag *etag*.
    """
    bucket, key, _ = file_url(url)
    try:
        if stop - start <= client.config.part_size:
            return await client.get_object(bucket, key, start=start, stop=stop, if_match=etag)
        info = await client.head_object(bucket, key)
        buffer = bytearray(max(min(stop, info.size) - start, 0))
        await client.get_into(bucket, key, buffer, start=start, if_match=etag or info.etag)
    except ResponseError as error:
        if error.resp is None or error.resp.status != 416:
            raise
        return b""  # there are none, as in a local file
    return bytes(buffer)
