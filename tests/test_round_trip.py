"""The lean transport beside aiohttp's own session: it returns the same, or it does not answer."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import aiohttp
import pytest
import uvloop
from aiohttp.connector import Connection, TCPConnector
from faulty import Certificates, FaultyServer, answer, connect, stored
from fuzz.response import Link, Session
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aioobs import AccessDenied, Config, ConnectionFailed, ObsError, ReadError
from aioobs.s3.body import MemorySink
from aioobs.s3.http import connection_pool
from aioobs.s3.http.lean_transport import LeanTransport
from aioobs.s3.http.session_transport import SessionTransport
from aioobs.s3.request import SignedRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from aioobs.s3.body import Body
    from aioobs.s3.http.transport import Transport

NEXT = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\netag: next\r\n\r\nNEXT"
BIG = 12_000_000  # more than the buffers of a connection hold
HERE = "http://store.test"
PATIENCE = 60  # turns of the event loop, in which all that was said is long taken in


class Outcome(NamedTuple):
    """All that a transport says of an answer."""

    status: int
    reason: str
    headers: dict[str, str]
    length: int | None
    body: bytes


NEXT_OUTCOME = Outcome(200, "OK", {"content-length": "4", "etag": "next"}, 4, b"NEXT")


@dataclass
class Speaker:
    """A server in the loop of the test that says the same to everybody, cut into pieces.

    Only a request for /next gets another answer.  Who is not content with what was said is left
    alone: the connection is closed.
    """

    pieces: Sequence[bytes] = ()
    server: asyncio.Server | None = None
    connections: int = 0
    heard: list[str] = field(default_factory=list)
    """The targets of the requests."""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    content: bool = False
    """Whether the client has got all that it wants."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection."""
        self.connections += 1
        self.writers.append(writer)
        with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ")[1].decode()
                self.heard.append(target)
                await self.say([NEXT] if target == "/next" else self.pieces, writer)
        writer.close()

    async def say(self, pieces: Sequence[bytes], writer: asyncio.StreamWriter) -> None:
        """Say it piece by piece, each one having arrived before the next is sent."""
        self.content = False
        for piece in pieces:
            writer.write(piece)
            await turns(4)
        for _ in range(PATIENCE):
            if self.content:
                return
            await asyncio.sleep(0)
        writer.close()


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@asynccontextmanager
async def speaking(
    speaker: Speaker, tls: Certificates | None = None
) -> AsyncIterator[tuple[str, LeanTransport, SessionTransport]]:
    """Give the origin of a server, and both transports for it."""
    context = tls.server if tls else None
    server = await asyncio.start_server(speaker.serve, "127.0.0.1", 0, ssl=context)
    origin = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    config = Config(endpoint=origin, verify=tls.authority if tls else True)
    session = SessionTransport(config)
    lean = LeanTransport(session, config)
    try:
        yield origin, lean, session
    finally:
        speaker.content = True
        lean.close()
        await session.aclose()
        server.close()
        for writer in speaker.writers:
            writer.close()
        await turns(10)


