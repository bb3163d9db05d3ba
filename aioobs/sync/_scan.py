"""The listing of a folder, as `os.scandir` returns it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Scan"]

T = TypeVar("T")


class Scan(Generic[T]):
    """An iterator that is closed at the end of its ``with`` block, if there is one."""

    def __init__(self, items: Generator[T, None, None]) -> None:
        self._items = items

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        return next(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the listing."""
        self._items.close()
