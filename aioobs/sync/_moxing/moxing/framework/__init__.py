"""What moxing keeps its file API in."""

from __future__ import annotations

from importlib import import_module

__all__ = ["file", "util"]

file = import_module(f"{__name__}.file")
util = import_module(f"{__name__}.util")
