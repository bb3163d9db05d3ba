"""What universal_pathlib has for ``obs://``: its own class for any file system of fsspec.

Named as the entry point, so that it takes this for known and does not warn.
"""

from __future__ import annotations

from fsspec import register_implementation
from upath import UPath

from aioobs.filesystem import ObsFileSystem

__all__ = ["UPath"]

# It splits paths as the class does, if that is there, and warns otherwise.
register_implementation("obs", ObsFileSystem, clobber=True)
