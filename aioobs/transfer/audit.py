"""Whether a copy is what it is a copy of."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from aioobs.errors import NotFound
from aioobs.s3.body import DirectSink
from aioobs.s3.parts import cut
from aioobs.store.local import Source, local_errors
from aioobs.threads import in_thread
from aioobs.transfer.checksums import agrees, are_same, digest_of, is_digest
from aioobs.transfer.crew import Crew
from aioobs.transfer.failures import concerns_all
from aioobs.transfer.jobs import TREE_BATCH, is_folder, look, take
from aioobs.transfer.plan import Job
from aioobs.transfer.tree import walk_in_order

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from aioobs.s3.client import Client
    from aioobs.url import ObjectURL

__all__ = ["Finding", "Read", "Report", "Verdict", "audit"]

Verdict = Literal["same", "different", "missing", "extra", "unchecked"]
Read = Literal["nothing", "local", "all"]

MOST_NAMED = 1000
MOST_ALONE = 10_000  # names that wait for their like, before one is looked for
LOOKS = 64  # at the same time
RANGE = 64 << 20  # bytes that are compared with one request
BUFFER = 512 << 10


class Finding(NamedTuple):
    """What was found of one file."""

    name: str
    """Below both folders; empty: the two files themselves."""
    verdict: Verdict
    reason: str = ""


@dataclass
class Report:
    """What was found of all files; true if the copy has all of the source, as far as was looked."""

    same: int = 0
    different: int = 0
    missing: int = 0
    """In the source alone."""
    extra: int = 0
    """In the copy alone."""
    unchecked: int = 0
    """Of one size, and nothing more is known, or what could not be read."""
    findings: list[Finding] = field(default_factory=list, repr=False)
    """The first thousand that are not the same."""

    def __bool__(self) -> bool:
        return not (self.different or self.missing)

    def add(self, finding: Finding) -> None:
        """Count a finding."""
        setattr(self, finding.verdict, getattr(self, finding.verdict) + 1)
        if finding.verdict != "same" and len(self.findings) < MOST_NAMED:
            self.findings.append(finding)


class Item(NamedTuple):
    """A file at one of the two places."""

    name: str
    place: ObjectURL | str
    size: int = 0
    etag: str = ""
    error: OSError | None = None


Pair = tuple[Item | None, Item | None]


async def audit(
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    *,
    read: Read,
    threads: int,
    found: Callable[[Finding], object],
) -> Report:
    """Compare what is at two places; see `aioobs.verify`."""
    report, crew = Report(), Crew(client, threads)
    kind = Below if await is_folder(client, source) else Alone

    async def check(first: Item | None, second: Item | None) -> None:
        finding = await compared(client, crew, first, second, read)
        report.add(finding)
        found(finding)

    async def feed() -> None:
        if kind is Alone:
            await look(client, Job(source, target))  # or else there is nothing
        async with aclosing(matched(kind(client, source), kind(client, target))) as pairs:
            async for pair in pairs:
                await crew.room()
                crew.add(partial(check, *pair))

    await crew.run(feed())
    return report


# What there is


class Side(Protocol):
    """One of the two places."""

    def items(self) -> AsyncGenerator[Item, None]:
        """Yield all files."""

    async def look(self, name: str) -> Item | None:
        """Return one file, if it is there."""


class Below:
    """What is in a folder."""

    def __init__(self, client: Client, root: ObjectURL | str) -> None:
        self._client = client
        self._root = root

    async def items(self) -> AsyncGenerator[Item, None]:
        """Yield all files, local ones in the order of keys, in which stores list as well."""
        root = self._root
        if isinstance(root, str):
            if not await in_thread(os.path.isdir, root):
                return
            tree = walk_in_order(root, str)  # by which a-b comes before a/b
            while batch := await in_thread(take, tree, TREE_BATCH):
                for one in batch:
                    if not one.is_directory or one.error is not None:
                        path = os.path.join(root, one.name)
                        yield Item(one.name, path, one.size, error=one.error)
            return
        start = len(root.folder)
        async for page in self._client.list_pages(root.bucket, root.folder):
            for item in page.objects:
                if not item.key.endswith("/") or item.size:
                    yield Item(item.key[start:], root.with_key(item.key), item.size, item.etag)

    async def look(self, name: str) -> Item | None:
        """Return one file, if it is there."""
        if isinstance(self._root, str):
            return await look_locally(name, os.path.join(self._root, name))
        url = self._root / name
        page = await self._client.list_objects(url.bucket, url.key, delimiter="/", limit=1)
        found = (one for one in page.objects if one.key == url.key)
        return next((Item(name, url, one.size, one.etag) for one in found), None)


class Alone:
    """A file by itself."""

    def __init__(self, client: Client, place: ObjectURL | str) -> None:
        self._client = client
        self._place = place

    async def items(self) -> AsyncGenerator[Item, None]:
        """Yield the file."""
        item = await self.look("")
        if item is not None:
            yield item

    async def look(self, name: str) -> Item | None:
        """Return the file, if it is there."""
        place = self._place
        if isinstance(place, str):
            return await look_locally(name, place)
        try:
            info = await self._client.head_object(place.bucket, place.key)
        except NotFound:
            return None
        return Item(name, place, info.size, info.etag)


async def look_locally(name: str, path: str) -> Item | None:
    try:
        info = await in_thread(os.stat, path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Item(name, path, info.st_size)


async def matched(first: Side, second: Side) -> AsyncGenerator[Pair, None]:
    """Yield what both sides have under one name, and what one of them has alone.

    Both are read in step, so that names in one order meet at once, whatever there is.  Those that
    do not meet wait for their like, for some stores list in an order of their own; when too many
    wait, it is looked for.
    """
    alone: tuple[dict[str, Item], dict[str, Item]] = ({}, {})
    seen: tuple[set[str], set[str]] = (set(), set())
    sides = (first, second)
    async with aclosing(first.items()) as one, aclosing(second.items()) as other:
        streams = (one, other)
        heads = [await anext(one, None), await anext(other, None)]
        while heads[0] is not None or heads[1] is not None:
            turn = int(heads[0] is None or (heads[1] is not None and heads[1].name < heads[0].name))
            item = heads[turn]
            assert item is not None
            heads[turn] = await anext(streams[turn], None)
            if item.name in seen[turn]:
                seen[turn].discard(item.name)
                continue
            if (like := alone[1 - turn].pop(item.name, None)) is not None:
                yield in_order(turn, item, like)
                continue
            alone[turn][item.name] = item
            if heads[1 - turn] is None:  # nothing more comes that could be its like
                del alone[turn][item.name]
                yield in_order(turn, item, None)
            elif len(alone[turn]) > MOST_ALONE:
                names = list(alone[turn])[: MOST_ALONE // 10]
                for start in range(0, len(names), LOOKS):
                    some = names[start : start + LOOKS]
                    found = await asyncio.gather(*map(sides[1 - turn].look, some))
                    for name, like in zip(some, found, strict=True):
                        yield in_order(turn, alone[turn].pop(name), like)
                        if like is not None:
                            seen[1 - turn].add(name)
    for turn in (0, 1):
        for item in alone[turn].values():
            yield in_order(turn, item, None)


def in_order(turn: int, item: Item, like: Item | None) -> Pair:
    return (item, like) if turn == 0 else (like, item)


# What it is


async def compared(
    client: Client, crew: Crew, first: Item | None, second: Item | None, read: Read
) -> Finding:
    """Return what is to say of one name."""
    if first is None or second is None:
        item = first or second
        assert item is not None
        if item.error is not None:
            return Finding(item.name, "unchecked", str(item.error))
        return Finding(item.name, "extra" if first is None else "missing")
    name, error = first.name, first.error or second.error
    if error is not None:
        return Finding(name, "unchecked", str(error))
    if first.size != second.size:
        return Finding(name, "different", f"{first.size} bytes became {second.size}")
    try:
        same = await is_same(client, crew, first, second, read)
    except OSError as failed:
        if concerns_all(failed):
            raise
        return Finding(name, "unchecked", str(failed))
    if same is None:
        return Finding(name, "unchecked", f"{first.size} bytes both, and nothing else is known")
    return Finding(name, "same") if same else Finding(name, "different", "another content")


async def is_same(client: Client, crew: Crew, first: Item, second: Item, read: Read) -> bool | None:
    """Tell whether two files of one size have one content, as far as that may be looked into."""
    one, other = first.place, second.place
    if not first.size:
        return True
    if read == "all" or (read == "local" and isinstance(one, str) and isinstance(other, str)):
        return await same_bytes(client, crew, first, second)
    if not isinstance(one, str) and not isinstance(other, str):
        if first.etag == second.etag and is_digest(first.etag):
            return True
        return await are_same(client, one, other)
    if read == "nothing":
        return None
    local, remote = (first, second) if isinstance(one, str) else (second, first)
    assert not isinstance(remote.place, str)
    source = Source(str(local.place))
    try:
        await in_thread(source.open)
        found = await agrees(client, remote.place, remote.etag, source.descriptor, local.size)
        source.check()
    finally:
        source.close()
    return found


async def same_bytes(client: Client, crew: Crew, first: Item, second: Item) -> bool:
    """Tell whether two files have the same bytes, which are read by the whole crew."""
    same = True

    async def check(number: int, offset: int, size: int) -> None:
        nonlocal same
        if same:
            one = await digest_at(client, first, offset, size)
            if one != await digest_at(client, second, offset, size):
                same = False

    await crew.share([partial(check, *part) for part in cut(first.size, RANGE)])
    return same


async def digest_at(client: Client, item: Item, offset: int, size: int) -> bytes:
    """Return the digest of a range of a file, wherever it is."""
    place = item.place
    if isinstance(place, str):
        with local_errors(place):
            descriptor = await in_thread(os.open, place, os.O_RDONLY)
        try:
            return await digest_of(descriptor, offset, size)
        finally:
            os.close(descriptor)
    sink = DigestSink()
    await client.get_object_into(
        place.bucket, place.key, sink, start=offset, stop=offset + size, if_match=item.etag
    )
    return sink.digest()


class DigestSink(DirectSink):
    """Keeps nothing of a body but its digest."""

    def __init__(self) -> None:
        import hashlib

        self._hash = hashlib.sha256()
        self._buffer = memoryview(b"")

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        await in_thread(self._hash.update, chunk)
        self.received += len(chunk)

    def room(self, size: int) -> memoryview:
        """Return a buffer."""
        if not self._buffer:
            self._buffer = memoryview(bytearray(min(size, BUFFER)))
        return self._buffer[:size]

    def took(self, count: int) -> None:
        """Take what is in the buffer."""
        self._hash.update(self._buffer[:count])
        self.received += count

    def digest(self) -> bytes:
        """Return the digest."""
        return self._hash.digest()
