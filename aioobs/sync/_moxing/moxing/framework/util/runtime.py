"""The level of the log, and the error of a call that takes too long."""

from __future__ import annotations

import logging

from aioobs.sync.file import MoxTimeoutError

__all__ = ["MoxTimeoutError", "reset_logger"]


def reset_logger(level: int | str = logging.INFO) -> None:
    """Set from which level on aioobs logs; the root logger stays as it is."""
    logging.getLogger("aioobs").setLevel(level)
