"""Asyncio-native object storage for Huawei OBS and every S3-compatible store.

    import aioobs

    await aioobs.file.copy_parallel("s3://bucket/data", "/cache/data")

`aioobs.file` has the verbs for files and folders, local and remote alike; `aioobs.Client` has
S3's own operations; `aioobs.sync` is the blocking twin of both.
"""

from __future__ import annotations

from aioobs import errors, file
from aioobs.config import Config
from aioobs.errors import (
    AccessDenied,
    AlreadyExists,
    ConfigError,
    ConnectionFailed,
    IsADirectory,
    NameConflict,
    NotFound,
    ObjectChanged,
    ObsError,
    OperationTimeout,
    PreconditionFailed,
    ProtocolError,
    ReadError,
    ResponseError,
    SourceError,
    TransferFailed,
    UnsafeKey,
)
from aioobs.s3.body import FilePart
from aioobs.s3.client import Client, Listed, ObjectInfo, Page

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AlreadyExists",
    "Client",
    "Config",
    "ConfigError",
    "ConnectionFailed",
    "FilePart",
    "IsADirectory",
    "Listed",
    "NameConflict",
    "NotFound",
    "ObjectChanged",
    "ObjectInfo",
    "ObsError",
    "OperationTimeout",
    "Page",
    "PreconditionFailed",
    "ProtocolError",
    "ReadError",
    "ResponseError",
    "SourceError",
    "TransferFailed",
    "UnsafeKey",
    "__version__",
    "errors",
    "file",
]
