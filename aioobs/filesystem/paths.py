"""Paths of universal_pathlib that begin with ``obs://``."""

from __future__ import annotations

from fsspec import register_implementation
from upath.implementations.cloud import CloudPath

from aioobs.filesystem import ObsFileSystem

__all__ = ["ObsPath"]

# Paths are split as the file system does, if that is there; else there is a warning.
register_implementation("obs", ObsFileSystem, clobber=True)


class ObsPath(CloudPath):
    """A path in a store; without a working directory, which another target would be taken from."""

    __slots__ = ()
