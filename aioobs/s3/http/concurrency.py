"""How many requests are under way at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

__all__ = ["ConcurrencyLimit"]


class ConcurrencyLimit:
    """A number of slots, fewer while the store asks to slow down.

    Then the limit drops to half of those in use; refusals of requests that had been sent by then
    change nothing more.  After that it grows by one whenever as many slots as there are have been
    given back without a refusal.  That is how TCP finds out what a network bears.
    """

    __slots__ = ("_idle", "_limit", "_most", "_refused", "_round", "_waiting", "taken")

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self.taken: int = 0
        """How many are in use."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._round = 0
        self._refused = 0
        self._idle: asyncio.Future[None] | None = None

    def enter(self) -> bool:
        """Take a slot, from any thread, if one is free and there is no need to go slowly.

        Nothing can come between the look and the taking: Python changes threads at calls and
        loops alone.  Ctrl-C comes there, too, so a slot is given back without a call: count down
        `taken`, and then look whether the slot `is_wanted`.
        """
        if self.taken < self._limit == self._most and not self._waiting:
            self.taken += 1
            return True
        return False

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for a slot, or for all of them."""
        return bool(self._waiting) or self._idle is not None

    def tell(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell those who wait on a loop, from any thread, that a slot was given back."""
        with suppress(RuntimeError):  # it is closed
            loop.call_soon_threadsafe(self._tell)

    async def __aenter__(self) -> int:
        """Take a slot; return the current round, for `slow_down`."""
        if self.taken < self._limit and not self._waiting:
            self.taken += 1
            return self._round
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._wake()  # a thread that gave a slot back since the look has found nobody to tell
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self._leave()
            else:
                with suppress(ValueError):  # `_wake` has taken it off already
                    self._waiting.remove(waiter)
                self._wake()
            raise
        return self._round

    async def __aexit__(self, *_: object) -> None:
        if self._refused:
            self._refused -= 1
        elif self._limit < self._most:
            self._limit = min(self._limit + 1 / self._limit, self._most)
        self._leave()

    def slow_down(self, since: int) -> None:
        """Halve the slots, as the store has refused a request that was sent in round *since*."""
        self._refused += 1
        if since == self._round:
            self._round += 1
            self._limit = max(min(self._limit, self.taken) / 2, 1.0)

    async def all_left(self) -> None:
        """Wait until no slot is taken."""
        while True:
            self._idle = asyncio.get_running_loop().create_future()
            if not (self.taken or self._waiting):  # from here on a thread that leaves tells
                return
            await self._idle

    def _leave(self) -> None:
        self.taken -= 1
        self._tell()

    def _tell(self) -> None:
        self._wake()
        if not self.taken and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _wake(self) -> None:
        while self._waiting and self.taken < self._limit:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self.taken += 1
                waiter.set_result(None)
