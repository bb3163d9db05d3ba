"""Answers: whatever the lean transport takes for one, aiohttp's parsers take for the same.

An input is the first letter of a method, the size of the pieces that the answer comes in, and the
answer.  A digit is a size; 0: it comes whole; A to I: the sizes from 1 on, and one piece comes at
the heels of the other; a: it comes whole, on a connection that aiohttp has used before.
"""

from __future__ import annotations

import asyncio
import atexit
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast
from unittest.mock import patch

from aiohttp import client_proto, http_parser
from aiohttp.client_proto import ResponseHandler
from hypothesis import strategies as st

from aioobs.config import Config
from aioobs.errors import ConnectionFailed, ObsError
from aioobs.s3.http.lean_transport import LeanTransport
from aioobs.s3.request import SignedRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aioobs.s3.http.session_transport import SessionTransport
    from aioobs.s3.http.transport import Reply

METHODS = {b"G": "GET", b"H": "HEAD", b"P": "PUT"}
PARSERS = {http_parser.HttpResponseParser, http_parser.HttpResponseParserPy}
CONFIG = Config(endpoint="http://store.test")
HURRIED = b".ABCDEFGHI"
MOST_PIECES = 100
TURNS = 4  # of the event loop, in which a reader takes in what has come


class Outcome(NamedTuple):
    """All that a transport says of an answer, and whether it would use the connection again."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes
    kept: bool


class Link(asyncio.Transport):
    """The client's end of a connection, over which a test says what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.handler = ResponseHandler(asyncio.get_running_loop())
        self.handler.connection_made(self)
        self._protocol: asyncio.BaseProtocol = self.handler
        self._paused = False
        self.ended = False
        self.asked = 0

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who listens."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have another one listen."""
        self._protocol = protocol

    def write(self, data: object) -> None:
        """Take a request."""
        self.asked += 1

    def get_write_buffer_size(self) -> int:
        """Return 0, for all was sent."""
        return 0

    def pause_reading(self) -> None:
        """Let nothing arrive any more."""
        self._paused = True

    def resume_reading(self) -> None:
        """Let things arrive again."""
        self._paused = False

    def is_closing(self) -> bool:
        """Tell whether the connection is closed."""
        return self.ended

    def close(self) -> None:
        """Close the connection."""
        self.ended = True

    abort = close

    async def say(self, pieces: Sequence[bytes], *, hurry: bool = False) -> bool:
        """Let the pieces arrive one by one; return whether all did, and nobody hung up."""
        await turns()
        for piece in pieces:
            if not hurry:
                await turns()
            if self._paused or self.ended:
                return False
            cast("asyncio.Protocol", self._protocol).data_received(piece)
        await turns()
        return not self.ended

    def end(self) -> None:
        """Let the other side close the connection."""
        protocol = cast("asyncio.Protocol", self._protocol)
        protocol.eof_received()
        protocol.connection_lost(None)


class Lending:
    """A connection as aiohttp's connector gives it."""

    def __init__(self, link: Link, pool: list[Link]) -> None:
        self.transport = link
        self.protocol = link.handler
        self._pool = pool

    def release(self) -> None:
        """Keep it for others."""
        self._pool.append(self.transport)

    def close(self) -> None:
        """Close it."""
        self.transport.close()


class Session:
    """Where the lean transport has connections from, and what it leaves odd answers to."""

    def __init__(self, *links: Link) -> None:
        self.connector = self
        self.links = list(links)
        self._pool = list(links)

    def connection_request(self, origin: str) -> str:
        """Return what to connect to."""
        return origin

    async def connect(self, *_: object) -> Lending:
        """Give a connection that nobody uses, or else a new one."""
        while self._pool:
            link = self._pool.pop()
            if not (link.ended or link.handler.should_close):
                return Lending(link, self._pool)
        self.links.append(Link())
        return Lending(self.links[-1], self._pool)

    async def send(self, *_: object) -> NoReturn:
        """Answer no request."""
        raise ConnectionFailed("this is left to the session")


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def used() -> Link:
    """Return a connection on which aiohttp has had an answer."""
    link = Link()
    link.handler.set_response_params(read_until_eof=True, auto_decompress=False)
    link.handler.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")
    _, payload = await link.handler.read()
    await payload.read()
    return link


