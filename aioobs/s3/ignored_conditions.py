"""Which writes a store carries out although their condition does not hold, found by trying."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs.errors import ObsError
from aioobs.s3.client import exchange_of
from aioobs.s3.completing import etag_in
from aioobs.s3.conditions import Condition, is_refused, is_unknown
from aioobs.s3.documents.xml import complete_document
from aioobs.s3.request import Request
from aioobs.s3.writing import written

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from aioobs.s3.client import Client

__all__ = ["ignored_conditions"]

NOTHING_THERE = Condition()
HEADERS = {NOTHING_THERE.header: NOTHING_THERE.value(quoted=True)}


async def ignored_conditions(client: Client, bucket: str, key: str) -> list[str]:
    """Return which writes replace an object that is there although they must not.

    The object may be another one afterwards.
    """
    exchange, ignored = exchange_of(client), []
    put = Request("putObject", "PUT", bucket, key, headers=dict(HEADERS))
    if await is_done(written(exchange, put)):
        ignored.append("a put")
    upload = await client.create_multipart_upload(bucket, key)
    try:
        etag = await client.upload_part(bucket, key, upload, 1, b"x")
        body, query = complete_document([(1, etag)]), (("uploadId", upload),)
        complete = Request(
            "completeMultipartUpload", "POST", bucket, key, query, dict(HEADERS), body
        )
        if await is_done(exchange.call(complete, etag_in)):
            ignored.append("an upload in parts")
    finally:
        await client.abort_multipart_upload(bucket, key, upload)
    return ignored


async def is_done(write: Awaitable[str]) -> bool:
    """Tell whether a write is carried out, or would be without its condition."""
    try:
        await write
    except ObsError as refusal:
        if is_unknown(refusal, NOTHING_THERE.header):
            return True
        if not is_refused(refusal):
            raise
        return False
    return True
