"""sync: one folder made like another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs.cli.copying import headers_given
from aioobs.cli.failures import complain, tell
from aioobs.cli.output import say, say_json
from aioobs.cli.tally import Bar
from aioobs.errors import TransferFailed
from aioobs.session import current_client
from aioobs.transfer.engine import CopyOptions
from aioobs.transfer.syncs.deletions import place_of
from aioobs.transfer.syncs.syncing import Sync
from aioobs.trees import plan_sync
from aioobs.url import parse

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from aioobs.cli.tally import Tally
    from aioobs.transfer.job import Job
    from aioobs.transfer.syncs.plan import SyncPlan

__all__ = ["sync"]


async def sync(given: argparse.Namespace, tally: Tally) -> int:
    """Make one folder like another."""
    headers = headers_given(given, parse(given.source), parse(given.target))
    bar = Bar(wanted=not (given.no_progress or given.verbose or given.json or given.dry_run))
    bar.say(f"comparing {given.source} with {given.target}")
    try:
        plan = await plan_sync(
            given.source,
            given.target,
            delete=given.delete,
            compare=given.compare,
            include=given.include,
            exclude=given.exclude,
            threads=given.jobs,
        )
    finally:
        bar.end()
    tally.rest = f", {plan.unchanged} unchanged"
    if plan.extras:
        tally.rest += f", {plan.extras} only in {given.target}"
    if given.dry_run:
        return only_say(plan, given)
    tally.verb = "copied"
    options = CopyOptions(threads=given.jobs, progress=bar.update, headers=headers)
    return await perform(plan, given, tally, bar, options)


def only_say(plan: SyncPlan, given: argparse.Namespace) -> int:
    """Write what would be done; complain of what would not."""
    failures = [job.error for job in plan.jobs if job.error is not None]
    for job in plan.jobs:
        if job.error is None:
            show_copy(job, given)
    for name in plan.deletions:
        show_deletion(place_of(plan.target, name), given)
    for error in failures:
        complain(error, as_json=given.json)
    if given.json:
        copied = len(plan.jobs) - len(failures)
        sum_up(plan, given, copied, plan.bytes, len(plan.deletions), len(failures))
    plan.check(given.max_delete)
    return 1 if failures else 0


async def perform(
    plan: SyncPlan, given: argparse.Namespace, tally: Tally, bar: Bar, options: CopyOptions
) -> int:
    """Do what was planned."""

    def copied(job: Job) -> None:
        tally.add(job.size or 0)
        if given.verbose or given.json:
            show_copy(job, given)

    def deleted(place: str) -> None:
        tally.deleted += 1
        if given.verbose or given.json:
            show_deletion(place, given)

    failures: Sequence[OSError] = ()
    sync = Sync(current_client(), plan, options, copied=copied, deleted=deleted)
    try:
        await sync.do(max_delete=given.max_delete)
    except TransferFailed as error:
        failures = error.failures
        bar.end()
        for one in failures:
            complain(one, as_json=given.json)
        if plan.deletions and not tally.deleted:
            tell("nothing was deleted, since not everything was copied")
    finally:
        bar.end()
    if given.json:
        sum_up(plan, given, tally.files, tally.bytes, tally.deleted, len(failures))
    bar.end(tally)
    return 1 if failures else 0


def show_copy(job: Job, given: argparse.Namespace) -> None:
    slash = "/" if job.is_directory else ""
    source, target = (f"{str(place).rstrip('/')}{slash}" for place in (job.source, job.target))
    if given.json:
        say_json(
            operation="copy",
            source=source,
            target=target,
            size=job.size,
            reason=job.reason,
            dry_run=given.dry_run,
        )
    else:
        say(f"copy {source} to {target} ({job.reason})")


def show_deletion(place: str, given: argparse.Namespace) -> None:
    if given.json:
        say_json(operation="delete", path=place, dry_run=given.dry_run)
    else:
        say(f"delete {place}")


def sum_up(
    plan: SyncPlan, given: argparse.Namespace, copied: int, size: int, deleted: int, failed: int
) -> None:
    """Write the last line of JSON."""
    say_json(
        operation="sync",
        copied=copied,
        bytes=size,
        unchanged=plan.unchanged,
        deleted=deleted,
        extras=plan.extras + len(plan.deletions) - deleted,
        failed=failed,
        dry_run=given.dry_run,
    )