async def lean(pieces: Sequence[bytes], method: str, *, hurry: bool, again: bool) -> Outcome | None:
    """Return what the lean transport makes of an answer; `None`: nothing."""
    session = Session(await used() if again else Link())
    transport = LeanTransport(cast("SessionTransport", session), CONFIG)

    async def ask(method: str) -> tuple[Reply, bytes] | None:
        try:
            request = SignedRequest("http://store.test", method, "/", "", b"")
            reply = await transport.send(request, lambda _: None)
            try:
                return reply, await reply.read()
            finally:
                reply.close()
        except ObsError:
            return None

    link = session.links[0]
    asking = [asyncio.create_task(ask(method))]
    if await link.say(pieces, hurry=hurry) and asking[0].done():
        asking.append(asyncio.create_task(ask("GET")))
        await turns()
    kept = link.asked == 2
    for other in session.links:
        other.end()
    found, *_ = await asyncio.gather(*asking)
    if found is None:
        assert not kept, "a connection is used again after an answer that is none"
        return None
    reply, body = found
    return Outcome(reply.status, reply.reason, dict(reply.headers), body, kept)


async def aiohttps(pieces: Sequence[bytes], method: str, parser: type) -> Outcome | None:
    """Return what aiohttp makes of an answer with one of its parsers; `None`: nothing."""
    link = Link()
    handler = link.handler
    with patch.object(client_proto, "HttpResponseParser", parser):
        handler.set_response_params(
            skip_payload=method == "HEAD", read_until_eof=True, auto_decompress=False
        )

    async def read() -> tuple[Any, bytes] | None:
        try:
            while True:
                message, payload = await handler.read()
                if message.code > 199 or message.code == 101:
                    return message, await payload.read()
        except Exception:  # noqa: BLE001 - it has many, and all mean that this is no answer
            return None

    reading = asyncio.create_task(read())
    kept = await link.say(pieces) and reading.done() and not handler.should_close
    link.end()
    found = await reading
    if found is None:
        return None
    message, body = found
    headers = {name.lower(): ", ".join(message.headers.getall(name)) for name in message.headers}
    return Outcome(message.code, message.reason, headers, body, kept)


async def compare(pieces: Sequence[bytes], method: str, *, hurry: bool, again: bool) -> None:
    """Check one answer.

    Raises:
        AssertionError: it is understood in two ways.
    """
    found = await lean(pieces, method, hurry=hurry, again=again)
    if found is None:
        return
    for parser in PARSERS:
        other = await aiohttps(pieces, method, parser)
        assert other is not None, f"{parser.__name__} takes it for no answer: {found}"
        assert found == other._replace(kept=found.kept), f"{parser.__name__}: {other}, not {found}"
        assert other.kept or not found.kept, f"{parser.__name__} does not use the connection again"
    if found.kept:
        shorter = [*pieces[:-1], pieces[-1][:-1]]
        assert await lean(shorter, method, hurry=hurry, again=again) is None, (
            "its last byte belongs to nothing"
        )


runner = asyncio.Runner()
atexit.register(runner.close)


