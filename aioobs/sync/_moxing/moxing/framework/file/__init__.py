"""The verbs of `aioobs.sync.file`, where moxing has them."""

from __future__ import annotations

from importlib import import_module

from aioobs.sync.file import *  # noqa: F403 - whatever there is
from aioobs.sync.file import __all__ as __all__

file_io = import_module(f"{__name__}.file_io")
