"""Syncs of folders: `sync_tree`, and its two steps `plan_sync` and `run_sync`."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from aioobs.config import check_choice, check_threads
from aioobs.file import place
from aioobs.report import SyncReport
from aioobs.session import current_client
from aioobs.transfer.engine import CopyOptions
from aioobs.transfer.filter import Filter
from aioobs.transfer.job import Comparison
from aioobs.transfer.syncs.plan import SyncPlan, plan_tree
from aioobs.transfer.syncs.syncing import Sync

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from aioobs.transfer.progress import ProgressCallback
    from aioobs.url import Path

__all__ = ["SyncPlan", "SyncReport", "plan_sync", "run_sync", "sync_tree"]


async def sync_tree(
    src_url: Path,
    dst_url: Path,
    *,
    delete: bool = False,
    max_delete: int | None = None,
    compare: Comparison = "time",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    threads: int = 16,
    is_processing: bool = True,
    progress: ProgressCallback | None = None,
) -> SyncReport:
    """Make the folder *dst_url* like the folder *src_url*: copy what is new or different.

    Each may be local or in a store.  Empty folders count; links of the source are followed.  What
    was copied to this machine gets the time of its source, so that a sync in either direction has
    nothing to copy afterwards.

    Nothing is deleted unless everything has been copied.  What is only in the target, and is not
    left out by the patterns, is deleted then if *delete* is true; never what is behind a link.
    An empty source deletes nothing, unless *max_delete* allows that.

    Args:
        src_url: The folder to be copied.
        dst_url: The folder that becomes like it; it may not exist yet.
        delete: Whether to delete what is only in the target.
        max_delete: Refuse everything, before anything is copied, if more would be deleted.
        compare: What makes a file different.  "time": another size, or a target older than the
            source.  "size": the size alone.  "etag": another size, or content as ETags tell; what
            they do not tell is copied.  "content": as "etag", but what they do not tell is read.
        include: Patterns, of which a name relative to the folder has to match one, if there are
            any; ``*`` matches slashes, too, and ``name/`` all that is below a folder.
        exclude: Patterns of which it must match none.  Their order means nothing.
        threads: As for `aioobs.file.copy_parallel`.
        is_processing: See `aioobs.file.copy_parallel`.
        progress: As for `aioobs.file.copy_parallel`.

    Raises:
        MoxFileNotExistsException: there is no folder *src_url*.
        NotADirectoryError: one of them is a file.
        TransferFailed: some files failed, and nothing or not all was deleted; `report` says what
            was done, and `failures` has an exception for each file.
        ValueError: one of them lies in the other, or too much would be deleted.
    """
    plan = await plan_sync(
        src_url,
        dst_url,
        delete=delete,
        compare=compare,
        include=include,
        exclude=exclude,
        threads=threads,
    )
    return await run_sync(
        plan,
        max_delete=max_delete,
        threads=threads,
        is_processing=is_processing,
        progress=progress,
    )


async def plan_sync(
    src_url: Path,
    dst_url: Path,
    *,
    delete: bool = False,
    compare: Comparison = "time",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    threads: int = 16,
) -> SyncPlan:
    """Return what `sync_tree` would do, which is a dry run of it: nothing is changed.

    It takes some 30 bytes of memory for each file that differs, and none for the others where the
    store lists in the order of the keys or of the folders, as all that are known do.

    Raises:
        MoxFileNotExistsException: there is no folder *src_url*.
        NotADirectoryError: one of them is a file.
        ValueError: one of them lies in the other, or *compare* is not known.
    """
    check_choice("compare", compare, get_args(Comparison))
    check_threads(threads)
    wanted = Filter(include, exclude)
    return await plan_tree(
        current_client(),
        place(src_url),
        place(dst_url),
        by=compare,
        delete=delete,
        wanted=wanted or None,
        checks=threads,
    )


async def run_sync(
    plan: SyncPlan,
    *,
    max_delete: int | None = None,
    threads: int = 16,
    is_processing: bool = True,
    progress: ProgressCallback | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
) -> SyncReport:
    """Do what was planned; see `sync_tree`.

    Args:
        plan: What `plan_sync` has returned.
        max_delete: Refuse everything if more would be deleted.
        threads: As for `aioobs.file.copy_parallel`.
        is_processing: Without an executor: see `aioobs.file.copy_parallel`.
        progress: As for `aioobs.file.copy_parallel`.
        executor: Any `concurrent.futures.Executor`, whose workers do the copying.
        workers: How many workers it has, if it does not say so itself.

    Raises:
        TransferFailed: some files failed; `report` says what was done.
        ValueError: too much would be deleted.
        WorkerLost: no worker could do anything.
    """
    check_threads(threads)
    options = CopyOptions(
        threads=threads,
        progress=progress,
        processes=is_processing,
        executor=executor,
        executor_workers=workers,
    )
    return await Sync(current_client(), plan, options).do(max_delete=max_delete)
