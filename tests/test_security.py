"""What SECURITY.md promises: nothing is injected, nothing is told, nothing grows without bounds."""

from __future__ import annotations

import asyncio
import pickle
import ssl
import traceback
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import pytest
import trustme
from faulty import (
    GARBAGE,
    RESET,
    Answer,
    FaultyServer,
    Received,
    answer,
    connect,
    listing,
    refusal,
)

from aioobs import Client, Config, ConfigError, ConnectionFailed, ObsError, ProtocolError
from aioobs.config import Signature, TransportName
from aioobs.s3.documents import xml
from aioobs.testing import free_ports

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

SECRET, TOKEN = "test-secret-that-is-hidden", "test-token-that-is-hidden"
GOOD = answer(etag='"e"')
transports = pytest.mark.parametrize("transport", get_args(TransportName))


class TestInjection:
    """Nothing that is given becomes a second header, or a request for something else."""

    @pytest.mark.parametrize("bad", ["\r\nx-evil: 1", "\nx-evil: 1", "\r", "\0", "\x7f", " x", "ü"])
    @pytest.mark.parametrize("name", ["region", "access_key", "security_token"])
    @transports
    async def test_no_header_comes_from_the_configuration(
        self, name: str, bad: str, transport: TransportName
    ) -> None:
        with (
            FaultyServer(always=GOOD) as server,
            pytest.raises(ConfigError, match=r"region|access key|token"),
        ):
            async with connect(server.endpoint, **{name: f"x{bad}"}, transport=transport) as client:
                await client.put_object("b", "k", b"")
        assert not server.requests

    @pytest.mark.parametrize("region", ["us east", "us/east", "us\n", "\u00fc"])
    def test_a_region_that_cannot_be_one_is_refused_at_once(self, region: str) -> None:
        with pytest.raises(ConfigError, match="cannot be the name of a region"):
            Config(region=region)

    @pytest.mark.parametrize("source", ["environment", "file"])
    async def test_no_header_comes_from_credentials_that_are_found(
        self, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if source == "file":
            path = tmp_path / "credentials"
            path.write_text('{"ak": "a", "sk": "b", "token": "c\\r\\nx-evil: 1"}')
            monkeypatch.setenv("CREDENTIAL_PROFILES_FILE", str(path))
        else:
            monkeypatch.setenv("ACCESS_KEY_ID", "a")
            monkeypatch.setenv("SECRET_ACCESS_KEY", "b")
            monkeypatch.setenv("SECURITY_TOKEN", "c\r\nx-evil: 1")
        with FaultyServer(always=GOOD) as server:
            async with Client(Config(endpoint=server.endpoint)) as client:
                with pytest.raises(ConfigError, match=r"the token from .* holds what no token can"):
                    await client.put_object("b", "k", b"")
        assert not server.requests

    @transports
    async def test_no_header_comes_from_what_a_store_says_its_region_is(
        self, transport: TransportName
    ) -> None:
        details = "<Region>moon&#13;&#10;x-evil: 1</Region>"
        wrong = refusal(400, "AuthorizationHeaderMalformed", details)
        with FaultyServer(wrong, always=GOOD) as server:
            async with connect(server.endpoint, transport=transport) as client:
                with pytest.raises(ObsError):
                    await client.put_object("b", "k", b"")
        assert len(server.requests) == 1

    @pytest.mark.parametrize("text", ["x\x0by", "x\x1by", "x\x7fy", "x\ud800"])
    @transports
    async def test_no_control_and_no_half_of_a_character_is_sent(
        self, text: str, transport: TransportName
    ) -> None:
        with FaultyServer(always=GOOD) as server:
            async with connect(server.endpoint, transport=transport) as client:
                for call in (
                    client.put_object("b", "k", b"", metadata={"a": text}),
                    client.put_object("b", "k", b"", content_type=text),
                ):
                    with pytest.raises(ConfigError, match="putContent s3://b/k: the header"):
                        await call
        assert not server.requests

    @transports
    async def test_letters_of_all_kinds_arrive_as_utf_8(self, transport: TransportName) -> None:
        text = "ü中\u2028\x85\u00a0"
        with FaultyServer(always=GOOD) as server:
            async with connect(server.endpoint, transport=transport) as client:
                await client.put_object("b", "k", b"", metadata={"a": text})
        assert server.requests[0].headers["x-amz-meta-a"] == text.strip()

    @pytest.mark.parametrize("text", ["a&delimiter=/", "a\r\nb", "a#b", "a b", "a?b", "a\0b"])
    async def test_a_prefix_is_a_prefix_and_nothing_else(self, text: str) -> None:
        with FaultyServer(always=answer(200, listing())) as server:
            async with connect(server.endpoint) as client:
                await client.list_objects("b", text)
        assert server.requests[0].query["prefix"] == text
        assert "delimiter" not in server.requests[0].query

    async def test_a_prefix_that_is_no_text_is_refused(self) -> None:
        with FaultyServer(always=answer(200, listing())) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ConfigError, match=r"prefix=.*ud800.* is not text"):
                    await client.list_objects("b", "\ud800")
        assert not server.requests


