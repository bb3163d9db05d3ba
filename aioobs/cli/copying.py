"""cp and mv: one copy for all that the command line names."""

from __future__ import annotations

import os
import stat
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from aioobs.cli.failures import UsageError, complain, line_of, program, tell
from aioobs.cli.items import expand
from aioobs.cli.output import say, say_json
from aioobs.cli.streams import copy_stream
from aioobs.cli.tally import Bar
from aioobs.errors import IsADirectory, TransferFailed
from aioobs.session import current_client
from aioobs.threads import in_thread
from aioobs.transfer.engine import CopyOptions, copy_jobs, move
from aioobs.transfer.filter import Filter
from aioobs.transfer.job import Job, Safety
from aioobs.transfer.jobs import is_folder, jobs_below, with_size
from aioobs.transfer.removal import SourceRemoval
from aioobs.transfer.targets import contains, name_below
from aioobs.url import ObjectURL, parse

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Sequence

    from aioobs.cli.tally import Tally
    from aioobs.store.headers import Headers

__all__ = ["cp", "mv"]

Place = ObjectURL | str


class Pair(NamedTuple):
    """A file or folder, and the name of its copy."""

    source: Place
    target: Place
    folder: bool
    by_pattern: bool


async def cp(given: argparse.Namespace, tally: Tally) -> int:
    """Copy files and folders."""
    *sources, target = sides(given)
    if "-" in given.paths:
        if len(sources) > 1:
            raise UsageError("- is copied alone")
        headers = headers_given(given, parse(sources[0]), parse(target))
        return await copy_stream(sources[0], target, given, tally, headers)
    tally.verb = "copied"
    return await Copy(given, tally, await pairs(sources, target, given)).run(None)


async def mv(given: argparse.Namespace, tally: Tally) -> int:
    """Move files and folders; each file is removed when its copy is whole."""
    *sources, target = sides(given)
    if "-" in given.paths:
        raise UsageError("- cannot be moved")
    tally.verb = "moved"
    found = await pairs(sources, target, given)
    for pair in found:
        if pair.folder and contains(pair.target, pair.source):
            raise UsageError(f"{pair.source} lies in {pair.target}: a copy could replace it")
    if not (given.include or given.exclude or given.dry_run):
        renamed = [pair for pair in found if is_local(pair.source) and is_local(pair.target)]
        for pair in renamed:
            await rename(str(pair.source), str(pair.target))
            Copy.show(given, Job(pair.source, pair.target))
            tally.add(0)
        found = [pair for pair in found if pair not in renamed]
    folders = [pair.source for pair in found if pair.folder]
    removal = SourceRemoval(current_client(), folders, tally.add)
    return await Copy(given, tally, found).run(removal) if found else 0


async def rename(source: str, target: str) -> None:
    """Rename a local file or folder; the folders above its new name are made."""
    if folder := os.path.dirname(target.rstrip("/")):
        await in_thread(os.makedirs, folder, exist_ok=True)
    await move(current_client(), source, target)


def sides(given: argparse.Namespace) -> list[str]:
    """Return the sources and the target."""
    if len(given.paths) < 2:
        raise UsageError(
            f"{given.command} needs a source and a target; see: {program()} {given.command} --help"
        )
    return list(given.paths)


def is_local(place: Place) -> bool:
    return isinstance(place, str)


async def pairs(sources: Sequence[str], target: str, given: argparse.Namespace) -> list[Pair]:
    """Return what goes where.

    Raises:
        UsageError: several things would have one name, or a copy would replace its source.
    """
    client, goal, named = current_client(), parse(target), await expand(sources)
    several = len(sources) > 1 or any(one.by_pattern for one in named)
    into = not given.exact and (target.endswith("/") or await is_folder(client, goal))
    if several and not into:
        raise UsageError(f"{target} is no folder: several files go into one, named with a slash")
    if several and given.journal:
        raise UsageError("a journal is that of one source")
    found: list[Pair] = []
    for one in named:
        source = parse(one.path)
        folder = given.recursive and await is_folder(client, source)
        inside = into and not (folder and names_copy(goal, target, given))
        name = last_name(source) if inside else ""
        found.append(Pair(source, below(goal, name) if name else goal, folder, one.by_pattern))
        check(found[-1])
        headers_given(given, source, goal)
    (target, times), *_ = Counter(str(pair.target) for pair in found).most_common(1)
    if times > 1:
        raise UsageError(f"several of the sources would become {target}")
    return found


def names_copy(goal: Place, target: str, given: argparse.Namespace) -> bool:
    """Tell whether the target is the name of the copy of a folder, whether or not there is one.

    When a command with a journal is repeated, to continue, the folder is there already.
    """
    named = isinstance(goal, str) or bool(goal.key)
    return bool(given.journal) and named and not target.endswith("/")


def last_name(place: Place) -> str:
    """Return the name that a copy in a folder gets; empty for ``.`` and its like: what is in it."""
    if isinstance(place, str):
        name = os.path.basename(place.rstrip("/"))
        return "" if name in (".", "..") else name
    return place.name or place.bucket


def below(folder: Place, name: str) -> Place:
    return os.path.join(folder, name) if isinstance(folder, str) else folder / name


