"""What is new or changed in a local folder since it was copied, and copies of that."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from aioobs.errors import AccessDenied, NotFound, SourceError
from aioobs.session import current_client
from aioobs.store.local import local_errors
from aioobs.threads import in_thread
from aioobs.transfer import engine
from aioobs.transfer.jobs import job_of
from aioobs.transfer.tree import Found, walk_in_batches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aioobs.s3.client import Client
    from aioobs.transfer.job import Job
    from aioobs.transfer.progress import Progress
    from aioobs.url import ObjectURL

__all__ = ["PAUSE", "Mirror"]

BATCH = 500  # files that are checked in one trip into a worker thread
CHECKS = 4  # of a file that may still be written to, before it is left to the next round
PAUSE = 0.5  # seconds between two checks

Version = tuple[int, int]  # size, and nanoseconds of the last change

log: logging.Logger = logging.getLogger("aioobs.background")


class Mirror:
    """A local folder and its copy, and the version of each file that was copied."""

    def __init__(self, source: str, target: ObjectURL | str, workers: int, *, pause: float) -> None:
        self.source = source
        self.target = target
        self.on_progress: Callable[[], None] = lambda: None
        """Called whenever something moves."""
        self._workers = workers
        self._pause = pause
        self._copied: dict[str, Version] = {}
        self._compared = False
        self._unfinished: set[str] = set()
        self._moved = (0, 0)

    def __str__(self) -> str:
        return f"{self.source} to {self.target}"

    async def refresh(self, *, last: bool) -> None:
        """Copy what has changed, in the *last* round also what is still being written to."""
        changed = await self._changed()
        client = current_client()
        await self._leave_out_stored(client, changed)
        if not last:
            await self._leave_out_unfinished(changed)

        start = len(os.path.join(self.source, ""))

        def copied(job: Job) -> None:
            name = str(job.source)[start:]
            found = changed[f"{name}/" if job.is_directory else name]
            self._copied[name_of(found)] = version_of(found)

        def excused(error: OSError) -> bool:
            # It has vanished since it was found, or it is written to at this moment.
            gone = isinstance(error, NotFound) and error.resp is None
            return gone or (isinstance(error, SourceError) and not last)

        await engine.copy_jobs(
            client,
            self.source,
            self.target,
            self._jobs(changed),
            engine.CopyOptions(threads=self._workers, progress=self._watch),
            copied=copied,
            excused=excused,
        )

    async def _changed(self) -> dict[str, Found]:
        """Return what is not as it was when it was copied, and forget what has gone."""
        unchanged: dict[str, Version] = {}
        changed: dict[str, Found] = {}
        with local_errors(self.source):
            async for batch in walk_in_batches(self.source):
                for found in batch:
                    name, version = name_of(found), version_of(found)
                    if found.error is None and self._copied.get(name) == version:
                        unchanged[name] = version
                    else:
                        changed[name] = found
                self.on_progress()
        if any(found.error for found in changed.values()):
            self._copied |= unchanged  # what was not seen need not have gone
        else:
            self._copied = unchanged
        return changed

    async def _leave_out_stored(self, client: Client, changed: dict[str, Found]) -> None:
        """Drop what the store has already, from an earlier run of the program."""
        target = self.target
        if self._compared or not changed or isinstance(target, str):
            return
        start = len(target.folder)
        try:
            async for page in client.list_pages(target.bucket, target.folder):
                self.on_progress()
                for item in page.objects:
                    found = changed.get(item.key[start:])
                    if found is None or found.error is not None or found.size != item.size:
                        continue
                    if found.mtime_nsec < item.mtime_nsec:
                        self._copied[name_of(found)] = version_of(found)
                        del changed[name_of(found)]
        except AccessDenied:
            log.info("%s cannot be listed: everything is sent", target)
        self._compared = True

    async def _leave_out_unfinished(self, changed: dict[str, Found]) -> None:
        """Drop the files that are being written to: no two checks of them agree.

        One that was so in the last round, too, is sent all the same: it may be a log.  It
        arrives as it was at one moment, or is refused because it changed while it was sent.
        """
        names = [name for name, found in changed.items() if not (found.is_directory or found.error)]
        for _ in range(CHECKS):
            if not names:
                return
            await asyncio.sleep(self._pause)
            moving: list[str] = []
            for start in range(0, len(names), BATCH):
                batch = names[start : start + BATCH]
                moving += await in_thread(check_again, self.source, batch, changed)
            names = moving
        for name in names:
            if name not in self._unfinished:
                del changed[name]
        self._unfinished = set(names)

    async def _jobs(self, changed: dict[str, Found]) -> AsyncIterator[Job]:
        for found in changed.values():
            yield job_of(self.source, self.target, found)

    def _watch(self, progress: Progress) -> None:
        moved = (progress.bytes, progress.files - progress.failed)
        if moved != self._moved:
            self._moved = moved
            self.on_progress()


def version_of(found: Found) -> Version:
    return found.size, found.mtime_nsec


def name_of(found: Found) -> str:
    """Return what is below the folder's key, which of an empty folder ends with a slash."""
    return f"{found.name}/" if found.is_directory else found.name


def check_again(source: str, names: list[str], changed: dict[str, Found]) -> list[str]:
    """Note how the files are now, and return the names of those that were otherwise before."""
    moving = []
    for name in names:
        try:
            info = os.stat(os.path.join(source, name))
        except OSError:  # the next round finds out
            del changed[name]
            continue
        found = changed[name]
        changed[name] = found._replace(size=info.st_size, mtime_nsec=info.st_mtime_ns)
        if version_of(changed[name]) != version_of(found):
            moving.append(name)
    return moving