async def ask(
    transport: Transport, url: str, method: str = "GET", body: Body = b""
) -> Outcome | type[ObsError]:
    """Return what a transport makes of the answer."""
    _, _, host, target = url.split("/", 3)
    lines = f"Host: {host}\r\nContent-Length: {len(body)}\r\n"
    origin = url.removesuffix(f"/{target}")
    request = SignedRequest(origin, method, f"/{target}", lines, body)
    try:
        reply = await transport.send(request, lambda _: None)
        try:
            content = await reply.read()
        finally:
            reply.close()
    except ObsError as error:
        return type(error)
    return Outcome(reply.status, reply.reason, dict(reply.headers), reply.length, content)


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, certificates: Certificates) -> Certificates | None:
    """Run a test with and without TLS."""
    return certificates if request.param == "tls" else None


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(
    scope="module",
    params=[("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
    ids=list(LOOPS),
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Run async tests on both event loops."""
    return request.param


@pytest.fixture(scope="module", params=LOOPS)
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Give an event loop for many short runs."""
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as found:
        yield found


# What servers answer

NAMES = ["etag", "ETag", "x-amz-meta-a", "Server", "Date", "Content-Type", "Connection", "Upgrade"]
VALUES = ["", "1", '"1"', "close", "keep-alive", "x, close", "upgrade", "h2c", "a  b", "ü", "x\ty"]
STATUSES = [200, 201, 204, 206, 226, 301, 304, 307, 400, 403, 404, 412, 416, 500, 503, 599]
BODIES = [b"", b"x", b"content", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n", bytes(range(256)) * 9]
ODDITIES = [b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b",", b";", b"+", b"-", b"0", b"1",
            b"x", b"\x7f", b"\x80", b"\xff", b"\r\n ", b"\r\nA: b", b"Content-Length: 1\r\n",
            b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0"]  # fmt: skip


def head(status: int, reason: str, lines: list[tuple[str, str]]) -> bytes:
    start = f"HTTP/1.1 {status} {reason}\r\n"
    return (start + "".join(f"{name}: {value}\r\n" for name, value in lines) + "\r\n").encode()


def in_chunks(body: bytes, size: int) -> bytes:
    """Return a body in chunks of so many bytes."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])


headers = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4)
reasons = st.sampled_from(["OK", "", "Not Found", "Ünbekannt", " x", "x "])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Draw answers that are valid, or not far from it."""
    body = draw(st.sampled_from(BODIES))
    lines = draw(headers)
    framing = draw(st.sampled_from(["length", "length", "wrong length", "chunked", "none"]))
    if framing == "length":
        lines.append(("Content-Length", str(len(body))))
    elif framing == "wrong length":
        lines.append(("content-length", draw(st.sampled_from(["0", "1", "007", "9" * 20, "-1"]))))
    elif framing == "chunked":
        lines.append(("Transfer-Encoding", draw(st.sampled_from(["chunked", "Chunked", "gzip"]))))
        cut = draw(st.integers(1, 300))
        parts = [body[at : at + cut] for at in range(0, len(body), cut)]
        extension = draw(st.sampled_from([b"", b";a=b", b" "]))
        body = b"".join(b"%X%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
        body += b"0\r\n" + draw(st.sampled_from([b"\r\n", b"\r\n", b"A: trailer\r\n\r\n"]))
    place = draw(st.integers(0, len(lines)))
    lines.insert(place, lines.pop() if lines else ("x", "y"))
    return head(draw(st.sampled_from(STATUSES)), draw(reasons), lines) + body


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw answers in which something was put in, changed or left out."""
    message = draw(messages())
    end = message.index(b"\r\n\r\n") + 4
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, min(end + 8, len(message))))
        dropped = draw(st.integers(0, 2))
        message = message[:at] + draw(st.sampled_from([b"", *ODDITIES])) + message[at + dropped :]
    return message


def cut(message: bytes, places: list[int]) -> list[bytes]:
    """Return a message in pieces."""
    edges = [0, *sorted({place % (len(message) + 1) for place in places}), len(message)]
    pieces = [message[start:stop] for start, stop in pairwise(edges)]
    return [piece for piece in pieces if piece]


cuts = st.lists(st.integers(0, 400), max_size=4)
methods = st.sampled_from(["GET", "GET", "HEAD", "PUT", "DELETE"])
often = settings(
    max_examples=400,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


async def compare(
    pieces: list[bytes], method: str, tls: Certificates | None = None
) -> tuple[Outcome | type[ObsError], Outcome | type[ObsError], bool]:
    """Return what both transports make of an answer, and whether the lean one made it itself."""
    speaker = Speaker(pieces)
    async with speaking(speaker, tls) as (origin, lean, session):
        first = await ask(lean, f"{origin}/", method)
        speaker.content = True
        itself = len(speaker.heard) == 1
        if itself:
            await turns(4 * len(pieces) + 4)  # until all is said
            # Whatever was said before, it is not taken for the answer to something else.
            assert await ask(lean, f"{origin}/next") == NEXT_OUTCOME
            speaker.content = True
    speaker = Speaker(pieces)
    async with speaking(speaker, tls) as (origin, _, session):
        second = await ask(session, f"{origin}/", method)
        speaker.content = True
    return first, second, itself


CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class TestEveryAnswer:
    """Whatever a server says, it is understood as aiohttp does, or not at all."""

    @often
    @given(mutated(), cuts, methods)
    @example(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n", [], "GET")
    @example(b"HTTP/1.1 204 \r\ncontent-length: 3\r\n\r\nabc", [], "DELETE")
    @example(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", [], "HEAD")
    @example(b"HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\n", [], "HEAD")
    @example(b"HTTP/1.1 204 OK\r\ntransfer-encoding: x\r\n\r\n", [], "PUT")
    @example(CHUNKS + b"3\r\nabc\r\n0\r\nA: trailer\r\n\r\n", [], "GET")
    @example(b"HTTP/1.1 404 \xc3\x9cnbekannt\r\ncontent-length: 0\r\n\r\n", [9, 12], "GET")
    def test_an_answer_is_the_sessions_or_an_error(
        self, runner: asyncio.Runner, message: bytes, places: list[int], method: str
    ) -> None:
        lean, session, itself = runner.run(compare(cut(message, places), method))
        if isinstance(lean, Outcome):
            assert lean == session
        elif itself and isinstance(session, Outcome) and session.status < 300 and method == "GET":
            # Data must not be lost for a mere oddity: it is asked for again, behind a good head by
            # whoever wants the data.
            assert lean is ReadError

    @settings(often, max_examples=60)
    @given(mutated(), cuts, methods)
    def test_an_answer_is_the_sessions_or_an_error_over_tls(
        self, certificates: Certificates, runner: asyncio.Runner, message: bytes,
        places: list[int], method: str,
    ) -> None:  # fmt: skip
        lean, session, _ = runner.run(compare(cut(message, places), method, certificates))
        if isinstance(lean, Outcome):
            assert lean == session

    @settings(often, max_examples=150)
    @given(
        st.sampled_from([status for status in STATUSES if status not in (204, 304)]),
        st.sampled_from(["OK", "", "Not Found", "Ünbekannt"]),
        st.lists(st.tuples(st.sampled_from(["x-amz-meta-a", "x-B"]), st.sampled_from(VALUES))),
        st.sampled_from(BODIES),
        st.integers(0, 300),
        cuts,
        methods,
    )  # fmt: skip
    def test_a_good_answer_is_read_without_aiohttp_and_its_connection_kept(
        self, runner: asyncio.Runner, status: int, reason: str, lines: list[tuple[str, str]],
        body: bytes, chunk: int, places: list[int], method: str,
    ) -> None:  # fmt: skip
        if chunk:
            framing, sent = ("Transfer-Encoding", "chunked"), in_chunks(body, chunk)
        else:
            framing, sent = ("Content-Length", str(len(body))), body
        message = head(status, reason, [*lines, framing])
        message += b"" if method == "HEAD" else sent

        async def run() -> None:
            speaker = Speaker(cut(message, places))
            async with speaking(speaker) as (origin, lean, _):
                outcome = await ask(lean, f"{origin}/", method)
                speaker.content = True
                assert isinstance(outcome, Outcome)
                assert outcome.status == status
                assert outcome.length == (None if chunk else len(body))
                assert outcome.body == (b"" if method == "HEAD" else body)
                assert await ask(lean, f"{origin}/next") == NEXT_OUTCOME
                speaker.content = True
            assert speaker.heard == ["/", "/next"]
            assert speaker.connections == 1

        runner.run(run())


GOOD = b"HTTP/1.1 200 OK\r\n%b\r\n\r\nab"
REFUSED = {
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nab",
    "bare LF after a header": GOOD % b"content-length: 2\nx: y",
    "bare CR": GOOD % b"x: y\rz: 1\r\ncontent-length: 2",
    "space before the colon": GOOD % b"content-length : 2",
    "folded header": GOOD % b"x: y\r\n z\r\ncontent-length: 2",
    "folded first header": GOOD % b" x: y\r\ncontent-length: 2",
    "no colon": GOOD % b"x\r\ncontent-length: 2",
    "no name": GOOD % b": x\r\ncontent-length: 2",
    "NUL": GOOD % b"x: \0\r\ncontent-length: 2",
    "control character": GOOD % b"x: \x01\r\ncontent-length: 2",
    "two lengths": GOOD % b"content-length: 2\r\ncontent-length: 1",
    "two equal lengths": GOOD % b"content-length: 2\r\nContent-Length: 2",
    "two ETags": GOOD % b"etag: 2\r\nETag: 1\r\ncontent-length: 2",
    "signed length": GOOD % b"content-length: +2",
    "negative length": GOOD % b"content-length: -2",
    "list of lengths": GOOD % b"content-length: 2, 2",
    "hexadecimal length": GOOD % b"content-length: 0x2",
    "length with an underscore": GOOD % b"content-length: 0_2",
    "length in other digits": GOOD % "content-length: ٢".encode(),
    "no length": GOOD % b"x: y",
    "empty length": GOOD % b"content-length:",
    "endless length": GOOD % b"content-length: 99999999999999999999",
    "length and chunks": GOOD % b"content-length: 2\r\ntransfer-encoding: chunked",
    "chunks twice": GOOD % b"transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    "other coding": GOOD % b"transfer-encoding: gzip, chunked",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab",
    "HTTP/2": b"HTTP/2 200 OK\r\ncontent-length: 2\r\n\r\nab",
    "HTTP/1.10": b"HTTP/1.10 200 OK\r\ncontent-length: 2\r\n\r\nab",
    "lower case": b"http/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab",
    "other protocol": b"ICY 200 OK\r\ncontent-length: 2\r\n\r\nab",
    "empty line first": b"\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab",
    "short status": b"HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nab",
    "long status": b"HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\nab",
    "status out of range": b"HTTP/1.1 999 OK\r\ncontent-length: 2\r\n\r\nab",
    "two spaces": b"HTTP/1.1  200 OK\r\ncontent-length: 2\r\n\r\nab",
    "interim answer first": b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD % b"content-length: 2",
    "early hints first": b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" + GOOD % b"content-length: 2",
    "other protocol from now on": b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\n\r\n",
    "long header": GOOD % (b"x: " + b"y" * 9000 + b"\r\ncontent-length: 2"),
    "long name": GOOD % (b"x" * 9000 + b": y\r\ncontent-length: 2"),
    "many headers": GOOD % (b"x: y\r\n" * 200 + b"content-length: 2"),
    "long head": GOOD % ((b"x: " + b"y" * 1000 + b"\r\n") * 70 + b"content-length: 2"),
    "no end of the head": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 12_000,
}


class TestRefusals:
    """Answers that two readers might understand differently are not read here at all."""

    @pytest.mark.parametrize("message", REFUSED.values(), ids=REFUSED)
    async def test_an_odd_answer_is_left_to_the_session(self, message: bytes) -> None:
        for method in ("GET", "HEAD"):
            if method == "HEAD" and message == REFUSED["no length"]:
                continue  # it need not have one
            lean, session, itself = await compare([message], method)
            assert lean == session
            assert not itself or lean is ConnectionFailed
        # What may have been carried out is not sent a second time behind the caller's back.
        lean, _, itself = await compare([message], "PUT")
        assert itself
        assert lean is ConnectionFailed

    @pytest.mark.parametrize(
        "body",
        [
            b"x\r\nab\r\n0\r\n\r\n",
            b"+2\r\nab\r\n0\r\n\r\n",
            b"0x2\r\nab\r\n0\r\n\r\n",
            b" 2\r\nab\r\n0\r\n\r\n",
            b"2\nab\r\n0\r\n\r\n",
            b"2\r\nabc\r\n0\r\n\r\n",
            b"3\r\nab\r\n0\r\n\r\n",
            b"2\r\nab0\r\n\r\n",
            b"2\r\nab\n0\r\n\r\n",
            b"fffffffff\r\nab\r\n0\r\n\r\n",
            b"\r\nab\r\n0\r\n\r\n",
            b"2\r\nab\r\n",
            b"2\r\nab\r\n0\r\n",
            b"",
        ],
    )
    @pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found"])
    async def test_bad_chunks_are_an_error_and_end_the_connection(
        self, status: bytes, body: bytes, tls: Certificates | None
    ) -> None:
        speaker = Speaker([CHUNKS.replace(b"200 OK", status), body])
        async with speaking(speaker, tls) as (origin, lean, _):
            outcome = await ask(lean, f"{origin}/")
            assert isinstance(outcome, type)
            assert issubclass(outcome, ObsError)
            speaker.content = True
            assert await ask(lean, f"{origin}/next") == NEXT_OUTCOME
            speaker.content = True
        assert speaker.connections == 2

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_nothing_is_taken_that_comes_at_the_heels_of_what_cannot_be(
        self, chunked: bool
    ) -> None:
        if chunked:
            pieces = [CHUNKS + b"5\r\nabc", b"de\r\nx\r\n", b"3\r\nlie\r\n0\r\n\r\n"]
        else:
            pieces = [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc", b"defgh", b"li"]
        link = Link()
        transport = LeanTransport(cast("SessionTransport", Session(link)), Config(endpoint=HERE))
        asking = asyncio.create_task(
            transport.send(SignedRequest(HERE, "GET", "/", "", b""), lambda _: None)
        )
        assert await link.say(pieces[:1])
        sink, reply = MemorySink(), await asking
        reading = asyncio.create_task(reply.read_into(sink))
        await turns(4)
        await link.say(pieces[1:], hurry=True)  # both before the reader has its turn
        with pytest.raises(ReadError):
            await reading
        reply.close()
        assert b"abcde".startswith(sink.getvalue())
        assert link.ended

    @pytest.mark.parametrize(
        "hostile",
        [
            b"x: a" + b" " * 60_000 + b"b\r\n",
            b"x:" + b" " * 60_000 + b"\0\r\n",
            b"x:" + b"\t " * 30_000 + b"\r\n",
            b"x" * 60_000 + b"\r\n",
            b"x: " + b"a, " * 20_000 + b"\0",
            b"a:\r\n" * 15_000,
        ],
    )
    async def test_no_head_takes_long_to_read(self, hostile: bytes) -> None:
        speaker = Speaker([b"HTTP/1.1 200 OK\r\n" + hostile + b"\r\n"])
        async with speaking(speaker) as (origin, lean, _):
            begun = time.process_time()
            await ask(lean, f"{origin}/")
        assert time.process_time() - begun < 0.5

    @pytest.mark.usefixtures("lean")  # aiohttp may close the connection as soon as it has opened it
    async def test_what_is_no_http_is_noticed_although_its_line_has_no_end(self) -> None:
        # Like a server of mail or of shells, which says who it is and waits.
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-test")
            writers.append(writer)

        writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            async with connect(endpoint, idle_timeout=20) as client:
                begun = time.monotonic()
                with pytest.raises(ConnectionFailed, match="does not answer in HTTP") as caught:
                    await client.get_object("b", "k")
            assert caught.value.kind == "not http"
            assert time.monotonic() - begun < 2
        finally:
            server.close()
            for writer in writers:
                writer.close()

    @pytest.mark.parametrize(("seconds", "requests"), [(300.0, 3), (0.0, 4)])
    async def test_a_place_that_gave_an_odd_answer_is_asked_by_the_session_for_a_while(
        self, seconds: float, requests: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection_pool, "DISTRUST", seconds)
        speaker = Speaker([b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab"])
        async with speaking(speaker) as (origin, lean, _):
            for _ in range(2):
                outcome = await ask(lean, f"{origin}/")
                assert isinstance(outcome, Outcome)
                assert outcome.body == b"ab"
                speaker.content = True
        assert len(speaker.heard) == requests


SHORT = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"
SURPLUS = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"


async def first_of(speaker: Speaker, lean: LeanTransport, origin: str) -> None:
    outcome = await ask(lean, f"{origin}/")
    assert isinstance(outcome, Outcome)
    assert outcome.body == b"ab"
    speaker.content = True


class TestReuse:
    """A connection is used again only if every byte on it is accounted for."""

    async def test_one_connection_does_for_all(self, tls: Certificates | None) -> None:
        speaker = Speaker([SHORT])
        async with speaking(speaker, tls) as (origin, lean, session):
            for transport in (lean, lean, session, lean, session, lean):
                if transport is session:
                    lean.close()  # as it does when nothing has been asked for a second
                outcome = await ask(transport, f"{origin}/")
                assert isinstance(outcome, Outcome)
                assert outcome.body == b"ab"
                speaker.content = True
        assert speaker.connections == 1

    @pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close", "x,close"])
    async def test_a_server_that_closes_is_believed(
        self, value: str, tls: Certificates | None
    ) -> None:
        message = SHORT.replace(b"\r\n\r\n", b"\r\nConnection: " + value.encode() + b"\r\n\r\n")
        speaker = Speaker([message])
        async with speaking(speaker, tls) as (origin, lean, _):
            for _ in range(2):
                await first_of(speaker, lean, origin)
        assert speaker.connections == 2

    @pytest.mark.parametrize("surplus", [b"\r\n", b"x", SURPLUS, SURPLUS[:20]])
    async def test_bytes_after_an_answer_end_the_connection(
        self, surplus: bytes, tls: Certificates | None
    ) -> None:
        for pieces in ([SHORT, surplus], [SHORT[:-1], SHORT[-1:] + surplus]):
            speaker = Speaker(pieces)
            async with speaking(speaker, tls) as (origin, lean, _):
                outcome = await ask(lean, f"{origin}/")
                await turns(20)
                speaker.content = True
                if pieces[0] == SHORT:
                    assert isinstance(outcome, Outcome)
                    assert outcome.body == b"ab"
                else:
                    assert outcome is ReadError  # nobody can tell which of the lengths is right
                assert await ask(lean, f"{origin}/next") == NEXT_OUTCOME
                speaker.content = True
            assert speaker.connections == 2

    async def test_bytes_that_come_while_nobody_looks_end_the_connection(self) -> None:
        speaker = Speaker([SHORT])
        async with speaking(speaker) as (origin, lean, _):
            await first_of(speaker, lean, origin)
            os.write(speaker.writers[0].get_extra_info("socket").fileno(), SURPLUS)
            assert await ask(lean, f"{origin}/next") == NEXT_OUTCOME
            speaker.content = True
        assert speaker.connections == 2

    @pytest.mark.parametrize("seen", [True, False])
    async def test_a_connection_that_the_server_has_closed_is_not_used(
        self, seen: bool, tls: Certificates | None
    ) -> None:
        speaker = Speaker([SHORT])
        async with speaking(speaker, tls) as (origin, lean, _):
            await first_of(speaker, lean, origin)
            await turns(10)
            end = socket.socket(fileno=os.dup(speaker.writers[0].get_extra_info("socket").fileno()))
            end.shutdown(socket.SHUT_WR)
            end.close()
            await turns(20 if seen else 0)
            assert await ask(lean, f"{origin}/next") == NEXT_OUTCOME
            speaker.content = True
        assert speaker.connections == 2
        assert speaker.heard == ["/", "/next"]

    async def test_an_answer_that_is_given_up_ends_its_connection(
        self, tls: Certificates | None
    ) -> None:
        speaker = Speaker([b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nab"])
        async with speaking(speaker, tls) as (origin, lean, _):
            request = SignedRequest(origin, "GET", "/", "Host: h\r\n", b"")
            reply = await lean.send(request, lambda _: None)
            reply.close()
            speaker.content = True
            assert await ask(lean, f"{origin}/next") == NEXT_OUTCOME
            speaker.content = True
        assert speaker.connections == 2

    async def test_a_body_that_an_answer_must_not_have_is_not_the_next_answer(
        self, tls: Certificates | None
    ) -> None:
        for method, status in (("DELETE", 204), ("HEAD", 200), ("GET", 304)):
            start = f"HTTP/1.1 {status} X\r\ncontent-length: {len(SURPLUS)}\r\n\r\n".encode()
            speaker = Speaker([start, SURPLUS])
            async with speaking(speaker, tls) as (origin, lean, _):
                outcome = await ask(lean, f"{origin}/", method)
                await turns(20)
                speaker.content = True
                assert isinstance(outcome, Outcome)
                assert (outcome.status, outcome.body) == (status, b"")
                assert await ask(lean, f"{origin}/next") == NEXT_OUTCOME
                speaker.content = True
            assert speaker.connections == 2


class TestEarlyAnswers:
    """Answers that come before the end of the request."""

    @pytest.mark.parametrize("deaf", [False, True], ids=["drained", "deaf"])
    async def test_a_refusal_is_read_at_once(self, deaf: bool, tls: Certificates | None) -> None:
        refused = replace(answer(403, "no", early=True), deaf=deaf)
        verify = tls.authority if tls else True
        # Neither is sent before the server reads; the first one is sent by the event loop.
        for size in (BIG,) if deaf else (200_000, BIG):
            with FaultyServer(refused, always=stored(b"x"), tls=tls and tls.server) as server:
                async with connect(server.endpoint, verify=verify, idle_timeout=20) as client:
                    begun = time.monotonic()
                    with pytest.raises(AccessDenied):
                        await client.put_object("b", "k", bytes(size))
                    assert time.monotonic() - begun < 2
                    assert await client.get_object("b", "k") == b"x"
            assert len(server.requests) == 2
            assert server.connections == 2 or not deaf

    async def test_success_is_not_believed_before_the_store_has_all(
        self, tls: Certificates | None
    ) -> None:
        lie = replace(answer(etag="1", early=True), deaf=True)
        with FaultyServer(always=lie, tls=tls and tls.server) as server:
            verify = tls.authority if tls else True
            async with connect(server.endpoint, verify=verify, attempts=2) as client:
                with pytest.raises(ConnectionFailed, match="before it had the whole body"):
                    await client.put_object("b", "k", bytes(BIG))
        assert len(server.requests) == 2


async def test_bodies_longer_than_what_is_buffered_arrive_whole(tls: Certificates | None) -> None:
    content = os.urandom(3_000_000)
    with FaultyServer(always=stored(content), tls=tls and tls.server) as server:
        async with connect(server.endpoint, verify=tls.authority if tls else True) as client:
            assert await client.get_object("b", "k") == content
            assert (
                await client.get_object("b", "k", start=1, stop=2_000_000) == content[1:2_000_000]
            )
    assert server.connections == 1


def without_connection_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def request(method: str, *, url: object) -> None:
        raise AssertionError("not reached")

    monkeypatch.setattr(aiohttp, "ClientRequest", request)


def with_another_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    connect_before = TCPConnector.connect

    async def another(self: TCPConnector, req: Any, *, traces: Any, timeout: Any) -> Connection:
        return await connect_before(self, req, traces, timeout)

    monkeypatch.setattr(TCPConnector, "connect", another)


def with_another_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "transport", property(lambda _: object()))


def with_another_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    class Transport:
        def get_protocol(self) -> object:
            return self

    monkeypatch.setattr(Connection, "transport", property(lambda _: Transport()))


class TestAiohttp:
    """What the lean transport takes for granted of aiohttp, and what if it is not so."""

    async def test_connections_are_lent_and_taken_back(self) -> None:
        speaker = Speaker([SHORT])
        async with speaking(speaker) as (origin, _, session):
            request = session.connection_request(origin)
            timeout = aiohttp.ClientTimeout(total=None, connect=5)
            first = await session.connector.connect(request, [], timeout)
            handler, transport = first.protocol, first.transport
            assert handler is not None
            assert transport is not None
            assert transport.get_protocol() is handler
            assert not handler.should_close
            transport.set_protocol(other := asyncio.Protocol())
            assert transport.get_protocol() is other
            transport.set_protocol(handler)
            first.release()

            second = await session.connector.connect(request, [], timeout)
            assert second.protocol is handler
            assert not handler.should_close
            speaker.writers[0].write(b"x")
            await turns(20)
            assert handler.should_close  # for it holds a byte that nobody has read
            second.close()
            assert transport.is_closing()
        assert speaker.connections == 1

    @pytest.mark.usefixtures("lean")
    @pytest.mark.parametrize(
        "change",
        [
            without_connection_request,
            with_another_connect,
            with_another_transport,
            with_another_protocol,
        ],
    )
    async def test_another_aiohttp_is_used_by_its_session_with_one_warning(
        self,
        change: Callable[[pytest.MonkeyPatch], None],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        change(monkeypatch)
        with FaultyServer(always=stored(b"x")) as server:
            async with connect(server.endpoint, attempts=1) as client:
                reads = [client.get_object("b", "k") for _ in range(3)]
                assert await asyncio.gather(*reads) == [b"x"] * 3
                assert await client.put_object("b", "k", b"x") == "version-1"
        (record,) = [each for each in caplog.records if each.name.startswith("aioobs")]
        assert record.levelname == "WARNING"
        assert f"aiohttp {aiohttp.__version__} is not" in record.getMessage()
        assert len(server.requests) == 4
