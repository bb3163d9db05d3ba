"""The parts of a big file, of which whoever is free takes some, here and in other processes.

Whoever copies the file begins and ends it: the upload, or the staged file on this machine.  Others
borrow pieces of it, some parts each.  Where one of them dies, nothing is left but a piece to be
moved again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from aioobs.errors import WorkerLost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aioobs.config import Config
    from aioobs.s3.parts import Part
    from aioobs.transfer.job import Job

__all__ = ["Lending", "Loan", "Piece", "SharedParts", "is_big"]

PIECE = 64 << 20  # bytes, and at least one part
COPIED_PIECE = 16  # parts that the store copies by itself


class Piece(NamedTuple):
    """Some parts of a big file."""

    job: Job
    parts: tuple[Part, ...] = ()
    upload_id: str = ""
    """The upload that they belong to."""
    staged: str = ""
    """The local file that they are written to."""
    version: str = ""
    """The version of a local source when the upload began."""
    sums: Mapping[int, str] = {}
    """Of those that an earlier run has written."""
    with_sums: bool = False
    """Whether the sums of what is fetched are wanted."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(part.size for part in self.parts)


class Lending(NamedTuple):
    """How other processes can move parts of a file."""

    whole: Piece
    """What they are told of it, but for the parts."""
    moved: Callable[[Part, str], None]
    """Called for each part that was moved, with its ETag or its sum."""

    def piece(self, parts: tuple[Part, ...]) -> Piece:
        """Return some parts as a piece."""
        sums = self.whole.sums
        said = {part.number: sums[part.number] for part in parts if part.number in sums}
        return self.whole._replace(parts=parts, sums=said)

    def most(self, part_size: int) -> int:
        """Return how many parts of that size a piece has at most."""
        job = self.whole.job
        if isinstance(job.source, str) or isinstance(job.target, str):
            return max(PIECE // part_size, 1)
        return COPIED_PIECE


def is_big(job: Job, config: Config, *, shared: bool) -> bool:
    """Tell whether a file is moved in pieces; *shared*: all processes are on this machine."""
    size = job.size or 0
    if isinstance(job.target, str):
        return shared and bool(job.etag) and not isinstance(job.source, str) and size > 2 * PIECE
    if isinstance(job.source, str):
        return size >= config.multipart_threshold
    return size > config.largest_copy and not job.source.is_same(job.target)


class Loan(NamedTuple):
    """Parts that another process moves."""

    piece: Piece
    """What it is told."""
    returned: Callable[[Mapping[int, str] | OSError], None]
    """Has to be called: with the ETags or sums of the parts by number, or with an error."""


class SharedParts:
    """The parts of one file.

    Args:
        parts: In the order in which they are begun.
        move: Moves one of them in this process.
        lending: How other processes move some of them; `None`: none can.
    """

    def __init__(
        self,
        parts: Iterable[Part],
        move: Callable[[Part], Awaitable[None]],
        lending: Lending | None = None,
    ) -> None:
        self.waiting: deque[Part] = deque(parts)
        self._move = move
        self._lending = lending
        self._under_way = 0
        self._error: Exception | None = None
        self._all_ended: asyncio.Future[None] | None = None

    async def take(self) -> None:
        """Move a part, if one waits still."""
        if not self.waiting:
            return
        part = self.waiting.popleft()
        self._under_way += 1
        try:
            await self._move(part)
        except Exception as error:  # noqa: BLE001 - raised by check(), in the file's own task
            self.fail(error)
        finally:
            self._end()

    def lend(self, takers: int) -> Loan | None:
        """Hand parts to another process, one of so many, if there are any for it.

        It gets fewer in the end, so that all end at about the same time.
        """
        if self._lending is None or not self.waiting:
            return None
        fair = max(len(self.waiting) // (2 * takers), 1)
        count = min(fair, self._lending.most(self.waiting[0].size))
        parts = tuple(self.waiting.popleft() for _ in range(count))
        self._under_way += 1
        moved = self._lending.moved
        return Loan(self._lending.piece(parts), partial(self._returned, parts, moved))

    def _returned(
        self,
        parts: tuple[Part, ...],
        moved: Callable[[Part, str], None],
        result: Mapping[int, str] | OSError,
    ) -> None:
        try:
            if isinstance(result, OSError):
                self.fail(result)
                return
            for part in parts:
                moved(part, result[part.number])
        finally:
            self._end()

    def fail(self, error: Exception) -> None:
        """Begin no other part."""
        self._error = self._error or error
        self.waiting.clear()
        self._tell()

    def refuse(self, reason: str) -> None:
        """Fail if this was left to other processes, as there are none, for that *reason*."""
        if self._lending is not None:
            self.fail(WorkerLost(reason, url=str(self._lending.whole.job.source)))

    def _end(self) -> None:
        self._under_way -= 1
        self._tell()

    def _tell(self) -> None:
        if self._is_over() and self._all_ended and not self._all_ended.done():
            self._all_ended.set_result(None)

    def _is_over(self) -> bool:
        return not self._under_way and not self.waiting

    async def ended(self) -> None:
        """Return when no part waits or is under way any more."""
        while not self._is_over():
            self._all_ended = asyncio.get_running_loop().create_future()
            await self._all_ended

    def check(self) -> None:
        """Raise the error of the first part that failed."""
        if self._error is not None:
            raise self._error
