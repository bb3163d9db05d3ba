"""The pages of a listing, and the objects on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple, overload

__all__ = ["Listed", "Objects", "Page"]


class Listed(NamedTuple):
    """An object as a listing shows it."""

    key: str
    size: int
    etag: str
    """Without quotes; only the MD5 of the content where the object was put in one piece."""
    mtime_nsec: int
    """Nanoseconds since 1970."""


class Objects(Sequence[Listed]):
    """The objects on a page, in the store's order; each one is made when it is asked for.

    There may be a thousand, and often only their `keys` are wanted.

    Args:
        keys: Their keys.
        sizes: Their sizes, as they stand on the page, whole numbers all of them.
        etags: Their ETags.
        times: When they were written, as it stands on the page.
        moments: Nanoseconds since 1970 for each of these times.
    """

    __slots__ = ("_etags", "_moments", "_sizes", "_times", "keys")

    def __init__(
        self,
        keys: list[str],
        sizes: list[str],
        etags: list[str],
        times: list[str],
        moments: dict[str, int],
    ) -> None:
        self.keys: list[str] = keys
        self._sizes = sizes
        self._etags = etags
        self._times = times
        self._moments = moments

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Listed: ...
    @overload
    def __getitem__(self, index: slice) -> Objects: ...
    def __getitem__(self, index: int | slice) -> Listed | Objects:
        keys, sizes, etags, times = self.keys, self._sizes, self._etags, self._times
        moments = self._moments
        if isinstance(index, slice):
            return Objects(keys[index], sizes[index], etags[index], times[index], moments)
        return Listed(keys[index], int(sizes[index]), etags[index], moments[times[index]])

    def __iter__(self) -> Iterator[Listed]:
        sizes, times = map(int, self._sizes), map(self._moments.__getitem__, self._times)
        rows = zip(self.keys, sizes, self._etags, times, strict=True)
        return map(partial(tuple.__new__, Listed), rows)  # with no loop of Python's

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"Objects({list(self)})"


class Page(NamedTuple):
    """One answer of a listing."""

    objects: Objects
    prefixes: list[str]
    """Prefixes that end in the delimiter: the folders."""
    next: str
    """Where the next page begins; empty: this is the last one."""
