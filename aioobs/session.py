"""The client that the verbs use: one for the process, made from `set_auth` and the environment."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from aioobs.config import VARIABLES, Config, Signature, split_endpoint
from aioobs.errors import ConfigError
from aioobs.s3.client import Client, exchange_of
from aioobs.s3.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MOXING_NAMES", "current_client", "fields_of", "set_auth"]


class Session:
    """What has been set explicitly, and the client that was made of it."""

    def __init__(self) -> None:
        # Re-entrant: a signal handler or a destructor may set something in the middle of set().
        self._lock = threading.RLock()
        self._explicit: dict[str, object] = {}
        self._client: Client | None = None
        self._observer = Observer()  # counts and hooks outlive each of the clients
        self._environment: tuple[object, ...] = ()
        os.register_at_fork(after_in_child=self._unlock)

    def _unlock(self) -> None:
        self._lock = threading.RLock()  # another thread of the parent may have held it

    def client(self) -> Client:
        """Return the client that the verbs use now, another one after `set_auth`.

        It tells what they did (`Client.stats`, `Client.on_attempt`, `Client.on_call`), which goes
        on whatever is set, and has S3's own operations.
        """
        environment = fingerprint()  # when that has changed, so has the client
        client = self._client
        if client is not None and environment == self._environment:
            return client
        with self._lock:
            if self._client is None or environment != self._environment:
                self._replace(self._config(self._explicit))
            return cast("Client", self._client)

    def _replace(self, config: Config) -> None:
        former, self._client = self._client, Client(config, observer=self._observer)
        self._environment = fingerprint()
        if former is not None:
            exchange_of(former).retire(exchange_of(self._client))

    def set(self, changes: Mapping[str, object]) -> None:
        """Use a client of which *changes* have been made from now on.

        Raises:
            ConfigError: a value is none of the valid ones; nothing has been changed then.
        """
        with self._lock:
            explicit = {**self._explicit, **changes}
            if "endpoint" in changes and "port" not in changes:
                explicit.pop("port", None)  # it was that of the former server
            if timeouts := cast("dict[str, float | None]", changes.get("timeouts")):
                before = cast("dict[str, float | None]", self._explicit.get("timeouts", {}))
                explicit["timeouts"] = {**before, **timeouts}
            self._replace(self._config(explicit))
            self._explicit = explicit

    @staticmethod
    def _config(explicit: Mapping[str, object]) -> Config:
        changes = dict(explicit)
        config = Config.from_env()
        if "port" in changes:
            server = cast("str", changes.get("endpoint", config.endpoint))
            changes["endpoint"] = with_port(server, cast("int", changes.pop("port")))
        if "endpoint" in explicit:
            # What the environment says is of another endpoint: a proxy, a scheme if this has one.
            named = "://" in cast("str", explicit["endpoint"])
            config = replace(config, proxy=None, secure=None if named else config.secure)
        elif config.proxy is not None and "endpoint" in changes:
            config = replace(config, proxy=None)
        # `Config` checks the values itself.
        return replace(config, **changes).with_proxy()  # type: ignore[arg-type]


ENCODED = tuple(map(os.fsencode, VARIABLES))


def fingerprint() -> tuple[object, ...]:
    """Return what the environment says of stores, to see whether that has changed."""
    data = getattr(os.environ, "_data", None)  # to decode it takes longer than a hop to the loop
    if os.name == "posix" and isinstance(data, dict):
        return tuple(map(data.get, ENCODED))
    return tuple(map(os.environ.get, VARIABLES))


session: Session = Session()
current_client: Callable[[], Client] = session.client


def set_auth(
    ak: str | None = None,
    sk: str | None = None,
    server: str | None = None,
    port: int | None = None,
    is_secure: bool | None = None,
    ssl_verify: bool | int | str | None = None,
    long_conn_mode: bool | None = None,
    path_style: bool | None = None,
    retry: int | None = None,
    retry_wait: float | None = None,
    client_timeout: float | None = None,
    list_max_keys: int | None = None,
    *,
    timeout_config: Mapping[str, float | None] | None = None,
    security_token: str | None = None,
    region: str | None = None,
    signature: Signature | None = None,
    anonymous: bool | None = None,
    negotiation: bool | None = None,
    obs_client_log: bool | None = None,
) -> None:
    """Set how the verbs of this process reach their store; what is `None` stays as it is.

    What is set here takes precedence over the environment, the environment over credential files,
    and these over metadata services.  Calls that are under way end as they began.

    Args:
        ak: The access key.
        sk: The secret key.
        server: Host, host:port or URL of the store.
        port: The port, if *server* does not name it.
        is_secure: Whether to use TLS.
        ssl_verify: Whether to verify certificates (also 0 and 1), or the path of a file with the
            authorities to trust.
        long_conn_mode: Whether to keep connections for further requests.
        path_style: Whether the bucket goes into the path rather than into the host name.
        retry: How often a request is tried at most.
        retry_wait: Seconds before the second attempt; they double with each further one.
        client_timeout: Seconds without a byte after which an attempt is given up.
        list_max_keys: How many names one request lists at most.
        timeout_config: Seconds for an operation with all of its attempts, by its name.
        security_token: The token of temporary credentials.
        region: The region to sign for.
        signature: "v4", "v2" or "obs".
        anonymous: Whether to send requests unsigned.
        negotiation: Accepted and ignored: the signature is what *signature* says.
        obs_client_log: Accepted and ignored: `logging` decides what is logged.

    Raises:
        ConfigError: a value or the name of a timeout is not valid.
    """
    session.set(fields_of(locals()))  # all arguments, by their names


MOXING_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "ak": "access_key",
        "sk": "secret_key",
        "server": "endpoint",
        "is_secure": "secure",
        "ssl_verify": "verify",
        "long_conn_mode": "keep_alive",
        "path_style": "addressing",
        "retry": "attempts",
        "client_timeout": "idle_timeout",
        "list_max_keys": "page_size",
        "timeout_config": "timeouts",
    }
)
"""What `Config` calls otherwise than `set_auth`, which has the names of moxing."""

WITHOUT_MEANING = ("negotiation", "obs_client_log")


def fields_of(arguments: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of `Config`, and the port, that arguments of `set_auth` stand for."""
    fields = {
        MOXING_NAMES.get(name, name): value
        for name, value in arguments.items()
        if value is not None and name not in WITHOUT_MEANING
    }
    for name in ("secure", "verify", "keep_alive"):
        if isinstance(switch := fields.get(name), int):
            fields[name] = bool(switch)
    if (in_path := arguments.get("path_style")) is not None:
        fields["addressing"] = "path" if in_path else "virtual"
    if arguments.get("ak") and arguments.get("sk"):  # the token of former keys is not for these
        return {"security_token": "", "anonymous": False} | fields
    return fields


def with_port(server: str, port: int) -> str:
    """Return the endpoint *server* with a port, unless it names one."""
    if type(port) is not int or not 0 < port < 65536:
        raise ConfigError(f"port={port!r} is not a whole number from 1 to 65535")
    scheme, netloc = split_endpoint(server)
    if netloc.rpartition(":")[2].isdigit():
        return server
    return f"{scheme}://{netloc}:{port}" if scheme else f"{netloc}:{port}"
