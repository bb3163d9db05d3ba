"""Cancels a coroutine, or interrupts blocking code, at a chosen point."""

from __future__ import annotations

import asyncio
import signal
import sys
import weakref
from _thread import interrupt_main
from types import coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import FrameType

__all__ = ["counted", "ctrl_c"]

FINALIZER = weakref.finalize.__call__.__code__


async def counted(work: Coroutine[Any, Any, Any], number: int, times: int) -> int:
    """Do *work*, cancelled *times* times from suspension *number* on; return how many it has."""
    return await step_by_step(work, number, times)


@coroutine
def step_by_step(
    work: Coroutine[Any, Any, Any], number: int, times: int
) -> Generator[Any, Any, int]:
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
        except BaseException as raised:  # noqa: BLE001 - thrown into the work
            error = raised
        else:
            error = None


def ctrl_c(call: Callable[[], object], at: int, where: str) -> list[object]:
    """Call something, and have Ctrl-C come the *at*-th time that Python looks in a folder's code.

    Return a list that is empty if it has not come, and else keeps its traceback alive, as the
    prompt of Python does.  Destructors and finalizers, which swallow it, are left out.
    """
    came: list[object] = []
    seen = 0

    def step(frame: FrameType, event: str, _: object) -> None:
        nonlocal seen
        if event in ("call", "c_return") and where in frame.f_code.co_filename:
            outer: FrameType | None = frame
            while outer is not None:
                if outer.f_code.co_name == "__del__" or outer.f_code is FINALIZER:
                    return
                outer = outer.f_back
            seen += 1
            if seen == at:
                sys.setprofile(None)
                came.append(frame.f_code.co_qualname)
                # After a call Python would look for signals at once: here, and not there.
                (_,) = map(interrupt_main, [signal.SIGINT])

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.setprofile(step)
    try:
        call()
        len(came)  # where Python looks for it at last
    except KeyboardInterrupt as error:
        came.append(error)
    finally:
        sys.setprofile(None)
        signal.signal(signal.SIGINT, before)
    return came
