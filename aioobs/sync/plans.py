# Written by aioobs/sync/_generate.py from aioobs/plans.py: do not edit.
"""Blocking version of `aioobs.plans`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs import plans as _async
from aioobs.plans import CopyPlan
from aioobs.sync._loop import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from aioobs.transfer.job import Verify
    from aioobs.transfer.progress import ProgressCallback
    from aioobs.url import Path

__all__ = ["CopyPlan", "plan_copy", "run_copy"]


def plan_copy(src_url: Path, dst_url: Path, file_list: Sequence[str] | None = None) -> CopyPlan:
    """Return what `aioobs.file.copy_parallel` would copy; nothing is copied yet.

    A plan is held in memory, some 500 bytes for a file, whereas `copy_parallel` holds no list.

    Raises:
        MoxFileNotExistsException: there is nothing at *src_url*.
        ValueError: the target lies within the source.
    """
    return run(_async.plan_copy(src_url, dst_url, file_list))


def run_copy(
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
    run(
        _async.run_copy(
            plan,
            executor=executor,
            workers=workers,
            threads=threads,
            is_processing=is_processing,
            move=move,
            progress=progress,
            journal=journal,
            verify=verify,
            durable=durable,
        )
    )
