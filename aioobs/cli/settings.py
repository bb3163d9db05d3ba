"""config: how the store is reached, without secrets."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aioobs.cli.output import readable, say, say_json
from aioobs.config import AUTHORITIES, ENDPOINTS, PROXIES, REGIONS
from aioobs.errors import ConfigError
from aioobs.s3.auth.credential_files import ENVIRONMENT
from aioobs.s3.auth.credentials import CredentialChain
from aioobs.session import current_client

if TYPE_CHECKING:
    import argparse

    from aioobs.cli.tally import Tally
    from aioobs.config import Config

__all__ = ["addressing", "certificates", "config", "credentials"]


async def config(given: argparse.Namespace, _: Tally) -> int:
    """Print how the store is reached."""
    found = current_client().config
    settings: dict[str, object] = {
        "version": import_module("aioobs").__version__,
        "endpoint": origin(found),
        "region": found.signing_region if found.endpoint or found.region else found.region,
        "addressing": addressing(found),
        "signature": "none" if found.anonymous else found.signature,
        "certificates": certificates(found),
        "proxy": proxy(found),
        "credentials": await found_credentials(found),
        "attempts": found.attempts,
        "connections": found.connections,
        "memory": readable(found.bytes_in_flight),
        "part size": readable(found.part_size),
        "transport": found.transport,
    }
    sources = {name: text for name in settings if (text := source_of(name, given, found))}
    if given.json:
        sources = {name.replace(" ", "_"): text for name, text in sources.items()}
        values = {name.replace(" ", "_"): value for name, value in settings.items()}
        say_json(**values, sources=sources)
        return 0
    for name, value in settings.items():
        source = f"  ({sources[name]})" if name in sources else ""
        say(f"{name + ':':14}{value}{source}")
    return 0


# By setting: the option that says it, and the variables, of which the first one that is set counts.
SOURCES: dict[str, tuple[str, tuple[str, ...]]] = {
    "endpoint": ("endpoint", ENDPOINTS),
    "region": ("region", REGIONS),
    "addressing": ("addressing", ()),
    "signature": ("signature", ()),
    "certificates": ("", ("S3_VERIFY_SSL", *AUTHORITIES)),
    "proxy": ("", PROXIES),
    "attempts": ("attempts", ()),
    "connections": ("", ()),
    "memory": ("", ()),
    "part size": ("", ("MOX_FILE_LARGE_FILE_PART_SIZE",)),
    "transport": ("", ("AIOOBS_TRANSPORT",)),
}


def source_of(name: str, given: argparse.Namespace, found: Config) -> str:
    """Say where a setting comes from; empty: it has no value, or says so itself."""
    if name not in SOURCES or (name == "proxy" and found.proxy is None):
        return ""
    if name == "certificates" and certificates(found).startswith("none"):
        return ""
    option, variables = SOURCES[name]
    if name == "signature" and found.anonymous:
        return "--anonymous"
    if option and getattr(given, option) is not None:
        return f"--{option}"
    if variable := next((one for one in variables if os.environ.get(one, "").strip()), ""):
        return variable
    if name == "endpoint" and not found.endpoint:
        return "the region" if found.region else ""
    if name == "addressing" or (name == "region" and found.endpoint and found.is_public_cloud):
        return "the endpoint"
    return "default" if name != "region" or found.endpoint else ""


def origin(found: Config) -> str:
    try:
        return found.origin
    except ConfigError:
        return "not set: give --endpoint or set S3_ENDPOINT"


def addressing(found: Config) -> str:
    """Say where buckets go."""
    in_host = found.addressing == "virtual"
    if found.addressing == "auto" and (found.endpoint or found.region):
        in_host = found.is_public_cloud
    return "bucket in the host name" if in_host else "bucket in the path"


def certificates(found: Config) -> str:
    """Say what is trusted."""
    if (found.endpoint or found.region) and found.origin.startswith("http:"):
        return "none: the connection is not encrypted"
    if found.verify is False:
        return "not verified"
    return "verified" if found.verify is True else f"verified by {found.verify}"


def proxy(found: Config) -> str:
    """Return the proxy without the password that its URL may have."""
    if found.proxy is None:
        return "none"
    parts = urlsplit(found.proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


async def found_credentials(found: Config) -> str:
    try:
        return await credentials(found)
    except ConfigError as error:
        return f"not usable: {error}"


async def credentials(found: Config) -> str:
    """Say which credentials are used, and where they come from.

    Raises:
        ConfigError: there are none, or none that can be used.
    """
    if found.anonymous:
        return "none are wanted"
    for names in ENVIRONMENT:
        if os.environ.get(names[0]) and os.environ.get(names[1]):
            return f"{masked(os.environ[names[0]])} from the environment, {names[0]}"
    chain = CredentialChain(metadata=False)
    if known := await chain.get():
        return f"{masked(known.access_key)} from a file of credentials"
    chain = CredentialChain()
    if known := await chain.get():
        return f"{masked(known.access_key)} from a metadata service"
    raise ConfigError(
        "no credentials were found: set ACCESS_KEY_ID and SECRET_ACCESS_KEY; looked at: "
        + "; ".join(chain.tried)
    )


def masked(key: str) -> str:
    """Return as much of an access key as tells it from others."""
    return f"{key[:4]}…" if len(key) > 8 else "…"
