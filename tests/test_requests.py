"""Requests over a real socket: what is sent, and what of an answer is believed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
from datetime import datetime
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import faulty
import pytest
from faulty import (
    RESET,
    STALL,
    Answer,
    End,
    FaultyServer,
    Received,
    answer,
    connect,
    error_document,
    forward,
    listing,
    refusal,
    stored,
)

from aioobs import (
    AccessDenied,
    Client,
    Config,
    ConfigError,
    FilePart,
    NotFound,
    ObjectChanged,
    ObsError,
    OperationTimeout,
    ProtocolError,
    ReadError,
    ResponseError,
    SourceError,
)
from aioobs.s3.body import FileSink, MemorySink
from aioobs.s3.objects import multipart_etag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aioobs.testing import LocalServer

GOOD = answer(etag='"1"')
ROOT = Path(__file__).parents[1]
CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True, params=["lean", "session"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test on both transports, which have to behave alike."""
    monkeypatch.setattr(faulty, "TRANSPORT", request.param)


class TestTimeouts:
    """An operation ends when its time is over, whatever the server does."""

    async def test_an_operation_times_out_under_its_name_and_url(self) -> None:
        with FaultyServer(always=STALL) as server:
            async with connect(server.endpoint, timeouts={"getObjectMetadata": 0.5}) as client:
                started = time.monotonic()
                with pytest.raises(
                    OperationTimeout, match=r"getObjectMetadata s3://b/k: .*0\.5 s"
                ) as caught:
                    await client.head_object("b", "k")
        assert 0.4 <= time.monotonic() - started < 5
        assert (caught.value.operation, caught.value.url) == ("getObjectMetadata", "s3://b/k")
        assert isinstance(caught.value, TimeoutError)

    async def test_no_attempt_takes_more_than_half_of_the_time(self) -> None:
        with FaultyServer(STALL, always=stored(b"1")) as server:
            async with connect(server.endpoint, timeouts={"getObjectMetadata": 0.6}) as client:
                started = time.monotonic()
                assert (await client.head_object("b", "k")).size == 1
        assert 0.3 <= time.monotonic() - started < 0.6

    async def test_a_body_that_trickles_is_bounded_by_the_operation_alone(self) -> None:
        # Each byte is progress, so only the whole is too late.
        with FaultyServer(always=stored(CONTENT)) as server:

            class SlowSink(MemorySink):
                async def write(self, chunk: bytes) -> None:
                    await asyncio.sleep(5)

            async with connect(server.endpoint, timeouts={"getObject": 0.3}) as client:
                with pytest.raises(OperationTimeout, match="getObject s3://b/k"):
                    await client.get_object_into("b", "k", SlowSink())

    def test_timeouts_hold_in_threads_that_are_not_the_main_one(self) -> None:
        caught: list[BaseException] = []

        async def head(client: Client) -> None:
            async with client:
                await client.head_object("b", "k")

        def run(client: Client) -> None:
            try:
                asyncio.run(head(client))
            except OperationTimeout as error:
                caught.append(error)

        with FaultyServer(always=STALL) as server:
            client = connect(server.endpoint, timeouts={"getObjectMetadata": 0.3})
            threads = [threading.Thread(target=run, args=(client,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(caught) == 4

    async def test_an_upload_that_nobody_reads_is_given_up(self) -> None:
        with FaultyServer(
            always=answer(early=True, end="stall").cut(head=0, end="stall")
        ) as server:
            async with connect(
                server.endpoint, idle_timeout=0.2, timeouts={"putContent": 0.5}
            ) as client:
                with pytest.raises(OperationTimeout, match=r"putContent s3://b/k"):
                    await client.put_object("b", "k", bytes(1 << 20))

    async def test_cancelling_a_request_closes_its_connection_and_frees_its_place(self) -> None:
        with FaultyServer(STALL, always=GOOD) as server:
            async with connect(server.endpoint, connections=1) as client:
                request = asyncio.create_task(client.put_object("b", "k", b""))
                await asyncio.to_thread(server.arrived.acquire)
                request.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await request
                assert await client.put_object("b", "k", b"") == "1"
        assert [request.connection for request in server.requests] == [1, 2]


class TestWhatIsSent:
    """The bytes on the wire."""

    async def test_a_body_has_its_length_and_is_never_chunked(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(CONTENT * 200)  # 2 MiB: more than goes in one piece
        bodies: list[bytes | bytearray | memoryview] = [
            b"",
            b"x",
            bytearray(b"xy"),
            memoryview(CONTENT),
            CONTENT * 200,
        ]
        with FaultyServer(always=GOOD) as server, file.open("rb") as open_file:
            async with connect(server.endpoint) as client:
                for body in bodies:
                    await client.put_object("b", "k", body)
                await client.put_object("b", "k", FilePart(open_file.fileno(), 7, 1_500_000))
        sent = [*map(bytes, bodies), (CONTENT * 200)[7:1_500_007]]
        for request, body in zip(server.requests, sent, strict=True):
            assert request.body == body
            assert request.headers["content-length"] == str(len(body))
            assert "transfer-encoding" not in request.headers
            assert "content-encoding" not in request.headers
            assert "expect" not in request.headers
            assert not [name for name in request.headers if "checksum" in name or "trailer" in name]
            assert request.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"

    async def test_bodies_are_hashed_where_that_is_wanted(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(CONTENT)
        with FaultyServer(always=GOOD) as server, file.open("rb") as open_file:
            async with connect(server.endpoint, payload_signing="sha256") as client:
                await client.put_object("b", "k", b"")
                await client.put_object("b", "k", CONTENT * 20)
                await client.put_object("b", "k", FilePart(open_file.fileno(), 1, 100))
        for request in server.requests:
            digest = hashlib.sha256(request.body).hexdigest()
            assert request.headers["x-amz-content-sha256"] == digest

    async def test_a_batch_delete_carries_the_md5_that_stores_want(self) -> None:
        with FaultyServer(answer(body="<DeleteResult/>")) as server:
            async with connect(server.endpoint) as client:
                assert await client.delete_objects("b", ["a&<b>", "line\r\nbreak", "ü"]) == []
        (request,) = server.requests
        digest = hashlib.md5(request.body, usedforsecurity=False).digest()
        assert request.headers["content-md5"] == base64.b64encode(digest).decode()
        assert b"<Key>a&amp;&lt;b&gt;</Key>" in request.body
        assert b"line&#13;&#10;break" in request.body

    async def test_keys_arrive_verbatim(self) -> None:
        keys = ["a/../b", "./a", "//a//", "/", " ", "+", "%2F", "a?b#c", "ü/漢字/😀", "a\nb", "~"]
        with FaultyServer(always=answer(204)) as server:
            async with connect(server.endpoint) as client:
                for key in keys:
                    await client.delete_object("b", key)
        assert [request.path for request in server.requests] == [f"/b/{key}" for key in keys]

    async def test_a_virtual_host_has_the_bucket_in_its_name_alone(self) -> None:
        with FaultyServer(always=GOOD) as server:
            # A proxy takes every name, so that nobody has to resolve it.
            async with connect(
                "http://store.test", proxy=server.endpoint, addressing="virtual"
            ) as client:
                await client.put_object("bucket", "a/b", b"")
                await client.head_bucket("bucket")
        put, head = server.requests
        assert put.target == "http://bucket.store.test/a/b"
        assert head.target == "http://bucket.store.test/"
        assert put.headers["host"] == head.headers["host"] == "bucket.store.test"

    @pytest.mark.parametrize(
        ("endpoint", "bucket", "url"),
        [
            ("obs.cn-north-4.myhuaweicloud.com", "b-1", "http://b-1.{}/k"),
            ("s3.eu-west-1.amazonaws.com", "b-1", "http://b-1.{}/k"),
            ("obs.cn-north-4.myhuaweicloud.com", "Old_Name", "http://{}/Old_Name/k"),
            ("minio.company.test:9000", "b-1", "http://{}/b-1/k"),
            ("192.0.2.7", "b-1", "http://{}/b-1/k"),
        ],
    )
    async def test_buckets_go_into_the_host_name_where_the_store_wants_it(
        self, endpoint: str, bucket: str, url: str
    ) -> None:
        with FaultyServer(GOOD) as server:
            async with connect(f"http://{endpoint}", proxy=server.endpoint) as client:
                await client.put_object(bucket, "k", b"")
        assert server.requests[0].target == url.format(endpoint)

    async def test_the_region_is_the_one_of_the_endpoint(self) -> None:
        with FaultyServer(GOOD) as server:
            endpoint = "http://obs.cn-north-4.myhuaweicloud.com"
            async with connect(endpoint, proxy=server.endpoint) as client:
                await client.put_object("b-1", "k", b"")
        assert "/cn-north-4/s3/aws4_request" in server.requests[0].headers["authorization"]

    @pytest.mark.parametrize(
        ("metadata", "content_type"),
        [
            ({"a": "x\r\nx-amz-acl: public-read"}, ""),
            ({"a": "x\ny"}, ""),
            ({"a": "x\0y"}, ""),
            ({"a\r\nx-amz-acl": "public-read"}, ""),
            ({"a: b\r\nc": ""}, ""),
            ({"a:b": "c"}, ""),
            ({"a b": "c"}, ""),
            ({}, "text/plain\r\nx-amz-acl: public-read"),
        ],
    )
    async def test_no_header_can_be_injected(
        self, metadata: dict[str, str], content_type: str
    ) -> None:
        with FaultyServer(always=GOOD) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ConfigError, match=r"putContent s3://b/k: .*header"):
                    await client.put_object(
                        "b", "k", b"", metadata=metadata, content_type=content_type
                    )
        assert not server.requests

    @pytest.mark.parametrize("bucket", ["", ".", "..", "a/b", "a b", "a?b", "a\r\nb", "-a", "a@b"])
    async def test_a_bucket_that_cannot_be_one_is_never_asked_for(self, bucket: str) -> None:
        with FaultyServer(always=GOOD) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ConfigError, match="bucket"):
                    await client.put_object(bucket, "k", b"")
        assert not server.requests

    async def test_an_empty_key_never_makes_a_request_about_the_bucket(self) -> None:
        with FaultyServer(always=answer(204, etag="1")) as server:
            async with connect(server.endpoint) as client:
                for call in (
                    client.delete_object("b", ""),
                    client.put_object("b", "", b""),
                    client.get_object("b", ""),
                    client.head_object("b", ""),
                    client.copy_object(("b", "k"), "b", ""),
                ):
                    with pytest.raises(ObsError, match="key"):
                        await call
        assert not server.requests

    async def test_anonymous_requests_carry_no_proof(self) -> None:
        with FaultyServer(GOOD) as server:
            async with Client(Config(endpoint=server.endpoint, anonymous=True)) as client:
                await client.put_object("b", "k", b"")
        assert "authorization" not in server.requests[0].headers

    async def test_the_native_signature_of_obs_renames_the_headers(self) -> None:
        with FaultyServer(GOOD) as server:
            async with connect(server.endpoint, signature="obs", security_token="t") as client:
                await client.put_object("b", "k", b"", metadata={"Owner": "me"})
        headers = server.requests[0].headers
        assert headers["authorization"].startswith("OBS test-access-key:")
        assert (headers["x-obs-meta-owner"], headers["x-obs-security-token"]) == ("me", "t")
        assert not [name for name in headers if name.startswith("x-amz-")]

    async def test_a_source_that_became_shorter_fails_at_once_and_publishes_nothing(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "file"
        file.write_bytes(b"x" * (3 << 20))
        with FaultyServer(always=GOOD) as server, file.open("rb") as open_file:
            async with connect(server.endpoint) as client:
                os.truncate(file, 2 << 20)
                with pytest.raises(SourceError, match=r"putFile s3://b/k: .*shorter"):
                    await client.put_object("b", "k", FilePart(open_file.fileno(), 0, 3 << 20))
        assert len(server.requests) == 1
        assert len(server.requests[0].body) < 3 << 20


class TestReading:
    """Bodies that break, lie, or belong to another object."""

    @pytest.mark.parametrize("end", ["close", "reset"])
    async def test_a_broken_body_is_read_on_from_its_byte_of_the_same_object(
        self, end: End, tmp_path: Path
    ) -> None:
        broken = answer(body=CONTENT, etag='"version-1"').cut(body=1000, end=end)
        file = tmp_path / "file"
        with FaultyServer(broken, always=stored(CONTENT)) as server, file.open("wb") as target:
            async with connect(server.endpoint) as client:
                info = await client.get_object_into("b", "k", FileSink(target.fileno()))
        assert file.read_bytes() == CONTENT
        assert info.size == len(CONTENT)
        first, second = (request.headers for request in server.requests)
        assert "range" not in first
        # What came together with the break may be lost.
        assert second.get("range") in ("bytes=1000-", None)
        assert second["if-match"] == '"version-1"'

    async def test_a_broken_range_is_read_on_to_its_end(self) -> None:
        broken = answer(
            206, CONTENT[10:5000], etag='"version-1"', content_range=f"bytes 10-4999/{len(CONTENT)}"
        ).cut(body=90, end="close")
        with FaultyServer(broken, always=stored(CONTENT)) as server:
            async with connect(server.endpoint) as client:
                assert await client.get_object("b", "k", start=10, stop=5000) == CONTENT[10:5000]
        # What came together with the break may be lost.
        assert server.requests[1].headers["range"] in ("bytes=100-4999", "bytes=10-4999")

    async def test_a_broken_chunked_body_is_read_on(self) -> None:
        broken = answer(body=CONTENT, chunked=True, etag='"version-1"').cut(body=500, end="close")

        def step(received: Received) -> Answer:
            return stored(CONTENT)(received) if "if-match" in received.headers else broken

        with FaultyServer(always=step) as server:
            async with connect(server.endpoint) as client:
                assert await client.get_object("b", "k") == CONTENT
        assert server.requests[-1].headers["if-match"] == '"version-1"'

    async def test_an_object_that_changes_in_between_is_an_error_and_never_a_mixture(self) -> None:
        broken = answer(body=CONTENT, etag='"version-1"').cut(body=1000, end="close")
        with FaultyServer(broken, always=stored(CONTENT[::-1], "version-2")) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ObjectChanged, match=r"getObject s3://b/k: .*version-1"):
                    await client.get_object("b", "k")
        assert len(server.requests) == 2

    async def test_a_store_that_ignores_if_match_is_caught_by_the_etag(self) -> None:
        broken = answer(body=CONTENT, etag='"version-1"').cut(body=1000, end="close")
        other = answer(
            206,
            CONTENT[1000:],
            etag='"version-2"',
            content_range=f"bytes 1000-{len(CONTENT) - 1}/{len(CONTENT)}",
        )
        with FaultyServer(broken, always=other) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ObjectChanged, match=r"version-1.*version-2"):
                    await client.get_object("b", "k")

    @pytest.mark.parametrize(
        "reply",
        [
            answer(200, CONTENT, etag="1"),
            answer(206, CONTENT[100:200], etag="1"),
            answer(206, CONTENT[:100], etag="1", content_range=f"bytes 0-99/{len(CONTENT)}"),
            answer(206, CONTENT[101:200], etag="1", content_range=f"bytes 101-199/{len(CONTENT)}"),
            answer(206, CONTENT[100:201], etag="1", content_range=f"bytes 100-200/{len(CONTENT)}"),
            answer(206, CONTENT[100:150], etag="1", content_range=f"bytes 100-149/{len(CONTENT)}"),
            answer(206, CONTENT[100:199], etag="1", content_range=f"bytes 100-199/{len(CONTENT)}"),
            answer(206, CONTENT[100:200], etag="1", content_range="bytes 100-199/50"),
            answer(206, b"", etag="1", content_range="bytes 100-99/50"),
            answer(206, b"--x", etag="1", content_type="multipart/byteranges; boundary=x"),
            answer(204, etag="1"),
        ],
        ids=[
            "ignored",
            "no-content-range",
            "from-0",
            "later",
            "too-long",
            "too-short",
            "length-differs",
            "beyond-the-total",
            "negative",
            "several",
            "no-content",
        ],
    )
    async def test_an_answer_that_is_not_the_range_is_refused(self, reply: Answer) -> None:
        with FaultyServer(always=reply) as server:
            async with connect(server.endpoint, attempts=2) as client:
                sink = MemorySink()
                with pytest.raises(ReadError, match="getObject s3://b/k: "):
                    await client.get_object_into("b", "k", sink, start=100, stop=200)
        assert CONTENT[100:200].startswith(sink.getvalue())

    async def test_a_range_to_the_end_that_stops_before_it_is_refused(self) -> None:
        short = answer(206, CONTENT[10:20], etag="1", content_range=f"bytes 10-19/{len(CONTENT)}")
        with FaultyServer(always=short) as server:
            async with connect(server.endpoint, attempts=2) as client:
                with pytest.raises(ReadError):
                    await client.get_object("b", "k", start=10)

    async def test_a_range_under_status_200_is_accepted(self) -> None:
        reply = answer(
            200, CONTENT[100:200], etag="1", content_range=f"bytes 100-199/{len(CONTENT)}"
        )
        with FaultyServer(reply) as server:
            async with connect(server.endpoint) as client:
                assert await client.get_object("b", "k", start=100, stop=200) == CONTENT[100:200]

    async def test_a_whole_small_object_may_answer_a_range_from_its_start(self) -> None:
        with FaultyServer(answer(body=b"small", etag="1")) as server:
            async with connect(server.endpoint) as client:
                assert await client.get_object("b", "k", stop=100) == b"small"

    async def test_a_range_of_an_empty_object_is_empty(self) -> None:
        with FaultyServer(always=stored(b"")) as server:
            async with connect(server.endpoint) as client:
                assert await client.get_object("b", "k", stop=10) == b""
                assert await client.get_object("b", "k") == b""

    async def test_an_object_that_ends_earlier_than_was_announced_is_no_range_that_is_wrong(
        self,
    ) -> None:
        too_long = answer(body=b"123", content_length="9", etag='"version-1"', end="close")
        with FaultyServer(too_long, always=stored(b"123")) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ReadError, match="ends after 3 bytes, more were announced"):
                    await client.get_object("b", "k")

    async def test_an_answer_of_another_size_than_the_object_has_is_not_taken(self) -> None:
        etag = '"version-1"'
        cut, endless = answer(body=b"12", etag=etag), answer(body=b"123", etag=etag)
        with FaultyServer(cut, endless, always=stored(b"12345")) as server:
            async with connect(server.endpoint) as client:
                sink = MemorySink()
                await client.get_object_into("b", "k", sink, if_match="version-1", size=5)
        assert sink.getvalue() == b"12345"
        assert len(server.requests) == 3

    async def test_a_range_behind_the_end_is_an_error(self) -> None:
        with FaultyServer(always=stored(b"123")) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ResponseError, match="416 InvalidRange"):
                    await client.get_object("b", "k", start=3, stop=10)

    @pytest.mark.parametrize(("start", "stop"), [(0, 0), (5, 5), (7, 3)])
    async def test_a_range_without_bytes_is_empty_and_not_the_whole(
        self, start: int, stop: int
    ) -> None:
        with FaultyServer(always=stored(CONTENT)) as server:
            async with connect(server.endpoint, attempts=2) as client:
                assert await client.get_object("b", "k", start=start, stop=stop) == b""

    async def test_a_body_in_chunks_is_read(self) -> None:
        with FaultyServer(always=answer(body=CONTENT, chunked=True, etag="1")) as server:
            async with connect(server.endpoint) as client:
                assert await client.get_object("b", "k") == CONTENT

    async def test_a_body_without_any_length_is_refused(self) -> None:
        endless = answer(body=b"half of it", etag="1", content_length=None, end="close")
        with FaultyServer(always=endless) as server:
            async with connect(server.endpoint, attempts=2) as client:
                with pytest.raises(ReadError, match="does not say how long"):
                    await client.get_object("b", "k")

    async def test_more_bytes_than_announced_never_reach_the_next_answer(self) -> None:
        overlong = answer(body=b"12345surplus", etag="1", content_length="5")

        def step(received: Received) -> Answer:
            return overlong if received.path == "/b/k" else answer(body=b"next", etag="2")

        with FaultyServer(always=step) as server:
            async with connect(server.endpoint, attempts=1) as client:
                with contextlib.suppress(ObsError):  # which is as good
                    assert await client.get_object("b", "k") == b"12345"
                assert await client.get_object("b", "next") == b"next"

    async def test_a_wrong_etag_from_the_start_is_a_change(self) -> None:
        with FaultyServer(always=stored(CONTENT)) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ObjectChanged):
                    await client.get_object("b", "k", if_match="another")

    @pytest.mark.parametrize("etag", ['"e"', "e", 'W/"e"'])
    async def test_etags_are_compared_without_their_quotes(self, etag: str) -> None:
        with FaultyServer(always=answer(body=b"x", etag=etag)) as server:
            async with connect(server.endpoint) as client:
                assert await client.get_object("b", "k", if_match="e") == b"x"
                assert (await client.head_object("b", "k")).etag == "e"

    async def test_a_body_is_not_decompressed(self) -> None:
        with FaultyServer(answer(body=b"\x1f\x8b", etag="1", content_encoding="gzip")) as server:
            async with connect(server.endpoint) as client:
                assert await client.get_object("b", "k") == b"\x1f\x8b"
        assert "accept-encoding" not in server.requests[0].headers

    async def test_a_head_without_a_length_is_no_empty_object(self) -> None:
        with FaultyServer(always=answer(etag="1", content_length=None)) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ProtocolError, match=r"getObjectMetadata s3://b/k: .*long"):
                    await client.head_object("b", "k")

    async def test_an_upload_without_an_etag_is_not_believed(self) -> None:
        with FaultyServer(always=answer()) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ProtocolError, match="ETag"):
                    await client.upload_part("b", "k", "u", 1, b"x")


