"""Whether a copy is the same as its source."""

from __future__ import annotations

import os
import stat as modes
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from aioobs.config import DEFAULT_THREADS
from aioobs.errors import NotFound, UnsafeKey
from aioobs.generators import Owned
from aioobs.s3.parts import cut
from aioobs.store.source import opened
from aioobs.threads import in_thread
from aioobs.transfer.content import Place, agrees, are_same, has_same_bytes, is_digest
from aioobs.transfer.failures import concerns_all
from aioobs.transfer.job import Job
from aioobs.transfer.jobs import is_folder, unencodable, with_size
from aioobs.transfer.merge import Side, pairs
from aioobs.transfer.scheduler import Scheduler
from aioobs.transfer.targets import place_below

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aioobs.s3.client import Client
    from aioobs.s3.parts import Part
    from aioobs.transfer.tree import Found
    from aioobs.url import ObjectURL

    Pair = tuple["Item | None", "Item | None"]
    Task = Callable[["Item | None", "Item | None"], Awaitable[None]]

__all__ = ["Finding", "Read", "Verdict", "VerifyReport", "audit"]

Verdict = Literal["same", "different", "missing", "extra", "unchecked"]
Read = Literal["nothing", "local", "all"]

MOST_NAMED = 1000
MOST_WAITING = 10_000  # of files that seem to be on one side only, before the other side is asked
RANGE = 64 << 20  # bytes that are compared with one request


class Finding(NamedTuple):
    """The result for one file."""

    name: str
    """The name below both folders; empty where two files were compared."""
    verdict: Verdict
    reason: str = ""


@dataclass
class VerifyReport:
    """The result for all files; true if nothing of the source is missing or different."""

    same: int = 0
    different: int = 0
    missing: int = 0
    """Files that are only in the source."""
    extra: int = 0
    """Files that are only in the copy."""
    unchecked: int = 0
    """Files of the same size of which nothing more is known, and those that could not be read."""
    findings: list[Finding] = field(default_factory=list, repr=False)
    """The first thousand files that are not the same."""

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


async def audit(
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    *,
    read: Read,
    threads: int,
    found: Callable[[Finding], object],
) -> VerifyReport:
    """Compare what is at two places; see `aioobs.verify`."""
    audited = Audit(client, source, target, read, threads, found)
    await audited.scheduler.run(
        audited.trees() if await is_folder(client, source) else audited.files()
    )
    return audited.report


# Which files there are


