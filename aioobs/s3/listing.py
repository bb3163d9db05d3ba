"""Listings of objects, page by page, the next page prefetched."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from aioobs.calling_thread import on_loop
from aioobs.errors import ProtocolError, ResponseError
from aioobs.generators import Owned
from aioobs.s3.documents import xml
from aioobs.s3.parallel_listing import ParallelListing
from aioobs.s3.request import Request
from aioobs.threads import settled

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from aioobs.s3.documents.page import Page
    from aioobs.s3.exchange import Exchange
    from aioobs.s3.http.transport import Reply

__all__ = ["CycleDetector", "Listing"]


LONG = 10  # pages, after which a listing may be continued from several places at once
SLOW = 0.005  # seconds for a page; what is faster than this would not become faster


class Listing:
    """Lists what a bucket holds, and remembers which version of the request the store knows."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._config = exchange.config
        self._version: int = exchange.config.list_version

    async def pages(
        self, bucket: str, prefix: str, delimiter: str, start_after: str
    ) -> AsyncGenerator[Page, None]:
        """Yield all pages; a listing that does not come to an end is an error.

        The next page is asked for while the caller is busy with one.  A long listing without a
        delimiter, of a store for which the caller waits, is made from several places at once.
        """
        page = await self.first_page(bucket, prefix, delimiter, start_after)
        ask, url = partial(self._page, bucket, prefix, delimiter), f"s3://{bucket}/{prefix}"
        chain = Chain(ask, url)
        chain.take(page)
        ahead = Prefetch(chain)
        try:
            while page.next and not (ahead.is_long and ahead.is_slow and not delimiter):
                await on_loop()  # where the next page is asked for meanwhile
                ahead.ask()
                yield page
                page = await ahead.page()
        finally:
            await ahead.aclose()
        if page.next:
            listing = ParallelListing(lambda after: Chain(ask, url, after), prefix)
            async with Owned(listing.pages(chain, page)) as rest:
                async for page in rest:
                    yield page
        else:
            yield page

    async def first_page(
        self, bucket: str, prefix: str, delimiter: str, start_after: str, limit: int | None = None
    ) -> Page:
        """Return the first page, of at most *limit* names."""
        if not self._version:
            # OBS has version 2 in its documentation, but not for all kinds of buckets.
            self._version = 1 if self._config.is_public_cloud and self._is_obs() else 2
        try:
            return await self._page(bucket, prefix, delimiter, "", start_after, limit)
        except (ResponseError, ProtocolError) as error:
            unknown = error.resp is None or error.resp.status in (400, 405, 501)
            if self._version == 1 or self._config.list_version or not unknown:
                raise
        page = await self._page(bucket, prefix, delimiter, "", start_after, limit, version=1)
        self._version = 1
        return page

    def _is_obs(self) -> bool:
        return ".obs." in f".{self._config.host}"

    async def _page(
        self,
        bucket: str,
        prefix: str,
        delimiter: str,
        marker: str,
        start_after: str = "",
        limit: int | None = None,
        *,
        version: int = 0,
        peek: Callable[[str], None] | None = None,
    ) -> Page:
        version = version or self._version
        query = {
            "encoding-type": "url",
            "max-keys": str(limit or self._config.page_size),
            "prefix": prefix,
        }
        if delimiter:
            query["delimiter"] = delimiter
        if version == 2:
            query["list-type"] = "2"
            if marker:
                query["continuation-token"] = marker
            elif start_after:
                query["start-after"] = start_after
        elif marker or start_after:
            query["marker"] = marker or start_after

        async def receive(reply: Reply) -> Page:
            document = await reply.read()
            if peek is not None and (token := xml.next_token(document)):
                peek(token)
                for _ in range(2):  # the next request is made and sent before this page is parsed
                    await asyncio.sleep(0)
            return below(prefix, xml.parse_page(document, version=version))

        request = Request("listObjects", "GET", bucket, query=tuple(query.items()))
        return await self._exchange.call(request, receive)