class TestRedirects:
    """To where credentials may go and to where they may not."""

    async def test_a_redirect_within_the_store_is_followed_and_signed_for_its_region(self) -> None:
        def serve(received: Received) -> Answer:
            if received.headers["host"] == "b-1.obs.cn-east-3.myhuaweicloud.com":
                return GOOD
            return refusal(
                307,
                "TemporaryRedirect",
                location="http://b-1.obs.cn-east-3.myhuaweicloud.com/k",
                x_amz_bucket_region="cn-east-3",
            )

        with FaultyServer(always=serve) as server:
            endpoint = "http://obs.cn-north-4.myhuaweicloud.com"
            async with connect(endpoint, proxy=server.endpoint) as client:
                assert await client.put_object("b-1", "k", b"content") == "1"
                assert await client.put_object("b-1", "k2", b"") == "1"
        first, second, third = server.requests
        assert "/cn-north-4/s3/" in first.headers["authorization"]
        assert "/cn-east-3/s3/" in second.headers["authorization"]
        assert second.body == b"content"
        assert third.target == "http://b-1.obs.cn-east-3.myhuaweicloud.com/k2"

    async def test_a_redirect_names_the_region_alone(self) -> None:
        moved = answer(301, x_amz_bucket_region="eu-west-1")
        with FaultyServer(moved, always=stored(b"1")) as server:
            endpoint = "http://s3.us-west-2.amazonaws.com"
            async with connect(endpoint, proxy=server.endpoint) as client:
                assert (await client.head_object("b-1", "k")).size == 1
        assert server.requests[1].target == "http://b-1.s3.eu-west-1.amazonaws.com/k"
        assert "/eu-west-1/s3/" in server.requests[1].headers["authorization"]

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_a_redirect_to_a_stranger_is_refused_and_the_stranger_hears_nothing(
        self, status: int
    ) -> None:
        with FaultyServer(always=GOOD) as stranger:
            away = answer(status, location=f"{stranger.endpoint}/b/k")
            with FaultyServer(always=away) as server:
                async with connect(server.endpoint) as client:
                    with pytest.raises(
                        ResponseError, match=r"putContent s3://b/k: .*redirects to .*endpoint"
                    ):
                        await client.put_object("b", "k", b"secret content")
        assert not stranger.requests
        assert stranger.connections == 0
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "origin",
        [
            "http://b-1.obs.cn-east-3.myhuaweicloud.com.evil.test",
            "http://evilmyhuaweicloud.com",
            "http://b-1.obs.cn-east-3.myhuaweicloud.com:8080",
            "http://user@b-1.obs.cn-east-3.myhuaweicloud.com",
            "http://evil.test/.obs.cn-east-3.myhuaweicloud.com",
            "ftp://b-1.obs.cn-east-3.myhuaweicloud.com",
            "//evil.test",
        ],
    )
    async def test_no_name_that_looks_like_the_store_is_enough(self, origin: str) -> None:
        with FaultyServer(always=answer(307, location=f"{origin}/k")) as server:
            endpoint = "http://obs.cn-north-4.myhuaweicloud.com"
            async with connect(endpoint, proxy=server.endpoint) as client:
                with pytest.raises(ResponseError, match="putContent s3://b-1/k: "):
                    await client.put_object("b-1", "k", b"")
        targets = {request.target for request in server.requests}
        assert targets == {"http://b-1.obs.cn-north-4.myhuaweicloud.com/k"}

    async def test_a_redirect_loop_ends(self) -> None:
        def bounce(received: Received) -> Answer:
            there = "cn-east-3" if "cn-north-4" in received.headers["host"] else "cn-north-4"
            return answer(307, location=f"http://b-1.obs.{there}.myhuaweicloud.com/k")

        with FaultyServer(always=bounce) as server:
            endpoint = "http://obs.cn-north-4.myhuaweicloud.com"
            async with connect(endpoint, proxy=server.endpoint) as client:
                with pytest.raises(ResponseError, match="307"):
                    await client.put_object("b-1", "k", b"")
        assert len(server.requests) <= 10

    async def test_a_redirect_that_says_nothing_is_an_error(self) -> None:
        with FaultyServer(always=answer(301)) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ResponseError, match="301"):
                    await client.put_object("b", "k", b"")
        assert len(server.requests) == 1

    async def test_a_redirect_on_the_same_host_is_followed(self) -> None:
        with FaultyServer() as server:
            server_script = [answer(307, location=f"{server.endpoint}/b/k"), GOOD]
            server.extend(*server_script)
            async with connect(server.endpoint) as client:
                assert await client.put_object("b", "k", b"x") == "1"


