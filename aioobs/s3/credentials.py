"""Find credentials, and find newer ones before they expire.

The order is: given ones, the environment, credential files, metadata services.  Nothing blocks the
event loop: only the environment is read in place, all else in a thread, one at a time for a chain,
and its answer is for everybody who waits for it in whatever event loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal, NamedTuple

from aioobs.errors import ConfigError
from aioobs.s3.signing import Credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["CredentialChain", "Credentials"]

# All times are in seconds.
CHECK_INTERVAL = 1.0  # between two looks at the environment and at the time stamp of a file
REFRESH_BEFORE = 600.0  # temporary credentials are renewed when they have less left than this
REFRESH_PAUSE = 30.0  # between two attempts to renew credentials that are still good
ABSENT_PAUSE = 60.0  # before services that never had anything are asked again
CONNECT_TIMEOUT = 1.0
READ_TIMEOUT = 3.0
ATTEMPTS = 2

ECS = "the metadata service of Huawei ECS"
ECS_ENDPOINT = "http://169.254.169.254"
ECS_TOKEN_SECONDS = "21600"
ECS_LARGEST_ANSWER = 1 << 16

ENVIRONMENT = (
    ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SECURITY_TOKEN"),
    ("OBS_ACCESS_KEY_ID", "OBS_SECRET_ACCESS_KEY", "OBS_SECURITY_TOKEN"),
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
)
# With one of these set somebody wants what botocore knows, and Huawei's service can wait.
CONTAINER = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
AWS_FIRST = ("AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", *CONTAINER)
AWS_ELSEWHERE = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")

# Compared in lower case, without underscores and hyphens, without the name of a cloud in front.
CLOUDS = ("aws", "obs", "huaweicloud")
ACCESS_NAMES = ("accesskeyid", "accesskey", "access", "ak")
SECRET_NAMES = ("secretaccesskey", "secretkey", "secret", "sk")
TOKEN_NAMES = ("sessiontoken", "securitytoken", "token")
EXPIRES_NAMES = ("expiresat", "expiration", "expires", "xsecuritytokenexpires")


class Found(NamedTuple):
    """Credentials and where they come from."""

    credentials: Credentials
    source: str
    kind: Literal["memory", "file", "service"]
    stamp: tuple[object, ...] = ()
    """Of a file: what changes when it does."""

    def seconds_left(self) -> float:
        end = self.credentials.expires
        return float("inf") if end is None else end - time.time()


class NothingFound(Exception):
    """A source has no credentials, for the reason that the message gives."""


class NoAnswer(NothingFound):
    """Nobody is there to ask."""


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

    def expire(self, rejected: Credentials | None = None) -> None:
        """Forget the credentials, because the store refuses them: the next `get` looks again.

        With *rejected*, only if these are still in use, so that many requests that are refused
        together lead to one search.
        """
        found = self._found
        if found is not None and (rejected is None or found.credentials == rejected):
            self._found = None
            # A search that goes on may bring the same again: nobody joins it any more.
            self._searches.pop(os.getpid(), None)

    async def _check(self, found: Found | None) -> Credentials | None:
        given = _from_environment(self._environ) if self._explicit is None else None
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
        self._found = found
        self._check_at = time.monotonic() + CHECK_INTERVAL

    def _search(self) -> Future[Credentials | None]:
        """Ask files and services in a thread, or join the search that goes on."""
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
        for path in _files(self._environ):
            try:
                yield _from_file(path, profile, held)
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

    def _services(self, tried: list[str]) -> Iterator[Found]:
        instance = self._environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true"
        aws_first = any(map(self._environ.get, AWS_FIRST))
        for ask_ecs in (False, True) if aws_first else (True, False):
            try:
                if ask_ecs:
                    yield _from_ecs(self._ecs_endpoint, enabled=instance)
                elif self._environ is os.environ:
                    yield _from_botocore(instance=instance)
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


def _from_environment(environ: Mapping[str, str]) -> Found | None:
    for names in ENVIRONMENT:
        access, secret, token = (environ.get(name, "").strip() for name in names)
        if access and secret:
            return Found(Credentials(access, secret, token or None), names[0], "memory")
        if access or secret:
            there, missing = names[:2] if access else names[1::-1]
            raise ConfigError(f"{there} is set in the environment, but {missing} is not")
    return None


def _files(environ: Mapping[str, str]) -> list[str]:
    """Return the paths of credential files, the first to read first."""
    home = os.path.expanduser("~") if environ is os.environ else environ.get("HOME", "")
    paths = [
        environ.get("CREDENTIAL_PROFILES_FILE"),
        environ.get("AWS_SHARED_CREDENTIALS_FILE")
        or (home and os.path.join(home, ".aws", "credentials")),
    ]
    return [os.path.expanduser(path) for path in paths if path]


def _from_file(path: str, profile: str, held: Found | None) -> Found:
    try:
        status = os.stat(path)
        stamp = (path, profile, status.st_mtime_ns, status.st_ino, status.st_size)
        if held is not None and held.stamp == stamp:
            return held
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except OSError as error:
        raise NothingFound(error.strerror or type(error).__name__) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text file") from None
    is_json = text.lstrip().startswith("{")
    fields = _json_fields(path, text, profile) if is_json else _ini_fields(path, text, profile)
    credentials = _from_fields(fields, path)
    if credentials is None:
        raise NothingFound("no access key" if is_json else f"no access key in profile {profile}")
    return Found(credentials, path, "file", stamp)


def _ini_fields(path: str, text: str, profile: str) -> Mapping[str, object]:
    import configparser

    # Not one that interpolates: secrets may have a percent sign.
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:  # its message quotes the text
        raise ConfigError(f"{path} is neither an INI file nor JSON") from None
    if not parser.has_section(profile):
        raise NothingFound(f"no profile {profile}")
    section = parser[profile]
    if "role_arn" in section:
        raise NothingFound(f"profile {profile} assumes a role, which is botocore's affair")
    return section


def _json_fields(path: str, text: str, profile: str) -> Mapping[str, object]:
    import json

    try:
        fields: dict[str, object] = json.loads(text)
    except ValueError:
        raise ConfigError(f"{path} begins like JSON, but is not") from None
    for name in (profile, "credential", "credentials", "Credentials"):
        if isinstance(inner := fields.get(name), dict):
            return inner
    return fields


def _from_fields(fields: Mapping[str, object], source: str) -> Credentials | None:
    """Read credentials in whatever spelling, or return None if there is nothing like a key."""
    plain: dict[str, object] = {}
    for name, value in fields.items():
        short = name.lower().replace("_", "").replace("-", "")
        for cloud in CLOUDS:
            short = short.removeprefix(cloud)
        plain[short] = value

    def text(names: tuple[str, ...]) -> str:
        return next((str(plain[name]).strip() for name in names if plain.get(name)), "")

    access, secret = text(ACCESS_NAMES), text(SECRET_NAMES)
    if not access and not secret:
        return None
    if not access or not secret:
        there, missing = ("an access", "secret") if access else ("a secret", "access")
        raise ConfigError(f"{source} has {there} key, but no {missing} key")
    expires = _seconds(text(EXPIRES_NAMES), source)
    return Credentials(access, secret, text(TOKEN_NAMES) or None, expires)


def _seconds(text: str, source: str) -> float | None:
    """Read a time in Unix seconds or ISO 8601; without a zone it is UTC."""
    from datetime import UTC, datetime

    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{source} has an end of its credentials that is no time") from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _from_ecs(endpoint: str, *, enabled: bool) -> Found:
    """Ask for the temporary credentials of a server's agency, as the SDK of OBS does."""
    import http.client
    import json

    if not enabled:
        raise NothingFound(f"{ECS}: switched off by AWS_EC2_METADATA_DISABLED")
    reason: Exception = NothingFound()
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(0.1)
        try:
            status, answer = _ecs_security_key(endpoint)
        except (OSError, http.client.HTTPException) as error:
            reason = NoAnswer(f"{ECS}: no answer ({type(error).__name__})")
            continue
        if status == 200:
            break
        reason = NothingFound(f"{ECS}: answer {status}")
        if status < 500:
            raise reason
    else:
        raise reason
    try:
        fields = json.loads(answer)["credential"]
        credentials = _from_fields(fields, ECS)
    except (ValueError, KeyError, TypeError, AttributeError):
        credentials = None
    if credentials is None or not credentials.token or not credentials.expires:
        raise NothingFound(f"{ECS}: an answer that has no credentials")
    return Found(credentials, ECS, "service")