def check(data: bytes) -> None:
    """Check one answer."""
    method, size, message = METHODS.get(data[:1], "GET"), data[1:2], data[2:]
    hurry = size.isupper() and size in HURRIED
    step = HURRIED.index(size) if hurry else int(size) if size.isdigit() else 0
    step = max(step or len(message), len(message) // MOST_PIECES, 1)
    pieces = [message[at : at + step] for at in range(0, len(message), step)]
    runner.run(compare(pieces, method, hurry=hurry, again=size == b"a"))


# What servers say, and what they should not

STARTS = ["HTTP/1.1 200 OK", "HTTP/1.1 206 Partial Content", "HTTP/1.1 404 Not Found",
    "HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified", "HTTP/1.1 500 ", "HTTP/1.1 503",
    "HTTP/1.1 400 Ünbekannt"]  # fmt: skip
ODD_STARTS = ["HTTP/1.1 301  Twice", "HTTP/1.1 101 Switching Protocols", "HTTP/1.1 100 Continue",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/2 200 OK",
    "HTTP/1.1 0200 OK", "HTTP/1.1 600 OK", "HTTP/1.1 2.0 OK", "http/1.1 200 OK", "HTTP/1.1\t200 OK",
    "HTTP/1.1 200 OK ", "HTTP/1.1 200 OK\t", "HTTP/1.1 200 \x7f", " HTTP/1.1 200 OK", "ICY 200 OK",
    "\r\nHTTP/1.1 200 OK", "HTTP/1.1 -20 OK", "HTTP/1.1 ²00 OK", "HTTP/1.12 200 OK", "",
    "HTTP/01.1 200 OK", "HTTP/1.1 200\tOK", "HTTP/1.1 200 " + "x" * 9000]  # fmt: skip
LINES = ["ETag: \"1\"", "x-amz-meta-a: ü", "x-amz-meta-a: 1\r\nX-Amz-Meta-A: 2", "Server: a", "x:",
    "Connection: close", "Connection: keep-alive", "connection: x, close", "CONNECTION:close",
    "Connection: closed", "Content-Range: bytes 0-4/5", "Content-Type: a", "x: a, b\tc",
    "Connection: keep-alive, close", "Connection: close\r\nConnection: keep-alive"]  # fmt: skip
ODD_LINES = ["Connection: upgrade\r\nUpgrade: websocket", "connection: Upgrade, x\r\nupgrade: tcp",
    "Connection: upgrade\r\nUpgrade: h2c", "Upgrade: websocket", "Connection: upgrade",
    "Connection: clo\u017fe", "Proxy-Connection: close", "Keep-Alive: timeout=0", "Connection: ,",
    "ETag: 1\r\netag: 2", "x: y\r\n z", "x: y\r\n\tz", " x: y", "x : y", "x\t: y", "x", ":", ": y",
    "x: \0", "x: \x01", "x: \x7f", "x: y\rz: w", "x: y\nz: w", "x: y\n", "x: y\r", "é: y", "x(: y",
    "x: " + "y" * 9000, "x" * 9000 + ": y", "x: " + "y" * 4000, "Trailer: a", "Expect: a",
    "Content-Encoding: gzip", "Content-Encoding: br", "Content-Type: a\r\ncontent-type: b",
    "Host: a\r\nHost: b", "Server: a\r\nServer: b", "Date: a\r\nDate: b",
    "Location: a\r\nlocation: b",
    "Sec-WebSocket-Key1: 1", "Set-Cookie: a=b", "Content-Range: a\r\nContent-Range: b",
    "HTTP/1.1 200 OK", "x: y\r\n" * 90 + "x: z", "x: y\r\n" * 130 + "x: z", "Age: 1\r\nAge: 2",
    "Retry-After: 1\r\nRetry-After: 2", "Content-Location: a\r\nContent-Location: b", "TE: chunked",
    "Last-Modified: a\r\nLast-Modified: b", "Content-Length: 5", "Content-Length: 4", "\r\n",
    "Transfer-Encoding: chunked", "Transfer-Encoding:", "Content-Length:"]  # fmt: skip
ODD_LENGTHS = ["+5", "-5", "05", "5 ", " 5", "0x5", "5.0", "5e0", "5, 5", "5,", "٥", "⁵", "1_0", "",
    "5\t", "4", "6", "0", "99999999999999999999", "9" * 30, "18446744073709551621", "5\0", "5;",
    "999999999999999999", "0000000000000000005", "000000000000000005"]  # fmt: skip
ODD_CODINGS = [" chunked ", "gzip, chunked", "chunked, gzip", "gzip", "identity",
    "chunked, chunked",
    "chunked,", ",chunked", "xchunked", "chunked;a=b", "\tchunked", "\x0bchunked", "chun\u212aed",
    "",
    "chunked\0", "chunked\r\nTransfer-Encoding: chunked"]  # fmt: skip
ODD_SIZES = ["+{:x}", "{:x} ", " {:x}", "0x{:x}", "{:x}_", "{:x}\t", "-{:x}", "{:x}\n", "{:x};\n",
    "{:x};é", "{:x};\0", "{:x};\x7f", "{:x};a;", "{:x} ;a", "{:x};a=\"", "{:x};" + "a" * 9000,
    "{:x}" + "0" * 20, "00000000{:x}", "0000000{:x}", "٥{:x}", "{:x}\r"]  # fmt: skip
ODD_ENDS = ["", "0", "0\r\n", "0\n\r\n", "0\r\n\n", "00\r\n\r\n", "0;a\r\n\r\n", "-0\r\n\r\n",
    "0 \r\n\r\n",
    "0\r\na: b\r\n\r\n", "0\r\na\r\n\r\n", "0\r\n a\r\n\r\n", "0\r\ncontent-length: 1\r\n\r\n",
    "0\r\n\r\r\n", "\r\n", "0" * 20 + "\r\n\r\n"]  # fmt: skip
SURPLUS = ["\r\n", "\n", "x", "\0", "HTTP/1.1 ", "HTTP/1.1 200 OK\r\n\r\n", "0\r\n\r\n", "\r\n\r\n"]
BYTES = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b",", b";", b"+", b"-", b"_",
    b"0", b"\x0b", b"\x0c", b"\x1c", b"\x7f", b"\x80", b"\x85", b"\xa0", b"\xff", b"\xc5\xbf",
    b""]  # fmt: skip
