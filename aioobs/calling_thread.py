"""Coroutines of blocking calls that begin on the thread of their caller.

A short request is sent and answered there (see `aioobs.s3.http.direct_connections`), and what is
local is looked at there (`aioobs.threads.in_thread`): that saves two changes of threads, and more
than that.  Whatever needs an event loop awaits `on_loop` before it.
"""

from __future__ import annotations

import threading
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator

__all__ = ["caller", "on_loop"]


class Caller(threading.local):
    """What a thread knows of the coroutine that it runs without an event loop."""

    loop: asyncio.AbstractEventLoop | None = None
    """Where the coroutine can go on; `None`: the thread runs no such coroutine."""


caller: Caller = Caller()


@types.coroutine
def on_loop() -> Generator[None, None, None]:
    """Continue on the event loop, unless this runs there already."""
    if caller.loop is not None:
        yield
