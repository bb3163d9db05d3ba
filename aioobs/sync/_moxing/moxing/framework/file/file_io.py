"""The verbs once more, and the private settings of moxing that its users were told to change.

All of them can be assigned.  `_LARGE_FILE_PART_SIZE` is the size of parts here as well, in
bytes.  The others do nothing: they are about the ways of moxing to use processes, caches and parts.
"""

from __future__ import annotations

import sys
from types import ModuleType

from aioobs.session import session
from aioobs.sync.file import *  # noqa: F403 - whatever there is
from aioobs.sync.file import MoxFileReadException, MoxFileRespException
from aioobs.sync.file import __all__ as __all__

_LARGE_FILE_METHOD = 1
_LARGE_FILE_PART_SIZE = 8 << 20
_LARGE_FILE_TASK_NUM = 16
_NUMBER_OF_PROCESSES = 1
_PARTIAL_MAXIMUM_SIZE = 16 << 20
_USE_MEMARTS = False

# All that is done with it is to catch it, and `except` takes a tuple for a class.
_MoxFileBaseRespException = (MoxFileReadException, MoxFileRespException)


class Settings(ModuleType):
    """A module that sees what is assigned to it."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "_LARGE_FILE_PART_SIZE":
            session.set({"part_size": value})
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> object:
        hint = ""
        if name == "_create_or_get_obs_client":
            hint = "; an object's ETag is aioobs.sync.Client().head_object(bucket, key).etag"
        raise AttributeError(f"aioobs has no {name!r} in {self.__name__}{hint}")


sys.modules[__name__].__class__ = Settings
