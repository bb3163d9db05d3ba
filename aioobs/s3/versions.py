"""The versions that a store keeps of its objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs.s3.documents import xml
from aioobs.s3.listing import CycleDetector
from aioobs.s3.request import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aioobs.s3.documents.xml import ObjectVersion
    from aioobs.s3.exchange import Exchange

__all__ = ["versions"]


async def versions(exchange: Exchange, bucket: str, prefix: str) -> AsyncIterator[ObjectVersion]:
    """Yield the versions of the objects below *prefix*, page by page."""
    following: xml.Following = ()
    cycles = CycleDetector("listVersions", f"s3://{bucket}/{prefix}")
    while True:
        query = (("versions", None), ("prefix", prefix), ("encoding-type", "url"), *following)
        request = Request("listVersions", "GET", bucket, query=query)
        found, following = await exchange.document(request, xml.parse_versions)
        for version in found:
            yield version
        if not following:
            return
        cycles.check(following)
