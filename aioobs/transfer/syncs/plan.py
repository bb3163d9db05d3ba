"""The plan of a sync: two trees compared."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from aioobs.errors import ConfigError, NotFound
from aioobs.generators import Owned
from aioobs.store.folding import folding
from aioobs.store.local import LocalStore
from aioobs.store.remote import RemoteStore
from aioobs.tasks import Tasks
from aioobs.threads import in_thread
from aioobs.transfer.compressed_list import CompressedList
from aioobs.transfer.failures import concerns_all
from aioobs.transfer.job import Job
from aioobs.transfer.jobs import is_folder, job_of
from aioobs.transfer.merge import ORDERS, OutOfOrder, Side, full_name, pairs
from aioobs.transfer.syncs.deletions import place_of
from aioobs.transfer.syncs.difference import difference, is_alike
from aioobs.transfer.targets import NameConflicts, contains, name_below

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aioobs.s3.client import Client
    from aioobs.store.folding import Folding
    from aioobs.transfer.filter import Filter
    from aioobs.transfer.job import Comparison
    from aioobs.transfer.merge import Pair
    from aioobs.transfer.tree import Found, Order
    from aioobs.url import ObjectURL

__all__ = ["SyncPlan", "plan_tree"]

SAME = "same"


@dataclass(frozen=True)
class SyncPlan:
    """What makes one tree like another, as both were when they were compared; can be pickled."""

    source: ObjectURL | str
    target: ObjectURL | str
    jobs: CompressedList[Job]
    """What is to be copied: each has `source`, `target`, `size` in bytes and `reason`, which is
    "new", "size", "time" or "content", or the `error` that it cannot be copied."""
    deletions: CompressedList[str]
    """What is to be deleted, by its name below the target; that of a folder ends in a slash."""
    bytes: int
    """The total size of the jobs."""
    unchanged: int
    """How many files need not be copied."""
    extras: int
    """How many files and folders are only in the target, and stay."""
    blocked: frozenset[str]
    """Names of files on one side that are folders on the other: copied after the deletions."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.jobs or self.deletions)

    def check(self, max_delete: int | None) -> None:
        """Refuse to delete too much.

        Raises:
            ConfigError: that would be more than *max_delete*, or there is nothing in the source.
        """
        count = len(self.deletions)
        if max_delete is not None and count > max_delete:
            raise ConfigError(
                f"{count} files would be deleted in {self.target}, and at most {max_delete} may "
                f"be: nothing was copied or deleted, give max_delete={count} if that is what you "
                "want"
            )
        if count and max_delete is None and not (self.jobs or self.unchanged):
            raise ConfigError(
                f"there is nothing in {self.source}, and all {count} files in {self.target} would "
                f"be deleted: nothing was, give max_delete={count} if that is what you want"
            )


async def plan_tree(
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    *,
    by: Comparison,
    delete: bool,
    wanted: Filter | None,
    checks: int,
) -> SyncPlan:
    """Compare two trees; see `aioobs.plan_sync`.  So many *checks* of content run at a time."""
    await check_places(client, source, target)
    folds = await in_thread(folding, target) if isinstance(target, str) else None
    fold = folds.fold if folds is not None and any(folds) else None
    nested = isinstance(target, str) and not isinstance(source, str)
    for order in ORDERS:
        comparison = TreeComparison(client, source, target, by, checks, delete=delete)
        conflicts = NameConflicts(nested=nested, fold=fold)
        taken = set[str]()
        changed, size, unchanged = CompressedList[Job](), 0, 0
        try:
            async for jobs in sifted(comparison.jobs(order, wanted), conflicts):
                for job in jobs:
                    if fold is not None:
                        note(fold(name_below(target, job.target)), taken)
                    if job.reason == SAME and job.error is None:
                        unchanged += 1
                    else:
                        changed.append(job)
                        size += job.size or 0
        except OutOfOrder:
            continue
        return SyncPlan(
            source,
            target,
            changed,
            without(comparison.deletions, taken, folds),
            size,
            unchanged + comparison.unchanged,
            comparison.extras,
            frozenset(comparison.blocked),
        )
    raise AssertionError("the last order is none")


async def sifted(
    batches: AsyncIterator[list[Job]], conflicts: NameConflicts
) -> AsyncIterator[list[Job]]:
    async for jobs in batches:
        yield conflicts.sift(jobs)
    yield conflicts.rest()


def note(name: str, taken: set[str]) -> None:
    """Note a name, and those of the folders above."""
    while name and name not in taken:
        taken.add(name)
        name = name.rpartition("/")[0]


def without(
    deletions: CompressedList[str], taken: set[str], folds: Folding | None
) -> CompressedList[str]:
    """Return deletions but for what the source has under a name that is the same one there."""
    if folds is None or not taken:
        return deletions
    found = CompressedList[str]()
    for name in deletions:
        if folds.fold(name.rstrip("/")) not in taken:
            found.append(name)
    return found


