"""The append of OBS's own API: bytes go to the end of an object, which has to be where one thinks.

https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0084.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs.errors import (
    ConfigError,
    NotAppendable,
    ObjectChanged,
    ObsError,
    ProtocolError,
    ResponseError,
)
from aioobs.s3.body import size_of
from aioobs.s3.reading import is_stored
from aioobs.s3.replies import acknowledged
from aioobs.s3.request import Request, object_headers
from aioobs.s3.retry import Budget

if TYPE_CHECKING:
    from aioobs.s3.body import Body
    from aioobs.s3.exchange import Exchange
    from aioobs.s3.http.transport import Reply

__all__ = ["append"]

NEXT_POSITION = ("x-obs-next-append-position", "x-amz-next-append-position")


async def append(
    exchange: Exchange, bucket: str, key: str, body: Body, position: int, content_type: str
) -> int:
    """Add *body* to an object that ends at *position*; return where it ends then.

    The position keeps an attempt whose answer was lost from being carried out twice: the store
    refuses the next one, and what it has there tells whose bytes they are.
    """
    if position < 0:
        raise ConfigError(f"nothing can be added at {position}: positions begin at 0")
    query = (("append", None), ("position", str(position)))
    headers = object_headers(content_type, None)
    request = Request("appendObject", "POST", bucket, key, query, headers, body)
    if exchange.config.signature != "obs":
        reason = "only OBS's own API appends: Config(signature='obs')"
        raise NotAppendable(reason, operation=request.operation, url=request.url)
    end = position + size_of(body)

    async def receive(reply: Reply) -> int:
        await acknowledged(reply)
        told = next(filter(None, map(reply.headers.get, NEXT_POSITION)), "")
        if told != str(end):
            raise ProtocolError(f"the object should end at {end} now, the store says {told!r}")
        return end

    budget = Budget(exchange.config)
    try:
        return await exchange.call(request, receive, budget=budget)
    except ResponseError as error:
        refusal = translated(error, position)
        if refusal is None:
            raise
        # After a retry it may be our own bytes that moved the end: an answer may have been lost.
        retried = isinstance(refusal, ObjectChanged) and budget.made > 1 and end > position
        if retried and await is_stored(exchange, bucket, key, body, start=position):
            return end
        raise refusal from error


def translated(error: ResponseError, position: int) -> ObsError | None:
    """Return what the refusal of an append is to the caller; `None`: what it says."""
    resp = error.resp
    if resp is None:
        return None
    kind: type[ObsError]
    if resp.status in (405, 501) or resp.code == "ObjectNotAppendable":
        kind, reason = NotAppendable, "the store does not append to it"
    elif resp.code == "PositionNotEqualToLength":
        kind, reason = ObjectChanged, f"the object does not end at {position}"
    else:
        return None
    message = f"{reason}: {error.message}"
    return kind(message, operation=error.operation, url=error.url, resp=resp)