BODIES = ["12345", "", "\r\n\r\n5", "\r\nHTTP/1.1 200 OK\r\n\r\n"]
FAULTS = ["", "start", "line", "length", "coding", "size", "end", "surplus", "bytes", "framing"]


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Draw an answer that is good, or wrong in one or two ways."""
    faults = draw(st.lists(st.sampled_from(FAULTS), min_size=1, max_size=2))

    def choose(fault: str, good: list[str], odd: list[str]) -> str:
        return draw(st.sampled_from(odd if fault in faults else good))

    body = draw(st.sampled_from(BODIES))
    start = choose("start", STARTS, ODD_STARTS)
    lines = draw(st.lists(st.sampled_from(LINES), max_size=2))
    if "line" in faults:
        lines.append(draw(st.sampled_from(ODD_LINES)))
    framing = choose("framing", ["length", "chunks"], ["none", "both"])
    if framing in ("length", "both") or "length" in faults:
        lines.append(f"Content-Length: {choose('length', [str(len(body))], ODD_LENGTHS)}")
    if framing in ("chunks", "both") or "coding" in faults:
        lines.append(f"Transfer-Encoding: {choose('coding', ['chunked', 'Chunked'], ODD_CODINGS)}")
        cut = draw(st.integers(1, 9))
        parts = [body[at : at + cut] for at in range(0, len(body), cut)]
        size = choose("size", ["{:x}", "{:X}", "0{:x}", "{:x};a=b"], ODD_SIZES)
        body = "".join(f"{size.format(len(part))}\r\n{part}\r\n" for part in parts)
        body += choose("end", ["0\r\n\r\n"], ODD_ENDS)
    if draw(st.booleans()):
        lines.reverse()
    text = "\r\n".join([start, *lines, "", body + choose("surplus", [""], SURPLUS)])
    return draw(spoiled(text.encode())) if "bytes" in faults else text.encode()


@st.composite
def spoiled(draw: st.DrawFn, message: bytes) -> bytes:
    """Draw an answer with something put in, changed or left out."""
    for _ in range(draw(st.integers(1, 3))):
        at, dropped = draw(st.integers(0, min(len(message), 400))), draw(st.integers(0, 2))
        message = message[:at] + draw(st.sampled_from(BYTES)) + message[at + dropped :]
    return message


inputs = st.builds(
    lambda start, size, message: start + size + message,
    st.sampled_from([b"G", b"G", b"H", b"P"]),
    st.sampled_from([b"0", b"0", b"1", b"2", b"3", b"7", b"9", b"a", b"B", b"G", b"I"]),
    answers(),
)
"""An answer, and what it answers."""
