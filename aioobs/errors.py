"""Every error that aioobs raises.

    ObsError (OSError)
     ├── ConfigError (ValueError)             the configuration or a credential is wrong
     ├── NotFound (FileNotFoundError)         no such object, folder, bucket or local file
     ├── IsADirectory (IsADirectoryError)     a folder where one file is wanted
     ├── ConnectionFailed (ConnectionError)   no answer: refused, reset, unknown host, TLS
     ├── OperationTimeout (TimeoutError)      an operation with all its attempts took too long
     ├── ReadError                            an answer broke off or is not what was asked for
     │    └── ObjectChanged                   the object is not, or no longer, the one meant
     ├── ProtocolError                        an answer that no S3-compatible store gives
     ├── ResponseError                        the store refused: `resp` has its answer
     │    ├── AccessDenied (PermissionError)  401 or 403
     │    ├── AlreadyExists (FileExistsError) the bucket, or an object that was to be new, is there
     │    ├── NotAppendable                   the store, or the object, takes no append
     │    └── PreconditionFailed              412: a condition of the request does not hold
     ├── UnsafeKey (ValueError)               a key without a safe place below the target
     ├── SourceError                          a local file changed while it was being sent
     ├── WorkerLost                           a process that was to copy files died
     └── TransferFailed                       some files of a copy failed: each one is in `failures`
          └── NameConflict (FileExistsError)  keys that are both a file and a folder

Each one also is the builtin in brackets, names the operation and the URL, and can be pickled.
`MoxFileNotExistsException` and the other names of the mox API stand for these classes: see
`aioobs.file`.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aioobs.report import SyncReport

__all__ = [
    "AccessDenied",
    "AlreadyExists",
    "ConfigError",
    "ConnectionFailed",
    "ErrorResponse",
    "IsADirectory",
    "NameConflict",
    "NotAppendable",
    "NotFound",
    "ObjectChanged",
    "ObsError",
    "OperationTimeout",
    "PreconditionFailed",
    "ProtocolError",
    "ReadError",
    "ResponseError",
    "SourceError",
    "TransferFailed",
    "UnsafeKey",
    "WorkerLost",
    "error_for",
]


@dataclass(frozen=True)
class ErrorResponse:
    """What the store said when it refused, under the names of the OBS SDK as well."""

    status: int
    reason: str = ""
    code: str = ""
    message: str = ""
    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    details: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def errorCode(self) -> str:  # noqa: N802 - the OBS SDK's name
        """The code of the error, such as ``NoSuchKey``."""
        return self.code

    @property
    def errorMessage(self) -> str:  # noqa: N802 - the OBS SDK's name
        """The store's own words."""
        return self.message

    @property
    def requestId(self) -> str:  # noqa: N802 - the OBS SDK's name
        """What the store's support asks for."""
        return self.request_id

    def __str__(self) -> str:
        text = " ".join(filter(None, (str(self.status), self.code or self.reason)))
        if self.message:
            text += f": {self.message}"
        if self.request_id:
            text += f" (request {self.request_id})"
        return text


class ObsError(OSError):
    """The root of the tree.

    `operation` is the name of the store's operation (``getObject``), `url` the object or path,
    `resp` the store's answer if there was one.
    """

    default_errno: int | None = None

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        url: str = "",
        resp: ErrorResponse | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.url = url
        self.resp = resp
        self.errno: int | None = self.default_errno

    @property
    def url(self) -> str:
        """The object or path that the error is about."""
        return self._url

    @url.setter
    def url(self, url: str) -> None:
        self._url = url
        self.filename: str | None = url or None

    def __str__(self) -> str:
        where = " ".join(filter(None, (self.operation, self.url)))
        return f"{where}: {self.message}" if where else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, dict(self.__dict__))


def _rebuild(cls: type[ObsError], message: str, state: dict[str, object]) -> ObsError:
    error = cls(message)
    error.__dict__.update(state)
    error.filename = error.url or None
    return error


class ConfigError(ObsError, ValueError):
    """Something about the configuration or a credential is missing or wrong."""

    default_errno: int | None = errno.EINVAL


class NotFound(ObsError, FileNotFoundError):
    """There is no such object, folder, bucket or local file."""

    default_errno: int | None = errno.ENOENT


class IsADirectory(ObsError, IsADirectoryError):
    """The path is a folder where one file is wanted."""

    default_errno: int | None = errno.EISDIR