class TestAnswers:
    """What a store, or somebody in its place, can do with an answer."""

    @pytest.mark.parametrize(
        "document",
        [
            b"<a>" * 3_000_000,
            b"<a>" * 1_000_000 + b"</a>" * 1_000_000,
            b"<ListBucketResult>" + b"<Prefix/>" * 1_000_000 + b"</ListBucketResult>",
        ],
        ids=["open", "deep", "wide"],
    )
    @transports
    async def test_a_document_of_too_many_elements_is_refused_before_it_becomes_a_tree(
        self, document: bytes, transport: TransportName
    ) -> None:
        with FaultyServer(always=answer(200, document)) as server:
            async with connect(server.endpoint, attempts=1, transport=transport) as client:
                tracemalloc.start()
                try:
                    with pytest.raises(ProtocolError, match="tags"):
                        await client.list_objects("b")
                    peak = tracemalloc.get_traced_memory()[1]
                finally:
                    tracemalloc.stop()
        assert peak < 8 * len(document)

    def test_deep_documents_are_no_trouble(self) -> None:
        assert xml.root_name(b"<a>" * 100_000 + b"</a>" * 100_000) == "a"

    @transports
    async def test_of_a_refusal_without_end_little_is_read(self, transport: TransportName) -> None:
        start = b"<Error>" + b"x" * (1 << 20)
        endless = replace(answer(403, start, content_length=str(10**10)), end="stall")
        with FaultyServer(always=endless) as server:
            async with (
                connect(server.endpoint, attempts=1, transport=transport) as client,
                asyncio.timeout(10),
            ):
                with pytest.raises(ObsError, match="403"):
                    await client.get_object("b", "k")

    @pytest.mark.parametrize(
        "head",
        [
            b"x: " + b"y" * 10_000_000,
            b"\r\n".join(b"x-%d: y" % number for number in range(300_000)),
            b"y" * 10_000_000,
        ],
        ids=["long", "many", "nameless"],
    )
    @transports
    async def test_heads_without_end_are_refused(
        self, head: bytes, transport: TransportName
    ) -> None:
        endless = Answer(b"HTTP/1.1 200 OK\r\n" + head, "close")
        with FaultyServer(always=endless) as server:
            async with connect(server.endpoint, attempts=1, transport=transport) as client:
                tracemalloc.start()
                try:
                    with pytest.raises(ObsError):
                        await client.get_object("b", "k")
                    peak = tracemalloc.get_traced_memory()[1]
                finally:
                    tracemalloc.stop()
        assert peak < 4 << 20