class TestLessons:
    """What a refusal teaches is applied once, without a wait."""

    async def test_the_region_of_a_malformed_authorization_is_learned(self) -> None:
        wrong = refusal(400, "AuthorizationHeaderMalformed", "<Region>moon-1</Region>")
        with FaultyServer(wrong, always=GOOD) as server:
            async with connect(server.endpoint, attempts=1) as client:
                await client.put_object("b", "k", b"")
                await client.put_object("b", "k", b"")
        scopes = [request.headers["authorization"].split("/")[2] for request in server.requests]
        assert scopes == ["us-east-1", "moon-1", "moon-1"]

    async def test_the_region_is_learned_from_a_head_which_has_no_body(self) -> None:
        wrong = answer(400, x_amz_bucket_region="moon-1")
        with FaultyServer(wrong, always=stored(b"1")) as server:
            async with connect(server.endpoint, attempts=1) as client:
                assert (await client.head_object("b", "k")).size == 1
        assert "/moon-1/" in server.requests[1].headers["authorization"]

    async def test_a_store_that_insists_on_another_region_ends(self) -> None:
        wrong = refusal(400, "AuthorizationHeaderMalformed", "<Region>moon-1</Region>")
        with FaultyServer(always=wrong) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ResponseError, match="AuthorizationHeaderMalformed"):
                    await client.put_object("b", "k", b"")
        assert len(server.requests) == 2

    async def test_the_clock_of_the_store_is_learned(self) -> None:
        date = formatdate(time.time() + 7200, usegmt=True)
        with FaultyServer(
            refusal(403, "RequestTimeTooSkewed", date=date), always=answer(etag="1")
        ) as server:
            async with connect(server.endpoint, attempts=1) as client:
                await client.put_object("b", "k", b"")
                await client.put_object("b", "k", b"")
        hours = [int(request.headers["x-amz-date"][9:11]) for request in server.requests]
        assert (hours[1] - hours[0]) % 24 == 2
        assert (hours[2] - hours[0]) % 24 == 2

    async def test_the_clock_of_the_store_is_learned_from_a_head_which_has_no_body(self) -> None:
        date = formatdate(time.time() + 7200, usegmt=True)
        with FaultyServer(answer(403, date=date), always=stored(b"1")) as server:
            async with connect(server.endpoint, attempts=1) as client:
                assert (await client.head_object("b", "k")).size == 1

    @pytest.mark.parametrize("code", ["RequestTimeTooSkewed", ""])
    async def test_what_was_signed_before_another_learned_the_clock_is_asked_again(
        self, code: str
    ) -> None:
        ahead, together = 7200, threading.Barrier(2)

        def store(received: Received) -> Answer:
            signed = datetime.strptime(received.headers["x-amz-date"], "%Y%m%dT%H%M%S%z")
            if abs(time.time() + ahead - signed.timestamp()) < 900:
                return stored(b"1")(received)
            together.wait(10)
            date = formatdate(time.time() + ahead, usegmt=True)
            return answer(403, error_document(code) if code else "", date=date)

        with FaultyServer(always=store) as server:
            async with connect(server.endpoint) as client:
                reads = (client.get_object("b", key) for key in "kl")
                assert await asyncio.gather(*reads) == [b"1", b"1"]

    async def test_a_skew_that_stays_is_an_error_about_the_clock(self) -> None:
        date = formatdate(time.time() + 7200, usegmt=True)
        with FaultyServer(always=refusal(403, "RequestTimeTooSkewed", date=date)) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(AccessDenied, match=r"RequestTimeTooSkewed.*clock"):
                    await client.put_object("b", "k", b"")
        assert len(server.requests) == 2

    async def test_expired_credentials_are_looked_up_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ACCESS_KEY_ID", "first-key")
        monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")
        monkeypatch.setenv("SECURITY_TOKEN", "test-token")

        def expired(received: Received) -> Answer:
            monkeypatch.setenv("ACCESS_KEY_ID", "second-key")
            return refusal(400, "ExpiredToken")

        with FaultyServer(expired, always=GOOD) as server:
            async with Client(Config(endpoint=server.endpoint, attempts=1)) as client:
                await client.put_object("b", "k", b"")
        first, second = (request.headers["authorization"] for request in server.requests)
        assert "Credential=first-key/" in first
        assert "Credential=second-key/" in second

    @pytest.mark.parametrize("status", [400, 401, 403])
    async def test_a_head_that_is_refused_without_a_word_may_have_expired_credentials(
        self, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        monkeypatch.setenv("ACCESS_KEY_ID", "first-key")
        monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")

        def store(received: Received) -> Answer:
            monkeypatch.setenv("ACCESS_KEY_ID", "second-key")
            first = "first-key" in received.headers["authorization"]
            return answer(status) if first else stored(b"1")(received)

        with FaultyServer(always=store) as server:
            async with Client(Config(endpoint=server.endpoint)) as client:
                heads = (client.head_object("b", key) for key in "kl")
                assert [info.size for info in await asyncio.gather(*heads)] == [1, 1]

    async def test_heads_that_may_not_be_seen_are_not_asked_for_twice_each(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ACCESS_KEY_ID", "test-access-key")
        monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")
        monkeypatch.setattr("aioobs.s3.access.TOGETHER", 0.0)
        with FaultyServer(always=answer(403)) as server:
            async with Client(Config(endpoint=server.endpoint)) as client:
                for key in "klm":
                    with pytest.raises(AccessDenied):
                        await client.head_object("b", key)
        assert [request.path for request in server.requests] == ["/b/k", "/b/k", "/b/l", "/b/m"]

    async def test_a_token_that_was_given_and_expired_is_an_error_at_once(self) -> None:
        with FaultyServer(always=refusal(400, "ExpiredToken")) as server:
            async with connect(server.endpoint, security_token="test-token") as client:
                with pytest.raises(ObsError, match="temporary credentials have expired"):
                    await client.put_object("b", "k", b"")
        assert len(server.requests) == 1


class TestCopies:
    """Answers of which only the body says whether it is a success."""

    @pytest.mark.parametrize("code", ["AccessDenied", "NoSuchKey"])
    async def test_an_error_under_status_200_is_an_error(self, code: str) -> None:
        with FaultyServer(always=answer(body=error_document(code))) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ObsError, match=rf"copyObject s3://b/k: .*{code}"):
                    await client.copy_object(("b", "source"), "b", "k")
                with pytest.raises(ObsError, match=rf"completeMultipartUpload s3://b/k: .*{code}"):
                    await client.complete_multipart_upload("b", "k", "u", {1: "e"}, size=1)

    async def test_an_internal_error_under_status_200_is_tried_again(self) -> None:
        failed = answer(body=error_document("InternalError"))
        good = answer(body="<CopyObjectResult><ETag>&quot;e&quot;</ETag></CopyObjectResult>")
        with FaultyServer(failed, good) as server:
            async with connect(server.endpoint) as client:
                assert await client.copy_object(("b", "source"), "b", "k") == "e"

    async def test_every_document_may_be_an_error_under_status_200(self) -> None:
        failed = answer(body=error_document("SlowDown"))
        begun = answer(
            body="<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
        )
        deleted, listed = answer(body="<DeleteResult/>"), answer(body=listing("k"))
        script = [found for good in (begun, deleted, listed) for found in (failed, good)]
        with FaultyServer(*script) as server:
            async with connect(server.endpoint) as client:
                assert await client.create_multipart_upload("b", "k") == "u"
                assert await client.delete_objects("b", ["k"]) == []
                assert [item.key for item in (await client.list_objects("b")).objects] == ["k"]
        assert len(server.requests) == 6

    @pytest.mark.parametrize("body", ["", "<CopyPartResult></CopyPartResult>", "<html>"])
    async def test_a_copy_without_an_etag_is_an_error(self, body: str) -> None:
        with FaultyServer(always=answer(body=body)) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ProtocolError, match="copyPart s3://b/k: "):
                    await client.upload_part_copy(
                        "b", "k", "u", 1, ("b", "source"), start=0, stop=9
                    )
                with pytest.raises(ProtocolError, match="copyObject s3://b/k: "):
                    await client.copy_object(("b", "source"), "b", "k")

    async def test_an_answer_in_chunks_is_as_good(self) -> None:
        good = answer(body="<CopyPartResult><ETag>e</ETag></CopyPartResult>", chunked=True)
        with FaultyServer(always=good) as server:
            async with connect(server.endpoint) as client:
                assert await client.copy_object(("b", "source"), "b", "k") == "e"
        assert len(server.requests) == 1

    async def test_the_source_of_a_copy_is_encoded_and_its_range_inclusive(self) -> None:
        good = answer(body="<CopyPartResult><ETag>e</ETag></CopyPartResult>")
        with FaultyServer(good) as server:
            async with connect(server.endpoint) as client:
                await client.upload_part_copy(
                    "b", "k", "u", 3, ("other", "a b+ü?"), start=10, stop=20, if_match="v"
                )
        (request,) = server.requests
        assert request.headers["x-amz-copy-source"] == "/other/a%20b%2B%C3%BC%3F"
        assert request.headers["x-amz-copy-source-range"] == "bytes=10-19"
        assert request.headers["x-amz-copy-source-if-match"] == '"v"'
        assert request.query == {"partNumber": "3", "uploadId": "u"}

    async def test_a_copy_of_a_replaced_source_is_a_change_of_the_source(self) -> None:
        with FaultyServer(always=refusal(412, "PreconditionFailed")) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ObjectChanged, match="s3://b/source"):
                    await client.copy_object(("b", "source"), "b", "k", if_match="v")


