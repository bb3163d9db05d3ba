"""Storage options: how they are spelled, and the `Config` that they make."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, cast

from fsspec import available_protocols
from fsspec.spec import AbstractFileSystem

from aioobs.config import Config
from aioobs.errors import ConfigError
from aioobs.s3.client import Client, exchange_of
from aioobs.session import MOXING_NAMES, current_client, fields_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aioobs.store.headers import Headers

__all__ = ["Access", "Instances", "check_hints", "take_headers", "without_secrets"]

FIELDS = {field.name for field in fields(Config)}
# Beside the names of `Config` and of `set_auth`: those that are written for s3fs.
ALIASES = {
    "key": "access_key",
    "aws_access_key_id": "access_key",
    "secret": "secret_key",
    "aws_secret_access_key": "secret_key",
    "token": "security_token",
    "aws_session_token": "security_token",
    "anon": "anonymous",
    "endpoint_url": "endpoint",
    "region_name": "region",
    "use_ssl": "secure",
    "addressing_style": "addressing",
    "signature_version": "signature",
    "max_attempts": "attempts",
    "max_pool_connections": "connections",
    "read_timeout": "idle_timeout",
}
NESTED = ("client_kwargs", "config_kwargs", "s3", "retries")
SIGNATURES = {"s3v4": "v4", "s3": "v2"}
# They tune the speed of other clients; here nothing depends on them.
WITHOUT_MEANING = {
    "block_size",
    "blocksize",
    "cache_regions",
    "chunksize",
    "default_block_size",
    "default_cache",
    "default_cache_type",
    "default_fill_cache",
    "fill_cache",
    "fixed_upload_size",
    "local_expiry_check",  # what is read is always of one version
    "max_concurrency",
    "mode",
    "request_checksum_calculation",
    "response_checksum_validation",
    "tcp_keepalive",
    "total_max_attempts",
    "trust_env",  # datasets adds it to what it opens compressed files with, for aiohttp
}
# Of s3fs, and what there is instead.
INSTEAD = {
    "profile": "set AWS_PROFILE in the environment",
    "s3_additional_kwargs": "give ContentType and Metadata to open, pipe and put",
    "session": "give the credentials themselves",
    "version_aware": "give version_id to open, cat_file and info",
}
SECRETS = {"secret_key", "security_token", "proxy"}
OF_OBJECTS = {
    "ContentType": "content_type",
    "content_type": "content_type",
    "Metadata": "metadata",
    "metadata": "metadata",
}


class Instances(type(AbstractFileSystem)):  # type: ignore[misc]  # its metaclass has no type
    """Keeps instances by their options, a `Config` among them by all that it says."""

    protocol: tuple[str, ...]

    def __call__(cls, *args: object, **options: object) -> object:
        if isinstance(config := options.get("config"), Config):
            options["config"] = plain(config)
        options.pop("loop", None)  # any will do
        given = {
            name: value
            for name, value in options.items()
            if value is not None and not cls._is_for_another(name, value)
        }
        return super().__call__(*args, **given)

    def _is_for_another(cls, name: str, value: object) -> bool:
        """Tell whether an option holds those of another protocol, as datasets leaves them there."""
        known = name in available_protocols() and name not in cls.protocol
        return known and isinstance(value, Mapping)


def plain(config: Config) -> dict[str, object]:
    """Return a configuration as what JSON can hold."""
    values = {name: getattr(config, name) for name in sorted(FIELDS)}
    values["timeouts"] = dict(config.timeouts)
    return {name: value for name, value in values.items() if value is not None}


def settings(options: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of `Config` that storage options set.

    Raises:
        ConfigError: an option is not known, or asks for something that there is not.
    """
    found: dict[str, object] = {}
    for name, value in flat(options):
        if field_of(name) in FIELDS:
            found |= fields_of({ALIASES.get(name, name): value})
        elif name not in WITHOUT_MEANING and value:
            instead = INSTEAD.get(name, "write it as Config or set_auth has it")
            raise ConfigError(f"the storage option {name!r} is not known: {instead}")
    if translated := SIGNATURES.get(cast("str", found.get("signature"))):
        found["signature"] = translated
    return found


def field_of(name: str) -> str:
    """Return what `Config` calls an option."""
    given = ALIASES.get(name, name)
    return MOXING_NAMES.get(given, given)


def take_headers(hints: dict[str, object]) -> Headers | None:
    """Remove from *hints* what sets the headers of objects, and return these."""
    said = {field: hints.pop(name) for name, field in OF_OBJECTS.items() if name in hints}
    return cast("Headers", said) if said else None


def check_hints(call: str, hints: Mapping[str, object]) -> None:
    """Refuse unknown arguments of *call*, except those that only make other clients faster.

    Raises:
        TypeError: it would not be followed.
    """
    if not (unknown := hints.keys() - WITHOUT_MEANING):
        return
    name, reason = min(unknown), ""
    if name[:1].isupper():  # as S3 has it
        reason = "; of what S3 keeps beside a content, ContentType and Metadata can be written"
    raise TypeError(f"{call}() got an unexpected keyword argument {name!r}{reason}")


def flat(options: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the options that have a value, those within others too."""
    for name, value in options.items():
        if name in NESTED and value is not None:
            yield from flat(cast("Mapping[str, object]", value))
        elif value is not None:
            yield name, value


class Access:
    """The client that storage options lead to, beside what `set_auth` and the environment say."""

    _made: tuple[Config, Client] | None = None

    def __init__(self, options: Mapping[str, object], config: Mapping[str, object] | None) -> None:
        self._process = os.getpid()
        self._changes = settings(options)
        # `Config` checks the values itself.
        self._base = Config(**config) if config is not None else None  # type: ignore[arg-type]
        if self._changes or self._base:
            _ = self.client  # so that wrong options are refused at once

    @property
    def client(self) -> Client:
        """The client that makes the requests now."""
        if self._base is None and not self._changes:
            return current_client()
        base = self._base or current_client().config
        former = self._made
        if former is not None and former[0] is base:
            return former[1]
        config = configured(base, self._changes)
        self._made = base, Client(config if self._base else config.with_proxy())
        if former is not None:
            exchange_of(former[1]).retire()
        return self._made[1]

    def __del__(self) -> None:
        if self._made is not None and self._process == os.getpid():
            exchange_of(self._made[1]).retire()


def configured(base: Config, changes: Mapping[str, object]) -> Config:
    """Return the configuration with some fields changed, and those that depend on them."""
    values = dict(changes)
    if "access_key" in values:
        values = {"security_token": "", "anonymous": False, **values}
    if "endpoint" in values:
        values = {"proxy": None, **values}  # it was that for another endpoint
    # `Config` checks the values itself.
    return replace(base, **values)  # type: ignore[arg-type]


def without_secrets(options: Mapping[str, object]) -> dict[str, object]:
    """Return storage options as they are, except for secrets."""
    return {
        name: without_secrets(cast("Mapping[str, object]", value))
        if name in (*NESTED, "config")
        else value
        for name, value in options.items()
        if field_of(name) not in SECRETS
    }