def below(prefix: str, page: Page) -> Page:
    """Return a page on which every name begins with the prefix that was asked for.

    Whoever removes a folder removes what is listed: of a store that does not know the prefix that
    would be everything.

    Raises:
        ProtocolError: one does not.
    """
    for names in (page.objects.keys, page.prefixes):
        # What is between two names that begin with it begins with it as well; and to sort what is
        # sorted already takes less time than to look for its least and its greatest.
        for name in sorted(names)[:: max(len(names) - 1, 1)]:
            if not name.startswith(prefix):
                raise ProtocolError(f"asked for what begins with {prefix!r}, was told of {name!r}")
    return page


class Chain:
    """Pages that follow one another, each of which says where the next one begins."""

    def __init__(
        self, ask: Callable[..., Coroutine[object, object, Page]], url: str, after: str = ""
    ):
        self._ask = ask
        self._after = after
        self._cycles = CycleDetector("listObjects", url)
        self._key = ""  # the last one
        self._folders: set[str] = set()  # of the last page that had some
        self.marker: str = ""
        """Where the next page begins; empty: at the beginning, or nowhere."""

    def ask(
        self, marker: str, peek: Callable[[str], None] | None = None
    ) -> Coroutine[object, object, Page]:
        """Ask for the page at a marker, without going on to that."""
        return self._ask(marker, self._after, peek=peek)

    async def page(self) -> Page:
        """Return the next page."""
        return self.take(await self.ask(self.marker))

    def take(self, page: Page) -> Page:
        """Go on to a page that was asked for."""
        if page.next:
            self._cycles.check(page.next)
        self.marker = page.next
        return self._without_repeated(page)

    def _without_repeated(self, page: Page) -> Page:
        """Leave out the folders that the page before had, and the key that it ended with.

        Some stores repeat a folder of which both pages have a part; moto repeats all of them.
        """
        objects, prefixes = page.objects, page.prefixes
        if objects and objects.keys[0] == self._key:
            objects = objects[1:]
        if prefixes:
            before, self._folders = self._folders, {*prefixes}
            prefixes = [folder for folder in prefixes if folder not in before]
        self._key = (page.objects.keys or [self._key])[-1]
        return page._replace(objects=objects, prefixes=prefixes)


class Prefetch:
    """The next page of a chain, on its way while the caller is busy with the one before.

    While the caller waits for it, the one after that is asked for as well, as soon as the first
    glance at the answer tells where it begins.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._tasks: dict[str, asyncio.Task[Page]] = {}
        self._waiting, self._peeks = False, True
        self._pages, self._waited = 1, 0.0

    @property
    def is_long(self) -> bool:
        """Whether there have been so many pages that there may be many more."""
        return self._pages >= LONG

    @property
    def is_slow(self) -> bool:
        """Whether the caller waits for the store."""
        return self._waited >= SLOW * self._pages

    def ask(self) -> None:
        """Ask for the next page, unless that has been done."""
        self._peeks = not self._tasks.keys() - {self._chain.marker}  # a glance was wrong
        self._ask(self._chain.marker)

    async def page(self) -> Page:
        """Return the page that was asked for."""
        task, began = self._tasks.pop(self._chain.marker), time.monotonic()
        self._waiting = not task.done()
        try:
            page = self._chain.take(await task)
        finally:
            self._waiting = False
        self._waited += time.monotonic() - began
        self._pages += 1
        return page

    def _ask(self, marker: str) -> None:
        if marker not in self._tasks:
            self._tasks[marker] = asyncio.create_task(self._chain.ask(marker, self._peeked))

    def _peeked(self, marker: str) -> None:
        if self._waiting and self._peeks:
            self._ask(marker)

    async def aclose(self) -> None:
        """Give up what nobody has waited for."""
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await settled(asyncio.gather(*self._tasks.values(), return_exceptions=True))


class CycleDetector:
    """Notices when a listing goes round in circles, of whatever length, by Brent's algorithm."""

    def __init__(self, operation: str, url: str) -> None:
        self._operation = operation
        self._url = url
        self._landmark: object = None
        self._steps = 0

    def check(self, marker: object) -> None:
        """Take the marker of the next page.

        Raises:
            ProtocolError: it leads back to where the listing has been.
        """
        if marker == self._landmark:
            raise ProtocolError(
                f"the listing goes round in circles at {marker!r}",
                operation=self._operation,
                url=self._url,
            )
        self._steps += 1
        if self._steps & (self._steps - 1) == 0:
            self._landmark = marker
