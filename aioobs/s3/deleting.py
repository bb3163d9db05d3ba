"""Deletes: single ones, and batches of up to a thousand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aioobs.config import check_list, check_text
from aioobs.errors import ErrorResponse, NotFound, ObsError, ResponseError, error_for
from aioobs.s3.body import md5_of
from aioobs.s3.documents import xml
from aioobs.s3.replies import is_not_implemented, is_of_bucket
from aioobs.s3.request import Request
from aioobs.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aioobs.s3.exchange import Exchange

__all__ = ["delete", "delete_all"]

MOST_DELETED = 1000
AT_ONCE = 32  # single requests: stores that know no batches are often small ones
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


async def delete(exchange: Exchange, bucket: str, key: str) -> None:
    """Delete an object; one that does not exist is no error.

    Some stores say 404 then, also of one that an attempt whose answer was lost has deleted.
    """
    try:
        await exchange.perform(Request("deleteObject", "DELETE", bucket, key))
    except NotFound as error:
        if error.resp is None or error.resp.code != "NoSuchKey":  # as from a proxy
            raise


async def delete_all(exchange: Exchange, bucket: str, keys: Iterable[str]) -> list[ObsError]:
    """Delete objects; return an error for each one that is left."""
    check_list("keys", keys)
    failures: list[ObsError] = []
    batch: list[str] = []
    for key in keys:
        check_text("key", key)
        if NOT_IN_XML.search(key):
            failures += await delete_each(exchange, bucket, [key])
            continue
        batch.append(key)
        if len(batch) == MOST_DELETED:
            failures += await delete_batch(exchange, bucket, batch)
            batch = []
    return failures + (await delete_batch(exchange, bucket, batch) if batch else [])


async def delete_each(exchange: Exchange, bucket: str, keys: list[str]) -> list[ObsError]:
    """Do as `delete_all` does, with a request for each object."""
    failures: list[ObsError] = []

    async def attempt(key: str) -> None:
        try:
            await delete(exchange, bucket, key)
        except NotFound as error:
            if is_of_bucket(error):
                raise
            failures.append(error)  # this says nothing of the object
        except ResponseError as error:
            if is_not_implemented(error):  # nor can the store do that
                raise
            failures.append(error)

    async with Tasks() as tasks:
        for key in keys:
            await tasks.start(attempt(key), at_most=AT_ONCE)
    return failures


async def delete_batch(exchange: Exchange, bucket: str, keys: list[str]) -> list[ObsError]:
    body = xml.delete_document(keys)
    request = Request("deleteObjects", "POST", bucket, query=(("delete", None),), body=body)
    request.headers["content-md5"] = await md5_of(body)
    request.headers["content-type"] = "application/xml"
    try:
        errors = await exchange.document(request, xml.parse_delete_errors)
    except ResponseError as error:
        if not is_not_implemented(error):
            raise
        return await delete_each(exchange, bucket, keys)
    return [
        error_for(
            "deleteObjects",
            f"s3://{bucket}/{error.get('Key', '')}",
            ErrorResponse(200, "", error.get("Code", ""), error.get("Message", "")),
        )
        for error in errors
        if error.get("Code") != "NoSuchKey"
    ]
