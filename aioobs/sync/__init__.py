"""The blocking twin: what `aioobs` offers, for programs without an event loop.

    import aioobs.sync as mox

    mox.file.copy_parallel("s3://bucket/data", "/cache/data")

Everything can be called from any thread, also inside a running event loop, and in a forked
process; a daemon thread that starts with the first remote call does the work.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # now, as it cannot be imported any more when Python exits  # noqa: F401
import sys
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

if TYPE_CHECKING:
    from aioobs.s3.body import FilePart
    from aioobs.s3.client import Listed, ObjectInfo, ObjectVersion, Page, Upload, UploadedPart
    from aioobs.s3.observer import Attempt, Call, Observer, Stats
    from aioobs.sync import file
    from aioobs.sync.audits import Finding, VerifyReport, verify
    from aioobs.sync.client import Client
    from aioobs.sync.moxing import install_as_moxing
    from aioobs.sync.plans import CopyPlan, plan_copy, run_copy
    from aioobs.sync.trees import SyncPlan, SyncReport, plan_sync, run_sync, sync_tree

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
    "current_client",
    "errors",
    "file",
    "install_as_moxing",
    "plan_copy",
    "plan_sync",
    "run_copy",
    "run_sync",
    "sync_tree",
    "verify",
]

# Imported when they are first used, which keeps the import cheap, and the generator running while
# the files that it writes are broken.
LATE = {
    "Attempt": "aioobs.s3.observer",
    "Call": "aioobs.s3.observer",
    "Client": "aioobs.sync.client",
    "CopyPlan": "aioobs.sync.plans",
    "FilePart": "aioobs.s3.body",
    "Finding": "aioobs.sync.audits",
    "Listed": "aioobs.s3.documents.page",
    "ObjectInfo": "aioobs.s3.objects",
    "ObjectVersion": "aioobs.s3.documents.xml",
    "Observer": "aioobs.s3.observer",
    "Page": "aioobs.s3.documents.page",
    "Stats": "aioobs.s3.observer",
    "SyncPlan": "aioobs.sync.trees",
    "SyncReport": "aioobs.sync.trees",
    "Upload": "aioobs.s3.documents.xml",
    "UploadedPart": "aioobs.s3.documents.xml",
    "VerifyReport": "aioobs.sync.audits",
    "install_as_moxing": "aioobs.sync.moxing",
    "plan_copy": "aioobs.sync.plans",
    "plan_sync": "aioobs.sync.trees",
    "run_copy": "aioobs.sync.plans",
    "run_sync": "aioobs.sync.trees",
    "sync_tree": "aioobs.sync.trees",
    "verify": "aioobs.sync.audits",
}


def current_client() -> Client:
    """Return the client that the verbs use now, another one after `set_auth`.

    It has S3's own operations, and reports what the verbs do (`Client.stats`, `Client.on_attempt`,
    `Client.on_call`), before and after each `set_auth`.
    """
    from aioobs.session import current_client
    from aioobs.sync.client import Client

    return Client._wrap(current_client())  # noqa: SLF001


def __getattr__(name: str) -> object:
    if name == "file":
        return import_module("aioobs.sync.file")
    if name in LATE:
        return getattr(import_module(LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _at_exit(module: str, function: str) -> None:
    # Another thread may be importing it just now.
    if end := getattr(sys.modules.get(f"aioobs.sync.{module}"), function, None):
        end()


# The last one is called first.  Now, although most is imported when it is first used: handlers that
# a program registers after this import may use whatever it has open.
atexit.register(_at_exit, "_loop", "end")
atexit.register(_at_exit, "_io", "close_all")
atexit.register(_at_exit, "background", "finish_all")


def __dir__() -> list[str]:
    return [*__all__, "__doc__", "__name__"]