class ConnectionFailed(ObsError, ConnectionError):
    """No answer came.

    `kind` says why: "refused", "unknown host", "unreachable", "tls", "not http", "proxy", "reset"
    or "stalled".
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        url: str = "",
        resp: ErrorResponse | None = None,
        kind: str = "reset",
    ) -> None:
        super().__init__(message, operation=operation, url=url, resp=resp)
        self.kind = kind


class OperationTimeout(ObsError, TimeoutError):
    """An operation with all of its attempts took longer than its timeout."""

    default_errno: int | None = errno.ETIMEDOUT


class ReadError(ObsError):
    """An answer that began well broke off, or is not what was asked for."""

    default_errno: int | None = errno.EIO


class ObjectChanged(ReadError):
    """The object is not, or no longer, the one that was to be read, replaced or added to."""


class ProtocolError(ObsError):
    """The answer is not one that an S3-compatible store gives."""

    default_errno: int | None = errno.EPROTO


class ResponseError(ObsError):
    """The store refused the request; `resp` has the status, the code and the request id."""

    default_errno: int | None = errno.EIO


class AccessDenied(ResponseError, PermissionError):
    """The credentials do not allow this, or are not valid."""

    default_errno: int | None = errno.EACCES


class AlreadyExists(ResponseError, FileExistsError):
    """The bucket that was to be created, or the object that was to be new, is there already."""

    default_errno: int | None = errno.EEXIST


class NotAppendable(ResponseError):
    """The store, or this object, takes no append; it can only be written anew."""


class PreconditionFailed(ResponseError):
    """A condition of the request (`If-Match` and its siblings) does not hold."""


class UnsafeKey(ObsError, ValueError):
    """The key has no safe place below the target directory."""

    default_errno: int | None = errno.EINVAL


class SourceError(ObsError):
    """A local file changed, or could not be read, while it was being sent: nothing is published."""

    default_errno: int | None = errno.EIO


class WorkerLost(ObsError):
    """A process that was to copy this died: whether the file was copied is not known."""

    default_errno: int | None = errno.EIO


class TransferFailed(ObsError):
    """Some files of a copy failed, and all the others were copied.

    `failures` has one exception for each failed file, with its `url`; `report` says what a sync has
    done all the same.
    """

    default_errno: int | None = errno.EIO

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        url: str = "",
        resp: ErrorResponse | None = None,
        failures: Sequence[OSError] = (),
    ) -> None:
        super().__init__(message, operation=operation, url=url, resp=resp)
        self.failures: tuple[OSError, ...] = tuple(failures)
        self.report: SyncReport | None = None


class NameConflict(TransferFailed, FileExistsError):
    """Keys that are both a file and a folder, which no local directory can hold."""

    default_errno: int | None = errno.EEXIST


NOT_FOUND_CODES = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchUpload", "NoSuchVersion"})
HINTS = {
    "InvalidAccessKeyId": "the store does not know this access key",
    "SignatureDoesNotMatch": "the secret key is wrong, the store wants another signature, or a "
    "proxy before it changes the Host header or the path",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "VirtualHostDomainRequired": "the store wants the bucket in its name: addressing='virtual'",
    "ExpiredToken": "the temporary credentials have expired",
    "InvalidToken": "the security token is not valid",
    "EntityTooLarge": "the object is larger than the store takes in one request",
}
REFUSED = "the access key, the secret key or the permissions are not right"
HINTS_WITHOUT_CODE = {  # as proxies answer, and stores to a HEAD, which has no body
    401: REFUSED,
    403: REFUSED,
    407: "the proxy wants other credentials: proxy='http://user:password@host:port'",
    413: "if a proxy stands before the store, let it take bodies of that size, or give a smaller "
    "part_size and multipart_threshold",
}


def error_for(operation: str, url: str, resp: ErrorResponse) -> ObsError:
    """Return the exception for an answer that is not a success."""
    message = str(resp)
    if hint := HINTS.get(resp.code) if resp.code else HINTS_WITHOUT_CODE.get(resp.status):
        message += f"; {hint}"
    if resp.code in NOT_FOUND_CODES or (resp.status == 404 and not resp.code):
        kind: type[ObsError] = NotFound
    elif resp.status in (401, 403):
        kind = AccessDenied
    elif resp.code in ("BucketAlreadyExists", "BucketAlreadyOwnedByYou"):
        kind = AlreadyExists
    elif resp.status == 412:
        kind = PreconditionFailed
    elif resp.status == 404:
        kind = NotFound
    else:
        kind = ResponseError
    return kind(message, operation=operation, url=url, resp=resp)
