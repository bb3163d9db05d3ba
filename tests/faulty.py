"""A server on a real socket that follows a script, good or bad, and a client for it.

    with FaultyServer(RESET, answer(503, retry_after="1"), answer(body=b"x", etag='"1"')) as server:
        async with connect(server.endpoint) as client:
            ...
    assert len(server.requests) == 3

Each request gets the next item of the script: an `Answer`, or a function that makes one of what
was received.  After the end of the script `always` is the answer.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import re
import socket
import stat
import struct
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from aioobs import Client, Config

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    import pytest

TRANSPORT = "lean"
"""What `connect` uses; a fixture may set it."""

PIECES = 16
End = Literal["keep", "close", "reset", "half close", "stall"]


@dataclass
class Received:
    """A request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    connection: int
    """The number of the connection, from 1 on."""

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        """The parameters, decoded."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def length(self) -> int:
        """The length of the body that was announced."""
        return int(self.headers.get("content-length", 0))

    @property
    def first_byte(self) -> int:
        """Where the range begins that is asked for."""
        found = re.match(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(found[1]) if found else 0


@dataclass(frozen=True)
class Answer:
    """The bytes to send, and what happens to the connection then."""

    message: bytes = b""
    end: End = "keep"
    early: bool = False
    """Whether to answer as soon as the head of the request is there."""
    after: int = 0
    """How much of the body an early answer waits for."""
    deaf: bool = False
    """Whether nothing more is read after an early answer, while the connection stays open."""
    interim: bytes = b""
    """Heads of the kind ``100 Continue`` that come before it."""
    pause: float = 0.0
    """Seconds between two of the sixteen pieces that it comes in; 0: it comes as a whole."""

    def cut(self, *, body: int | None = None, head: int | None = None, end: End) -> Answer:
        """Return the same answer, cut off after so many bytes of the body or of the head."""
        start = self.message.index(b"\r\n\r\n") + 4 if body is not None else 0
        return replace(self, message=self.message[: start + (body or head or 0)], end=end)


def answer(
    status: int = 200,
    body: bytes | str = b"",
    *,
    chunked: bool = False,
    early: bool = False,
    end: End = "keep",
    **headers: str | None,
) -> Answer:
    """Return a good answer; `content_length=None` leaves the header out."""
    data = body.encode() if isinstance(body, str) else body
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if chunked:
        given["transfer-encoding"] = "chunked"
        data = (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + b"0\r\n\r\n"
    elif status >= 200 and status != 204:
        given.setdefault("content-length", str(len(data)))
    lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, '')}"]
    lines += [f"{name}: {value}" for name, value in given.items() if value is not None]
    return Answer("\r\n".join(lines).encode() + b"\r\n\r\n" + data, end, early)


def refusal(status: int, code: str, details: str = "", **headers: Any) -> Answer:
    """Return an error as S3 reports it."""
    return answer(status, error_document(code, details), **headers)


def error_document(code: str, details: str = "") -> str:
    """Return the document of an error, *details* being XML as well."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        f"<Message>said the test</Message><RequestId>request-7</RequestId>{details}</Error>"
    )


RESET = Answer(end="reset")
HANG_UP = Answer(end="close")
HALF_CLOSE = Answer(end="half close")
STALL = Answer(end="stall")
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
GARBAGE = Answer(b"\x15\x03\x01\x00\x02\x02\x16 this is not HTTP\r\n\r\n", "close")
END_OF_SCRIPT = answer(418, "the script of the test is at its end")


class SocketServer:
    """Listens on 127.0.0.1 for as long as a `with` lasts, and serves each connection in a thread.

    Args:
        serve: Called with each connection and its number, from 1 on.
        buffer: Of bytes that a connection receives; 0: as large as the system makes it.
    """

    def __init__(self, serve: Callable[[socket.socket, int], None], buffer: int = 0) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        if buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.sockets: list[socket.socket] = []
        """Those that are hung up and closed at the end."""

    def __enter__(self) -> Self:
        self.start(self._accept)
        return self

    def __exit__(self, *exception: object) -> None:
        # Unlike close, this wakes the thread that waits for a connection.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection in self.sockets:
            hang_up(connection)
        for thread in self._threads:  # which may grow meanwhile
            thread.join()
        for connection in self.sockets:
            connection.close()

    def start(self, run: Callable[..., None], *arguments: Any) -> None:
        """Run something in a thread that the end waits for."""
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        for number in itertools.count(1):
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.sockets.append(connection)
            self.start(self._serve, connection, number)


