"""The file API of moxing, on aioobs: `aioobs.sync.install_as_moxing` lets Python find it."""

from __future__ import annotations

from importlib import import_module

__all__ = ["__version__", "file", "framework"]

__version__: str = import_module("aioobs").__version__
framework = import_module(f"{__name__}.framework")
file = import_module(f"{__name__}.framework.file")