class TestCompletion:
    """An upload of which nobody knows whether it was completed."""

    PARTS: ClassVar[dict[int, str]] = {
        2: hashlib.md5(b"2").hexdigest(),
        1: hashlib.md5(b"1").hexdigest(),
    }

    def test_the_etag_of_parts_is_the_one_that_stores_give(self) -> None:
        joined = hashlib.md5(b"1").digest() + hashlib.md5(b"2").digest()
        etag = f"{hashlib.md5(joined).hexdigest()}-2"
        assert multipart_etag([self.PARTS[1], self.PARTS[2]]) == etag

    async def complete(self, *script: Answer | Callable[[Received], Answer]) -> list[str]:
        with FaultyServer(*script) as server:
            async with connect(server.endpoint) as client:
                try:
                    await client.complete_multipart_upload("b", "k", "u", self.PARTS, size=2)
                finally:
                    self.methods = [request.method for request in server.requests]
        return self.methods

    async def test_a_lost_answer_is_made_up_for_by_the_object_itself(self) -> None:
        etag = multipart_etag([self.PARTS[1], self.PARTS[2]])
        methods = await self.complete(RESET, refusal(404, "NoSuchUpload"), stored(b"12", etag))
        assert methods == ["POST", "POST", "HEAD"]

    async def test_an_object_of_another_size_is_not_the_upload(self) -> None:
        with pytest.raises(ProtocolError, match=r"completeMultipartUpload s3://b/k: .*gone"):
            await self.complete(RESET, refusal(404, "NoSuchUpload"), stored(b"123", "x-2"))

    async def test_an_object_with_the_etag_of_other_parts_is_not_the_upload(self) -> None:
        other = multipart_etag([self.PARTS[2], self.PARTS[1]])
        with pytest.raises(ProtocolError, match="not what was uploaded"):
            await self.complete(RESET, refusal(404, "NoSuchUpload"), stored(b"12", other))

    async def test_an_object_that_is_not_there_is_an_upload_that_is_lost(self) -> None:
        with pytest.raises(NotFound):
            await self.complete(RESET, refusal(404, "NoSuchUpload"), refusal(404, "NoSuchKey"))

    async def test_an_unknown_upload_is_an_error_when_no_answer_was_lost(self) -> None:
        # The object that is there may be a former one.
        with pytest.raises(NotFound, match="completeMultipartUpload s3://b/k: 404 NoSuchUpload"):
            await self.complete(refusal(404, "NoSuchUpload"), stored(b"12", "former-2"))
        assert self.methods == ["POST"]

    async def test_an_empty_etag_is_asked_for(self) -> None:
        empty = answer(
            body="<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>"
        )
        assert await self.complete(empty, stored(b"12", "x-2")) == ["POST", "HEAD"]

    async def test_something_else_than_a_result_is_no_success(self) -> None:
        with pytest.raises(ProtocolError, match="completeMultipartUpload s3://b/k: "):
            await self.complete(answer(body=""), stored(b"12", "x-2"))

    async def test_the_parts_are_listed_in_order(self) -> None:
        good = answer(
            body="<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
        )
        with FaultyServer(good) as server:
            async with connect(server.endpoint) as client:
                parts = {10: "c", 2: "b", 1: "a"}
                await client.complete_multipart_upload("b", "k", "u", parts, size=3)
        body = server.requests[0].body.decode()
        assert body.index("<PartNumber>1<") < body.index("<PartNumber>2<")
        assert body.index("<PartNumber>2<") < body.index("<PartNumber>10<")

    async def test_a_real_store_completes_although_its_answer_is_lost(
        self, obs_server: LocalServer, obs_bucket: str
    ) -> None:
        bucket = obs_bucket.removeprefix("s3://")
        script = [forward(obs_server.endpoint, lose=True)]
        with FaultyServer(*script, always=forward(obs_server.endpoint)) as server:
            async with Client(Config.from_env()) as direct:
                upload = await direct.create_multipart_upload(bucket, "k")
                etag = await direct.upload_part(bucket, "k", upload, 1, b"content")
            keys = {"access_key": obs_server.access_key, "secret_key": obs_server.secret_key}
            async with connect(server.endpoint, **keys) as client:
                whole = await client.complete_multipart_upload(
                    bucket, "k", upload, {1: etag}, size=7
                )
                assert (await client.head_object(bucket, "k")).etag == whole
                assert await client.get_object(bucket, "k") == b"content"


