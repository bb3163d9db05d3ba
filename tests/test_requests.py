"""Requests over a real socket: what is sent, for how long, and what of a body is believed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from faulty import (
    STALL,
    Answer,
    End,
    FaultyServer,
    Received,
    answer,
    connect,
    refusal,
    stored,
)

from aioobs import (
    Client,
    Config,
    ConfigError,
    ConnectionFailed,
    FilePart,
    ObjectChanged,
    ObsError,
    OperationTimeout,
    ProtocolError,
    ReadError,
    ResponseError,
    SourceError,
)
from aioobs.s3.body import FileSink, MemorySink

if TYPE_CHECKING:
    from pathlib import Path

    from aioobs.config import Signature


pytestmark = pytest.mark.usefixtures("both_transports")

GOOD = answer(etag='"1"')
CONTENT = bytes(range(256)) * 40


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
        # What comes is progress, so only the whole is too late.
        with FaultyServer(always=stored(CONTENT)) as server:

            class SlowSink(MemorySink):
                async def write(self, chunk: bytes) -> None:
                    await asyncio.sleep(5)

            async with connect(server.endpoint, timeouts={"getObject": 0.3}) as client:
                with pytest.raises(OperationTimeout, match="getObject s3://b/k"):
                    await client.stream_object("b", "k", SlowSink())

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

    @pytest.mark.parametrize(
        ("signature", "name"), [("v4", "x-amz-request-payer"), ("obs", "x-obs-request-payer")]
    )
    async def test_whoever_asks_can_agree_to_pay(self, signature: Signature, name: str) -> None:
        with FaultyServer(always=GOOD) as server:
            for pays in (True, False):
                async with connect(
                    server.endpoint, signature=signature, requester_pays=pays
                ) as client:
                    await client.get_object("b", "k")
        assert [one.headers.get(name) for one in server.requests] == ["requester", None]

    async def test_a_presigned_url_agrees_to_pay(self) -> None:
        async with connect("http://127.0.0.1:9", requester_pays=True) as client:
            assert "&x-amz-request-payer=requester" in await client.presign("b", "k")

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
                with pytest.raises(SourceError, match=r"putFile s3://b/k: .*ends after 2097152"):
                    await client.put_object("b", "k", FilePart(open_file.fileno(), 0, 3 << 20))
        # Given up in the middle, it may not even have been seen.
        assert [len(received.body) < 3 << 20 for received in server.requests] in ([], [True])


async def test_an_etag_that_a_proxy_has_repeated_is_one() -> None:
    twice = Answer(b'HTTP/1.1 200 OK\r\netag: "1"\r\nETag: "1"\r\ncontent-length: 0\r\n\r\n')
    with FaultyServer(always=twice) as server:
        async with connect(server.endpoint) as client:
            assert await client.put_object("b", "k", b"") == "1"


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
                info = await client.stream_object("b", "k", FileSink(target.fileno()))
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
                    await client.stream_object("b", "k", sink, start=100, stop=200)
        assert CONTENT[100:200].startswith(sink.getvalue())

    async def test_a_range_to_the_end_that_stops_before_it_is_refused(self) -> None:
        short = answer(206, CONTENT[10:20], etag="1", content_range=f"bytes 10-19/{len(CONTENT)}")
        with FaultyServer(always=short) as server:
            async with connect(server.endpoint, attempts=2) as client:
                with pytest.raises(ReadError):
                    await client.get_object("b", "k", start=10)

    async def test_a_range_in_chunks_that_ends_early_is_read_on(self) -> None:
        place = f"bytes 100-199/{len(CONTENT)}"
        short = answer(206, CONTENT[100:150], chunked=True, etag='"version-1"', content_range=place)
        with FaultyServer(short, always=stored(CONTENT)) as server:
            async with connect(server.endpoint) as client:
                assert await client.get_object("b", "k", start=100, stop=200) == CONTENT[100:200]
        assert len(server.requests) == 2

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

    async def test_no_byte_is_awaited_of_an_object_that_has_none(self) -> None:
        nothing = answer(
            206, etag="1", content_range="bytes 0-0/0", content_length="1", end="close"
        )
        with FaultyServer(always=nothing) as server:
            async with connect(server.endpoint) as client:
                assert await client.get_object("b", "k", stop=10) == b""
        assert len(server.requests) == 1

    async def test_what_has_no_such_range_has_to_be_the_object_that_is_wanted(self) -> None:
        with FaultyServer(refusal(416, "InvalidRange"), always=stored(b"other")) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ObjectChanged):
                    await client.get_object("b", "k", stop=10, if_match="empty")
        assert [request.headers["if-match"] for request in server.requests] == ['"empty"'] * 2

    @pytest.mark.parametrize("status", [400, 416])
    async def test_where_a_range_must_not_go_beyond_the_end_the_whole_is_asked_for(
        self, status: int
    ) -> None:
        content = b"0123456789"

        def step(received: Received) -> Answer:
            _, _, last = received.headers.get("range", "bytes=0-0").partition("-")
            if int(last) < len(content):
                return stored(content)(received)
            odd = f"<Code>InvalidArgument</Code><Message>invalid byte range 0-{last}</Message>"
            return answer(status, f"<Error>{odd}</Error>")

        with FaultyServer(always=step) as server:
            async with connect(server.endpoint) as client:
                assert await client.get_object("b", "k", stop=20) == content
                assert await client.get_object("b", "k", stop=10) == content
                assert await client.get_object("b", "k", start=2, stop=5) == b"234"
        assert len(server.requests) == 4

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
                await client.stream_object("b", "k", sink, if_match="version-1", size=5)
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
                sink = MemorySink()
                info = await client.stream_object("b", "k", sink)
        assert (sink.getvalue(), info.size) == (CONTENT, len(CONTENT))

    async def test_a_body_in_an_encoding_of_the_wire_is_not_taken_for_the_object(self) -> None:
        packed = gzip.compress(b"content")
        odd = answer(body=packed, chunked=True, etag='"1"').message
        reply = Answer(odd.replace(b"encoding: chunked", b"encoding: gzip, chunked"))
        with FaultyServer(always=reply) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ConnectionFailed, match="an encoding that nobody asked for: gz"):
                    await client.get_object("b", "k")

    async def test_a_body_without_any_length_is_refused(self) -> None:
        endless = answer(body=b"half of it", etag="1", content_length=None, end="close")
        with FaultyServer(always=endless) as server:
            async with connect(server.endpoint, attempts=2) as client:
                with pytest.raises(ReadError, match="does not say how long"):
                    await client.get_object("b", "k")

    async def test_a_length_that_a_proxy_keeps_to_itself_is_asked_for_in_another_way(self) -> None:
        def step(received: Received) -> Answer:
            length = None if received.method == "HEAD" else "0"
            return answer(etag='"e"', content_length=length, x_amz_meta_a="b")

        with FaultyServer(always=step) as server:
            async with connect(server.endpoint) as client:
                info = await client.head_object("b", "k")
        assert (info.size, info.etag, info.metadata) == (0, "e", {"a": "b"})

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
