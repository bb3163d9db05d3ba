"""Credentials in the environment and in files, in whatever spelling."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from aioobs.errors import ConfigError
from aioobs.s3.auth.signing import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ENVIRONMENT",
    "Found",
    "NothingFound",
    "credential_files",
    "from_environment",
    "from_fields",
    "from_file",
]

ENVIRONMENT = (
    ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SECURITY_TOKEN"),
    ("OBS_ACCESS_KEY_ID", "OBS_SECRET_ACCESS_KEY", "OBS_SECURITY_TOKEN"),
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
)

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


def from_environment(environ: Mapping[str, str]) -> Found | None:
    for names in ENVIRONMENT:
        access, secret, token = (environ.get(name, "").strip() for name in names)
        if access and secret:
            return Found(Credentials(access, secret, token or None), names[0], "memory")
        if access or secret:
            there, missing = names[:2] if access else names[1::-1]
            raise ConfigError(f"{there} is set in the environment, but {missing} is not")
    return None


def credential_files(environ: Mapping[str, str]) -> list[str]:
    """Return the paths of credential files, the first to read first."""
    home = os.path.expanduser("~") if environ is os.environ else environ.get("HOME", "")
    paths = [
        environ.get("CREDENTIAL_PROFILES_FILE"),
        environ.get("AWS_SHARED_CREDENTIALS_FILE")
        or (home and os.path.join(home, ".aws", "credentials")),
    ]
    return [os.path.expanduser(path) for path in paths if path]


def from_file(path: str, profile: str, held: Found | None) -> Found:
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
    fields = json_fields(path, text, profile) if is_json else ini_fields(path, text, profile)
    credentials = from_fields(fields, path)
    if credentials is None:
        raise NothingFound("no access key" if is_json else f"no access key in profile {profile}")
    return Found(credentials, path, "file", stamp)


def ini_fields(path: str, text: str, profile: str) -> Mapping[str, object]:
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


def json_fields(path: str, text: str, profile: str) -> Mapping[str, object]:
    import json

    try:
        fields: dict[str, object] = json.loads(text)
    except ValueError:
        raise ConfigError(f"{path} begins like JSON, but is not") from None
    for name in (profile, "credential", "credentials", "Credentials"):
        if isinstance(inner := fields.get(name), dict):
            return inner
    return fields


def from_fields(fields: Mapping[str, object], source: str) -> Credentials | None:
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
    expires = seconds(text(EXPIRES_NAMES), source)
    return Credentials(access, secret, text(TOKEN_NAMES) or None, expires)


def seconds(text: str, source: str) -> float | None:
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
