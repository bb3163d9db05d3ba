"""Writes under a condition, kept as well as the store allows.

Some stores keep the conditions of a write, some want an ETag without its quotes, some refuse
conditions, and some ignore them without a word.  So the object is looked at first, which finds
every change that has happened; the condition goes along, which is the only thing that finds one
that happens meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aioobs.errors import AlreadyExists, ConfigError, NotFound, ObjectChanged, ObsError
from aioobs.s3.documents.xml import unquote_etag
from aioobs.s3.reading import find

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aioobs.s3.exchange import Exchange
    from aioobs.s3.objects import ObjectInfo
    from aioobs.s3.request import Request
    from aioobs.s3.retry import Budget

__all__ = ["Condition", "Conditions", "condition"]


@dataclass(frozen=True)
class Condition:
    """What has to be there for a write to be carried out: one object, or none."""

    etag: str = ""
    """Of the object that has to be there; empty: there must be none."""

    @property
    def header(self) -> str:
        """The name of the header that asks for it."""
        return "if-match" if self.etag else "if-none-match"

    def value(self, *, quoted: bool) -> str:
        """Return the value of that header."""
        if not self.etag:
            return "*"
        return f'"{self.etag}"' if quoted else self.etag

    def holds(self, info: ObjectInfo | None) -> bool:
        """Tell whether it holds when *info* is there."""
        return info.etag == self.etag if info and self.etag else not (info or self.etag)

    def broken(
        self, request: Request, info: ObjectInfo | None, refusal: ObsError | None = None
    ) -> ObsError:
        """Return the error that says it does not hold."""
        found = f"; its ETag is {info.etag}" if info else "; there is none" if self.etag else ""
        if refusal is not None:
            found += f" ({refusal.message})"
        message = (
            f"the object has not the ETag {self.etag}" if self.etag else "there is one already"
        )
        kind: type[ObsError] = ObjectChanged if self.etag else AlreadyExists
        return kind(
            message + found,
            operation=request.operation,
            url=request.url,
            resp=refusal.resp if refusal else None,
        )


def condition(if_match: str, if_none_match: str) -> Condition | None:
    """Return what the two options of a write ask for.

    Raises:
        ConfigError: both are given, or one that is not known.
    """
    if if_none_match not in ("", "*"):
        raise ConfigError(f"if_none_match can be '*', not {if_none_match!r}")
    if if_match and if_none_match:
        raise ConfigError("if_match and if_none_match are not given together")
    etag = unquote_etag(if_match)
    return Condition(etag) if etag or if_none_match else None


class Conditions:
    """Keeps conditions, and remembers how the store wants them."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._quoted = True
        self._unknown: set[tuple[str, str]] = set()  # methods and headers

    async def keep(
        self,
        condition: Condition,
        request: Request,
        send: Callable[[], Awaitable[str]],
        is_ours: Callable[[ObjectInfo], Awaitable[bool]],
        budget: Budget,
    ) -> str:
        """Return the ETag of what *send* makes of *request*, under a condition.

        *is_ours* tells whether an object is what the request makes: when an answer has been lost,
        the store's refusal may mean that it was carried out before.
        """
        kind = (request.method, condition.header)
        info = await find(self._exchange, request.bucket, request.key)
        if not condition.holds(info):
            raise condition.broken(request, info)
        if kind in self._unknown:
            return await send()
        for quoted in (self._quoted, not self._quoted):
            request.headers[condition.header] = condition.value(quoted=quoted)
            try:
                etag = await send()
            except ObsError as error:
                refusal = error
            else:
                if condition.etag:
                    self._quoted = quoted
                return etag
            if etag := await self._judged(condition, request, refusal, is_ours, budget):
                return etag
            if is_unknown(refusal, condition.header):
                break
        else:
            raise condition.broken(request, info, refusal) from refusal
        del request.headers[condition.header]
        etag = await send()
        self._unknown.add(kind)
        return etag

    async def _judged(
        self,
        condition: Condition,
        request: Request,
        refusal: ObsError,
        is_ours: Callable[[ObjectInfo], Awaitable[bool]],
        budget: Budget,
    ) -> str:
        """Return the ETag if the request was carried out before it was refused.

        Returns "" if the refusal is wrong: the condition holds.
        """
        if not (is_refused(refusal) or is_unknown(refusal, condition.header)):
            raise refusal
        budget.made -= 1  # this answer is not one of those that were lost
        info = await find(self._exchange, request.bucket, request.key)
        if budget.made and info and await is_ours(info):
            return info.etag
        if not condition.holds(info) or is_conflict(refusal):
            raise condition.broken(request, info, refusal) from refusal
        return ""


def is_refused(error: ObsError) -> bool:
    """Tell whether the store says that a condition does not hold."""
    resp = error.resp
    if resp is None:
        return False
    missing = isinstance(error, NotFound) and resp.code == "NoSuchKey"  # under If-Match
    return resp.status == 412 or missing or is_conflict(error)


def is_conflict(error: ObsError) -> bool:
    """Tell whether somebody else was writing the object at the same time."""
    return error.resp is not None and error.resp.code == "ConditionalRequestConflict"


def is_unknown(error: ObsError, header: str) -> bool:
    """Tell whether the store says that it has no such condition."""
    resp = error.resp
    if resp is None:
        return False
    if resp.status == 501 or resp.code == "NotImplemented":
        return True
    if resp.code not in ("InvalidArgument", "InvalidRequest"):
        return False
    told = " ".join((resp.message, *resp.details.values())).lower()
    return resp.status == 412 or (resp.status == 400 and header in told)
