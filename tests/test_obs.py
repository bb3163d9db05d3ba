"""What only OBS has: appends in its own API, on a server that keeps its rules."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from faulty import HANG_UP, RESET, Answer, FaultyServer, Received, answer, connect, refusal

import aioobs.sync
from aioobs import (
    AccessDenied,
    Client,
    Config,
    ConfigError,
    FilePart,
    NotAppendable,
    NotFound,
    ObjectChanged,
    ProtocolError,
    ResponseError,
)
from aioobs.store.compose import append
from aioobs.url import ObjectURL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

SECRET = "test-secret-key"
# Of the parameters that OBS signs, those that this server knows.
SIGNED = ("append", "position")


@dataclass
class Stored:
    """An object of the server."""

    content: bytes
    appendable: bool


@dataclass
class Obs:
    """Keeps the objects of a bucket ``b`` as OBS does, and loses messages when it is told to."""

    objects: dict[str, Stored] = field(default_factory=dict)
    lose: list[Callable[[Answer], Answer]] = field(default_factory=list)
    """What becomes of the answers to the next appends, which are carried out."""
    drop: int = 0
    """How many appends are lost before they are carried out."""
    meanwhile: Callable[[], object] | None = None
    """What happens after the next append that is lost, before or after it was carried out."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, received: Received) -> Answer:
        """Answer a request."""
        with self.lock:
            if not is_signed(received):
                return refusal(403, "SignatureDoesNotMatch")
            bucket, _, key = received.path[1:].partition("/")
            if bucket != "b":
                return refusal(404, "NoSuchBucket")
            if "append" in received.query:
                return self.append_or_lose(received, key)
            if received.method == "PUT":
                return self.put(key, received.body)
            found = self.objects.get(key)
            return self.get(received, found) if found else refusal(404, "NoSuchKey")

    def put(self, key: str, body: bytes) -> Answer:
        """Create or replace an object, which nobody can append to."""
        self.objects[key] = Stored(body, appendable=False)
        return answer(etag=etag(body))

    def append_or_lose(self, received: Received, key: str) -> Answer:
        """Append if the messages about it are not lost."""
        if self.drop:
            self.drop -= 1
            reply = RESET
        else:
            reply = self.append(received, key)
            if not self.lose:
                return reply
            reply = self.lose.pop(0)(reply)
        if self.meanwhile is not None:
            self.meanwhile()
        return reply

    def append(self, received: Received, key: str) -> Answer:
        """Append if the position is right."""
        assert received.method == "POST"
        found = self.objects.get(key, Stored(b"", appendable=True))
        if not found.appendable:
            return refusal(409, "ObjectNotAppendable")
        if int(received.query["position"]) != len(found.content):
            return refusal(409, "PositionNotEqualToLength")
        found.content += received.body
        self.objects[key] = found
        return answer(etag=etag(found.content), x_obs_next_append_position=str(len(found.content)))

    def get(self, received: Received, found: Stored) -> Answer:
        """Return what there is, or a range of it."""
        size, body, place = len(found.content), found.content, None
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", received.headers.get("range", ""))
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2] or size), size - 1)
            if first >= size:
                return refusal(416, "InvalidRange")
            body, place = body[first : last + 1], f"bytes {first}-{last}/{size}"
        return answer(
            206 if wanted else 200,
            body,
            etag=etag(found.content),
            content_range=place,
            x_obs_object_type="Appendable" if found.appendable else "Normal",
            x_obs_next_append_position=str(size) if found.appendable else None,
        )


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def is_signed(received: Received) -> bool:
    """Tell whether a request has the signature that the documentation of OBS describes."""
    headers = received.headers
    lines = [received.method, headers.get("content-md5", ""), headers.get("content-type", "")]
    lines.append(headers["date"])
    lines += sorted(f"{name}:{value}" for name, value in headers.items() if name[:6] == "x-obs-")
    path = received.target.partition("?")[0]
    signed = [
        f"{name}={value}" if value else name
        for name, value in sorted(received.query.items())
        if name in SIGNED
    ]
    lines.append(f"{path}?{'&'.join(signed)}" if signed else path)
    digest = hmac.digest(SECRET.encode(), "\n".join(lines).encode(), "sha1")
    return headers["authorization"] == f"OBS test-access-key:{base64.b64encode(digest).decode()}"


