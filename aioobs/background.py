"""A local folder that is copied again and again while the program does something else."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Self

from aioobs.config import check_threads
from aioobs.errors import ConfigError, OperationTimeout
from aioobs.transfer.mirror import PAUSE, Mirror
from aioobs.transfer.targets import contains
from aioobs.url import Path, parse

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import TracebackType

__all__ = ["BackgroundCopy", "background_sync_copy", "finish_all"]

PATIENCE = 120.0  # seconds without any progress, after which the last round is given up

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
        seconds: The time from the start of one round to the start of the next; a round that takes
            longer delays the next.
        threads: As for `aioobs.file.copy_parallel`.

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
    check_threads(threads)
    # The program may change its working directory between two rounds.
    source = os.path.abspath(source)
    target = os.path.abspath(target) if isinstance(target, str) else target
    if contains(source, target):
        raise ConfigError(f"a folder cannot be copied into itself: {source} to {target}")
    mirror = Mirror(source, target, threads, pause=min(PAUSE, seconds / 2))
    return BackgroundCopy(mirror, seconds)


class BackgroundCopy:
    """A copy that runs in the background, returned by `background_sync_copy`.

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

    def __repr__(self) -> str:
        rounds = f"{self._rounds} rounds, {self._failed_rounds} failed"
        return f"<{type(self).__name__} of {self._mirror}: {rounds}>"

    @property
    def rounds(self) -> int:
        """How many rounds have ended, including those that failed."""
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

        The last round also copies what has just been written to.  It is abandoned when nothing
        has moved for two minutes.  A second call only waits for the end of the first.

        Raises:
            OperationTimeout: the last round was abandoned.
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
            if not self._stopping.is_set():  # the loop is ending
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
        except Exception as error:  # noqa: BLE001 - there is nobody to raise it to
            log.error("the last round of %s failed: %s", self, error)

    async def _patiently(self, work: Awaitable[None]) -> None:
        """Wait for *work* as long as something moves."""
        try:
            async with asyncio.timeout(PATIENCE) as limit:
                self._mirror.on_progress = lambda: put_off(limit)
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


def put_off(limit: asyncio.Timeout) -> None:
    """Restart a time limit."""
    if not limit.expired():
        limit.reschedule(asyncio.get_running_loop().time() + PATIENCE)


# A loop knows its tasks only weakly, and the caller may forget the handle.
tasks: set[asyncio.Task[None]] = set()


async def finish_all(copies: list[BackgroundCopy]) -> None:
    """Stop all of *copies*; what goes wrong is logged."""
    async with asyncio.TaskGroup() as group:
        for copy in copies:
            group.create_task(copy.finish())