async def exhaust(listing: AsyncIterator[object], server: FaultyServer) -> None:
    async for _ in listing:
        assert len(server.requests) < 50, "the listing does not end"


class TestListings:
    """Listings that do not end, and stores that know only the first version."""

    async def pages(self, server: FaultyServer, **options: object) -> list[list[str]]:
        async with connect(server.endpoint, **options) as client:
            return [[item.key for item in page.objects] async for page in client.list_pages("b")]

    async def test_a_listing_that_does_not_advance_is_an_error(self) -> None:
        with (
            FaultyServer(always=answer(body=listing("a", following="t"))) as server,
            pytest.raises(ProtocolError, match=r"listObjects s3://b/: .*circles.*'t'"),
        ):
            await self.pages(server)
        assert len(server.requests) <= 3

    async def test_a_listing_in_circles_is_an_error(self) -> None:
        def step(received: Received) -> Answer:
            token = int(received.query.get("continuation-token", "0"))
            return answer(body=listing(f"k{token}", following=str(token % 7 + 1)))

        with FaultyServer(always=step) as server, pytest.raises(ProtocolError, match="circles"):
            await self.pages(server)
        assert len(server.requests) < 50

    async def test_uploads_and_parts_that_go_in_circles_are_an_error(self) -> None:
        def uploads(received: Received) -> Answer:
            marker = "b" if received.query.get("key-marker") == "a" else "a"
            return answer(
                body="<R><IsTruncated>true</IsTruncated><Upload><Key>k</Key><UploadId>u</UploadId>"
                f"</Upload><NextKeyMarker>{marker}</NextKeyMarker></R>"
            )

        with FaultyServer(always=uploads) as server:
            async with connect(server.endpoint) as client:
                uploads_of = client.list_multipart_uploads("b")
                with pytest.raises(ProtocolError, match="listMultipartUploads s3://b/"):
                    await exhaust(uploads_of, server)

    async def test_a_cut_off_list_of_parts_that_does_not_go_on_is_an_error(self) -> None:
        cut_off = answer(
            body="<R><IsTruncated>true</IsTruncated><Part><PartNumber>1</PartNumber>"
            "<Size>1</Size><ETag>e</ETag></Part></R>"
        )
        with FaultyServer(always=cut_off) as server:
            async with connect(server.endpoint) as client:
                parts = client.list_parts("b", "k", "u")
                with pytest.raises(ProtocolError, match="listParts s3://b/k"):
                    await exhaust(parts, server)

    @pytest.mark.parametrize(
        "refused",
        [
            refusal(400, "InvalidArgument"),
            refusal(501, "NotImplemented"),
            answer(body=listing("a", following="m", version=1)),
        ],
        ids=["400", "501", "ignored"],
    )
    async def test_a_store_without_the_second_version_gets_the_first(self, refused: Answer) -> None:
        def first(received: Received) -> Answer:
            if received.query.get("list-type") == "2":
                return refused
            marker = received.query.get("marker", "")
            return answer(
                body=listing(*("b" if marker else "a"), following="" if marker else "m", version=1)
            )

        with FaultyServer(always=first) as server:
            assert await self.pages(server) == [["a"], ["b"]]
            assert await self.pages(server, list_version=1) == [["a"], ["b"]]
        versions = [request.query.get("list-type") for request in server.requests]
        assert versions == ["2", None, None, None, None]

    async def test_a_version_that_was_asked_for_is_not_changed(self) -> None:
        with (
            FaultyServer(always=refusal(501, "NotImplemented")) as server,
            pytest.raises(ResponseError, match="NotImplemented"),
        ):
            await self.pages(server, list_version=2)
        assert len(server.requests) == 1

    async def test_obs_is_asked_in_the_first_version(self) -> None:
        with FaultyServer(always=answer(body=listing("a", version=1))) as server:
            endpoint = "http://obs.cn-north-4.myhuaweicloud.com"
            async with connect(endpoint, proxy=server.endpoint) as client:
                await client.list_objects("b-1")
        assert "list-type" not in server.requests[0].query
        assert server.requests[0].query["encoding-type"] == "url"

    async def test_an_entity_bomb_is_refused(self) -> None:
        entities = '<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">'
        bomb = f"<!DOCTYPE r [{entities}]><ListBucketResult>&b;</ListBucketResult>"
        for encoding in ("utf-8", "utf-16"):
            with (
                FaultyServer(always=answer(body=bomb.encode(encoding))) as server,
                pytest.raises(ProtocolError, match="listObjects s3://b/"),
            ):
                await self.pages(server)

    async def test_a_web_page_is_not_taken_for_an_empty_bucket(self) -> None:
        for page in ("<!doctype html><html></html>", "<html></html>", "", "{}"):
            with (
                FaultyServer(always=answer(body=page)) as server,
                pytest.raises(ProtocolError, match="listObjects s3://b/: "),
            ):
                await self.pages(server)


