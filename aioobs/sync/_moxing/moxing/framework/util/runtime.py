"""The level of the log."""

from __future__ import annotations

import logging

__all__ = ["reset_logger"]


def reset_logger(level: int | str = logging.INFO) -> None:
    """Set from which level on aioobs logs; the root logger stays as it is."""
    logging.getLogger("aioobs").setLevel(level)
