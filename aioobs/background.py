"""A local folder that is copied again and again while the program does something else."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Self

from aioobs.errors import AccessDenied, ConfigError, NotFound, OperationTimeout, SourceError
from aioobs.session import current_client
from aioobs.store.local import local_errors
from aioobs.threads import in_thread
from aioobs.transfer import engine
from aioobs.transfer.jobs import job_of, take
from aioobs.transfer.targets import same_place
from aioobs.transfer.tree import Found, walk_tree
from aioobs.url import ObjectURL, Path, parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator
    from types import TracebackType

    from aioobs.s3.client import Client
    from aioobs.transfer.job import Job
    from aioobs.transfer.progress import Progress

__all__ = ["BackgroundCopy", "background_sync_copy", "finish_all"]

BATCH = 500  # files to one trip into a worker thread
LOOKS = 4  # at a file that may still be written to, before it is left to the next round
BETWEEN_LOOKS = 0.5  # seconds
PATIENCE = 120.0  # seconds without any progress, after which the last round is given up

Look = tuple[int, int]  # size, and nanoseconds of the last change

log: logging.Logger = logging.getLogger("aioobs.background")


def background_sync_copy(
    src_url: Path, dst_url: Path, seconds: float = 60, *, threads: int = 16
) -> BackgroundCopy:
    """Copy what is new or changed in a local folder, now and every so many seconds, until stopped.

        async with background_sync_copy("/cache/model", "s3://bucket/model", seconds=120):
            await train()

    A round copies the files whose size or time has changed since they were copied.  A file that is
    being written to is left to the next round.  What is deleted locally stays in the target.  The
    first round does not send what the store has already with the same size and a later time.

    A round that fails is logged with the logger ``aioobs.background``, counted, and skipped; so
    is one that finds no folder at *src_url*, which can be created later.  A last round copies
    everything when the copy is stopped, and when the event loop or the program ends.

    Args:
        src_url: A local folder.
        dst_url: The folder, of a store or local, that becomes the copy.
        seconds: From the beginning of one round to that of the next, which waits for its end.
        threads: How many requests of it are under way at the same time; 0 is one.

    Raises:
        ConfigError: the source is not local, the target lies within the source, or *seconds* is
            not more than 0.
    """
    if not (os.fspath(src_url) and os.fspath(dst_url)):
        raise ConfigError("the path is empty")
    source, target = parse(src_url), parse(dst_url)
    if not isinstance(source, str):
        raise ConfigError("only a local folder can be copied in the background", url=str(source))
    if not seconds > 0:
        raise ConfigError(f"seconds={seconds!r} is not more than 0")
    # The program may change its working directory between two rounds.
    source = os.path.abspath(source)
    target = os.path.abspath(target) if isinstance(target, str) else target
    if same_place(source, target):
        raise ConfigError(f"a folder cannot be copied into itself: {source} to {target}")
    mirror = Mirror(source, target, threads, min(BETWEEN_LOOKS, seconds / 2))
    return BackgroundCopy(mirror, seconds)


class BackgroundCopy:
    """A copy that goes on in the background; `background_sync_copy` makes it.

    In a ``with`` block it is stopped at the end.  If the block raises, a failure of the last
    round is only logged.
    """

    def __init__(self, mirror: Mirror, seconds: float) -> None:
        self._mirror = mirror
        self._seconds = seconds
        self._rounds = self._failed_rounds = 0
        self._last_error: Exception | None = None
        self._one_at_a_time = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._repeat())
        tasks.add(self._task)
        self._task.add_done_callback(tasks.discard)

    @property
    def rounds(self) -> int:
        """How many rounds have ended, those that failed included."""
        return self._rounds

    @property
    def failed_rounds(self) -> int:
        """How many rounds have failed."""
        return self._failed_rounds

    @property
    def last_error(self) -> Exception | None:
        """Why the last round failed; `None` if it did not."""
        return self._last_error

    async def sync_now(self) -> None:
        """Do a round now, after the one that is under way.

        Raises:
            MoxFileNotExistsException: there is no folder to copy.
            TransferFailed: some files failed; `failures` has an exception for each.
            RuntimeError: the copy has been stopped.
        """
        if self._stopping.is_set():
            raise RuntimeError("this background copy has been stopped")
        await asyncio.sleep(0)  # the very first round goes first
        await self._round()

    async def stop(self) -> None:
        """Let the round that is under way end, do a last one, and end.

        The last round also copies what has just been written to.  It is given up when nothing
        has moved for two minutes.  A second call only waits for the end of the first.

        Raises:
            OperationTimeout: the last round was given up.
            TransferFailed: some files failed in the last round; `failures` has an exception for
                each.  A file that is still being written to is one of them.
        """
        if not self._stopping.is_set():
            self._stopping.set()
            await self._patiently(self._task)
        elif not self._task.done():
            await asyncio.wait([self._task])

    async def finish(self) -> None:
        """Stop, and log a failure of the last round instead of raising it."""
        await self._logged(self.stop())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await (self.stop() if exc is None else self.finish())

    def __str__(self) -> str:
        return f"the background copy of {self._mirror}"

    async def _repeat(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while not self._stopping.is_set():
                next_round = clock() + self._seconds
                try:
                    await self._round()
                except Exception as error:  # noqa: BLE001 - the next round may fare better
                    log.warning("a round of %s failed: %s", self, error)
                await self._pause(next_round)
        except asyncio.CancelledError:
            if not self._stopping.is_set():  # it is the loop that ends
                self._stopping.set()
                await self._logged(self._patiently(self._round(last=True)))
            raise
        await self._round(last=True)

    async def _pause(self, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _logged(self, last_round: Awaitable[None]) -> None:
        try:
            await last_round
        except Exception as error:  # noqa: BLE001 - there is nobody else to be told
            log.error("the last round of %s failed: %s", self, error)

    async def _patiently(self, work: Awaitable[None]) -> None:
        """Wait for *work* as long as something moves."""
        try:
            async with asyncio.timeout(PATIENCE) as limit:
                self._mirror.limit = limit
                await work
        except TimeoutError as error:
            if not limit.expired():
                raise
            given_up = OperationTimeout(
                f"the last round was given up: nothing has moved for {PATIENCE:g} seconds",
                operation="background_sync_copy",
                url=str(self._mirror.target),
            )
            self._failed(given_up)
            raise given_up from error

    async def _round(self, *, last: bool = False) -> None:
        async with self._one_at_a_time:
            try:
                await self._mirror.refresh(last=last)
            except Exception as error:
                self._failed(error)
                raise
            self._last_error = None
            self._rounds += 1

    def _failed(self, error: Exception) -> None:
        self._last_error = error
        self._failed_rounds += 1
        self._rounds += 1


# A loop knows its tasks only weakly, and the caller may forget the handle.
tasks: set[asyncio.Task[None]] = set()


async def finish_all(copies: list[BackgroundCopy]) -> None:
    """Stop all of *copies*; what goes wrong is logged."""
    async with asyncio.TaskGroup() as group:
        for copy in copies:
            group.create_task(copy.finish())


class Mirror:
    """A local folder and its copy, and how each file was when it was copied."""

    def __init__(
        self, source: str, target: ObjectURL | str, workers: int, between_looks: float
    ) -> None:
        self.source = source
        self.target = target
        self.limit: asyncio.Timeout | None = None
        """Put off whenever something moves."""
        self._workers = workers
        self._between_looks = between_looks
        self._copied: dict[str, Look] = {}
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
            self._copied[name_of(found)] = look_of(found)

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
        unchanged: dict[str, Look] = {}
        changed: dict[str, Found] = {}
        tree = walk_tree(self.source)
        with local_errors(self.source):
            while await in_thread(compare, tree, self._copied, unchanged, changed):
                self._put_off()
        if any(found.error for found in changed.values()):
            self._copied |= unchanged  # what was not seen need not have gone
        else:
            self._copied = unchanged
        return changed

    async def _leave_out_stored(self, client: Client, changed: dict[str, Found]) -> None:
        """Take for copied what the store has, from an earlier run of the program."""
        target = self.target
        if self._compared or not changed or isinstance(target, str):
            return
        start = len(target.folder)
        try:
            async for page in client.list_pages(target.bucket, target.folder):
                self._put_off()
                for item in page.objects:
                    found = changed.get(item.key[start:])
                    if found is None or found.error is not None or found.size != item.size:
                        continue
                    if found.mtime_nsec < item.mtime_nsec:
                        self._copied[name_of(found)] = look_of(found)
                        del changed[name_of(found)]
        except AccessDenied:
            log.info("%s cannot be listed: everything is sent", target)
        self._compared = True

    async def _leave_out_unfinished(self, changed: dict[str, Found]) -> None:
        """Drop the files that are being written to: no two looks at them agree.

        One that was in the round before as well is sent all the same, for it may be a log.  It
        arrives as it was at one moment, or is refused because it changed while it was sent.
        """
        names = [name for name, found in changed.items() if not (found.is_directory or found.error)]
        for _ in range(LOOKS):
            if not names:
                return
            await asyncio.sleep(self._between_looks)
            moving: list[str] = []
            for start in range(0, len(names), BATCH):
                batch = names[start : start + BATCH]
                moving += await in_thread(look_again, self.source, batch, changed)
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
            self._put_off()

    def _put_off(self) -> None:
        if self.limit is not None and not self.limit.expired():
            self.limit.reschedule(asyncio.get_running_loop().time() + PATIENCE)


def look_of(found: Found) -> Look:
    return found.size, found.mtime_nsec


def name_of(found: Found) -> str:
    """Return what is below the folder's key, which of an empty folder ends with a slash."""
    return f"{found.name}/" if found.is_directory else found.name


def compare(
    tree: Iterator[Found],
    copied: dict[str, Look],
    unchanged: dict[str, Look],
    changed: dict[str, Found],
) -> bool:
    """Sort the next things of a tree into the last two; tell whether there were any."""
    batch = take(tree, BATCH)
    for found in batch:
        name, look = name_of(found), look_of(found)
        if found.error is None and copied.get(name) == look:
            unchanged[name] = look
        else:
            changed[name] = found
    return bool(batch)


def look_again(source: str, names: list[str], changed: dict[str, Found]) -> list[str]:
    """Note how the files are now, and return the names of those that were otherwise before."""
    moving = []
    for name in names:
        try:
            info = os.stat(os.path.join(source, name))
        except OSError:  # the next round will see what has become of it
            del changed[name]
            continue
        found = changed[name]
        changed[name] = found._replace(size=info.st_size, mtime_nsec=info.st_mtime_ns)
        if look_of(changed[name]) != look_of(found):
            moving.append(name)
    return moving
