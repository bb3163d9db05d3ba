"""Asyncio-native object storage for Huawei OBS and every S3-compatible store.

    import aioobs

    await aioobs.file.copy_parallel("s3://bucket/data", "/cache/data")

`aioobs.file` has the verbs for files and folders, local and remote alike; `aioobs.Client` has
S3's own operations; `aioobs.sync` is the blocking twin of both.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

from aioobs import errors
from aioobs.config import Config
from aioobs.errors import (
    AccessDenied,
    AlreadyExists,
    ConfigError,
    ConnectionFailed,
    IsADirectory,
    NameConflict,
    NotAppendable,
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
    WorkerLost,
)
from aioobs.forks import fork_after_imports
from aioobs.logs import follow_environment

if TYPE_CHECKING:
    from aioobs import file
    from aioobs.audits import Finding, VerifyReport, verify
    from aioobs.plans import CopyPlan, plan_copy, run_copy
    from aioobs.s3.body import FilePart
    from aioobs.s3.client import (
        Client,
        Listed,
        ObjectInfo,
        ObjectVersion,
        Page,
        Upload,
        UploadedPart,
    )
    from aioobs.s3.observer import Attempt, Call, Observer, Stats
    from aioobs.session import current_client
    from aioobs.trees import SyncPlan, SyncReport, plan_sync, run_sync, sync_tree

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AlreadyExists",
    "Attempt",
    "Call",
    "Client",
    "Config",
    "ConfigError",
    "ConnectionFailed",
    "CopyPlan",
    "FilePart",
    "Finding",
    "IsADirectory",
    "Listed",
    "NameConflict",
    "NotAppendable",
    "NotFound",
    "ObjectChanged",
    "ObjectInfo",
    "ObjectVersion",
    "ObsError",
    "Observer",
    "OperationTimeout",
    "Page",
    "PreconditionFailed",
    "ProtocolError",
    "ReadError",
    "ResponseError",
    "SourceError",
    "Stats",
    "SyncPlan",
    "SyncReport",
    "TransferFailed",
    "UnsafeKey",
    "Upload",
    "UploadedPart",
    "VerifyReport",
    "WorkerLost",
    "__version__",
    "current_client",
    "errors",
    "file",
    "plan_copy",
    "plan_sync",
    "run_copy",
    "run_sync",
    "sync_tree",
    "verify",
]

# Whoever wants to see the loggers below "aioobs" configures logging; nothing goes to stderr,
# unless the environment says so.
logging.getLogger("aioobs").addHandler(logging.NullHandler())
follow_environment(logging.getLogger("aioobs"))

fork_after_imports()

# Imported when they are first used: most of the time that an import takes would go into these.
LATE = {
    "Attempt": "aioobs.s3.observer",
    "Call": "aioobs.s3.observer",
    "Client": "aioobs.s3.client",
    "CopyPlan": "aioobs.plans",
    "FilePart": "aioobs.s3.body",
    "Finding": "aioobs.audits",
    "Listed": "aioobs.s3.documents.page",
    "ObjectInfo": "aioobs.s3.objects",
    "ObjectVersion": "aioobs.s3.documents.xml",
    "Observer": "aioobs.s3.observer",
    "Page": "aioobs.s3.documents.page",
    "Stats": "aioobs.s3.observer",
    "SyncPlan": "aioobs.trees",
    "SyncReport": "aioobs.report",
    "Upload": "aioobs.s3.documents.xml",
    "UploadedPart": "aioobs.s3.documents.xml",
    "VerifyReport": "aioobs.audits",
    "current_client": "aioobs.session",
    "plan_copy": "aioobs.plans",
    "plan_sync": "aioobs.trees",
    "run_copy": "aioobs.plans",
    "run_sync": "aioobs.trees",
    "sync_tree": "aioobs.trees",
    "verify": "aioobs.audits",
}


def __getattr__(name: str) -> object:
    if name == "file":
        return import_module("aioobs.file")
    if name in LATE:
        return getattr(import_module(LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__doc__", "__name__"]
