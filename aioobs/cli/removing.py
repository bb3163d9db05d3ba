"""rm: files, folders and objects deleted, in batches."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from aioobs import file
from aioobs.cli.failures import UsageError, line_of, tell
from aioobs.cli.items import Named, expand, items_below
from aioobs.cli.output import say, say_json
from aioobs.cli.tally import Bar
from aioobs.session import current_client
from aioobs.store.emptied import EmptiedFolders
from aioobs.threads import in_thread
from aioobs.transfer.filter import Filter
from aioobs.transfer.progress import Progress
from aioobs.transfer.removal import unlink
from aioobs.url import ObjectURL, key_of, parse

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from aioobs.cli.tally import Tally
    from aioobs.store.entry import Stat

__all__ = ["rm"]

BATCH = 1000  # objects that one request removes
LOOKS = 256  # at the same time


async def rm(given: argparse.Namespace, tally: Tally) -> int:
    """Remove files and folders; nothing at all if one of them may not be."""
    named = await expand(given.paths)
    infos: list[Stat] = []
    for start in range(0, len(named), LOOKS):
        chunk = named[start : start + LOOKS]
        infos += await asyncio.gather(*(file.stat(one.path) for one in chunk))
    for one, info in zip(named, infos, strict=True):
        if info.is_directory:
            check_folder(one, given)
    tally.verb = "" if given.dry_run else "removed"
    removal = Removal(given, tally)
    wanted = Filter(given.include, given.exclude)
    try:
        for (path, _by_pattern), info in zip(named, infos, strict=True):
            if not info.is_directory:
                if wanted.passes(os.path.basename(path)):
                    await removal.add(path, info.length)
            elif given.recursive:
                await removal.folder(path, wanted)
            else:
                tell(f"{path} is a folder: left out, add -r")
        await removal.finish()
    finally:
        removal.bar.end(None if given.dry_run else tally)
    return 1 if removal.failed else 0


def check_folder(named: Named, given: argparse.Namespace) -> None:
    """Refuse a folder that may not be removed.

    Raises:
        UsageError: it may not.
    """
    path, where = named.path, parse(named.path)
    if not given.recursive:
        if not named.by_pattern:
            raise UsageError(f"{path} is a folder: add -r")
    elif isinstance(where, str):
        if os.path.realpath(where) in ("/", os.path.realpath(os.path.expanduser("~"))):
            raise UsageError(f"{path} is more than anybody would want to remove")
    elif not where.key.strip("/") and not (given.force or given.dry_run):
        raise UsageError(f"{path} is a whole bucket: add --force to empty it")


class Removal:
    """Removes what it is given, many objects with one request."""

    def __init__(self, given: argparse.Namespace, tally: Tally) -> None:
        self.given = given
        self.tally = tally
        quiet = given.no_progress or given.verbose or given.json or given.dry_run
        self.bar: Bar = Bar(wanted=not quiet)
        self.failed: bool = False
        self._emptied = EmptiedFolders()
        self._batch: dict[str, int] = {}  # sizes by path
        self._again: dict[str, int] = {}

    async def folder(self, path: str, wanted: Filter) -> None:
        """Remove what is below a folder and passes the filters, and without filters the folder."""
        where = parse(path)
        if isinstance(where, str) and not wanted and not self.given.dry_run:
            await file.remove(path, recursive=True)
            self._count(path, None)
            return
        async for item in items_below(where):
            if item.error is not None:
                self._fail(item.path, item.error)
            elif wanted.passes(item.name) and not (item.is_directory and isinstance(where, str)):
                await self.add(item.path, item.size)
        if not wanted and not isinstance(where, str) and not self.given.dry_run:
            await self.finish()
            for error in await self._emptied.remove(current_client(), where):
                if key_of(error.url) == where.folder:
                    self._fail(path, error)

    async def add(self, path: str, size: int) -> None:
        """Remove a file or an object, now or with those that follow."""
        if self.given.dry_run:
            self._show(path, size)
            return
        self._batch[path] = size
        if len(self._batch) >= BATCH:
            await self._flush()

    async def finish(self) -> None:
        """Remove what has been gathered, and try again what could not be removed.

        A parallel file system refuses folders as long as something is in them.
        """
        await self._flush()
        again, self._again = self._again, {}
        for path, error in (await self._delete(list(again))).items():
            del again[path]
            self._fail(path, error)
        for path, size in again.items():
            self._count(path, size)

    async def _flush(self) -> None:
        batch, self._batch = self._batch, {}
        for path in await self._delete(list(reversed(batch))):  # what is deepest comes first
            self._again[path] = batch.pop(path)
        for path, size in batch.items():
            self._count(path, size)
        done = Progress(self.tally.files, 0, self.tally.bytes, 0, 0, totals_known=False)
        self.bar.update(done)

    def _count(self, path: str, size: int | None) -> None:
        self.tally.add(size or 0)
        if self.given.verbose or self.given.json:
            self._show(path, size)

    def _show(self, path: str, size: int | None) -> None:
        if self.given.json:
            say_json(operation="remove", path=path, size=size, dry_run=self.given.dry_run)
        else:
            say(f"remove {path}" if self.given.dry_run else path)

    def _fail(self, path: str, error: OSError) -> None:
        self.failed = True
        if self.given.json:
            say_json(path=path, error=line_of(error))
        tell(line_of(error))

    async def _delete(self, paths: Sequence[str]) -> dict[str, OSError]:
        """Remove files and objects; return an error for each one that is left."""
        buckets: dict[str, dict[str, str]] = {}
        local = []
        for path in paths:
            where = parse(path)
            if isinstance(where, ObjectURL):
                buckets.setdefault(where.bucket, {})[where.key] = path
            else:
                local.append(path)
        left = await in_thread(unlink, local) if local else {}
        for bucket, keys in buckets.items():
            for error in await current_client().delete_objects(bucket, list(keys)):
                key = key_of(error.url)
                left[keys.get(key, error.url)] = error
            self._emptied.add(bucket, (key for key, path in keys.items() if path not in left))
        return left