class TestDeletes:
    """Batches with errors in them."""

    async def test_each_key_that_is_left_is_reported(self) -> None:
        reply = answer(
            body="<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code><Message>no</Message>"
            "</Error><Error><Key>b</Key><Code>NoSuchKey</Code></Error></DeleteResult>"
        )
        with FaultyServer(reply) as server:
            async with connect(server.endpoint) as client:
                (failure,) = await client.delete_objects("bucket", ["a", "b", "c"])
        assert isinstance(failure, ResponseError)
        assert "deleteObjects s3://bucket/a: " in str(failure)
        assert "AccessDenied: no" in str(failure)

    async def test_keys_that_no_xml_can_hold_are_deleted_one_by_one(self) -> None:
        def step(received: Received) -> Answer:
            return answer(204) if received.method == "DELETE" else answer(body="<DeleteResult/>")

        with FaultyServer(always=step) as server:
            async with connect(server.endpoint) as client:
                assert await client.delete_objects("b", ["a\x01", "b", "c\uffff"]) == []
        deleted = [request.path for request in server.requests if request.method == "DELETE"]
        assert deleted == ["/b/a\x01", "/b/c\uffff"]

    async def test_no_keys_are_no_request(self) -> None:
        with FaultyServer() as server:
            async with connect(server.endpoint) as client:
                assert await client.delete_objects("b", []) == []
        assert not server.requests

    async def test_an_aborted_upload_that_is_gone_is_no_error_but_a_missing_bucket_is(self) -> None:
        with FaultyServer(refusal(404, "NoSuchUpload"), refusal(404, "NoSuchBucket")) as server:
            async with connect(server.endpoint) as client:
                await client.abort_multipart_upload("b", "k", "u")
                with pytest.raises(NotFound, match="NoSuchBucket"):
                    await client.abort_multipart_upload("b", "k", "u")


