"""What moxing keeps its logger and its timeouts in."""

from __future__ import annotations

from importlib import import_module

__all__ = ["runtime"]

runtime = import_module(f"{__name__}.runtime")
