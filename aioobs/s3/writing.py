"""Writing objects: PUT and server-side copies, and the ETag that the store answers with."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from aioobs.errors import ObjectChanged, PreconditionFailed, ProtocolError, ResponseError
from aioobs.s3.documents.xml import good_fields, unquote_etag
from aioobs.s3.reading import head, is_made_of
from aioobs.s3.replies import acknowledged, is_not_implemented
from aioobs.s3.request import Request, source_headers
from aioobs.s3.retry import Budget

if TYPE_CHECKING:
    from aioobs.errors import ErrorResponse
    from aioobs.s3.call_in_progress import Begun
    from aioobs.s3.conditions import Condition, Conditions
    from aioobs.s3.exchange import Exchange
    from aioobs.s3.http.transport import Reply

__all__ = ["copied", "copy_request", "copy_whole", "etag_in", "put", "written"]

# The answer to a copy as most stores write it: to read it as a tree of XML takes ten times as long.
COPIED = re.compile(
    rb"""(?:<\?xml\ version="1\.0"(?:\ encoding="UTF-8")?\ ?\?>)?\s*
    <(Copy\w+Result)(?:\ xmlns="[\w:/.-]+")?>\s*
    (?:<LastModified>[\w:.-]*</LastModified>\s*)?
    <ETag>(?P<quote>"|&quot;|&\#34;)(?P<etag>[\w-]+)(?P=quote)</ETag>\s*
    (?:<LastModified>[\w:.-]*</LastModified>\s*)?
    </\1>\s*""",
    re.VERBOSE,
)


async def written(
    exchange: Exchange,
    request: Request,
    *,
    budget: Budget | None = None,
    begun: Begun | None = None,
) -> str:
    """Send what *request* has for the store, and return the ETag of that."""

    async def receive(reply: Reply) -> str:
        await acknowledged(reply)
        etag = unquote_etag(reply.headers.get("etag", ""))
        if not etag and not is_marker(request):
            raise ProtocolError("the answer has no ETag; is this an S3 endpoint?")
        return etag

    return await exchange.call(request, receive, budget=budget, begun=begun)


def is_marker(request: Request) -> bool:
    """Tell whether it is the marker of a folder, of which JuiceFS says nothing."""
    return request.key.endswith("/") and not request.body


async def put(
    exchange: Exchange, conditions: Conditions, request: Request, condition: Condition | None
) -> str:
    """Write an object, under a condition if there is one; return its ETag."""
    if condition is None:
        return await written(exchange, request)
    budget = Budget(exchange.config)
    send = partial(written, exchange, request, budget=budget)
    is_ours = partial(is_made_of, exchange, request.bucket, request.body)
    return await conditions.keep(condition, request, send, is_ours, budget)


def copy_request(source: tuple[str, str], bucket: str, key: str, if_match: str) -> Request:
    """Return the request for a copy of a whole object."""
    return Request("copyObject", "PUT", bucket, key, headers=source_headers(source, if_match))


async def copy_whole(
    exchange: Exchange,
    source: tuple[str, str],
    bucket: str,
    key: str,
    if_match: str,
    *,
    begun: Begun | None = None,
) -> str:
    """Have the store copy a whole object; return the ETag of the copy."""
    request = copy_request(source, bucket, key, if_match)
    etag = await copied(exchange, request, source, begun=begun)
    if if_match and etag != if_match and (await head(exchange, *source)).etag != if_match:
        raise replaced(request, source)  # some stores do not look at it
    if not etag:  # some stores keep none
        made, origin = await head(exchange, bucket, key), await head(exchange, *source)
        if made.size != origin.size:
            raise ProtocolError(
                f"{origin.size} bytes were to be copied, the copy has {made.size}",
                operation=request.operation,
                url=request.url,
            )
    return etag


async def copied(
    exchange: Exchange,
    request: Request,
    source: tuple[str, str],
    *,
    begun: Begun | None = None,
) -> str:
    """Have the store copy *source* as *request* says; return the ETag of the copy.

    Raises:
        ObjectChanged: the source is not the one with the ETag that was named.
        ProtocolError: the store does not copy parts, whether it says so or not.
    """

    async def receive(reply: Reply) -> str:
        etag = etag_in(await reply.read())
        if not etag and request.operation == "copyPart":
            raise ProtocolError("the answer to a copy has no ETag; nothing may be there")
        return etag

    try:
        return await exchange.call(request, receive, begun=begun)
    except PreconditionFailed as error:
        raise replaced(request, source, error.resp) from error
    except ResponseError as error:
        if request.operation != "copyPart" or not is_not_implemented(error):
            raise
        raise ProtocolError(
            f"the store does not copy parts ({error.message})",
            operation=request.operation,
            url=request.url,
            resp=error.resp,
        ) from error


def replaced(
    request: Request, source: tuple[str, str], resp: ErrorResponse | None = None
) -> ObjectChanged:
    """Return the error for a source that is not the one that was to be copied."""
    return ObjectChanged(
        "the source was replaced while it was being copied",
        operation=request.operation,
        url=f"s3://{source[0]}/{source[1]}",
        resp=resp,
    )


def etag_in(document: bytes) -> str:
    """Return the ETag that the answer to a copy has.

    Raises:
        ObsError: it is an error under the status 200.
        ProtocolError: it has none.
    """
    if known := COPIED.fullmatch(document):
        return known["etag"].decode()
    found = good_fields(document)
    if "ETag" not in found:
        raise ProtocolError("the answer to a copy has no ETag; nothing may be there")
    return unquote_etag(found["ETag"])
