"""Find credentials, and find newer ones before they expire.

The order is: given ones, the environment, credential files, metadata services.  Nothing blocks the
event loop: only the environment is read in place, all else in a thread, one at a time for a chain,
and its answer goes to everybody who waits for it, in whatever event loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from aioobs.errors import ConfigError
from aioobs.s3.auth.credential_files import (
    ENVIRONMENT,
    Found,
    NothingFound,
    credential_files,
    from_environment,
    from_file,
)
from aioobs.s3.auth.credential_services import ECS_ENDPOINT, NoAnswer, from_botocore, from_ecs
from aioobs.s3.auth.signing import Credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["CredentialChain", "Credentials"]

# All times are in seconds.
CHECK_INTERVAL = 1.0  # between two looks at the environment and at the time stamp of a file
REFRESH_BEFORE = 600.0  # temporary credentials are renewed when they have less left than this
REFRESH_PAUSE = 30.0  # between two attempts to renew credentials that are still good
REREAD_PAUSE = 0.1  # between two looks at a file that is just being written
REREADS = 10
ABSENT_PAUSE = 60.0  # before services that never had anything are asked again

# With one of these set somebody wants what botocore knows, and Huawei's service can wait.
CONTAINER = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
AWS_FIRST = ("AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", *CONTAINER)
AWS_ELSEWHERE = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")


class CredentialChain:
    """The credentials of one client, whatever the number of its threads and event loops.

    Args:
        explicit: Used as they are, before anything else.
        environ: Read instead of the environment of the process.  botocore, which knows only
            the latter, is not asked then.
        metadata: Whether to ask metadata services, and botocore.
        ecs_endpoint: The metadata service of Huawei's servers.
    """

    def __init__(
        self,
        explicit: Credentials | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        metadata: bool = True,
        ecs_endpoint: str = ECS_ENDPOINT,
    ) -> None:
        self._explicit = explicit
        self._environ: Mapping[str, str] = os.environ if environ is None else environ
        self._metadata = metadata
        self._ecs_endpoint = ecs_endpoint.rstrip("/")
        self._found: Found | None = None
        self._refused = ""  # the source of those that have been forgotten
        self._check_at = 0.0
        self._refresh_at = 0.0
        self._served = False
        self._absent_until = 0.0
        # By process: after a fork the parent's thread is not there to finish its search.
        self._searches: dict[int, Future[Credentials | None]] = {}
        self.tried: tuple[str, ...] = ()
        """Why each source had nothing when all were asked last, for messages."""

    def known(self) -> Credentials | None:
        """Return credentials that need not be looked for; `None`: `get` may find some."""
        found = self._found
        if found is not None and time.monotonic() < self._check_at:
            return found.credentials
        return None

    async def get(self) -> Credentials | None:
        """Return credentials, or None if no source has any: `tried` says why.

        Those that end soon are returned while newer ones are being fetched.

        Raises:
            ConfigError: A source has a half of what is needed, cannot be understood, or has
                nothing but expired credentials.
        """
        if known := self.known():
            return known
        try:
            return await self._check(self._found)
        except ConfigError as error:
            message = error.message
        # A new one: what a traceback shows of the other's frames are files and the environment.
        raise ConfigError(message)

    def give(self, credentials: Credentials) -> None:
        """Use other credentials from now on, before anything else."""
        self._explicit, self._found = credentials, None

    def expire(self, rejected: Credentials | None = None) -> None:
        """Forget the credentials, because the store refuses them: the next `get` looks again.

        With *rejected*, only if these are still in use, so that many requests that are refused
        together lead to one search.
        """
        found = self._found
        if found is not None and (rejected is None or found.credentials == rejected):
            self._found, self._refused = None, found.source
            # A search under way may find the same again: nobody joins it any more.
            self._searches.pop(os.getpid(), None)

    async def _check(self, found: Found | None) -> Credentials | None:
        given = from_environment(self._environ) if self._explicit is None else None
        if self._explicit is not None:
            given = Found(self._explicit, "the configuration", "memory")
        if given is not None:
            if given.seconds_left() <= 0:
                raise _expired(given)
            _check_sendable(given)
            self._keep(given)
            return given.credentials
        if found is not None and found.kind == "memory":
            self._found = found = None
        if found is not None and found.kind == "service" and (left := found.seconds_left()) > 0:
            now = time.monotonic()
            self._check_at = now + CHECK_INTERVAL
            if left < REFRESH_BEFORE and now >= self._refresh_at:
                self._refresh_at = now + REFRESH_PAUSE
                self._search()
            return found.credentials
        return await asyncio.wrap_future(self._search())

    def _keep(self, found: Found) -> None:
        self._found, self._refused = found, ""
        self._check_at = time.monotonic() + CHECK_INTERVAL

    def _search(self) -> Future[Credentials | None]:
        """Ask files and services in a thread, or join the search that is under way."""
        process = os.getpid()
        mine: Future[Credentials | None] = Future()
        mine.set_running_or_notify_cancel()  # so that a waiter's cancellation is its own affair
        # setdefault is atomic: no lock that a fork could leave locked in the child.
        search = self._searches.setdefault(process, mine)
        if search is mine:
            # A daemon, for a slow service must not delay the exit.
            thread = threading.Thread(target=self._run, args=(process, mine), daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no threads any more: the interpreter is on its way out
                self._run(process, mine)
        return search

    def _run(self, process: int, search: Future[Credentials | None]) -> None:
        found: Found | None = None
        failure: BaseException | None = None
        try:
            found = self._ask_all()
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            failure = error
        if self._searches.get(process) is search:
            if found is not None:
                self._keep(found)
            self._searches.pop(process, None)
        if failure is not None:
            search.set_exception(failure)
        else:
            search.set_result(None if found is None else found.credentials)

    def _ask_all(self) -> Found | None:
        held = self._found
        good = held is not None and held.seconds_left() > 0
        failure = None if held is None or good else _expired(held)
        tried = ["environment: none of " + ", ".join(names[0] for names in ENVIRONMENT) + " is set"]
        try:
            for found in self._candidates(held, tried):
                _check_sendable(found)
                if found.seconds_left() > 0:
                    self._served = self._served or found.kind == "service"
                    return found
                failure = _expired(found)
        except ConfigError as error:
            failure = error
        self.tried = tuple(tried)
        if failure is not None and not good:
            raise failure
        return held if good else None

    def _candidates(self, held: Found | None, tried: list[str]) -> Iterator[Found]:
        profile = self._environ.get("AWS_PROFILE") or "default"
        for path in credential_files(self._environ):
            try:
                yield self._in_file(path, profile, held)
            except NothingFound as reason:
                if held is not None and held.source == path:
                    # Somebody is just writing it: no reason to become somebody else.
                    raise ConfigError(f"{path} has no credentials any more: {reason}") from None
                tried.append(f"{path}: {reason}")
        if not self._metadata:
            tried.append("metadata services: switched off")
        elif time.monotonic() < self._absent_until:
            tried.append(f"metadata services: had nothing in the last {ABSENT_PAUSE:.0f} seconds")
        else:
            yield from self._services(tried)
            if not self._served:
                self._absent_until = time.monotonic() + ABSENT_PAUSE

    def _in_file(self, path: str, profile: str, held: Found | None) -> Found:
        """Return what a file has; one that had what is refused now may just be written."""
        for _ in range(REREADS if path == self._refused else 0):
            try:
                return from_file(path, profile, held)
            except (ConfigError, NothingFound):
                time.sleep(REREAD_PAUSE)
        return from_file(path, profile, held)

    def _services(self, tried: list[str]) -> Iterator[Found]:
        instance = self._environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true"
        aws_first = any(map(self._environ.get, AWS_FIRST))
        for ask_ecs in (False, True) if aws_first else (True, False):
            try:
                if ask_ecs:
                    yield from_ecs(self._ecs_endpoint, enabled=instance)
                elif self._environ is os.environ:
                    yield from_botocore(instance=instance)
            except NoAnswer as reason:
                tried.append(str(reason))
                if self._ecs_endpoint == ECS_ENDPOINT:
                    # Amazon's service has the same address: do not wait for it as well.
                    instance = instance and any(map(self._environ.get, AWS_ELSEWHERE))
            except NothingFound as reason:
                tried.append(str(reason))


def _check_sendable(found: Found) -> None:
    """Refuse what would end the line of a header, or stand in for another.

    Raises:
        ConfigError: names the source.
    """
    credentials = found.credentials
    for name, text in (("access key", credentials.access_key), ("token", credentials.token or "")):
        if not (text.isascii() and text.isprintable()) or " " in text:
            raise ConfigError(f"the {name} from {found.source} holds what no {name} can")


def _expired(found: Found) -> ConfigError:
    end = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(found.credentials.expires))
    return ConfigError(
        f"the credentials from {found.source} expired at {end}, and there are no newer ones"
    )
