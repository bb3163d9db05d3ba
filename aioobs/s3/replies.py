"""What an answer comes to: a result, or the error that it tells of."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from aioobs.errors import ErrorResponse, NotFound, ReadError, ResponseError, error_for
from aioobs.s3.documents import xml
from aioobs.s3.observer import request_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aioobs.s3.http.transport import Reply
    from aioobs.s3.request import Request

__all__ = ["acknowledged", "is_not_implemented", "is_of_bucket", "take"]

T = TypeVar("T")

LONGEST_ERROR = 256 * 1024


async def take(request: Request, reply: Reply, receive: Callable[[Reply], Awaitable[T]]) -> T:
    """Return what *receive* makes of a good answer; raise what another one says."""
    try:
        if 200 <= reply.status < 300:
            return await receive(reply)
        resp = await error_response(reply)
    except ReadError as error:
        error.resp = response_of(reply, b"")
        raise
    finally:
        reply.close()
    raise error_for(request.operation, request.url, resp)


async def acknowledged(reply: Reply) -> None:
    """Read the body of an answer that has nothing more to say than that it is done.

    Raises:
        ObsError: it says that it is not.
    """
    document = await reply.read()
    if document and xml.root_name(document) == "Error":
        xml.good_fields(document)


async def error_response(reply: Reply) -> ErrorResponse:
    """Return what an answer that is not a success says, as far as it can be read."""
    try:
        document = await reply.read(LONGEST_ERROR)
    except ReadError:
        document = b""
    return response_of(reply, document)


def response_of(reply: Reply, document: bytes) -> ErrorResponse:
    """Return what the head of an answer says, and the document in its body."""
    details = xml.fields(document)
    headers = reply.headers
    return ErrorResponse(
        reply.status,
        reply.reason,
        details.get("Code") or headers.get("x-obs-error-code", ""),
        details.get("Message") or headers.get("x-obs-error-message") or plain_text(document),
        request_id(headers) or details.get("RequestId", ""),
        headers,
        details,
    )


def is_of_bucket(error: NotFound) -> bool:
    """Tell whether it is the bucket that is not there, and not something in it."""
    return error.resp is not None and error.resp.code == "NoSuchBucket"


def is_not_implemented(error: ResponseError) -> bool:
    """Tell whether the store does not know what it was asked for."""
    return error.resp is not None and error.resp.status in (405, 501)


def plain_text(document: bytes) -> str:
    """Return an error that is neither XML nor a web page, as far as it fits into a line."""
    text = document[:200].decode("utf-8", "replace").strip()
    return "" if text.startswith("<") else " ".join(text.split())