@pytest.fixture
def obs() -> Obs:
    return Obs()


@pytest.fixture
def server(obs: Obs) -> Iterator[FaultyServer]:
    """Run the server."""
    with FaultyServer(always=obs) as server:
        yield server


@pytest.fixture
async def client(server: FaultyServer) -> AsyncIterator[Client]:
    """Give a client of the server."""
    async with connect(server.endpoint, signature="obs") as client:
        yield client


def appends(server: FaultyServer) -> int:
    return sum("append" in request.query for request in server.requests)


class TestAppends:
    """Bytes go to the end of an object."""

    async def test_an_object_is_created_and_grows(
        self, client: Client, obs: Obs, server: FaultyServer, tmp_path: Path
    ) -> None:
        key = "odd + key/ü?&position=7"
        assert await client.append_object("b", key, b"one", position=0) == 3
        assert await client.append_object("b", key, memoryview(b"two"), position=3) == 6
        assert await client.append_object("b", key, b"", position=6) == 6
        path = tmp_path / "file"
        path.write_bytes(b"before three behind")
        with path.open("rb") as file:
            part = FilePart(file.fileno(), 7, 5)
            assert await client.append_object("b", key, part, position=6) == 11
        assert obs.objects[key].content == b"onetwothree"
        assert await client.get_object("b", key) == b"onetwothree"
        assert appends(server) == 4
        assert server.requests[1].target.endswith("?append&position=3")

    async def test_an_object_says_whether_it_can_be_appended_to(self, client: Client) -> None:
        await client.append_object("b", "log", b"x", position=0)
        assert (await client.head_object("b", "log")).appendable
        await client.put_object("b", "log", b"x")
        assert not (await client.head_object("b", "log")).appendable
        with pytest.raises(NotAppendable, match=r"appendObject s3://b/log: .*ObjectNotAppendable"):
            await client.append_object("b", "log", b"y", position=1)
        assert await client.get_object("b", "log") == b"x"

    @pytest.mark.parametrize("position", [0, 2, 4])
    async def test_a_wrong_position_adds_nothing(
        self, client: Client, obs: Obs, server: FaultyServer, position: int
    ) -> None:
        await client.append_object("b", "log", b"one", position=0)
        with pytest.raises(
            ObjectChanged, match=rf"s3://b/log: .* end at {position}: 409"
        ) as caught:
            await client.append_object("b", "log", b"one", position=position)
        assert caught.value.resp is not None
        assert caught.value.resp.code == "PositionNotEqualToLength"
        assert obs.objects["log"].content == b"one"
        assert len(server.requests) == 2

    async def test_a_position_before_the_beginning_is_none(
        self, client: Client, server: FaultyServer
    ) -> None:
        with pytest.raises(ConfigError, match="-1"):
            await client.append_object("b", "log", b"", position=-1)
        assert not server.requests

    async def test_the_secret_and_the_bucket_have_to_be_right(
        self, client: Client, server: FaultyServer, obs: Obs
    ) -> None:
        with pytest.raises(NotFound, match="NoSuchBucket"):
            await client.append_object("missing-bucket", "log", b"x", position=0)
        async with connect(server.endpoint, signature="obs", secret_key="another") as stranger:
            with pytest.raises(AccessDenied):
                await stranger.append_object("b", "log", b"x", position=0)
        assert not obs.objects

    @pytest.mark.parametrize(
        "refused", [refusal(405, "FsNotSupport"), refusal(501, "NotImplemented"), refusal(405, "")]
    )
    async def test_a_store_without_appends_says_so(self, refused: Answer) -> None:
        with FaultyServer(refused) as server:
            async with connect(server.endpoint, signature="obs") as client:
                with pytest.raises(NotAppendable) as caught:
                    await client.append_object("b", "log", b"x", position=0)
        assert isinstance(caught.value, ResponseError)
        assert caught.value.resp is not None

    async def test_nothing_is_sent_to_a_store_that_is_spoken_to_in_another_way(self) -> None:
        with FaultyServer() as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(NotAppendable, match=r"signature='obs'"):
                    await client.append_object("b", "log", b"x", position=0)
        assert not server.requests

    @pytest.mark.parametrize("told", [None, "9", "end"])
    async def test_an_answer_that_does_not_name_the_new_end_is_not_believed(
        self, told: str | None
    ) -> None:
        with FaultyServer(answer(x_obs_next_append_position=told)) as server:
            async with connect(server.endpoint, signature="obs") as client:
                with pytest.raises(ProtocolError, match="should end at 1"):
                    await client.append_object("b", "log", b"x", position=0)
        assert len(server.requests) == 1

    async def test_what_is_created_has_the_content_type_that_its_name_tells(
        self, client: Client, server: FaultyServer
    ) -> None:
        for text in (b"<p>one", b"<p>two"):
            await append(client, ObjectURL("b", "log.html", "obs"), text)
        sent = [one.headers.get("content-type") for one in server.requests if one.body]
        assert sent == ["text/html", None]

    def test_the_blocking_client_appends_too(self, server: FaultyServer, obs: Obs) -> None:
        config = Config(
            endpoint=server.endpoint,
            access_key="test-access-key",
            secret_key=SECRET,
            signature="obs",
        )
        with aioobs.sync.Client(config) as client:
            assert client.append_object("b", "log", b"x", position=0) == 1
        assert obs.objects["log"].content == b"x"


