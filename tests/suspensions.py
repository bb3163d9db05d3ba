"""Cancels a coroutine where one wants to."""

from __future__ import annotations

import asyncio
from types import coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

__all__ = ["counted"]


@coroutine
def counted(work: Coroutine[Any, Any, Any], number: int, times: int) -> Generator[Any, Any, int]:
    """Do *work*, cancelled *times* times from suspension *number* on; return how many it has."""
    count, error = 0, None
    while True:
        try:
            waiting = work.send(None) if error is None else work.throw(error)
        except StopIteration:
            return count
        count += 1
        if number <= count < number + times:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        try:
            yield waiting
        except BaseException as raised:  # noqa: BLE001
            error = raised
        else:
            error = None
