"""Copies in two steps, `plan_copy` and `run_copy`, on one machine or on many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aioobs.config import check_threads
from aioobs.file import place, safety
from aioobs.session import current_client
from aioobs.transfer import engine
from aioobs.transfer.jobs import is_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from concurrent.futures import Executor

    from aioobs.transfer.job import Job, Verify
    from aioobs.transfer.progress import ProgressCallback
    from aioobs.url import ObjectURL, Path

__all__ = ["CopyPlan", "plan_copy", "run_copy"]


@dataclass(frozen=True)
class CopyPlan:
    """What there is to copy, as it was when it was planned; can be iterated over and pickled."""

    source: ObjectURL | str
    target: ObjectURL | str
    jobs: Sequence[Job]
    """A job has `source`, `target` and `size`, which is `None` where nobody has looked yet."""

    @property
    def bytes(self) -> int:
        """The sizes that are known, together."""
        return sum(job.size or 0 for job in self.jobs)

    def __repr__(self) -> str:
        return f"<CopyPlan {self.source} -> {self.target}: {len(self)} files, {self.bytes} bytes>"

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)


async def plan_copy(
    src_url: Path, dst_url: Path, file_list: Sequence[str] | None = None
) -> CopyPlan:
    """Return what `aioobs.file.copy_parallel` would copy; nothing is copied yet.

    A plan is held in memory, some 500 bytes for a file, whereas `copy_parallel` holds no list.

    Raises:
        MoxFileNotExistsException: there is nothing at *src_url*.
        ValueError: the target lies within the source.
    """
    client, source, target = current_client(), place(src_url), place(dst_url)
    folder = await is_folder(client, source)
    jobs = engine.planned(client, source, target, file_list, folder=folder)
    return CopyPlan(source, target, tuple([job async for job in jobs]))


async def run_copy(
    plan: CopyPlan,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    threads: int = 16,
    is_processing: bool = True,
    move: bool = False,
    progress: ProgressCallback | None = None,
    journal: Path | None = None,
    verify: Verify = "size",
    durable: bool = False,
) -> None:
    """Copy what was planned.

    Args:
        plan: What `plan_copy` has returned.
        executor: Any `concurrent.futures.Executor`, whose workers do the copying.
        workers: How many workers it has, if it does not say so itself; each is given two batches.
        threads: As for `aioobs.file.copy_parallel`.
        is_processing: Without an executor: see `aioobs.file.copy_parallel`.
        move: Whether to remove the files from the source once all of them are copied.
        progress: As for `aioobs.file.copy_parallel`.
        journal: As for `aioobs.file.copy_parallel`.
        verify: As for `aioobs.file.copy_parallel`.
        durable: As for `aioobs.file.copy_parallel`.

    Raises:
        TransferFailed: some files failed; `failures` has an exception for each.
        WorkerLost: no worker could do anything.
    """

    async def jobs() -> AsyncIterator[Job]:
        for job in plan.jobs:
            yield job

    check_threads(threads)
    options = engine.CopyOptions(
        threads=threads,
        progress=progress,
        processes=is_processing,
        executor=executor,
        executor_workers=workers,
        journal=None if journal is None else place(journal),
        safety=safety(verify, durable=durable),
    )
    client = current_client()
    await engine.copy_planned(client, plan.source, plan.target, jobs(), options, move=move)
