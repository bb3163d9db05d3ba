"""Requests with all of their attempts: addressed, signed afresh, sent, tried again, corrected."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from aioobs.caller import caller, on_loop
from aioobs.errors import (
    ConfigError,
    ErrorResponse,
    NotFound,
    ObsError,
    OperationTimeout,
    ResponseError,
)
from aioobs.s3.body import digest, size_of
from aioobs.s3.connections import Connections
from aioobs.s3.credentials import CredentialChain
from aioobs.s3.dates import http_time
from aioobs.s3.observer import Course, Observer
from aioobs.s3.parking import Rest, Wait, Whole
from aioobs.s3.replies import take
from aioobs.s3.request import Address, Request, Sign, address
from aioobs.s3.retry import Budget, asks_to_slow_down
from aioobs.s3.signing import Anonymous, Credentials, Signer, SigOBS, SigV2, SigV4
from aioobs.s3.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from aioobs.config import Config
    from aioobs.s3.lean import LeanTransport
    from aioobs.s3.transport import Reply
    from aioobs.s3.wire import Wire

    Begun = Wire | ObsError
    """An attempt whose request has been sent already, or one that has failed."""

__all__ = ["Exchange"]

T = TypeVar("T")
UNSIGNED = "UNSIGNED-PAYLOAD"
USER_AGENT = "aioobs"
NOBODY = Credentials("", "", None, None)
# A refusal without a word, as a HEAD gets it, may mean that the credentials have expired.
BETWEEN_DOUBTS = 60.0  # seconds between two searches for newer ones that are made for that
TOGETHER = 5.0  # seconds within which what is refused is refused for the same reason
LARGEST_SKEW = 300.0  # seconds; a store refuses from 900 on
REDIRECTS = (301, 302, 307, 308)

log: logging.Logger = logging.getLogger("aioobs.request")


class Exchange:
    """What one client knows about its store, and its connections, one set for each event loop."""

    def __init__(self, config: Config, observer: Observer | None = None) -> None:
        self.config = config
        self.observer: Observer = observer or Observer()
        given = None
        if config.access_key:
            given = Credentials(
                config.access_key, config.secret_key, config.security_token or None, None
            )
        self._credentials = CredentialChain(given)
        self._used = NOBODY
        self._retired = False
        self._doubted_at = -BETWEEN_DOUBTS
        self._connections: dict[asyncio.AbstractEventLoop, Connections] = {}
        self._signers: dict[str, Signer] = {}
        self._regions: dict[str, str] = {}  # by bucket, where a store has told
        self._origins: dict[str, str] = {}
        self._addresses: dict[str, Address] = {}
        self._clock_offset = 0.0

    async def call(
        self,
        request: Request,
        receive: Callable[[Reply], Awaitable[T]],
        *,
        budget: Budget | None = None,
        begun: Begun | None = None,
    ) -> T:
        """Return what *receive* makes of the first good answer to *request*.

        All attempts together take no longer than the operation's timeout.  The first of them may
        have *begun* elsewhere.

        Raises:
            OperationTimeout: they would.
            ObsError: the last attempt's error.
        """
        limit, course = self.config.timeout(request.operation), Course(self.observer, request)
        try:
            if caller.loop is None or begun is not None:
                result = await self._in_time(course, receive, limit, budget, begun)
            else:
                result = await self._from_here(course, receive, limit, budget, caller.loop)
        except BaseException as exc:
            course.end(exc)
            raise
        if course.is_told:
            course.end()
        return result

    async def _in_time(
        self,
        course: Course,
        receive: Callable[[Reply], Awaitable[T]],
        limit: float | None,
        budget: Budget | None,
        begun: Begun | None,
    ) -> T:
        if limit is None:
            return await self._attempts(course, receive, limit, budget, begun)
        timer = None
        try:
            async with asyncio.timeout(limit) as timer:
                return await self._attempts(course, receive, limit, budget, begun)
        except TimeoutError as exc:
            if timer is None or not timer.expired():
                raise
            raise too_late(course, limit) from (course.error or exc)

    async def _from_here(
        self,
        course: Course,
        receive: Callable[[Reply], Awaitable[T]],
        limit: float | None,
        budget: Budget | None,
        loop: asyncio.AbstractEventLoop,
    ) -> T:
        """Do as `_in_time` does, on a thread without an event loop as long as all goes well."""
        request, wait = course.request, Wait(self._idle_timeout(limit), limit)
        asked = self._ask(request, wait, loop)
        if isinstance(asked, Whole):
            course.watch, course.reply = wait, asked
            try:
                result = await take(request, asked, receive)
            except NotFound as error:
                course.failed(error)
                raise
            except ObsError as error:
                asked = error
            else:
                course.answered()
                return result
        elif isinstance(asked, ObsError):
            course.watch = wait
        try:
            await on_loop()
        except BaseException:
            if isinstance(asked, Rest):
                asked.give_up()
            raise
        begun = asked.go_on(request.method) if isinstance(asked, Rest) else asked
        try:
            left = None if limit is None else limit - (wait.now() - wait.began)
            result = await self._in_time(course, receive, left, budget, begun)
        finally:
            if begun is not None and not isinstance(begun, ObsError):
                begun.close()
        if (lean := (await self.connections()).lean(request)) is not None:
            lean.park(self._address(request.bucket).origin)
        return result

    def _ask(
        self, request: Request, wait: Wait, loop: asyncio.AbstractEventLoop
    ) -> Whole | Rest | ObsError | None:
        connections = self._connections.get(loop)
        known = NOBODY if self.config.anonymous else self._credentials.known()
        if connections is None or known is None or not self.signs_unread:
            return None
        lean = connections.lean(request)
        if lean is None or not connections.slots.enter():
            return None
        try:
            self._used = known
            return lean.parking.ask(request, partial(self._sign, known, UNSIGNED), wait)
        finally:
            connections.slots.leave(loop)

    async def document(self, request: Request, parse: Callable[[bytes], T]) -> T:
        """Return what *parse* makes of the whole body of the answer."""

        async def receive(reply: Reply) -> T:
            return parse(await reply.read())

        return await self.call(request, receive)

    async def perform(self, request: Request) -> None:
        """Send a request whose answer has nothing to say."""

        async def receive(reply: Reply) -> None:
            await reply.read()

        await self.call(request, receive)

    async def _attempts(
        self,
        course: Course,
        receive: Callable[[Reply], Awaitable[T]],
        limit: float | None,
        budget: Budget | None,
        begun: Begun | None,
    ) -> T:
        budget, request = budget or Budget(self.config), course.request
        learned: set[str] = set()
        while True:
            try:
                first, begun = begun, None
                result = await self._attempt(course, receive, limit, first)
            except ObsError as raised:
                error = raised
                error.operation = error.operation or request.operation
                error.url = error.url or request.url
            except BaseException as given_up:
                course.failed(given_up)
                raise
            else:
                course.answered()
                return result
            lesson, wait = "", None
            try:
                lesson = self._learn(request, error.resp) if error.resp else ""
                if lesson in learned:
                    lesson = ""
                learned.add(lesson)
                wait = 0.0 if lesson else budget.wait_after(error)
            finally:
                course.failed(error, wait, lesson)
            if wait is None:
                raise error
            if not lesson:
                await asyncio.sleep(wait)

    async def _attempt(
        self,
        course: Course,
        receive: Callable[[Reply], Awaitable[T]],
        limit: float | None,
        begun: Begun | None,
    ) -> T:
        if isinstance(begun, ObsError):
            raise begun
        loop, request = asyncio.get_running_loop(), course.request
        connections = self._connections.get(loop) or await self.connections()

        async with connections.slots as since:
            url, headers = await self._signed(request)
            with Watch(self._idle_timeout(limit)) as watch:
                course.watch = watch
                reply = await connections.send(request, url, headers, watch.progress, begun)
                course.reply = reply
                try:
                    return await take(request, reply, receive)
                except ObsError as error:
                    if error.resp is not None and asks_to_slow_down(error.resp):
                        connections.slots.slow_down(since)
                    raise

    def _idle_timeout(self, limit: float | None) -> float:
        """Return how many seconds an attempt may wait for a byte, in a call limited to *limit*."""
        return min(self.config.idle_timeout, limit / 2 if limit else self.config.idle_timeout)

    async def _signed(self, request: Request) -> tuple[str, dict[str, str]]:
        """Return the URL and all headers of an attempt that is made now."""
        payload = UNSIGNED
        if not self.signs_unread:
            request.check()
            payload = (await digest(request.body, "sha256")).hex()
        origin, target, headers = self._sign(await self._found_credentials(), payload, request)
        return origin + target, headers

    @property
    def signs_unread(self) -> bool:
        """Whether bodies need not be read to be signed."""
        return self.config.payload_signing != "sha256" or self.config.anonymous

    async def signing(self) -> Sign:
        """Return what signs requests whose bodies need not be read, within the next seconds."""
        return partial(self._sign, await self._found_credentials(), UNSIGNED)

    def _sign(
        self, credentials: Credentials, payload: str, request: Request
    ) -> tuple[str, str, dict[str, str]]:
        request.check()
        where = self._address(request.bucket)
        target = where.target(request)
        headers = self._signer(request.bucket).sign(
            target, request.headers, payload, credentials, self.now()
        )
        headers["Host"] = where.host
        headers["User-Agent"] = USER_AGENT
        if request.method in ("PUT", "POST"):
            headers["Content-Length"] = str(size_of(request.body))
        query = f"?{target.query}" if target.query else ""
        return where.origin, f"{target.path}{query}", headers

    def _address(self, bucket: str) -> Address:
        if found := self._addresses.get(bucket):
            return found
        self._addresses[bucket] = address(self.config, bucket, self._origins.get(bucket, ""))
        return self._addresses[bucket]

    def _signer(self, bucket: str) -> Signer:
        region = self._regions.get(bucket) or self.config.signing_region
        if region not in self._signers:
            self._signers[region] = signer(self.config, region)
        return self._signers[region]

    async def _found_credentials(self) -> Credentials:
        if self.config.anonymous:
            return NOBODY
        found = await self._credentials.get()
        if found is None:
            raise ConfigError(
                "no credentials were found: set ACCESS_KEY_ID and SECRET_ACCESS_KEY, call "
                "set_auth(ak=..., sk=...), or give Config(anonymous=True); looked at: "
                + "; ".join(self._credentials.tried)
            )
        self._used = found
        return found

    def now(self) -> float:
        """Return the time, in Unix seconds, on the store's clock as far as it is known."""
        return time.time() + self._clock_offset

    def _learn(self, request: Request, resp: ErrorResponse) -> str:
        """Return what a refusal says should be done otherwise; "": nothing."""
        told = resp.headers.get("x-amz-bucket-region") or resp.details.get("Region", "")
        if resp.status in REDIRECTS:
            return self._learn_place(request, resp, told)
        # The answer to a HEAD has no body, and so no code.
        malformed = resp.code in ("AuthorizationHeaderMalformed", "InvalidRegion")
        if told and (malformed or (resp.status == 400 and not resp.code)):
            self._regions[request.bucket] = told
            return f"region {told}"
        wordless = not resp.code and resp.status in (400, 401, 403)
        skewed = resp.code == "RequestTimeTooSkewed" or (wordless and resp.status == 403)
        if skewed and (lesson := self._learn_clock(resp)):
            return lesson
        if wordless or resp.code in ("ExpiredToken", "InvalidToken", "InvalidAccessKeyId"):
            return self._learn_credentials(wordless=wordless)
        return ""

    def _learn_credentials(self, *, wordless: bool) -> str:
        if self.config.access_key:
            return ""
        since = time.monotonic() - self._doubted_at
        if wordless and TOGETHER < since < BETWEEN_DOUBTS:  # it mostly has other reasons
            return ""
        if not wordless or since >= BETWEEN_DOUBTS:
            self._credentials.expire(self._used)
        if since >= BETWEEN_DOUBTS:
            self._doubted_at = time.monotonic()
        return "credentials looked up again"

    def _learn_place(self, request: Request, resp: ErrorResponse, region: str) -> str:
        location = resp.headers.get("location", "")
        place = "://".join(urlsplit(location)[:2]) if "://" in location else ""
        if not place and resp.details.get("Endpoint"):
            place = f"{self.config.origin.partition(':')[0]}://{resp.details['Endpoint']}"
        if not place and region and self.config.signing_region in self.config.origin:
            place = self.config.origin.replace(self.config.signing_region, region)
        if place and not may_follow(self.config, request.bucket, place):
            raise ResponseError(
                f"the store redirects to {place}, which does not belong to the endpoint "
                f"{self.config.origin}; set that as the endpoint if you trust it",
                operation=request.operation,
                url=request.url,
                resp=resp,
            )
        if region:
            self._regions[request.bucket] = region
        if place:
            self._origins[request.bucket] = place
            self._addresses.pop(request.bucket, None)
        return " ".join(filter(None, (place, region)))

    def _learn_clock(self, resp: ErrorResponse) -> str:
        theirs = http_time(resp.headers.get("date", ""))
        if theirs is None:
            return ""
        offset = theirs - time.time()
        if abs(offset - self._clock_offset) < LARGEST_SKEW:
            # Another request may have learned it since this one was signed.
            return "the store's clock" if self._clock_offset else ""
        self._clock_offset = offset
        log.warning("the clock of this machine is %+.0f s off the store's", -offset)
        return "the store's clock"

    async def presign(self, request: Request, expires: int) -> str:
        """Return a URL that carries its own signature for *expires* seconds."""
        where = self._address(request.bucket)
        target = where.target(request)
        query = self._signer(request.bucket).presign(
            target, request.headers, expires, await self._found_credentials(), self.now()
        )
        return f"{where.origin}{target.path}?{query}"

    async def lean(self, request: Request) -> LeanTransport | None:
        """Return what can send *request* in a row of others; `None`: it has to go by itself."""
        if self.config.timeout(request.operation) is not None or not self.signs_unread:
            return None
        return (await self.connections()).lean(request)

    async def connections(self) -> Connections:
        """Return the connections of the running loop, which last until they or it is closed."""
        loop = asyncio.get_running_loop()
        if found := self._connections.get(loop):
            return found
        for stale in [other for other in list(self._connections) if other.is_closed()]:
            self._connections.pop(stale, None)
        opened = self._connections[loop] = Connections(self.config)
        opened.guard = self._guard(loop, opened)
        await anext(opened.guard)
        if self._retired:  # what is under way goes on, but not for long
            loop.call_soon(self._retire, loop, opened)
        return opened

    async def _guard(
        self, loop: asyncio.AbstractEventLoop, connections: Connections
    ) -> AsyncGenerator[None, None]:
        # asyncio.run() closes the generators that are left over, and the connections with it.
        try:
            yield
        finally:
            if self._connections.get(loop) is connections:
                del self._connections[loop]
            await connections.aclose()

    async def aclose(self) -> None:
        """Close the connections of the running loop; a later call opens new ones."""
        if connections := self._connections.get(asyncio.get_running_loop()):
            await connections.guard.aclose()

    def retire(self) -> None:
        """Close the connections of every loop once nothing is under way on them."""
        self._retired = True
        for loop, connections in list(self._connections.items()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._retire, loop, connections)

    def _retire(self, loop: asyncio.AbstractEventLoop, connections: Connections) -> None:
        # Whoever wants some from now on gets others, or else he would wait for these to be closed.
        if self._connections.get(loop) is connections:
            del self._connections[loop]
        connections.retire()