def _ecs_security_key(endpoint: str) -> tuple[int, bytes]:
    seconds = {"X-securitykey-Token-Ttl-Seconds": ECS_TOKEN_SECONDS}
    status, answer = _ask(endpoint, "PUT", "/meta-data/latest/api/token", seconds)
    token = answer.decode("ascii", "replace").strip() if status == 200 else ""
    if status not in (200, 404, 405):
        return status, b""
    # Servers of the first version of the service have no tokens.
    headers = {"X-securitykey-Token": token} if token.isascii() and token.isprintable() else {}
    return _ask(endpoint, "GET", "/openstack/latest/securitykey", headers if token else {})


def _ask(endpoint: str, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    # Unlike urllib it knows no proxies, follows no redirects, and has two timeouts.
    connection = HTTPConnection(urlsplit(endpoint).netloc, timeout=CONNECT_TIMEOUT)
    try:
        connection.connect()
        connection.sock.settimeout(READ_TIMEOUT)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(ECS_LARGEST_ANSWER)
    finally:
        connection.close()


def _from_botocore(*, instance: bool) -> Found:
    """Ask botocore for what needs a service: roles, SSO, containers, and instances of EC2."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.session import Session
    except ImportError:
        raise NothingFound("AWS: botocore is not installed") from None
    try:
        resolver = Session().get_component("credential_provider")
        for method in ("env", "shared-credentials-file", *(() if instance else ("iam-role",))):
            resolver.remove(method)
        credentials = resolver.load_credentials()
        if credentials is None:
            raise NothingFound("AWS: botocore found nothing")
        frozen = credentials.get_frozen_credentials()
    except (BotoCoreError, ClientError) as error:
        raise NothingFound(f"AWS: {error}") from error
    except (OSError, RuntimeError, ValueError, KeyError) as error:  # botocore lets them through
        raise NothingFound(f"AWS: botocore failed with {type(error).__name__}") from error
    # Nothing public tells the end.
    end = getattr(credentials, "_expiry_time", None)
    expires = end.timestamp() if end is not None else None
    plain = Credentials(frozen.access_key, frozen.secret_key, frozen.token, expires)
    return Found(plain, f"AWS ({credentials.method})", "service")
