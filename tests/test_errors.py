"""Errors: what they are, what they say, and that they survive a journey between processes."""

from __future__ import annotations

import copy
import errno
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

import aioobs
from aioobs import errors
from aioobs.errors import (
    AccessDenied,
    AlreadyExists,
    ConfigError,
    ConnectionFailed,
    ErrorResponse,
    IsADirectory,
    NameConflict,
    NotFound,
    ObsError,
    OperationTimeout,
    PreconditionFailed,
    ResponseError,
    TransferFailed,
    UnsafeKey,
    error_for,
)

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type)]
KINDS = [kind for kind in CLASSES if issubclass(kind, ObsError)]
RESPONSE = ErrorResponse(
    403, "Forbidden", "AccessDenied", "not you", "request-7", {"date": "today"}, {"Key": "k"}
)


@pytest.mark.parametrize(
    ("kind", "builtin", "number"),
    [
        (ConfigError, ValueError, errno.EINVAL),
        (NotFound, FileNotFoundError, errno.ENOENT),
        (IsADirectory, IsADirectoryError, errno.EISDIR),
        (ConnectionFailed, ConnectionError, None),
        (OperationTimeout, TimeoutError, errno.ETIMEDOUT),
        (AccessDenied, PermissionError, errno.EACCES),
        (AlreadyExists, FileExistsError, errno.EEXIST),
        (UnsafeKey, ValueError, errno.EINVAL),
        (NameConflict, FileExistsError, errno.EEXIST),
    ],
)
def test_an_error_is_the_builtin_that_users_catch(
    kind: type[ObsError], builtin: type[Exception], number: int | None
) -> None:
    error = kind("why", operation="getObject", url="s3://b/k")
    assert isinstance(error, builtin)
    assert isinstance(error, OSError)
    assert (error.errno, error.filename) == (number, "s3://b/k")


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_exported_and_in_the_tree_of_the_documentation(
    kind: type[ObsError],
) -> None:
    assert kind.__name__ in errors.__all__
    assert getattr(aioobs, kind.__name__) is kind
    assert f" {kind.__name__} " in (errors.__doc__ or "")


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_survives_pickling_and_copying(kind: type[ObsError]) -> None:
    error = kind("why", operation="getObject", url="s3://b/k", resp=RESPONSE)
    if isinstance(error, TransferFailed):
        error.failures = (NotFound("gone", url="s3://b/k"), OSError(errno.ENOSPC, "full"))
    if isinstance(error, ConnectionFailed):
        error.kind = "refused"
    error.add_note("a note")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is kind
        assert str(twin) == str(error) == "getObject s3://b/k: why"
        assert (twin.errno, twin.filename, twin.resp) == (error.errno, error.filename, RESPONSE)
        assert twin.__notes__ == ["a note"]
        if isinstance(twin, TransferFailed):
            assert [str(failure) for failure in twin.failures] == [
                "s3://b/k: gone",
                "[Errno 28] full",
            ]
        if isinstance(twin, ConnectionFailed):
            assert twin.kind == "refused"


def fail() -> None:
    raise error_for("getObject", "s3://b/k", RESPONSE)


def test_an_error_comes_out_of_a_process_pool() -> None:
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(AccessDenied, match="getObject s3://b/k: 403 AccessDenied: not you"),
    ):
        pool.submit(fail).result()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", NotFound),
        (404, "NoSuchBucket", NotFound),
        (404, "NoSuchUpload", NotFound),
        (404, "", NotFound),
        (404, "NoSuchTagSet", NotFound),
        (200, "NoSuchKey", NotFound),
        (401, "", AccessDenied),
        (403, "SignatureDoesNotMatch", AccessDenied),
        (409, "BucketAlreadyExists", AlreadyExists),
        (409, "BucketAlreadyOwnedByYou", AlreadyExists),
        (409, "BucketNotEmpty", ResponseError),
        (412, "PreconditionFailed", PreconditionFailed),
        (412, "", PreconditionFailed),
        (400, "InvalidArgument", ResponseError),
        (500, "", ResponseError),
        (200, "InternalError", ResponseError),
    ],
)
def test_status_and_code_decide_the_class(status: int, code: str, kind: type[ObsError]) -> None:
    resp = ErrorResponse(status, "Reason", code, "the store's words", "request-7")
    error = error_for("getObject", "s3://b/k", resp)
    assert type(error) is kind
    text = str(error)
    assert text.startswith(f"getObject s3://b/k: {status} {code or 'Reason'}: the store's words")
    assert "(request request-7)" in text
    assert error.resp is resp


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("InvalidAccessKeyId", "does not know this access key"),
        ("SignatureDoesNotMatch", "secret key is wrong"),
        ("SignatureDoesNotMatch", "proxy before it changes the Host header"),
        ("RequestTimeTooSkewed", "clock of this machine"),
        ("VirtualHostDomainRequired", "addressing='virtual'"),
        ("ExpiredToken", "expired"),
        ("EntityTooLarge", "larger than the store takes"),
    ],
)
def test_what_users_meet_often_is_explained(code: str, words: str) -> None:
    assert words in str(error_for("putContent", "s3://b/k", ErrorResponse(403, code=code)))


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "permissions"), (407, "user:password@"), (413, "smaller part_size")],
)
def test_what_proxies_say_is_explained(status: int, words: str) -> None:
    assert words in str(error_for("putContent", "s3://b/k", ErrorResponse(status)))
    told = error_for("putContent", "s3://b/k", ErrorResponse(status, code="SomeReason"))
    assert words not in str(told)


def test_an_answer_has_the_names_of_the_obs_sdk_too() -> None:
    assert (RESPONSE.errorCode, RESPONSE.errorMessage, RESPONSE.requestId) == (
        "AccessDenied",
        "not you",
        "request-7",
    )
    assert str(RESPONSE) == "403 AccessDenied: not you (request request-7)"
    assert "today" not in repr(RESPONSE)


def test_an_error_without_a_place_says_only_why() -> None:
    assert str(ObsError("why")) == "why"
    assert ObsError("why").filename is None