def too_late(course: Course, limit: float) -> OperationTimeout:
    """Return the error for a call that has not come to its end in time."""
    before = f"; the last attempt: {course.error.message}" if course.error else ""
    return OperationTimeout(
        f"no result within {limit:g} s{before}",
        operation=course.request.operation,
        url=course.request.url,
    )


def signer(config: Config, region: str) -> Signer:
    """Return what signs requests for *region*."""
    if config.anonymous:
        return Anonymous()
    if config.signature == "v2":
        return SigV2()
    return SigOBS() if config.signature == "obs" else SigV4(region)


def may_follow(config: Config, bucket: str, origin: str) -> bool:
    """Tell whether a redirect stays with the store that the credentials are meant for."""
    here, there = urlsplit(config.origin), urlsplit(origin)
    if there.scheme not in ("http", "https") or "@" in there.netloc:
        return False
    if here.scheme == "https" and there.scheme != "https":
        return False
    hosts = {here.netloc, f"{bucket}.{here.netloc}"}
    if there.netloc in hosts:
        return True
    if not config.is_public_cloud or there.port not in (None, 443, 80):
        return False
    site = ".".join((here.hostname or "").rsplit(".", 2)[-2:])
    return (there.hostname or "").endswith(f".{site}") and replace(
        config, endpoint=origin
    ).is_public_cloud