CALLS: list[Callable[[Client], Awaitable[object]]] = [
    lambda client: client.get_object("b", "k"),
    lambda client: client.put_object("b", "k", b"x"),
    lambda client: client.list_objects("b"),
]


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and what it follows from."""
    while error is not None:
        yield error
        error = error.__cause__


def told(error: BaseException) -> str:
    """Return all that a report of an error shows of aioobs and what is below, locals included."""
    seen: list[str] = []
    pending: list[BaseException | None] = [error]
    while pending and len(seen) < 1000:
        one = pending.pop()
        if one is None:
            continue
        seen += [str(one), repr(one), repr(vars(one)), repr(one.args)]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_globals.get("__name__") != __name__:
                seen += [f"{name}={value!r}" for name, value in frame.f_locals.items()]
        pending += [one.__cause__, one.__context__]
    return "\n".join(seen)


class TestSecrets:
    """Who reads logs, errors and values learns no secret."""

    @pytest.mark.parametrize(
        "reply",
        [
            RESET,
            GARBAGE,
            refusal(403, "AccessDenied"),
            answer(200, b"x" * 100).cut(body=10, end="close"),
            answer(307, location="http://stranger.test/x"),
        ],
        ids=["reset", "garbage", "refusal", "cut", "redirect"],
    )
    @pytest.mark.parametrize("signature", get_args(Signature))
    @transports
    async def test_no_error_and_no_log_has_them(
        self, reply: Answer, signature: Signature, transport: TransportName,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        caplog.set_level(1)
        caplog.set_level(1, "asyncio")
        given: dict[str, Any] = {"secret_key": SECRET, "security_token": TOKEN, "attempts": 2}
        errors: list[BaseException] = []
        seen: list[object] = []
        with FaultyServer(always=reply) as server:
            async with connect(
                server.endpoint, signature=signature, transport=transport, **given
            ) as client:
                client.on_attempt.append(seen.append)
                client.on_call.append(seen.append)
                for call in CALLS:
                    try:
                        await call(client)
                    except ObsError as error:
                        errors.append(error)
                values = f"{client!r} {client!s} {client.config!r} {client.config!s}"
                values += f"{client.stats()} {seen} {''.join(map(str, seen))}"
                values += "".join(str(vars(record)) for record in caplog.records)
        assert errors
        assert len(seen) > len(CALLS)
        report = "\n".join(map(told, errors)) + values + caplog.text
        assert SECRET not in report
        assert TOKEN not in report
        # Some have the causes of an error pickled, too.
        dumps = [pickle.dumps(cause) for error in errors for cause in causes(error)]
        assert all(SECRET.encode() not in dump and TOKEN.encode() not in dump for dump in dumps)

    @pytest.mark.parametrize(
        "text",
        [
            f'{{"secret_key": "{SECRET}"}}',
            f'{{"secret_key": "{SECRET}"',
            f"[default]\nsecret_key={SECRET}\n",
            f"secret={SECRET}",
            f'{{"ak": "a", "sk": "{SECRET}", "expires": "soon"}}',
        ],
        ids=["half", "bad json", "half ini", "bad ini", "bad time"],
    )
    async def test_no_error_quotes_a_file_of_credentials(
        self, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "credentials").write_text(text)
        monkeypatch.setenv("CREDENTIAL_PROFILES_FILE", str(tmp_path / "credentials"))
        async with Client(Config(endpoint="http://store.test")) as client:
            with pytest.raises(ConfigError, match="credentials") as caught:
                await client.get_object("b", "k")
        assert SECRET not in told(caught.value)

    async def test_no_error_shows_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECRET_ACCESS_KEY", SECRET)
        async with Client(Config(endpoint="http://store.test")) as client:
            with pytest.raises(ConfigError, match="ACCESS_KEY_ID is not") as caught:
                await client.get_object("b", "k")
        assert SECRET not in told(caught.value)

    @pytest.mark.parametrize("scheme", ["http", "https"])
    async def test_no_error_has_the_password_of_a_proxy(self, scheme: str) -> None:
        (port,) = free_ports(1)
        refused = answer(407)
        with FaultyServer(always=refused) as server:
            for where in (f"127.0.0.1:{port}", f"127.0.0.1:{server.port}"):
                proxy = f"http://user:{SECRET}@{where}"
                async with connect(f"{scheme}://store.test", proxy=proxy, attempts=1) as client:
                    with pytest.raises(ObsError) as caught:
                        await client.get_object("b", "k")
                assert SECRET not in told(caught.value)

    def test_a_config_is_pickled_whole_and_shown_without_its_secrets(self) -> None:
        config = Config(access_key="a", secret_key=SECRET, security_token=TOKEN)
        assert pickle.loads(pickle.dumps(config)) == config
        assert SECRET not in repr(config)
        assert TOKEN not in repr(config)


class TestConnections:
    """TLS, and what is said where it is missing."""

    @pytest.fixture
    def stranger(self) -> ssl.SSLContext:
        """Give what a server needs that nobody vouches for."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        return context

    @transports
    async def test_a_store_that_nobody_vouches_for_hears_nothing(
        self, stranger: ssl.SSLContext, transport: TransportName
    ) -> None:
        with FaultyServer(always=GOOD, tls=stranger) as server:
            async with connect(server.endpoint, attempts=1, transport=transport) as client:
                with pytest.raises(ConnectionFailed, match="no TLS connection"):
                    await client.put_object("b", "k", b"")
        assert not server.requests

    @pytest.mark.parametrize(
        ("endpoint", "verify", "said"),
        [
            ("http://store.example.com", True, "store.example.com over plain HTTP"),
            ("http://8.8.8.8:9000", True, "8.8.8.8 over plain HTTP"),
            ("https://s3.example.com", False, "certificate of s3.example.com is not verified"),
            ("https://secure.example.com", True, ""),
            ("http://127.0.0.1:9000", True, ""),
            ("http://[::1]:9000", True, ""),
            ("http://10.1.2.3", True, ""),
            ("http://100.125.0.9", True, ""),
            ("https://192.168.1.2", False, ""),
            ("http://localhost", True, ""),
            ("http://minio", True, ""),
            ("http://nas.local", True, ""),
        ],
    )
    def test_who_speaks_unprotected_on_the_internet_is_told_once(
        self, endpoint: str, verify: bool, said: str, caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        def unknown(*_: object, **__: object) -> Any:
            raise ConnectionRefusedError

        monkeypatch.setattr("socket.getaddrinfo", unknown)
        config = Config(
            endpoint=endpoint, verify=verify, anonymous=True, attempts=1, proxy="http://127.0.0.1:9"
        )

        async def ask() -> None:
            async with Client(config) as client:
                with pytest.raises(ObsError):
                    await client.get_object("b", "k")

        for _ in range(2):
            asyncio.run(ask())
        said_at_all = [r.getMessage() for r in caplog.records if r.name.startswith("aioobs")]
        warnings = [message for message in said_at_all if not message.startswith("attempt")]
        assert len(warnings) == bool(said)
        assert said in "".join(warnings)


def test_a_link_that_a_redirect_names_is_not_asked_with_credentials() -> None:
    asked: list[Received] = []

    def elsewhere(request: Received) -> Answer:
        asked.append(request)
        return GOOD

    async def ask(endpoint: str) -> None:
        async with connect(endpoint, attempts=1) as client:
            with pytest.raises(ObsError, match="does not belong to the endpoint"):
                await client.put_object("b", "k", b"")

    with FaultyServer(always=elsewhere) as stranger, FaultyServer() as server:
        server.extend(answer(307, location=f"{stranger.endpoint}/b/k"))
        asyncio.run(ask(server.endpoint))
    assert not asked
