"""Where requests go and how they are signed, and what a store's refusals teach about both."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aioobs.errors import ConfigError, ResponseError
from aioobs.s3.auth.credentials import CredentialChain
from aioobs.s3.auth.signing import UNSIGNED_PAYLOAD, Anonymous, Credentials
from aioobs.s3.auth.signing_v2 import SigOBS, SigV2
from aioobs.s3.auth.signing_v4 import SigV4
from aioobs.s3.body import digest, size_of
from aioobs.s3.documents.dates import http_time
from aioobs.s3.request import SignedRequest, address

if TYPE_CHECKING:
    from aioobs.config import Config
    from aioobs.errors import ErrorResponse
    from aioobs.s3.auth.signing import Signer
    from aioobs.s3.request import Address, Request, Sign

__all__ = ["Access"]

USER_AGENT = "aioobs"
NOBODY = Credentials("", "", None, None)
# A refusal without a word, as a HEAD gets it, may mean that the credentials have expired.
BETWEEN_DOUBTS = 60.0  # seconds between two searches for newer ones that are made for that
TOGETHER = 5.0  # seconds within which what is refused is refused for the same reason
PAYS = ("x-amz-request-payer", "requester")
LARGEST_SKEW = 300.0  # seconds; a store refuses from 900 on
REDIRECTS = (301, 302, 307, 308)

log: logging.Logger = logging.getLogger("aioobs.request")


class Access:
    """Where the requests of one client go, how they are signed, and what refusals have taught."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._credentials = CredentialChain(given_in(config))
        self.successor: Access | None = None
        """That of the client which has taken the place of this one's."""
        self._doubted_at = -BETWEEN_DOUBTS
        self._signers: dict[str, Signer] = {}
        self._regions: dict[str, str] = {}  # by bucket, where a store has told
        self._origins: dict[str, str] = {}
        self._addresses: dict[str, Address] = {}
        self._clock_offset = 0.0

    @property
    def signs_unread(self) -> bool:
        """Whether bodies need not be read to be signed."""
        return self.config.payload_signing != "sha256" or self.config.anonymous

    async def signed(self, request: Request) -> SignedRequest:
        """Return a request as it is to be sent now.

        Raises:
            ConfigError: there are no credentials, or the request cannot be sent.
        """
        payload = UNSIGNED_PAYLOAD
        if not self.signs_unread:
            request.check()
            payload = (await digest(request.body, "sha256")).hex()
        return self._sign(await self._found_credentials(), payload, request)

    async def signing(self) -> Sign:
        """Return what signs requests whose bodies need not be read, within the next seconds.

        Raises:
            ConfigError: there are no credentials.
        """
        return partial(self._sign, await self._found_credentials(), UNSIGNED_PAYLOAD)

    def signing_at_once(self) -> Sign | None:
        """Do as `signing` does; `None`: bodies have to be read, or credentials to be looked for."""
        known = NOBODY if self.config.anonymous else self._credentials.known()
        if known is None or not self.signs_unread:
            return None
        return partial(self._sign, known, UNSIGNED_PAYLOAD)

    async def presign(self, request: Request, expires: int) -> str:
        """Return a URL that carries its own signature for *expires* seconds."""
        if self.config.requester_pays:
            request.query += (PAYS,)
        where = self._address(request.bucket)
        target = where.target(request)
        query = self._signer(request.bucket).presign(
            target, request.headers, expires, await self._found_credentials(), self.now()
        )
        return f"{where.origin}{target.path}?{query}"

    def _sign(self, credentials: Credentials, payload: str, request: Request) -> SignedRequest:
        request.check()
        request.signed_by = credentials
        where = self._address(request.bucket)
        target = where.target(request)
        given = request.headers
        if self.config.requester_pays:
            given = {**given, PAYS[0]: PAYS[1]}
        lines = self._signer(request.bucket).sign(target, given, payload, credentials, self.now())
        lines = f"Host: {where.host}\r\nUser-Agent: {USER_AGENT}\r\n{lines}"
        if request.method in ("PUT", "POST"):
            lines = f"{lines}Content-Length: {size_of(request.body)}\r\n"
        asked = f"{target.path}?{target.query}" if target.query else target.path
        return SignedRequest(where.origin, request.method, asked, lines, request.body)

    def origin(self, bucket: str) -> str:
        """Return where the requests to a bucket go."""
        return self._address(bucket).origin

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
        return found

    def now(self) -> float:
        """Return the time, in Unix seconds, on the store's clock as far as it is known."""
        return time.time() + self._clock_offset

    def learn(self, request: Request, resp: ErrorResponse) -> str:
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
            return self._learn_credentials(request.signed_by or NOBODY, wordless=wordless)
        return ""

    def _learn_credentials(self, refused: Credentials, *, wordless: bool) -> str:
        lesson = f"other credentials than ...{refused.access_key[-4:]}"
        if self.config.access_key:
            return lesson if self._has_successor_of(refused) else ""
        since = time.monotonic() - self._doubted_at
        if wordless and TOGETHER < since < BETWEEN_DOUBTS:  # it mostly has other reasons
            return ""
        if not wordless or since >= BETWEEN_DOUBTS:
            self._credentials.expire(refused)
        if since >= BETWEEN_DOUBTS:
            self._doubted_at = time.monotonic()
        return lesson

    def _has_successor_of(self, refused: Credentials) -> bool:
        """Use the credentials that have been given since; tell whether they are others."""
        newest = self
        while newest.successor is not None:
            newest = newest.successor
        given = given_in(newest.config)
        if given is None or given == refused or newest.config.origin != self.config.origin:
            return False
        self._credentials.give(given)
        return True

    def _learn_place(self, request: Request, resp: ErrorResponse, region: str) -> str:
        place = origin_of(resp.headers.get("location", ""))
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


def given_in(config: Config) -> Credentials | None:
    """Return the credentials that are given explicitly."""
    if not config.access_key:
        return None
    return Credentials(config.access_key, config.secret_key, config.security_token or None, None)


def signer(config: Config, region: str) -> Signer:
    """Return what signs requests for *region*."""
    if config.anonymous:
        return Anonymous()
    if config.signature == "v2":
        return SigV2()
    return SigOBS() if config.signature == "obs" else SigV4(region)


def origin_of(location: str) -> str:
    """Return scheme and host of a URL; "": it has none."""
    try:
        return "://".join(urlsplit(location)[:2]) if "://" in location else ""
    except ValueError:  # it is no URL
        return ""


def may_follow(config: Config, bucket: str, origin: str) -> bool:
    """Tell whether a redirect stays with the store that the credentials are meant for."""
    here = urlsplit(config.origin)
    try:
        there = urlsplit(origin)
        port = there.port
    except ValueError:  # it is no URL
        return False
    if there.scheme not in ("http", "https") or "@" in there.netloc:
        return False
    if here.scheme == "https" and there.scheme != "https":
        return False
    hosts = {here.netloc, f"{bucket}.{here.netloc}"}
    if there.netloc in hosts:
        return True
    if not config.is_public_cloud or port not in (None, 443, 80):
        return False
    site = ".".join((here.hostname or "").rsplit(".", 2)[-2:])
    return (there.hostname or "").endswith(f".{site}") and replace(
        config, endpoint=origin
    ).is_public_cloud