NO_UPLOADS = "<ListMultipartUploadsResult/>"
BEGUN = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"


class TestWords:
    """Requests are written as the SDKs of OBS write them."""

    async def test_subresources_have_no_equals_sign(self) -> None:
        script = [answer(body=body) for body in (BEGUN, NO_UPLOADS, "<DeleteResult/>")]
        with FaultyServer(*script) as server:
            async with connect(server.endpoint, signature="obs") as client:
                assert await client.create_multipart_upload("b", "k") == "u"
                assert [upload async for upload in client.list_multipart_uploads("b")] == []
                assert await client.delete_objects("b", ["k"]) == []
        assert [request.target for request in server.requests] == [
            "/b/k?uploads",
            "/b?prefix=&uploads",
            "/b?delete",
        ]

    @pytest.mark.parametrize(
        ("signature", "name"),
        [("obs", b"Location"), ("v4", b"LocationConstraint"), ("v2", b"LocationConstraint")],
    )
    async def test_a_bucket_is_created_where_the_api_can_read_it(
        self, signature: str, name: bytes
    ) -> None:
        with FaultyServer(answer()) as server:
            async with connect(server.endpoint, signature=signature, region="r-1") as client:
                await client.create_bucket("b")
        assert b"<%b>r-1</%b>" % (name, name) in server.requests[0].body

    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            ("plain ~!()*' + =", "plain ~!()*' + ="),
            ("100 % of %41", "100 %25 of %2541"),
            ("wéird 名 😀", "w%C3%A9ird %E5%90%8D %F0%9F%98%80"),
        ],
    )
    async def test_metadata_is_encoded_and_comes_back(self, given: str, sent: str) -> None:
        stored: dict[str, Any] = {}

        def serve(received: Received) -> Answer:
            assert is_signed(received)
            if received.method == "PUT":
                stored["x_obs_meta_n"] = received.headers["x-obs-meta-n"]
            return answer(etag='"1"', **stored)

        with FaultyServer(always=serve) as server:
            async with connect(server.endpoint, signature="obs") as client:
                await client.put_object("b", "k", b"", metadata={"n": given})
                assert (await client.head_object("b", "k")).metadata == {"n": given}
        assert server.requests[0].headers["x-obs-meta-n"] == sent

    async def test_metadata_that_another_program_has_not_encoded_is_left_alone(self) -> None:
        with FaultyServer(answer(etag='"1"', x_obs_meta_n="50%FF %zz")) as server:
            async with connect(server.endpoint, signature="obs") as client:
                assert (await client.head_object("b", "k")).metadata == {"n": "50%FF %zz"}


LOSSES = {
    "reset": lambda reply: RESET,
    "closed": lambda reply: HANG_UP,
    "cut": lambda reply: reply.cut(head=30, end="close"),
    "reset in the head": lambda reply: reply.cut(head=30, end="reset"),
    "500": lambda reply: refusal(500, "InternalError"),
    "503": lambda reply: refusal(503, "SlowDown"),
}


