"""Asynchronous generators that others iterate over, and close."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable

__all__ = ["Owned"]

T = TypeVar("T")


class Owned(Generic[T]):
    """A generator that is closed at the end of its ``async with`` block, and by nobody else.

    Whoever breaks out of an ``async for`` leaves its generator to asyncio, which in the end closes
    all that it has seen begin, at once.  One that another generator closes then must not be among
    them, for it cannot be closed twice at the same time.
    """

    def __init__(self, generator: AsyncGenerator[T, None]) -> None:
        self._generator = generator
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[T]:
        if self._begun:
            return self._generator.__anext__()
        hooks, self._begun = sys.get_asyncgen_hooks(), True
        sys.set_asyncgen_hooks(None, None)  # they are called, or not, on the first call alone
        try:
            return self._generator.__anext__()
        finally:
            sys.set_asyncgen_hooks(*hooks)

    async def aclose(self) -> None:
        """Close it."""
        await self._generator.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()
