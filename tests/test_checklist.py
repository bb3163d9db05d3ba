"""What the documentation of moxing promises, and what its callers rely on, held against `mox.file`.

What one verb does is tested with that verb; here is what only shows when they come together.
"""

from __future__ import annotations

import inspect
import logging
import multiprocessing
import os
import pickle
import ssl
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from faulty import (
    STALL,
    Answer,
    FaultyServer,
    Received,
    answer,
    authorizations,
    listing,
    refusal,
    stored,
)

import aioobs.file
import aioobs.sync as mox
from aioobs.config import TIMEOUTS
from aioobs.session import session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
MIB = 1 << 20

pytestmark = [
    pytest.mark.usefixtures("session"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have credentials in the environment."""
    monkeypatch.setenv("ACCESS_KEY_ID", "key-of-the-environment")
    monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")


def python(program: str, *arguments: str) -> tuple[str, str]:
    """Return what a program says on its two outputs, which has to end well."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(program), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


# --- the examples of the documentation -----------------------------------------------------


@pytest.mark.parametrize("scheme", ["s3", "obs"])
def test_the_examples_of_the_documentation_run_one_after_the_other(
    obs_bucket: str, tmp_path: Path, scheme: str
) -> None:
    file, bucket = mox.file, obs_bucket.replace("s3://", f"{scheme}://")
    url, other, local = f"{bucket}/obs_file.txt", f"{bucket}/obs_file_2.txt", f"{tmp_path}/file"

    file.write(url, "Hello World!")
    assert file.read(url) == "Hello World!"
    file.append(url, "\nend of file.")
    assert file.read(url) == "Hello World!\nend of file."
    file.make_dirs(f"{bucket}/sub_dir_0/sub_dir_1")
    assert file.list_directory(bucket) == ["obs_file.txt", "sub_dir_0"]
    names = ["obs_file.txt", "sub_dir_0", "sub_dir_0/sub_dir_1"]
    assert file.list_directory(bucket, recursive=True) == names
    assert file.exists(f"{bucket}/sub_dir_0/sub_dir_1") is True
    assert file.is_directory(f"{bucket}/sub_dir_0/sub_dir_1") is True
    assert file.get_size(url) == 25
    stat = file.stat(url)
    assert (stat.length, stat.is_directory) == (25, False)
    assert abs(stat.mtime_nsec / 1e9 - time.time()) < 60

    file.rename(url, other)
    file.rename(other, local)
    assert (file.exists(url), file.exists(other)) == (False, False)
    file.rename(local, url)
    assert not os.path.exists(local)
    file.copy(url, other)
    file.copy(other, local)
    file.copy(local, url)
    assert Path(local).read_text() == file.read(url) == file.read(other)

    file.write(f"{bucket}/sub_dir_0/sub_dir_1/deep.txt", "deep")
    file.copy_parallel(f"{bucket}/sub_dir_0", f"{bucket}/sub_dir_2")
    file.copy_parallel(f"{bucket}/sub_dir_2", f"{tmp_path}/sub_dir_0")
    file.copy_parallel(f"{tmp_path}/sub_dir_0", f"{bucket}/sub_dir_3")
    assert file.read(f"{bucket}/sub_dir_3/sub_dir_1/deep.txt") == "deep"
    with file.File(url, "r") as stream:
        data = stream.readlines()
    assert data == ["Hello World!\n", "end of file."]

    file.remove(url, recursive=False)
    file.remove(f"{bucket}/sub_dir_0/sub_dir_1", recursive=True)
    assert file.exists(url) is False
    assert file.exists(f"{bucket}/sub_dir_0/sub_dir_1/deep.txt") is False
    assert file.exists(f"{bucket}/sub_dir_2/sub_dir_1/deep.txt") is True


PARAMETERS = {
    "File": ["name", "mode"],
    "append": ["url", "data", "binary"],
    "append_remote": ["src_url", "dst_url"],
    "copy": ["src_url", "dst_url", "client_id"],
    "copy_parallel": [
        "src_url",
        "dst_url",
        "file_list",
        "threads",
        "is_processing",
        "use_queue",
    ],
    "exists": ["url"],
    "get_size": ["url", "recursive"],
    "glob": ["url"],
    "is_directory": ["url"],
    "list_directory": ["url", "recursive", "remove_sep", "skip_file", "skip_dir"],
    "make_dirs": ["url"],
    "mk_dir": ["url"],
    "read": ["url", "client_id", "binary", "exist_check"],
    "remove": ["url", "recursive"],
    "rename": ["src_url", "dst_url"],
    "scan_dir": ["url"],
    "stat": ["url"],
    "walk": ["url", "topdown", "onerror", "followlinks"],
    "write": ["url", "data", "binary"],
}


@pytest.mark.parametrize("verb", PARAMETERS)
def test_parameters_have_the_names_and_order_of_the_documentation(verb: str) -> None:
    for module in (mox.file, aioobs.file):
        found = inspect.signature(getattr(module, verb)).parameters.values()
        names = [one.name for one in found if one.kind is one.POSITIONAL_OR_KEYWORD]
        assert names[: len(PARAMETERS[verb])] == PARAMETERS[verb]
    defaults = inspect.signature(mox.file.copy_parallel).parameters
    assert [defaults[name].default for name in PARAMETERS["copy_parallel"][2:]] == [
        None,
        16,
        True,
        True,
    ]


@pytest.mark.parametrize("schemes", [("s3", "obs"), ("obs", "s3"), ("s3", "s3")])
def test_nothing_is_lost_when_something_is_moved_or_copied_to_itself(
    obs_bucket: str, schemes: tuple[str, str]
) -> None:
    here, there = (obs_bucket.replace("s3://", f"{scheme}://") for scheme in schemes)
    mox.file.write(f"{here}/d/file", "x")

    mox.file.rename(f"{here}/d/file", f"{there}/d/file")
    mox.file.copy(f"{here}/d/file", f"{there}/d/file")
    mox.file.rename(f"{here}/d", f"{there}/d")
    mox.file.rename(f"{here}/d/", f"{there}/d")
    assert mox.file.read(f"{here}/d/file") == "x"
    with pytest.raises((ValueError, OSError)):
        mox.file.rename(f"{here}/d", f"{there}/d/below")
    assert mox.file.list_directory(here, recursive=True) == ["d", "d/file"]


# --- files that are read -------------------------------------------------------------------


def test_a_file_is_closed_when_its_block_fails(obs_bucket: str, tmp_path: Path) -> None:
    for url in (f"{obs_bucket}/file", f"{tmp_path}/file"):
        mox.file.write(url, "a\nb\n")
        for mode in ("r", "rb"):
            with pytest.raises(LookupError), mox.file.File(url, mode) as stream:  # noqa: PT012
                stream.readline()
                raise LookupError
            assert stream.closed
            with pytest.raises(ValueError, match="closed"):
                stream.read()


@pytest.mark.usefixtures("keys")
def test_a_big_object_is_read_in_little_memory_over_few_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = 192 * MIB
    with FaultyServer(always=endless(size)) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        grown = python(
            """
            import resource
            import aioobs.sync as mox
            def peak():
                return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            with mox.file.File("s3://bucket/small", "rb") as stream:
                stream.read(1 << 20)
            before, count = peak(), 0
            with mox.file.File("s3://bucket/big", "rb") as stream:
                while chunk := stream.read(1 << 20):
                    count += len(chunk)
            assert count == stream_size, count
            print(peak() - before)
            """.replace("stream_size", str(size))
        )[0]
    assert int(grown) < 64
    assert server.connections <= 16


@pytest.mark.usefixtures("keys")
def test_files_that_are_closed_half_read_or_forgotten_hold_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FaultyServer(always=endless(40 * MIB)) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        for number in range(30):
            stream = mox.file.File("s3://bucket/big", "rb")
            stream.read(number * 10_000)
            if number % 2:
                stream.close()
            else:
                with pytest.warns(ResourceWarning, match="unclosed file 's3://bucket/big'"):
                    del stream
        assert mox.file.get_size("s3://bucket/big") == 40 * MIB
    assert server.connections <= 16


def endless(size: int) -> Callable[[Received], Answer]:
    """Answer like a store whose objects are of *size* bytes, without having them."""

    def step(received: Received) -> Answer:
        if received.method == "HEAD":
            return answer(content_length=str(size), etag='"1"')
        first, last = map(int, received.headers["range"].removeprefix("bytes=").split("-"))
        place = f"bytes {first}-{last}/{size}"
        return answer(206, bytes(last + 1 - first), etag='"1"', content_range=place)

    return step


# --- set_auth: every name does what it says ------------------------------------------------


def asked_with(given: dict[str, Any], *answers: Any, calls: int = 1) -> FaultyServer:
    """Return a server that has heard some questions that were asked with these settings."""
    with FaultyServer(*answers, always=stored(b"x")) as server:
        mox.file.set_auth("test-access-key", "test-secret-key", server.endpoint)
        mox.file.set_auth(**given)
        for _ in range(calls):
            assert mox.file.read("s3://bucket/file") == "x"
    return server


def test_the_key_that_is_set_signs() -> None:
    (proof,) = authorizations(asked_with({}))
    assert "Credential=test-access-key/" in proof


@pytest.mark.parametrize(
    ("given", "beginning"),
    [
        ({}, "AWS4-HMAC-SHA256 "),
        ({"signature": "v4"}, "AWS4-HMAC-SHA256 "),
        ({"signature": "v2"}, "AWS test-access-key:"),
        ({"signature": "obs"}, "OBS test-access-key:"),
        ({"anonymous": True}, ""),
        ({"negotiation": False, "obs_client_log": False}, "AWS4-HMAC-SHA256 "),
    ],
)
def test_the_signature_that_is_set_is_sent(given: dict[str, Any], beginning: str) -> None:
    (proof,) = authorizations(asked_with(given))
    assert proof.startswith(beginning)
    assert bool(proof) is bool(beginning)


def test_the_region_that_is_set_is_signed_for() -> None:
    (proof,) = authorizations(asked_with({"region": "moon-1"}))
    assert "/moon-1/s3/aws4_request" in proof


@pytest.mark.parametrize(
    ("signature", "header"), [("v4", "x-amz-security-token"), ("obs", "x-obs-security-token")]
)
def test_the_token_that_is_set_is_sent(signature: str, header: str) -> None:
    server = asked_with({"security_token": "test-token", "signature": signature})
    assert server.requests[0].headers[header] == "test-token"


@pytest.mark.parametrize("as_number", [False, True])
def test_a_server_is_a_host_with_a_port_without_tls(as_number: bool) -> None:
    with FaultyServer(always=stored(b"x")) as server:
        host = "127.0.0.1" if as_number else f"127.0.0.1:{server.port}"
        mox.file.set_auth("test-access-key", "test-secret-key", host, is_secure=False)
        if as_number:
            mox.file.set_auth(port=server.port)
        assert mox.file.read("s3://bucket/file") == "x"


@pytest.mark.parametrize(("keep", "connections"), [(True, 1), (False, 4)])
def test_long_connections_are_used_again_and_others_are_not(keep: bool, connections: int) -> None:
    assert asked_with({"long_conn_mode": keep}, calls=4).connections == connections


def test_the_bucket_goes_where_the_path_style_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyServer(always=stored(b"x")) as server:
        # A proxy takes every name, so that nobody has to resolve it.
        monkeypatch.setenv("http_proxy", server.endpoint)
        mox.file.set_auth("test-access-key", "test-secret-key", "http://store.test")
        for style in (False, True):
            mox.file.set_auth(path_style=style)
            mox.file.read("s3://bucket/file")
    assert [request.target for request in server.requests] == [
        "http://bucket.store.test/file",
        "http://store.test/bucket/file",
    ]


@pytest.mark.parametrize("tries", [1, 3])
def test_a_request_is_tried_as_often_as_is_set(tries: int) -> None:
    with FaultyServer(always=refusal(503, "SlowDown")) as server:
        mox.file.set_auth("test-access-key", "test-secret-key", server.endpoint)
        mox.file.set_auth(retry=tries, retry_wait=0.001)
        with pytest.raises(mox.file.MoxFileRespException):
            mox.file.read("s3://bucket/file")
    assert len(server.requests) == tries


def test_the_wait_between_two_tries_is_what_is_set() -> None:
    refused = [refusal(503, "SlowDown")] * 8
    begun = time.monotonic()
    assert len(asked_with({"retry": 9, "retry_wait": 0}, *refused).requests) == 9
    assert time.monotonic() - begun < 10, "by default it takes 12 seconds at least"
    begun = time.monotonic()
    asked_with({"retry_wait": 1.0}, *refused[:1])
    assert time.monotonic() - begun > 0.45, "half of it, as waits are jittered"


def test_a_try_without_a_byte_is_given_up_after_the_timeout_of_the_client() -> None:
    begun = time.monotonic()
    server = asked_with({"client_timeout": 0.3, "retry_wait": 0.001}, STALL)
    assert len(server.requests) == 2
    assert 0.2 < time.monotonic() - begun < 30


def test_a_page_has_as_many_names_as_is_set() -> None:
    with FaultyServer(always=answer(body=listing("a", "b"))) as server:
        mox.file.set_auth("test-access-key", "test-secret-key", server.endpoint, list_max_keys=7)
        assert mox.file.list_directory("s3://bucket") == ["a", "b"]
    assert [request.query["max-keys"] for request in server.requests] == ["7"]


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[FaultyServer]:
    """Give a store that speaks TLS, and nobody knows its authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FaultyServer(always=stored(b"x"), tls=context) as server:
        mox.file.set_auth("test-access-key", "test-secret-key", f"127.0.0.1:{server.port}")
        yield server


@pytest.mark.parametrize("verify", [True, 1])
@pytest.mark.usefixtures("secure")
def test_certificates_are_verified_unless_it_is_set_otherwise(verify: bool | int) -> None:
    mox.file.set_auth(ssl_verify=verify)
    with pytest.raises(mox.ConnectionFailed, match="certificate"):
        mox.file.read("s3://bucket/file")


@pytest.mark.parametrize("verify", [False, 0, "ca.pem"])
@pytest.mark.usefixtures("secure")
def test_certificates_are_verified_as_is_set(verify: bool | str, tmp_path: Path) -> None:
    mox.file.set_auth(ssl_verify=str(tmp_path / verify) if isinstance(verify, str) else verify)
    assert mox.file.read("s3://bucket/file") == "x"


@pytest.mark.usefixtures("secure")
def test_the_environment_says_whether_certificates_are_verified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("S3_VERIFY_SSL", "0")
    assert mox.file.read("s3://bucket/file") == "x"
    monkeypatch.setenv("S3_VERIFY_SSL", "1")
    with pytest.raises(mox.ConnectionFailed, match="certificate"):
        mox.file.read("s3://bucket/file")


def test_what_is_set_goes_before_the_environment_and_that_before_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "credentials"
    path.write_text(
        "[default]\naws_access_key_id = key-of-the-file\naws_secret_access_key = test-secret-key\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    with FaultyServer(always=stored(b"x")) as server:
        monkeypatch.setenv("S3_ENDPOINT", f"127.0.0.1:{server.port}")
        monkeypatch.setenv("S3_USE_HTTPS", "0")
        mox.file.read("s3://bucket/file")
        monkeypatch.setenv("ACCESS_KEY_ID", "key-of-the-environment")
        monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")
        mox.file.set_auth(retry=2)  # looks for credentials again
        mox.file.read("s3://bucket/file")
        mox.file.set_auth(ak="key-that-was-set", sk="test-secret-key")
        mox.file.read("s3://bucket/file")
    used = [proof.partition("Credential=")[2].partition("/")[0] for proof in authorizations(server)]
    assert used == ["key-of-the-file", "key-of-the-environment", "key-that-was-set"]


# --- timeouts ------------------------------------------------------------------------------


def operation(received: Received) -> str:
    """Return the name that the documentation has for a request."""
    query, copies = received.query, "x-amz-copy-source" in received.headers
    key = received.path.removeprefix("/bucket").strip("/")
    if received.method == "HEAD":
        return "getObjectMetadata" if key else "headBucket"
    if received.method == "GET":
        return "getObject" if key else "listObjects"
    if received.method == "DELETE":
        return "abortMultipartUpload" if "uploadId" in query else "deleteObject"
    if received.method == "POST":
        return "completeMultipartUpload" if "uploadId" in query else "initiateMultipartUpload"
    if "partNumber" in query:
        return "copyPart" if copies else "uploadPart"
    return "copyObject" if copies else "putObject"


def stalling(name: str, size: int) -> Callable[[Received], Answer]:
    """Answer like a store that has one object, but never to one operation."""
    upload = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"

    def step(received: Received) -> Answer:
        asked = operation(received)
        if asked == name:
            return STALL
        if asked == "getObjectMetadata":
            return answer(content_length=str(size), etag='"1"')
        bodies = {"initiateMultipartUpload": upload, "listObjects": listing("file")}
        return answer(204 if received.method == "DELETE" else 200, bodies.get(asked, ""), etag="1")

    return step


TIMED: dict[str, tuple[str, Callable[[str, str], object]]] = {
    "completeMultipartUpload": (
        "completeMultipartUpload",
        lambda url, local: mox.file.write(url, bytes(16 * MIB)),
    ),
    "copyObject": ("copyObject", lambda url, local: mox.file.copy(url, f"{url}2")),
    "copyPart": ("copyPart", lambda url, local: mox.file.copy(f"{url}-big", f"{url}2")),
    "deleteObject": ("deleteObject", lambda url, local: mox.file.remove(url)),
    "getObject": ("getObject", lambda url, local: mox.file.read(url)),
    "getObjectMetadata": ("getObjectMetadata", lambda url, local: mox.file.exists(url)),
    "initiateMultipartUpload": (
        "initiateMultipartUpload",
        lambda url, local: mox.file.write(url, bytes(16 * MIB)),
    ),
    "listObjects": (
        "listObjects",
        lambda url, local: mox.file.list_directory(os.path.dirname(url)),
    ),
    "putContent": ("putObject", lambda url, local: mox.file.write(url, "x")),
    "putFile": ("putObject", lambda url, local: mox.file.copy(local, url)),
    "putObject": ("putObject", lambda url, local: mox.file.write(url, "x")),
    "uploadPart": ("uploadPart", lambda url, local: mox.file.write(url, bytes(16 * MIB))),
}


@pytest.mark.parametrize("name", TIMED)
def test_each_timeout_that_is_documented_ends_the_verb_that_needs_its_operation(
    name: str, tmp_path: Path
) -> None:
    stalled, verb = TIMED[name]
    local = tmp_path / "file"
    local.write_bytes(bytes(2 * MIB))
    with FaultyServer(always=stalling(stalled, (6 << 30) if name == "copyPart" else 1)) as server:
        mox.file.set_auth("test-access-key", "test-secret-key", server.endpoint)
        mox.file.set_auth(timeout_config={name: 0.3})
        begun = time.monotonic()
        with pytest.raises(mox.file.MoxTimeoutError) as caught:
            verb("s3://bucket/file", str(local))
        assert time.monotonic() - begun < 20
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert error.operation == name or (name, error.operation) == ("putObject", "putContent")
    assert "s3://bucket/" in str(error)
    assert "0.3 s" in str(error)


def test_all_documented_timeouts_are_tried_above() -> None:
    # What we have beside the documented ones.
    ours = {"appendObject", "headBucket", "listBuckets", "listParts", "listMultipartUploads"}
    ours |= {"abortMultipartUpload", "createBucket", "deleteBucket", "deleteObjects"}
    assert set(TIMED) == set(TIMEOUTS) - ours


def test_a_timeout_of_one_operation_is_none_of_another() -> None:
    mox.file.set_auth(timeout_config={"getObjectMetadata": 10})
    config = session.client().config
    expected = {**TIMEOUTS, "getObjectMetadata": 10}
    assert {name: config.timeout(name) for name in TIMEOUTS} == expected
    mox.file.set_auth(timeout_config={"putObject": 20, "putFile": None, "getObject": 30})
    config = session.client().config
    expected |= {"putObject": 20, "putContent": 20, "getObject": 30}
    assert {name: config.timeout(name) for name in TIMEOUTS} == expected


def seconds_until_an_error(endpoint: str) -> tuple[float, str]:
    """Set a timeout, look for an object of a store that never answers, and tell what happened."""
    mox.file.set_auth("test-access-key", "test-secret-key", endpoint)
    mox.file.set_auth(timeout_config={"getObjectMetadata": 0.3})
    begun = time.monotonic()
    try:
        mox.file.exists("s3://bucket/object")
    except TimeoutError as error:
        return time.monotonic() - begun, str(error)
    return 0.0, ""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_timeout_that_a_child_process_sets_holds_in_it_and_in_its_threads(method: str) -> None:
    with FaultyServer(always=STALL) as server:
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            found = [pool.submit(seconds_until_an_error, server.endpoint).result(50)]
            found += pool.submit(in_threads, server.endpoint).result(50)
    for seconds, message in found:
        assert 0.2 < seconds < 20
        assert message.startswith("getObjectMetadata s3://bucket/object: no result within 0.3 s")


def in_threads(endpoint: str) -> list[tuple[float, str]]:
    with ThreadPoolExecutor(3) as pool:
        return [*pool.map(seconds_until_an_error, [endpoint] * 3)]


# --- exceptions ----------------------------------------------------------------------------

REQUEST_ID = "request-7"


@pytest.mark.parametrize(
    ("given", "name", "builtin", "status", "code"),
    [
        (refusal(404, "NoSuchKey"), "MoxFileNotExistsException", FileNotFoundError, 404, ""),
        (refusal(404, "NoSuchBucket"), "MoxFileNotExistsException", FileNotFoundError, 404, ""),
        (refusal(403, "AccessDenied"), "MoxFileRespException", PermissionError, 403, ""),
        (refusal(400, "InvalidArgument"), "MoxFileRespException", OSError, 400, ""),
        (refusal(503, "SlowDown"), "MoxFileRespException", OSError, 503, ""),
        (
            answer(body=b"12345", etag='"1"', x_amz_request_id=REQUEST_ID).cut(body=2, end="close"),
            "MoxFileReadException",
            OSError,
            200,
            "-",
        ),
        (
            answer(body=b"12345", chunked=True, etag='"1"', x_amz_request_id=REQUEST_ID).cut(
                body=4, end="close"
            ),
            "MoxFileReadException",
            OSError,
            200,
            "-",
        ),
    ],
    ids=["no key", "no bucket", "forbidden", "refused", "busy", "broken off", "broken chunks"],
)
def test_an_exception_has_its_builtin_and_the_answer_of_the_store(
    given: Answer, name: str, builtin: type[OSError], status: int, code: str
) -> None:
    def step(received: Received) -> Answer:
        return given if received.path.endswith("/file") else answer(body=listing())

    with FaultyServer(always=step) as server:
        mox.file.set_auth("test-access-key", "test-secret-key", server.endpoint, retry=1)
        with pytest.raises(getattr(mox.file, name)) as caught:
            mox.file.read("s3://bucket/file")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert isinstance(error, builtin)
        assert error.filename == "s3://bucket/file"
        resp = error.resp  # type: ignore[attr-defined]
        assert (resp.status, resp.requestId) == (status, REQUEST_ID)
        if not code:
            assert resp.errorCode in str(error)
            assert (resp.errorMessage, bool(resp.errorCode)) == ("said the test", True)
        assert resp.reason


@pytest.mark.parametrize("where", ["local", "remote"])
def test_a_missing_source_is_caught_under_every_name_that_callers_use(
    obs_bucket: str, tmp_path: Path, where: str
) -> None:
    missing = f"{tmp_path if where == 'local' else obs_bucket}/missing"
    for kind in (mox.file.MoxFileNotExistsException, FileNotFoundError, OSError, Exception):
        with pytest.raises(kind) as caught:
            mox.file.copy_parallel(missing, f"{tmp_path}/target")
        assert caught.value.errno == 2  # type: ignore[attr-defined]
        assert "missing" in str(caught.value)


# --- silence -------------------------------------------------------------------------------


@pytest.mark.parametrize("silent", ["0", "1"])
def test_neither_import_nor_use_says_or_configures_anything(
    obs_bucket: str, monkeypatch: pytest.MonkeyPatch, silent: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOX_SILENT_MODE", silent)
    program = """
        import logging, signal, sys, threading, warnings
        SIGNALS = signal.SIGINT, signal.SIGALRM, signal.SIGTERM
        def state():
            root = logging.getLogger()
            return (
                root.level, list(root.handlers), root.manager.disable, logging.raiseExceptions,
                list(map(signal.getsignal, SIGNALS)), list(warnings.filters),
                sys.excepthook, threading.excepthook, sys.unraisablehook,
            )
        before = state()
        import aioobs.sync as mox
        mox.file
        assert threading.active_count() == 1
        assert state() == before
        mox.file.write(sys.argv[1] + "/d/file", "x")
        mox.file.copy_parallel(sys.argv[1] + "/d", sys.argv[2])
        assert mox.file.list_directory(sys.argv[1]) == ["d"]
        with mox.file.File(sys.argv[1] + "/d/file") as stream:
            stream.read()
        assert state() == before
    """
    assert python(program, obs_bucket, str(tmp_path / "d")) == ("", "")


@pytest.mark.parametrize("name", ["aioobs.sync.file", "aioobs.sync.shift"])
def test_the_import_of_the_verbs_opens_and_starts_nothing(name: str) -> None:
    program = f"""
        import socket, sys, threading
        def refuse(*arguments, **options):
            raise AssertionError("no network at the import")
        socket.socket.connect = socket.getaddrinfo = refuse
        import {name}
        import aioobs.sync as mox
        mox.file.shift("os", "mox")
        assert threading.active_count() == 1
        heavy = {{"aiohttp", "botocore", "anyio", "uvloop", "yarl"}}
        print(sorted(heavy & set(sys.modules)))
    """
    assert python(program) == ("[]\n", "")


def test_the_log_of_the_library_goes_where_its_user_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "aioobs"):
        asked_with({"retry_wait": 0.001}, refusal(503, "SlowDown"))
    assert len(caplog.records) == 1
    assert caplog.records[0].name.startswith("aioobs")
    assert "503" in caplog.text
