"""Two trees side by side, whatever kinds of places they are: a merge of two sorted listings.

The memory that it takes does not grow with the trees, as both are read in one order.  Most stores
list their keys in the order of UTF-8; some walk through their folders, so that ``a/b`` comes
before ``a-b``; a local tree can be read in either order.  Which one a store uses shows only in its
listing, and perhaps late: then all begins anew in the other order, and if that is wrong as well,
with a listing that is held in memory, some 500 bytes for each object, and sorted.  A caller that
cannot begin anew takes the listings as they come; if they were not in order, it looks again for
what seems to be on one side only.
"""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from aioobs.threads import in_thread
from aioobs.transfer.tree import Found, in_batches, walk_in_order

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from aioobs.s3.client import Client
    from aioobs.transfer.filter import Filter
    from aioobs.transfer.tree import Order
    from aioobs.url import ObjectURL

    Pair = tuple[Found | None, Found | None]

__all__ = ["ORDERS", "OutOfOrder", "Side", "full_name", "pairs"]


class OutOfOrder(Exception):
    """A store lists in another order: what was read so far is void."""


def by_key(name: str) -> Any:
    return name


def by_folder(name: str) -> Any:
    return name.split("/")


ORDERS: tuple[Order | None, ...] = (by_key, by_folder, None)
"""To be tried one after the other; the last one, which is none, always does."""


async def pairs(left: Side, right: Side) -> AsyncGenerator[list[Pair], None]:
    """Yield what is below each of two folders, side by side by its name, many at a time.

    Everything is yielded once for each side that has it; what both have is one pair if both are in
    order.

    Raises:
        OutOfOrder: a strict side is not; begin anew with the next one of `ORDERS`.
    """
    try:
        while await left.fill() | await right.fill():
            yield merge(left, right)
    finally:
        await left.aclose()
        await right.aclose()


class Side:
    """One of two listings, read bit by bit.

    A folder shows only if nothing is in it; with *markers* each marker does, and what is in that
    folder follows.  A folder that does not exist holds nothing.  Names that do not pass the filter
    *wanted* are left out.  A store that lists in another order ends a *strict* comparison, and so
    does a local path that is no folder, which else holds nothing.
    """

    def __init__(
        self,
        client: Client,
        place: ObjectURL | str,
        order: Order | None = by_key,
        wanted: Filter | None = None,
        *,
        markers: bool = False,
        strict: bool = True,
    ) -> None:
        self.keys: list[Any] = []
        self.found: list[Found] = []
        self.is_at_end: bool = False
        self.is_in_order: bool = True
        self._client = client
        self._order = order or by_key
        self._wanted = wanted
        self._markers = markers
        self._strict = strict
        if order is None and not isinstance(place, str):
            self._batches = self._sorted(place)
        else:
            self._batches = self._listed(place)

    async def fill(self) -> bool:
        """Read on if nothing is left of what was read; tell whether there is anything."""
        while not (self.found or self.is_at_end):
            batch = await anext(self._batches, None)
            if batch is None:
                self.is_at_end = True
            elif self._wanted is None:
                self.found = batch
            else:
                passes = self._wanted.passes
                self.found = [found for found in batch if passes(found.name)]
            self.keys = [self._order(full_name(found)) for found in self.found]
        return bool(self.found)

    async def aclose(self) -> None:
        """Read no further."""
        await self._batches.aclose()

    async def _listed(self, place: ObjectURL | str) -> AsyncGenerator[list[Found], None]:
        """Yield all there is as it is listed, many at a time."""
        last: Found | None = None
        async for batch in listing(self._client, place, self._order, strict=self._strict):
            if not batch:
                continue
            if last is not None:
                batch.insert(0, last)
            keys = [self._order(full_name(found)) for found in batch]
            if not all(key < after for key, after in pairwise(keys)):
                if self._strict:
                    raise OutOfOrder
                self.is_in_order = False
            *batch, last = batch if self._markers else without_redundant_markers(batch)
            yield batch
        if last is not None:
            yield [last]

    async def _sorted(self, place: ObjectURL) -> AsyncGenerator[list[Found], None]:
        """Yield the same in the order of the keys, whatever that of the store is."""
        batches = listing(self._client, place, by_key)
        found = {full_name(one): one async for batch in batches for one in batch}
        batch = [found[name] for name in sorted(found)]
        yield batch if self._markers else without_redundant_markers(batch)


def full_name(found: Found) -> str:
    """Return the name, which of a folder ends with a slash."""
    return f"{found.name}/" if found.is_directory else found.name


def merge(left: Side, right: Side) -> list[Pair]:
    """Take off and return the pairs that are certain from what both sides have read."""
    merged: list[Pair] = []
    one = other = 0
    first, second, keys, others = left.found, right.found, left.keys, right.keys
    while one < len(first) and other < len(second):
        key, it = keys[one], others[other]
        if key == it:
            merged.append((first[one], second[other]))
            one += 1
            other += 1
        elif key < it:
            merged.append((first[one], None))
            one += 1
        else:
            merged.append((None, second[other]))
            other += 1
    if right.is_at_end and other == len(second):
        merged += [(found, None) for found in first[one:]]
        one = len(first)
    if left.is_at_end and one == len(first):
        merged += [(None, found) for found in second[other:]]
        other = len(second)
    left.found, left.keys = first[one:], keys[one:]
    right.found, right.keys = second[other:], others[other:]
    return merged


def without_redundant_markers(batch: list[Found]) -> list[Found]:
    """Leave out the markers of folders in which there is something, as the next thing shows."""
    names = [*(found.name for found in batch[1:]), ""]
    return [
        found
        for found, after in zip(batch, names, strict=True)
        if not (found.is_directory and after.startswith(f"{found.name}/"))
    ]


async def listing(
    client: Client, place: ObjectURL | str, order: Order, *, strict: bool = True
) -> AsyncIterator[list[Found]]:
    """Yield what is below a folder, a local one in an order, that of a store in its own."""
    if isinstance(place, str):
        if not await in_thread(os.path.lexists if strict else os.path.isdir, place):
            return
        async for batch in in_batches(walk_in_order(place, order)):
            yield batch
        return
    start = len(place.folder)
    async for page in client.list_pages(place.bucket, place.folder):
        yield [
            Found(
                key[start:-1] if (marks := key[-1:] == "/" and not size) else key[start:],
                size,
                mtime_nsec,
                marks,
                etag=etag,
            )
            for key, size, etag, mtime_nsec in page.objects
            if len(key) > start
        ]