class TestLoops:
    """Connections belong to an event loop, a client does not."""

    def test_one_client_serves_two_loops_in_two_threads_at_once(self) -> None:
        barrier = threading.Barrier(2)
        results: list[bytes] = []

        async def read(client: Client) -> bytes:
            first = await client.get_object("b", "k")
            await asyncio.to_thread(barrier.wait)
            return first + await client.get_object("b", "k")

        with FaultyServer(always=stored(b"x")) as server:
            client = connect(server.endpoint)
            threads = [
                threading.Thread(target=lambda: results.append(asyncio.run(read(client))))
                for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert results == [b"xx", b"xx"]

    def test_one_client_serves_loops_one_after_the_other(self) -> None:
        with FaultyServer(always=stored(b"x")) as server:
            client = connect(server.endpoint)
            for _ in range(3):
                assert asyncio.run(client.get_object("b", "k")) == b"x"
        assert server.connections == 3

    async def test_requests_share_no_more_than_the_connections(self) -> None:
        under_way = most = 0
        lock = threading.Lock()
        met = threading.Barrier(3)

        def step(received: Received) -> Answer:
            nonlocal under_way, most
            with lock:
                under_way += 1
                most = max(most, under_way)
            met.wait(5)
            with lock:
                under_way -= 1
            return stored(b"x")(received)

        with FaultyServer(always=step) as server:
            async with connect(server.endpoint, connections=3) as client:
                await asyncio.gather(*(client.get_object("b", "k") for _ in range(9)))
        assert most == 3
        assert server.connections == 3

    async def test_a_connection_is_kept_also_after_an_error(self) -> None:
        with FaultyServer(
            refusal(404, "NoSuchKey"), refusal(500, "InternalError"), always=stored(b"x")
        ) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(NotFound):
                    await client.get_object("b", "k")
                await client.head_object("b", "k")
                await client.get_object("b", "k")
        assert server.connections == 1

    async def test_no_connection_is_kept_where_that_is_not_wanted(self) -> None:
        with FaultyServer(always=stored(b"x")) as server:
            async with connect(server.endpoint, keep_alive=False) as client:
                for _ in range(2):
                    await client.get_object("b", "k")
        assert server.connections == 2

    async def test_a_retired_client_finishes_what_is_under_way_and_what_waits(self) -> None:
        release = threading.Event()

        def step(received: Received) -> Answer:
            release.wait(5)
            return stored(b"x")(received)

        with FaultyServer(step, always=stored(b"x")) as server:
            client = connect(server.endpoint, connections=1)
            reads = [asyncio.create_task(client.get_object("b", "k")) for _ in range(3)]
            await asyncio.to_thread(server.arrived.acquire)
            client.retire()
            late = asyncio.create_task(client.get_object("b", "k"))
            await asyncio.sleep(0)
            release.set()
            assert await asyncio.gather(*reads, late) == [b"x"] * 4
            await client.aclose()

    async def test_an_operation_of_a_retired_client_goes_on_with_its_next_request(self) -> None:
        release = threading.Event()

        def step(received: Received) -> Answer:
            release.wait(5)
            return answer()

        with FaultyServer(step, always=answer()) as server:
            client = connect(server.endpoint, connections=1)
            first = asyncio.create_task(client.head_bucket("b"))
            await asyncio.to_thread(server.arrived.acquire)
            client.retire()
            for _ in range(5):  # its connections are about to be closed
                await asyncio.sleep(0)
            others = [asyncio.create_task(client.head_bucket("b")) for _ in range(3)]
            await asyncio.sleep(0)
            release.set()
            await asyncio.gather(first, *others)
            for _ in range(2):
                await client.head_bucket("b")
            assert client._exchange._connections == {}  # noqa: SLF001 - nobody would close them

    async def test_a_closed_client_can_be_used_again(self) -> None:
        with FaultyServer(always=stored(b"x")) as server:
            client = connect(server.endpoint)
            await client.aclose()
            for _ in range(2):
                assert await client.get_object("b", "k") == b"x"
                await client.aclose()
                await client.aclose()
        assert server.connections == 2

    def test_a_used_client_works_in_a_forked_child(self) -> None:
        with FaultyServer(always=stored(b"x")) as server:
            client = connect(server.endpoint)

            async def fork() -> int:
                assert await client.get_object("b", "k") == b"x"
                pid = os.fork()
                if not pid:
                    status = 1
                    try:
                        # A child of a coroutine has the mark of the loop, which is the parent's.
                        asyncio.events._set_running_loop(None)  # noqa: SLF001
                        status = int(asyncio.run(client.get_object("b", "k")) != b"x")
                    finally:
                        os._exit(status)
                assert await client.get_object("b", "k") == b"x"
                await client.aclose()
                return pid

            _, status = os.waitpid(asyncio.run(fork()), 0)
        assert status == 0

    @pytest.mark.parametrize("how", ["", "await client.aclose()", "client.retire()"])
    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    def test_nothing_is_left_open_when_a_loop_ends(
        self, how: str, loop: str, obs_server: LocalServer
    ) -> None:
        program = f"""
import asyncio, {loop}, aioobs
client = aioobs.Client(aioobs.Config(
    endpoint={obs_server.endpoint!r}, access_key={obs_server.access_key!r},
    secret_key={obs_server.secret_key!r}))
async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # the machine may be busy
    await asyncio.gather(*(client.list_buckets() for _ in range(5)))
    {how}
{loop}.run(main())
{loop}.run(main())
"""
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", program],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