class TestLostAnswers:
    """What was added is added once."""

    @pytest.fixture
    async def log(self, client: Client, obs: Obs) -> Stored:
        """Give an object with three bytes."""
        await client.append_object("b", "log", b"one", position=0)
        return obs.objects["log"]

    @pytest.mark.parametrize("loss", LOSSES)
    @pytest.mark.parametrize("times", [1, 2])
    async def test_an_append_whose_answer_is_lost_is_a_success(
        self, client: Client, obs: Obs, server: FaultyServer, log: Stored, loss: str, times: int
    ) -> None:
        obs.lose += [LOSSES[loss]] * times
        assert await client.append_object("b", "log", b"two", position=3) == 6
        assert log.content == b"onetwo"
        assert not obs.lose
        assert appends(server) == 1 + times + 1

    async def test_it_is_one_also_when_it_created_the_object(
        self, client: Client, obs: Obs
    ) -> None:
        obs.lose.append(LOSSES["reset"])
        assert await client.append_object("b", "new", b"x" * 300_000, position=0) == 300_000
        assert obs.objects["new"].content == b"x" * 300_000

    async def test_it_is_one_also_when_others_have_added_more(
        self, client: Client, obs: Obs, log: Stored
    ) -> None:
        def add() -> None:
            log.content += b"three"

        obs.lose.append(LOSSES["reset"])
        obs.meanwhile = add
        assert await client.append_object("b", "log", b"two", position=3) == 6
        assert log.content == b"onetwothree"

    async def test_an_append_that_is_lost_itself_is_made_again(
        self, client: Client, obs: Obs, log: Stored
    ) -> None:
        obs.drop = 2
        assert await client.append_object("b", "log", b"two", position=3) == 6
        assert log.content == b"onetwo"

    @pytest.mark.parametrize("theirs", [b"oneTWO", b"oneT", b"oneTWO and more", b"on", b"onetw"])
    async def test_another_ones_bytes_are_not_taken_for_those_that_were_lost(
        self, client: Client, obs: Obs, log: Stored, theirs: bytes
    ) -> None:
        def replace_content() -> None:
            log.content = theirs

        obs.drop, obs.meanwhile = 1, replace_content
        with pytest.raises(ObjectChanged, match="does not end at 3"):
            await client.append_object("b", "log", b"two", position=3)
        assert log.content == theirs

    async def test_an_addition_of_nothing_is_not_what_has_moved_the_end(
        self, client: Client, obs: Obs, log: Stored
    ) -> None:
        def replace_content() -> None:
            log.content = b"longer"

        obs.drop, obs.meanwhile = 1, replace_content
        with pytest.raises(ObjectChanged, match="does not end at 3"):
            await client.append_object("b", "log", b"", position=3)

    async def test_an_object_that_was_put_over_it_is_not_added_to(
        self, client: Client, obs: Obs, log: Stored
    ) -> None:
        obs.lose.append(LOSSES["reset"])
        obs.meanwhile = lambda: obs.put("log", b"onetwo")
        with pytest.raises(NotAppendable):
            await client.append_object("b", "log", b"two", position=3)
        assert obs.objects["log"].content == b"onetwo"

    async def test_an_object_that_is_gone_was_not_added_to(
        self, client: Client, obs: Obs, log: Stored
    ) -> None:
        obs.drop, obs.meanwhile = 1, lambda: obs.objects.pop("log", None)
        with pytest.raises(ObjectChanged):
            await client.append_object("b", "log", b"two", position=3)

    async def test_writers_that_race_on_bad_lines_add_everything_once(
        self, client: Client, obs: Obs, log: Stored
    ) -> None:
        obs.lose += [LOSSES["reset"], LOSSES["500"], LOSSES["cut"]] * 3

        async def add(line: bytes) -> None:
            while True:
                position = (await client.head_object("b", "log")).size
                try:
                    await client.append_object("b", "log", line, position=position)
                except ObjectChanged:
                    continue
                return

        lines = [b"line %d\n" % number for number in range(12)]
        log.content = b""
        await asyncio.gather(*map(add, lines))
        assert sorted(log.content.splitlines(keepends=True)) == sorted(lines)
        assert not obs.lose