class Audit:
    """Two places, whose files are compared pair by pair."""

    def __init__(
        self,
        client: Client,
        source: ObjectURL | str,
        target: ObjectURL | str,
        read: Read,
        threads: int,
        found: Callable[[Finding], object],
    ) -> None:
        self.report: VerifyReport = VerifyReport()
        adapts = threads == DEFAULT_THREADS
        self.scheduler: Scheduler = Scheduler(client, threads, adapts=adapts)
        self._client = client
        self._roots = (source, target)
        self._read: Read = read
        self._found = found

    async def files(self) -> None:
        """Add a comparison of two files by themselves."""
        source, target = self._roots
        await with_size(self._client, Job(source, target))  # raises if there is nothing
        first, second = await self._file_at(source), await self._file_at(target)
        if first or second:
            self.scheduler.add(partial(self._compare, first, second))

    async def trees(self) -> None:
        """Add comparisons of all files below two folders, while both are listed.

        Findings cannot be taken back, so nothing begins anew where a store lists in an order
        of its own.  But what seems to be on one side alone is believed only if both were in order,
        and the other one is at its end.  Until then it waits; it is looked for if they were not,
        or if too much waits.
        """
        left, right = (Side(self._client, root, strict=False) for root in self._roots)
        waiting: list[Pair] = []
        async with Owned(pairs(left, right)) as batches:
            async for batch in batches:
                is_in_order = left.is_in_order and right.is_in_order
                for one, other in batch:
                    first, second = self._item(0, one), self._item(1, other)
                    if not (first or second):
                        continue
                    is_certain = is_in_order and (right if first else left).is_at_end
                    if (first and second) or is_certain:
                        await self._add(self._compare, first, second)
                    elif is_in_order and len(waiting) < MOST_WAITING:
                        waiting.append((first, second))
                    else:
                        await self._add(self._find_and_compare, first, second)
        task = self._compare if left.is_in_order and right.is_in_order else self._find_and_compare
        for first, second in waiting:
            await self._add(task, first, second)

    async def _add(self, task: Task, first: Item | None, second: Item | None) -> None:
        await self.scheduler.wait_for_room()
        self.scheduler.add(partial(task, first, second))

    async def _find_and_compare(self, first: Item | None, second: Item | None) -> None:
        """Compare a file with the one of the same name, if that is there after all."""
        try:
            if second is None:
                assert first is not None
                second = await self._file_below(self._roots[1], first.name)
            elif await self._file_below(self._roots[0], second.name) is not None:
                return  # it is compared when that one is
        except OSError as error:
            if concerns_all(error):
                raise
            item = first or second
            assert item is not None
            self._report(Finding(item.name, "unchecked", str(error)))
        else:
            await self._compare(first, second)

    async def _compare(self, first: Item | None, second: Item | None) -> None:
        self._report(await compared(self._client, self.scheduler, first, second, self._read))

    def _report(self, finding: Finding) -> None:
        self.report.add(finding)
        self._found(finding)

    def _item(self, number: int, found: Found | None) -> Item | None:
        """Return a file that was listed; `None`: there is none, or it is a folder."""
        if found is None or (found.is_directory and found.error is None):
            return None
        root, name = self._roots[number], found.name
        place = os.path.join(root, name) if isinstance(root, str) else root / name
        return Item(name, place, found.size, found.etag, found.error)

    async def _file_at(self, place: ObjectURL | str) -> Item | None:
        """Return a file by itself, if it is there."""
        if isinstance(place, str):
            return await local_file("", place)
        try:
            info = await self._client.head_object(place.bucket, place.key)
        except NotFound:
            return None
        return Item("", place, info.size, info.etag)

    async def _file_below(self, root: ObjectURL | str, name: str) -> Item | None:
        """Return a file in a folder, if it is there."""
        try:
            url = place_below(root, name)
        except UnsafeKey:
            return None
        if isinstance(url, str):
            return await local_file(name, url)
        if unencodable(name):
            return None
        page = await self._client.list_objects(url.bucket, url.key, delimiter="/", limit=1)
        found = (one for one in page.objects if one.key == url.key)
        return next((Item(name, url, one.size, one.etag) for one in found), None)


async def local_file(name: str, path: str) -> Item | None:
    try:
        info = await in_thread(os.stat, path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Item(name, path, info.st_size) if modes.S_ISREG(info.st_mode) else None


# Whether two files are the same


async def compared(
    client: Client, scheduler: Scheduler, first: Item | None, second: Item | None, read: Read
) -> Finding:
    """Return the finding for one name."""
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
        same = await is_same(client, scheduler, first, second, read)
    except OSError as failed:
        if concerns_all(failed):
            raise
        return Finding(name, "unchecked", str(failed))
    if same is None:
        return Finding(name, "unchecked", f"{first.size} bytes both, and nothing else is known")
    return Finding(name, "same") if same else Finding(name, "different", "another content")


async def is_same(
    client: Client, scheduler: Scheduler, first: Item, second: Item, read: Read
) -> bool | None:
    """Tell whether two files of one size have the same content, as far as may be read."""
    one, other = first.place, second.place
    if not first.size:
        return True
    if read == "all" or (read == "local" and isinstance(one, str) and isinstance(other, str)):
        return await same_bytes(client, scheduler, first, second)
    if not isinstance(one, str) and not isinstance(other, str):
        if first.etag == second.etag and is_digest(first.etag):
            return True
        return await are_same(client, one, other)
    if read == "nothing":
        return None
    local, remote = (first, second) if isinstance(one, str) else (second, first)
    assert not isinstance(remote.place, str)
    async with opened(str(local.place)) as file:
        found = await agrees(client, remote.place, remote.etag, file.descriptor, local.size)
        file.check()
    return found


async def same_bytes(client: Client, scheduler: Scheduler, first: Item, second: Item) -> bool:
    """Tell whether two files have the same bytes, which are read by all workers."""
    same = True
    one, other = Place(first.place, first.etag), Place(second.place, second.etag)

    async def check(part: Part) -> None:
        nonlocal same
        if same and not await has_same_bytes(client, one, other, part.offset, part.size):
            same = False

    await scheduler.share(cut(first.size, RANGE), check)
    return same
