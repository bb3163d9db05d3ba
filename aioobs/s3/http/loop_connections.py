"""The connections of a client: a set for each event loop, which lives as long as the loop does."""

from __future__ import annotations

import asyncio
import os
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

from aioobs.s3.http.connections import Connections

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aioobs.config import Config

    Table = dict[asyncio.AbstractEventLoop, Connections]

__all__ = ["LoopConnections"]


class LoopConnections:
    """The connections of one client, by event loop.

    They are closed with `aclose`, with their loop, or when nobody has the client any more.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._table: Table = {}
        self._retired = False
        # What is forgotten closes its connections before the collector finds them.
        weakref.finalize(self, retire_all, self._table, os.getpid()).atexit = False

    def find(self, loop: asyncio.AbstractEventLoop) -> Connections | None:
        """Return the connections of a loop, from any thread; `None`: it has none now."""
        return self._table.get(loop)

    async def get(self) -> Connections:
        """Return the connections of the running loop, which has some from now on."""
        loop = asyncio.get_running_loop()
        if found := self._table.get(loop):
            return found
        for stale in [other for other in list(self._table) if other.is_closed()]:
            self._table.pop(stale, None)
        opened = self._table[loop] = Connections(self._config)
        opened.guard = guard(self._table, loop)
        await anext(opened.guard)
        if self._retired:  # what is under way goes on, but not for long
            loop.call_soon(self._retire, loop, opened)
        return opened

    async def aclose(self) -> None:
        """Close those of the running loop."""
        if connections := self._table.get(asyncio.get_running_loop()):
            await connections.guard.aclose()

    def retire(self) -> None:
        """Close those of every loop, now and later, once nothing is under way on them."""
        self._retired = True
        for loop, connections in list(self._table.items()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._retire, loop, connections)

    def _retire(self, loop: asyncio.AbstractEventLoop, connections: Connections) -> None:
        # Whoever wants some from now on gets others, or else he would wait for these to be closed.
        if self._table.get(loop) is connections:
            del self._table[loop]
        connections.retire()


async def guard(table: Table, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
    """Close the connections of a loop when this is closed.

    asyncio.run() closes the generators that are left over, and the connections with it.
    """
    connections = table[loop]
    try:
        yield
    finally:
        if table.get(loop) is connections:
            del table[loop]
        await connections.aclose()


def retire_all(table: Table, process: int) -> None:
    """Close connections that nobody uses any more; those of a parent process are the parent's."""
    if process == os.getpid():
        for loop, connections in list(table.items()):  # loops that end take theirs out
            with suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(connections.retire)
