"""Carries out the plan of a sync."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aioobs.errors import TransferFailed
from aioobs.report import SyncReport
from aioobs.store.folders import make_folder
from aioobs.threads import in_thread
from aioobs.transfer.engine import perform
from aioobs.transfer.run import Run
from aioobs.transfer.syncs.deletions import delete_extras
from aioobs.transfer.targets import name_below

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from aioobs.s3.client import Client
    from aioobs.transfer.engine import CopyOptions
    from aioobs.transfer.job import Job
    from aioobs.transfer.progress import Progress
    from aioobs.transfer.syncs.plan import SyncPlan

__all__ = ["Sync"]


class Sync:
    """Does what a plan says.

    *copied* is called with each job that is done, *deleted* with the path or URL of each deletion.
    """

    def __init__(
        self,
        client: Client,
        plan: SyncPlan,
        options: CopyOptions,
        *,
        copied: Callable[[Job], None] = lambda _: None,
        deleted: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._plan = plan
        self._options = options
        self._tell_copied = copied
        self._tell_deleted = deleted
        self._copied = self._bytes = self._deleted = 0

    async def do(self, *, max_delete: int | None) -> SyncReport:
        """Copy what differs, and then, if nothing has failed, delete what is to go."""
        plan = self._plan
        plan.check(max_delete)
        if isinstance(plan.target, str):
            await in_thread(make_folder, plan.target)
        await self._copy(blocked=False)
        if plan.deletions:
            await self._delete()
        if plan.blocked:
            await self._copy(blocked=True)
        return self._report()

    async def _copy(self, *, blocked: bool) -> None:
        """Copy what is not blocked by something to be deleted, or else the rest."""
        options = self._options
        progress = None if options.progress is None else self._tell
        run = Run(self._client, options.threads, progress, self._count, headers=options.headers)

        async def jobs() -> AsyncIterator[Job]:
            for job in self._plan.jobs:
                if self._is_blocked(job) == blocked:
                    yield job

        try:
            await perform(run, self._plan.source, jobs(), options)
        except TransferFailed as error:
            if len(self._plan.deletions) and not self._deleted:
                error.message += "\nnothing was deleted"
            raise self._told(error) from error.__cause__

    def _tell(self, progress: Progress) -> None:
        """Report progress; the totals are known from the plan."""
        assert self._options.progress is not None
        files, size = len(self._plan.jobs), self._plan.bytes
        self._options.progress(
            replace(progress, files_total=files, bytes_total=size, totals_known=True)
        )

    def _count(self, job: Job) -> None:
        self._copied += 1
        self._bytes += job.size or 0
        self._tell_copied(job)

    def _is_blocked(self, job: Job) -> bool:
        blocked = self._plan.blocked
        if not blocked or job.error is not None:
            return False
        name = name_below(self._plan.target, job.target)
        return any(name[:end] in blocked for end in (len(name), *slashes(name)))

    async def _delete(self) -> None:
        plan = self._plan
        keep = {name_below(plan.target, job.target) for job in plan.jobs if job.is_directory}

        def removed(place: str) -> None:
            self._deleted += 1
            self._tell_deleted(place)

        failures = await delete_extras(self._client, plan.target, plan.deletions, keep, removed)
        if failures:
            raise self._told(
                TransferFailed(
                    f"all was copied, {len(failures)} files could not be deleted; "
                    f"the first: {failures[0]}",
                    url=str(plan.target),
                    failures=failures,
                )
            )

    def _report(self, failures: Iterable[OSError] = ()) -> SyncReport:
        left = self._plan.extras + len(self._plan.deletions) - self._deleted
        return SyncReport(
            self._copied, self._bytes, self._plan.unchanged, self._deleted, left, tuple(failures)
        )

    def _told(self, error: TransferFailed) -> TransferFailed:
        error.operation, error.report = "sync_tree", self._report(error.failures)
        return error


def slashes(name: str) -> Iterator[int]:
    return (place for place, letter in enumerate(name) if letter == "/")
