"""Listings of objects, page by page, in the version that the store has."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from aioobs.errors import ProtocolError, ResponseError
from aioobs.s3 import xml
from aioobs.s3.request import Request
from aioobs.threads import settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aioobs.s3.exchange import Exchange
    from aioobs.s3.xml import Page

__all__ = ["Circles", "Listing"]


class Listing:
    """Lists what a bucket holds, and remembers which version of the request the store knows."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._config = exchange.config
        self._version: int = exchange.config.list_version

    async def pages(
        self, bucket: str, prefix: str, delimiter: str, start_after: str
    ) -> AsyncIterator[Page]:
        """Yield all pages; a listing that does not come to an end is an error.

        The next page is asked for while the caller is busy with one.
        """
        page = await self.first_page(bucket, prefix, delimiter, start_after)
        circles = Circles("listObjects", f"s3://{bucket}/{prefix}")
        while page.next:
            circles.check(page.next)
            following = asyncio.create_task(self._page(bucket, prefix, delimiter, page.next))
            try:
                yield page
                page = await following
            finally:
                if not following.done():
                    following.cancel()
                    await settled(asyncio.gather(following, return_exceptions=True))
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
        request = Request("listObjects", "GET", bucket, query=tuple(query.items()))
        return await self._exchange.document(request, partial(xml.parse_page, version=version))


class Circles:
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
