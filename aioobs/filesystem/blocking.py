"""The blocking methods of the file system, made of the async ones."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractFileSystem

from aioobs.sync._loop import iterate, run

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["add_blocking", "running_loop"]


def add_blocking(cls: type, *more: type) -> None:
    """Give a class a blocking method for each one that it has for `await`, unless it has one.

    That is for those that fsspec knows, and those of the classes *more*.

    fsspec would do so for each instance, with a loop thread that does not outlive a fork and does
    not let Ctrl-C through.
    """
    for name in dir(cls):
        method, public = getattr(cls, name), name[1:]
        known = hasattr(AbstractFileSystem, public) or any(name in vars(one) for one in more)
        if name[0] != "_" or name[1] == "_" or not known:
            continue
        if getattr(cls, public, None) is not getattr(AbstractFileSystem, public, None):
            continue
        if inspect.iscoroutinefunction(method):
            setattr(cls, public, blocking(method, public))
        elif inspect.isasyncgenfunction(method):
            setattr(cls, public, iterating(method, public))


def blocking(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: object, *args: object, **kwargs: object) -> object:
        return run(getattr(self, f"_{name}")(*args, **kwargs))

    return named(call, name)


def iterating(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: object, *args: object, **kwargs: object) -> object:
        return iterate(getattr(self, f"_{name}")(*args, **kwargs))

    return named(call, name)


def named(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    call.__name__ = name
    call.__doc__ = call.__doc__ or getattr(AbstractFileSystem, name).__doc__
    return call


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that blocking calls run on."""

    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    return run(running())