async def check_places(client: Client, source: ObjectURL | str, target: ObjectURL | str) -> None:
    """Refuse what is no folder, and two folders of which one lies in the other.

    Raises:
        ConfigError: they do.
        NotFound: there is no source.
        NotADirectoryError: one of them is a file.
    """
    if contains(source, target) or contains(target, source):
        raise ConfigError(f"one of {source} and {target} lies in the other: they cannot be alike")
    for place in (source, target):
        if await is_folder(client, place):
            continue
        store = LocalStore() if isinstance(place, str) else RemoteStore(client)
        if await store.exists(str(place)) and not str(place).endswith("/"):
            raise NotADirectoryError(errno.ENOTDIR, "only folders can be made alike", str(place))
        if place is source:
            raise NotFound("there is no such folder", url=str(source))


class TreeComparison:
    """Two trees, read and compared in one order of their names."""

    def __init__(
        self,
        client: Client,
        source: ObjectURL | str,
        target: ObjectURL | str,
        by: Comparison,
        checks: int,
        *,
        delete: bool,
    ) -> None:
        self.deletions: CompressedList[str] = CompressedList()
        self.extras: int = 0
        self.unchanged: int = 0
        self.blocked: set[str] = set()
        self._client = client
        self._source = source
        self._target = target
        self._by = by
        self._delete = delete
        self._checks = max(checks, 1)
        # What cannot stand beside each other on this machine is found among all names.
        self._needs_all = isinstance(target, str)
        self._held: list[tuple[str, bool]] = []
        self._folders: list[str] = []

    async def jobs(self, order: Order | None, wanted: Filter | None) -> AsyncIterator[list[Job]]:
        """Yield a job for each thing in the source; the reason tells whether it is to be copied."""
        # What is left out may be in a folder, which some stores do not let go by itself then.
        markers = self._delete and wanted is None
        left = Side(self._client, self._source, order, wanted)
        right = Side(self._client, self._target, order, wanted, markers=markers)
        last: Pair | None = None
        async with Owned(pairs(left, right)) as both:
            async for batch in both:
                if last is not None:
                    batch.insert(0, last)
                last = batch[-1]
                yield await self._judged(batch)
        yield await self._judged([last, (None, None)] if last else [])
        self._leave_folders("", in_source=False)

    async def _judged(self, batch: list[Pair]) -> list[Job]:
        """Return the jobs of all pairs but the last one, which shows what is next."""
        jobs: list[Job] = []
        async with Tasks() as tasks:
            for (source, target), (_, following) in pairwise(batch):
                self._note(source, target)
                if source is None:
                    assert target is not None
                    jobs += self._only_in_target(target)
                    continue
                reason = self._reason(source, target, following)
                if reason == SAME and not self._needs_all and source.error is None:
                    self.unchanged += 1
                    continue
                job = job_of(self._source, self._target, source)
                is_timed = isinstance(self._target, str) and not source.is_directory
                mtime_nsec = source.mtime_nsec if is_timed else 0
                jobs.append(job._replace(mtime_nsec=mtime_nsec, reason=reason or ""))
                if reason is None and job.error is None:
                    assert target is not None
                    look = self._look(jobs, len(jobs) - 1, target)
                    await tasks.start(look, at_most=self._checks)
        return jobs

    def _reason(self, source: Found, target: Found | None, following: Found | None) -> str | None:
        if target is not None and target.error is None:
            different = difference(source, target, self._by)
            return SAME if different == "" else different
        is_there = following is not None and following.name.startswith(f"{source.name}/")
        return SAME if source.is_directory and is_there and not self._delete else "new"

    async def _look(self, jobs: list[Job], number: int, target: Found) -> None:
        job, reads = jobs[number], self._by == "content"
        try:
            alike = await is_alike(self._client, job, target.etag, reads=reads)
        except OSError as error:
            if concerns_all(error):
                raise
            jobs[number] = job._replace(error=error)
            return
        different = "time" if self._by == "time" else "content"
        jobs[number] = job._replace(reason=SAME if alike else different)

    def _note(self, source: Found | None, target: Found | None) -> None:
        """Note what is a file on one side and a folder on the other.

        A name is held until one comes that does not begin with it: none in such a folder follows.
        """
        found = source or target
        assert found is not None
        name, is_extra = full_name(found), source is None
        self._leave_folders(name, in_source=not is_extra)
        while self._held and not name.startswith(self._held[-1][0]):
            self._held.pop()
        for file, was_extra in self._held:
            if self._delete and was_extra != is_extra and name.startswith(f"{file}/"):
                self.blocked.add(file)
        self._held.append((name, is_extra))

    def _leave_folders(self, name: str, *, in_source: bool) -> None:
        """Record the folders of the target that have been passed, and had nothing of the source."""
        while self._folders and not (name and name.startswith(self._folders[-1])):
            self._extra(self._folders.pop())
        if in_source:
            self._folders.clear()

    def _only_in_target(self, found: Found) -> list[Job]:
        """Record what is to go; what cannot be read is a job that fails, so that nothing goes."""
        is_dead_link = isinstance(found.error, FileNotFoundError)
        if found.is_linked or (found.error is not None and found.error.errno == errno.ELOOP):
            self.extras += 1  # it may really be elsewhere, and is not ours to delete
        elif found.error is not None and not is_dead_link:
            place = place_of(self._target, found.name)
            return [Job(place, place, error=found.error)]
        elif found.is_directory:
            self._folders.append(full_name(found))
        else:
            self._extra(found.name)
        return []

    def _extra(self, name: str) -> None:
        if self._delete:
            self.deletions.append(name)
        else:
            self.extras += 1
