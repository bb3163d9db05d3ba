"""Logging without a change to the program: `AIOOBS_LOG=debug` in the environment."""

from __future__ import annotations

import logging
import os

__all__ = ["follow_environment"]

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def follow_environment(log: logging.Logger) -> None:
    """Write what is logged below *log* to the standard error, if `AIOOBS_LOG` names a level."""
    named = os.environ.get("AIOOBS_LOG", "").strip().lower()
    if not named:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(FORMAT))
    log.addHandler(handler)
    log.setLevel(LEVELS.get(named, logging.INFO))
    if named not in LEVELS:
        log.warning("AIOOBS_LOG=%r is not one of %s: info is used", named, ", ".join(LEVELS))
