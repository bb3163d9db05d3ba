"""`set_auth`: each of its names does what the documentation of moxing says, seen from the store."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from faulty import (
    STALL,
    Answer,
    Certificates,
    FaultyServer,
    Received,
    answer,
    authorizations,
    listing,
    refusal,
    stored,
)

import aioobs.sync as mox
from aioobs.config import TIMEOUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aioobs.session import Session

MIB = 1 << 20

pytestmark = [
    pytest.mark.usefixtures("session"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


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
def secure(session: Session, certificates: Certificates) -> Iterator[FaultyServer]:
    """Give a store that speaks TLS, and nobody knows its authority."""
    with FaultyServer(always=stored(b"x"), tls=certificates.server) as server:
        mox.file.set_auth("test-access-key", "test-secret-key", f"127.0.0.1:{server.port}")
        yield server


@pytest.mark.parametrize("verify", [True, 1])
@pytest.mark.usefixtures("secure")
def test_certificates_are_verified_unless_it_is_set_otherwise(verify: bool | int) -> None:
    mox.file.set_auth(ssl_verify=verify)
    with pytest.raises(mox.ConnectionFailed, match="certificate"):
        mox.file.read("s3://bucket/file")


@pytest.mark.parametrize("verify", [False, 0, "its authority"])
@pytest.mark.usefixtures("secure")
def test_certificates_are_verified_as_is_set(
    verify: bool | str, certificates: Certificates
) -> None:
    mox.file.set_auth(ssl_verify=certificates.authority if verify else verify)
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
    ours |= {"deleteObjectTagging", "getObjectTagging", "listVersions", "putObjectTagging"}
    assert set(TIMED) == set(TIMEOUTS) - ours


def test_a_timeout_of_one_operation_is_none_of_another(session: Session) -> None:
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
