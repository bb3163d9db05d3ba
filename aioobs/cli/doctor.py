"""doctor: everything that it takes to reach the store, one check after the other."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aioobs.cli.buckets import remote_url
from aioobs.cli.failures import line_of, status_of
from aioobs.cli.output import say, say_json
from aioobs.cli.settings import addressing, certificates, credentials
from aioobs.errors import AccessDenied, ConnectionFailed, ResponseError
from aioobs.s3.client import Client, exchange_of
from aioobs.s3.documents.dates import http_time
from aioobs.s3.ignored_conditions import ignored_conditions
from aioobs.s3.request import Request
from aioobs.session import current_client

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from aioobs.cli.tally import Tally
    from aioobs.config import Config
    from aioobs.s3.http.transport import Reply
    from aioobs.url import ObjectURL

__all__ = ["doctor"]

SAMPLE = 16 << 20  # bytes that are sent and fetched to see how fast that is
LARGEST_SKEW = 300.0  # seconds


async def doctor(given: argparse.Namespace, _: Tally) -> int:
    """Check all that it takes to reach the store, and say what to change."""
    url = remote_url(given.url) if given.url else None
    config = replace(current_client().config, attempts=2)
    async with Client(config) as client:
        checkup = Checkup(client, url, as_json=given.json)
        for name, check in checkup.checks().items():
            if not await checkup.make(name, check):
                break
    return checkup.status


class Worry(Exception):
    """Something that works, but should perhaps be changed."""


class Checkup:
    """The checks of one store, and of one place in it."""

    def __init__(self, client: Client, url: ObjectURL | None, *, as_json: bool) -> None:
        self.client = client
        self.config: Config = client.config
        self.url = url
        self.status: int = 0
        self._as_json = as_json
        self._clock: float | None = None
        self._sample: ObjectURL | None = None

    def checks(self) -> dict[str, Callable[[], Awaitable[str]]]:
        """Return all checks in their order; each says what it has found, or raises."""
        found: dict[str, Callable[[], Awaitable[str]]] = {
            "endpoint": self.endpoint,
            "host name": self.host_name,
            "connection": self.connection,
            "TLS": self.tls,
            "clock": self.clock,
            "credentials": self.credentials,
            "account": self.account,
            "addressing": self.addressing,
        }
        if self.url is not None:
            found |= {"list": self.list, "write": self.write, "read": self.read}
            found |= {"conditions": self.conditions, "delete": self.delete}
        return found

    async def make(self, name: str, check: Callable[[], Awaitable[str]]) -> bool:
        """Make a check and say what came of it; tell whether the next ones make sense."""
        state, text = "ok", ""
        try:
            text = await check()
        except Worry as worry:
            state, text = "note", str(worry)
        except (OSError, ValueError) as error:
            state, text = "FAIL", line_of(error, steps=False)
            self.status = self.status or status_of(error)
        if self._as_json:
            say_json(check=name, state=state.lower(), text=text)
        else:
            say(f"{state:5} {name:12} {text}")
        return state != "FAIL" or name in ("clock", "list", "write", "read", "conditions")

    async def endpoint(self) -> str:
        """Say which store it is."""
        via = " through a proxy" if self.config.proxy else ""
        return f"{self.config.origin}{via}, region {self.config.signing_region}"

    async def host_name(self) -> str:
        """Look the name up."""
        if self.config.proxy:
            return "left to the proxy"
        host = self.config.host
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ConnectionFailed(
                f"the name {host} is not known ({error.strerror}): is the endpoint right?",
                kind="unknown host",
            ) from error
        return ", ".join(sorted({str(entry[4][0]) for entry in found})[:4])

    async def connection(self) -> str:
        """Send an unsigned request, which any store answers somehow."""
        async with Client(replace(self.config, anonymous=True)) as client:
            await self._ask(client)
            begin = time.perf_counter()
            await self._ask(client)
        return f"an answer takes {(time.perf_counter() - begin) * 1000:.1f} ms"

    async def _ask(self, client: Client) -> None:
        try:
            date = await exchange_of(client).call(Request("listBuckets", "GET"), date_of)
        except ResponseError as error:
            date = error.resp.headers.get("date", "") if error.resp else ""
        self._clock = http_time(date)

    async def tls(self) -> str:
        """Say whether the connection is encrypted, and the store known."""
        text = certificates(self.config)
        local = self.config.host in ("127.0.0.1", "::1", "localhost")
        if not text.startswith("verified") and not local:
            raise Worry(f"{text}; use https:// and S3_VERIFY_SSL=1, S3_CA_BUNDLE=FILE if need be")
        return text

    async def clock(self) -> str:
        """Compare the clocks."""
        if self._clock is None:
            raise Worry("the store does not tell the time")
        offset = time.time() - self._clock
        if abs(offset) > LARGEST_SKEW:
            raise ValueError(f"this machine is {offset:+.0f} s off the store: set its clock")
        return f"within {max(abs(offset), 1):.0f} s of the store's"

    async def credentials(self) -> str:
        """Find the access key."""
        return await credentials(self.config)

    async def account(self) -> str:
        """Send a signed request."""
        try:
            buckets = await self.client.list_buckets()
        except AccessDenied as error:
            code = error.resp.code if error.resp else ""
            if code in ("AccessDenied", ""):
                raise Worry(f"the buckets may not be listed: {error.message}") from error
            raise
        if self.url is not None and self.url.bucket not in buckets:
            raise Worry(f"{len(buckets)} buckets, and {self.url.root} is not one of them")
        return f"{len(buckets)} bucket{'' if len(buckets) == 1 else 's'}"

    async def addressing(self) -> str:
        """Say where buckets go."""
        host = urlsplit(self.config.origin).netloc
        return f"{addressing(self.config)} ({host}); --addressing changes that"

    async def list(self) -> str:
        """List the place."""
        assert self.url is not None
        page = await self.client.list_objects(self.url.bucket, self.url.folder, limit=1)
        return "allowed" if page.objects or page.prefixes else "allowed; there is nothing yet"

    async def write(self) -> str:
        """Send a sample."""
        assert self.url is not None
        sample = self.url / f".aioobs-doctor-{secrets.token_hex(8)}"
        begin = time.perf_counter()
        await self.client.put_object(sample.bucket, sample.key, bytes(SAMPLE))
        self._sample = sample
        return f"allowed, {self._rate(begin)}"

    async def read(self) -> str:
        """Fetch the sample."""
        sample = self._written()
        begin = time.perf_counter()
        await self.client.get_buffer(sample.bucket, sample.key)
        return f"allowed, {self._rate(begin)}"

    async def conditions(self) -> str:
        """Try to create the sample, which is there."""
        sample = self._written()
        if ignored := await ignored_conditions(self.client, sample.bucket, sample.key):
            raise Worry(
                f"not kept for {' and '.join(ignored)}, where the client looks first: of two that "
                "write or append to an object at the same time, one may undo what the other does"
            )
        return "kept"

    async def delete(self) -> str:
        """Remove the sample."""
        sample = self._written()
        await self.client.delete_object(sample.bucket, sample.key)
        return "allowed"

    def _written(self) -> ObjectURL:
        if self._sample is None:
            raise Worry("not tried, for nothing could be written")
        return self._sample

    @staticmethod
    def _rate(begin: float) -> str:
        return f"{SAMPLE / (1 << 20) / (time.perf_counter() - begin):.0f} MiB/s in one piece"


async def date_of(reply: Reply) -> str:
    """Return when the store answered, by its own clock."""
    await reply.read()
    return reply.headers.get("date", "")