def headers_given(given: argparse.Namespace, source: Place, target: Place) -> Headers | None:
    """Return what the objects of a copy are made with, if the options say it.

    Raises:
        UsageError: there is none that could be made so.
    """
    if given.content_type is None:
        return None
    if not is_local(source) or is_local(target):
        raise UsageError("--content-type is for local files that go to a store")
    return {"content_type": given.content_type}


def check(pair: Pair) -> None:
    """Refuse a copy onto its source, of a folder into itself, and of what has no size.

    Raises:
        UsageError: it is one of these.
    """
    source, target = pair.source, pair.target
    if isinstance(source, str) and os.path.exists(source):
        mode = os.stat(source).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise UsageError(f"{source} is a pipe or a device: aioobs cp - {target} < {source}")
    if isinstance(target, str) and os.path.exists(target):
        mode = os.stat(target).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            raise UsageError(f"{target} is a pipe: aioobs cp {source} - > {target}")
    if isinstance(source, str) and isinstance(target, str):
        same = (
            os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target)
        )
    elif isinstance(source, ObjectURL) and isinstance(target, ObjectURL):
        same = source[:2] == target[:2]
    else:
        same = False
    if not pair.folder and isinstance(target, ObjectURL) and (target.key or "/").endswith("/"):
        raise UsageError(f"{target} is the name of a folder, and {source} would be a file")
    if same or (pair.folder and contains(source, target)):
        raise UsageError(f"{target} is, or lies in, the source {source}")


class Copy:
    """One copy of all pairs: files of all of them are under way at the same time."""

    def __init__(self, given: argparse.Namespace, tally: Tally, found: Sequence[Pair]) -> None:
        self.given = given
        self.tally = tally
        self.pairs = found
        self.wanted: Filter = Filter(given.include, given.exclude)
        self.patterns: set[str] = {
            str(pair.source) for pair in found if pair.by_pattern and not pair.folder
        }

    async def run(self, removal: SourceRemoval | None) -> int:
        """Copy, and have *removal* remove what was copied; return the exit status."""
        if self.given.dry_run:
            return await self._only_say()
        given = self.given
        bar = Bar(wanted=not (given.no_progress or given.verbose or given.json))
        try:
            failures = await self._copy(removal, bar)
        finally:
            bar.end()
        status = self._report(failures)
        if removal is not None:
            await removal.finish(with_folders=not (status or self.wanted))
            for why in removal.left:
                tell(f"copied, but not removed: {line_of(why)}")
                status = 1
        bar.end(self.tally)
        return status

    async def _copy(self, removal: SourceRemoval | None, bar: Bar) -> Sequence[OSError]:
        """Copy, and return why files failed; raise it where only one was to be copied."""
        given = self.given

        def copied(job: Job) -> None:
            if removal is None:
                self.tally.add(job.size or 0)
            else:
                removal.add(job)
            self.show(given, job)

        first = self.pairs[0]
        options = CopyOptions(
            threads=given.jobs,
            progress=bar.update,
            journal=parse(given.journal) if given.journal else None,
            safety=Safety(given.verify, given.durable),
            headers=headers_given(given, first.source, first.target),
        )
        client, jobs = current_client(), self._jobs(removal)
        try:
            await copy_jobs(
                client,
                first.source,
                first.target,
                jobs,
                options,
                copied=copied,
                excused=self._excuses,
            )
        except TransferFailed as error:
            if len(self.pairs) == 1 and not first.folder:
                raise error.failures[0] from None
            return error.failures
        return []

    async def _jobs(self, removal: SourceRemoval | None) -> AsyncIterator[Job]:
        """Yield the jobs of all pairs that pass the filters."""
        client = current_client()
        for source, target, folder, _by_pattern in self.pairs:
            if not folder:
                if self.wanted.passes(last_name(source)):
                    yield Job(source, target, size=None)
                continue
            async for job in jobs_below(client, source, target, None):
                if self.wanted.passes(name_below(source, job.source)):
                    if removal is not None:
                        await removal.remove_some()
                    yield job

    def _excuses(self, error: OSError) -> bool:
        """Tell whether it is but a folder that a pattern matched; say that it is left out."""
        if not isinstance(error, IsADirectory) or error.url not in self.patterns:
            return False
        tell(f"{error.url} is a folder: left out, add -r")
        return True

    async def _only_say(self) -> int:
        failures: list[OSError] = []
        async for job in self._jobs(None):
            try:
                if job.error is not None:
                    raise job.error
                found = await with_size(current_client(), job) if job.size is None else job
            except OSError as error:
                if not self._excuses(error):
                    failures.append(error)
            else:
                self.show(self.given, found)
        if failures and len(self.pairs) == 1 and not self.pairs[0].folder:
            raise failures[0]
        return self._report(failures)

    def _report(self, failures: Sequence[OSError]) -> int:
        for error in failures:
            complain(error, as_json=self.given.json)
        return 1 if failures else 0

    @staticmethod
    def show(given: argparse.Namespace, job: Job) -> None:
        """Write what was, or would be, copied, if the options ask for it."""
        verb = "copy" if given.command == "cp" else "move"
        if given.json:
            say_json(
                operation=verb,
                source=str(job.source),
                target=str(job.target),
                size=job.size,
                dry_run=given.dry_run,
            )
        elif given.verbose or given.dry_run:
            say(f"{verb} {job.source} to {job.target}")