class FaultyServer:
    """Serves a script on 127.0.0.1 for as long as a `with` lasts, each connection in a thread."""

    def __init__(
        self,
        *script: Answer | Callable[[Received], Answer],
        always: Answer | Callable[[Received], Answer] = END_OF_SCRIPT,
        tls: ssl.SSLContext | None = None,
        at_head: Callable[[Received], Answer | None] = lambda _: None,
        pace: float = 0.0,
    ) -> None:
        self._pace = pace  # seconds that it takes to read 8 KiB of a body
        self._at_head = at_head  # an early answer to some of the requests
        self.requests: list[Received] = []
        self._script = list(script)
        self._always = always
        self._tls = tls
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = SocketServer(self._serve, buffer=8192 if pace else 0)
        self.port: int = self._server.port
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.alive = 0
        """How many connections have not ended."""
        self.most_at_once = 0
        """How many requests were under way at the same time."""
        self._under_way = 0
        self.arrived = threading.Semaphore(0)
        """Released with each request."""

    @property
    def connections(self) -> int:
        """How many connections were made."""
        return len(self._server.sockets)

    def extend(self, *script: Answer | Callable[[Received], Answer]) -> None:
        """Add to the script what only a running server can know."""
        self._script += script

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._server.__exit__()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with self._lock:
            self.alive += 1
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._server.sockets[number - 1] = connection
            stream = connection.makefile("rb")
            with stream:
                while (received := read_head(stream, number)) and self._handle(
                    received, connection, stream
                ):
                    pass
        except OSError:  # the client is gone
            pass
        hang_up(connection)
        with self._lock:
            self.alive -= 1

    def _read_body(self, received: Received, stream: Any) -> None:
        while self._pace and (missing := received.length - len(received.body)) > 0:
            self._over.wait(self._pace)
            received.body += (piece := stream.read(min(missing, 8192)))
            if not piece:
                return
        received.body += stream.read(received.length - len(received.body))

    def _handle(self, received: Received, connection: socket.socket, stream: Any) -> bool:
        """Answer, and tell whether the connection goes on."""
        with self._lock:
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
            step = self._script.pop(0) if self._script else self._always
            self.requests.append(received)
            step = self._at_head(received) or step
        if "expect" in received.headers:
            connection.sendall(GO_ON)
        early = isinstance(step, Answer) and step.early
        if isinstance(step, Answer) and early:
            received.body = stream.read(step.after)
        else:
            self._read_body(received, stream)
        self.arrived.release()
        reply = step if isinstance(step, Answer) else step(received)
        head, blank, body = reply.message.partition(b"\r\n\r\n")
        message = head + blank + (body if received.method != "HEAD" else b"")
        connection.sendall(reply.interim)
        with self._lock:
            self._under_way -= 1
        piece = -(-len(message) // PIECES) if reply.pause else len(message)
        for start in range(0, len(message), max(piece, 1)):
            connection.sendall(message[start : start + piece])
            self._over.wait(reply.pause)
        if reply.end == "half close":
            connection.shutdown(socket.SHUT_WR)
        if reply.deaf:
            self._over.wait()
        elif early and reply.end == "keep":
            received.body += stream.read(received.length - len(received.body))
        elif reply.end in ("stall", "half close"):
            while stream.read(1 << 16):  # until the client gives up
                pass
        if reply.end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        return reply.end == "keep" and not reply.deaf


def sockets_to(server: FaultyServer) -> Iterator[socket.socket]:
    """Yield duplicates of the sockets of this process that are connected to a server."""
    address = ("127.0.0.1", server.port)
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # it was closed meanwhile, or has no other side
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                with socket.socket(fileno=os.dup(int(name))) as found:
                    if found.getpeername() == address:
                        yield found


def hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        # Not the method of SSLSocket, after which what is still to be read is not decrypted.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def read_head(stream: Any, number: int) -> Received | None:
    lines = list(iter(lambda: stream.readline().decode("utf-8").rstrip("\r\n"), ""))
    if not lines:
        return None
    method, target, _ = lines[0].split(" ")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        assert name.lower() not in headers, f"{name} was sent twice"
        headers[name.lower()] = value.strip()
    return Received(method, target, headers, b"", number)


class Store:
    """Has another server carry out whole requests, and those alone, as S3 does.

    SeaweedFS makes an empty object of a body that breaks off.
    """

    def __init__(self, endpoint: str) -> None:
        self._pass_on = forward(endpoint)
        self._changed = threading.Condition()
        self._active = 0

    def __call__(self, received: Received) -> Answer:
        """Carry out a request."""
        if len(received.body) < received.length:
            return RESET
        with self.busy():
            return self._pass_on(received)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Be about to carry something out."""
        with self._changed:
            self._active += 1
        try:
            yield
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def settle(self) -> None:
        """Wait until no request is being carried out, even one that nobody waits for."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._active, timeout=20)


def forward(upstream: str, *, lose: bool = False) -> Callable[[Received], Answer]:
    """Have another server carry out the request and pass its answer on, or lose it."""

    def step(received: Received) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=20)
        try:
            connection.putrequest(
                received.method, received.target, skip_host=True, skip_accept_encoding=True
            )
            for name, value in received.headers.items():
                connection.putheader(name, value)
            connection.endheaders(received.body)
            reply = connection.getresponse()
            body = reply.read()
        finally:
            connection.close()
        if lose:
            return RESET
        lines = [f"HTTP/1.1 {reply.status} {reply.reason}"]
        lines += [
            f"{name}: {value}"
            for name, value in reply.getheaders()
            if name.lower() not in ("transfer-encoding", "content-length", "connection")
        ]
        length = reply.getheader("content-length") if received.method == "HEAD" else len(body)
        if length is not None:
            lines.append(f"content-length: {length}")
        return Answer("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    return step


def stored(content: bytes, etag: str = "version-1") -> Callable[[Received], Answer]:
    """Answer like a store that has this one object, ranges and `If-Match` included."""

    def step(received: Received) -> Answer:
        wanted = received.headers.get("if-match", "").strip('"')
        if wanted and wanted != etag:
            return refusal(412, "PreconditionFailed")
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", received.headers.get("range", ""))
        if not found:
            return answer(body=content, etag=f'"{etag}"')
        first, last = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
        if first >= len(content):
            return refusal(416, "InvalidRange")
        place = f"bytes {first}-{last}/{len(content)}"
        return answer(206, content[first : last + 1], etag=f'"{etag}"', content_range=place)

    return step


class Certificates(NamedTuple):
    """What TLS needs on both ends."""

    authority: str
    server: ssl.SSLContext


def use(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a server the store that the environment names."""
    monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
    monkeypatch.setenv("ACCESS_KEY_ID", "test-access-key")
    monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")


def connect(endpoint: str, **options: Any) -> Client:
    """Return a client for a server of this module, with hardly a pause between attempts."""
    given = {
        "access_key": "test-access-key",
        "secret_key": "test-secret-key",
        "retry_wait": 0.001,
        "transport": TRANSPORT,
        **options,
    }
    return Client(Config(endpoint=endpoint, **given))


def listing(*keys: str, following: str = "", version: int = 2) -> str:
    """Return the document of a page."""
    objects = "".join(
        f"<Contents><Key>{key}</Key><Size>1</Size><ETag>e</ETag>"
        "<LastModified>2026-01-02T03:04:05.678Z</LastModified></Contents>"
        for key in keys
    )
    name = "NextContinuationToken" if version == 2 else "NextMarker"
    more = f"<{name}>{following}</{name}>" if following else ""
    truncated = str(bool(following)).lower()
    return (
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{truncated}</IsTruncated>{more}{objects}</ListBucketResult>"
    )


def authorizations(server: FaultyServer) -> Iterator[str]:
    """Yield the signature that each request came with."""
    return (request.headers.get("authorization", "") for request in server.requests)
