"""A compressed list, for plans of many files."""

from __future__ import annotations

import pickle
import zlib
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CompressedList"]

T = TypeVar("T")

BATCH = 1000


class CompressedList(Generic[T]):
    """Values in the order in which they were added; a file takes some 30 bytes.

    Can be iterated over any number of times, also backwards, and pickled.
    """

    def __init__(self) -> None:
        self._batches: list[bytes] = []
        self._last: list[T] = []

    def append(self, value: T) -> None:
        """Add a value."""
        self._last.append(value)
        if len(self._last) == BATCH:
            self._batches.append(zlib.compress(pickle.dumps(self._last), 1))
            self._last = []

    def __len__(self) -> int:
        return len(self._batches) * BATCH + len(self._last)

    def __iter__(self) -> Iterator[T]:
        for batch in self._batches:
            yield from unpacked(batch)
        yield from self._last

    def __reversed__(self) -> Iterator[T]:
        yield from reversed(self._last)
        for batch in reversed(self._batches):
            yield from reversed(unpacked(batch))

    def __repr__(self) -> str:
        return f"<{len(self)} values>"


def unpacked(batch: bytes) -> list[T]:
    values: list[T] = pickle.loads(zlib.decompress(batch))  # noqa: S301 - our own bytes
    return values
