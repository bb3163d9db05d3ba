"""Warns of stores over which others can read along, or pretend to be the store."""

from __future__ import annotations

import logging
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aioobs.config import Config

__all__ = ["warn_of_exposure"]

PRIVATE_NAMES = (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".test")

log: logging.Logger = logging.getLogger("aioobs.request")
warned: set[str] = set()


def is_private(host: str) -> bool:
    """Tell whether a host is this machine, or one of a network that is not the internet."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(PRIVATE_NAMES)


def warn_of_exposure(config: Config) -> None:
    """Say once for each store that others can read, or pretend to be, what is spoken with."""
    if config.host in warned or is_private(config.host):
        return
    if config.origin.startswith("http:"):
        why = "requests and objects go to %s over plain HTTP, for everybody on the way to read"
    elif config.verify is False:
        why = "the certificate of %s is not verified: anybody on the way can pretend to be it"
    else:
        return
    warned.add(config.host)
    log.warning(why, config.host)
