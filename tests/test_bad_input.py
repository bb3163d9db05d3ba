"""What people get wrong: each time an error of the right kind says what, where, and what to do."""

from __future__ import annotations

import array
import http.server
import io
import shutil
import ssl
import threading
import time
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from faulty import Answer, FaultyServer, answer, connect, refusal, stored

import aioobs
from aioobs import (
    AccessDenied,
    Client,
    Config,
    ConfigError,
    ConnectionFailed,
    NotFound,
    ObsError,
    ProtocolError,
    ResponseError,
)
from aioobs.file import set_auth
from aioobs.testing import free_ports

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from faulty import Certificates

    from aioobs.testing import LocalServer

QUICKLY = 3.0  # seconds

CALLS: list[Callable[[Client], Awaitable[object]]] = [
    lambda client: client.get_object("bucket", "k"),
    lambda client: client.head_object("bucket", "k"),
    lambda client: client.put_object("bucket", "k", b"content"),
    lambda client: client.list_objects("bucket"),
    lambda client: client.delete_objects("bucket", ["k"]),
]
call = pytest.mark.parametrize("call", CALLS, ids=["get", "head", "put", "list", "delete"])


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """Let nobody wait long for an error."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < QUICKLY


@pytest.fixture
def server_config(obs_server: LocalServer) -> Config:
    """Give the right configuration, for tests to spoil."""
    return Config(
        endpoint=obs_server.endpoint,
        access_key=obs_server.access_key,
        secret_key=obs_server.secret_key,
        retry_wait=0.001,
    )


@pytest.fixture
def tls_context(tmp_path: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.test").configure_cert(context)
    return context


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Run a web server that serves files and knows nothing of S3."""
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "index.html").write_text("<html></html>")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class TestCredentials:
    """Keys that are wrong, half or missing."""

    async def test_a_wrong_key_is_refused_and_no_secret_is_told(
        self, server_config: Config
    ) -> None:
        config = replace(server_config, access_key="wrong-access-key")
        async with Client(config) as client:
            with pytest.raises(
                AccessDenied, match=r"listObjects s3://bucket/: 403 InvalidAccessKeyId.*access key"
            ) as caught:
                await client.list_objects("bucket")
        assert config.secret_key not in str(caught.value) + repr(caught.value)

    async def test_a_wrong_secret_is_refused_and_not_told(self, server_config: Config) -> None:
        config = replace(server_config, secret_key="wrong-secret-key")
        async with Client(config) as client:
            with pytest.raises(
                AccessDenied, match=r"putContent s3://bucket/k: 403 SignatureDoesNotMatch.*secret"
            ) as caught:
                await client.put_object("bucket", "k", b"")
        assert "wrong-secret-key" not in str(caught.value) + repr(caught.value)

    async def test_a_head_that_is_refused_says_why_as_far_as_it_can(
        self, server_config: Config
    ) -> None:
        async with Client(replace(server_config, secret_key="wrong-secret-key")) as client:
            with pytest.raises(AccessDenied, match="getObjectMetadata s3://bucket/k: 403"):
                await client.head_object("bucket", "k")

    @call
    async def test_without_credentials_the_error_says_how_to_give_some_and_where_they_were_sought(
        self, call: Callable[[Client], Awaitable[object]], obs_server: LocalServer
    ) -> None:
        async with Client(Config(endpoint=obs_server.endpoint)) as client:
            with pytest.raises(
                ConfigError, match=r"s3://bucket.*ACCESS_KEY_ID.*set_auth\(ak=.*anonymous=True"
            ) as caught:
                await call(client)
        assert "metadata service" in str(caught.value)

    @pytest.mark.parametrize(
        ("there", "missing"),
        [("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")],
    )
    async def test_of_half_credentials_the_missing_half_is_named(
        self, there: str, missing: str, obs_server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(there, "test-secret-value")
        async with Client(Config(endpoint=obs_server.endpoint)) as client:
            with pytest.raises(
                ConfigError, match=f"getObject s3://bucket/k: {there} is set .*{missing} is not"
            ) as caught:
                await client.get_object("bucket", "k")
        assert "test-secret-value" not in str(caught.value)

    async def test_a_credential_file_that_cannot_be_read_is_named_and_not_quoted(
        self, obs_server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "credentials"
        file.write_text("test-secret-value {")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        async with Client(Config(endpoint=obs_server.endpoint)) as client:
            with pytest.raises(
                ConfigError, match=f"{file} is neither an INI file nor JSON"
            ) as error:
                await client.get_object("bucket", "k")
        assert "test-secret-value" not in str(error.value)

    async def test_a_clock_that_cannot_be_corrected_is_blamed(self) -> None:
        date = formatdate(time.time() - 86_400, usegmt=True)
        with FaultyServer(always=refusal(403, "RequestTimeTooSkewed", date=date)) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(
                    AccessDenied, match=r"getObject s3://bucket/k: .*clock of this machine is wrong"
                ):
                    await client.get_object("bucket", "k")


class TestPlaces:
    """Names of what is not there, or cannot be."""

    async def test_a_missing_bucket_is_not_found(self, server_config: Config) -> None:
        async with Client(server_config) as client:
            with pytest.raises(
                NotFound, match="putContent s3://missing-bucket/k: 404 NoSuchBucket"
            ):
                await client.put_object("missing-bucket", "k", b"")

    async def test_a_key_that_is_too_long_is_refused_by_the_store(
        self, obs_bucket: str, server_config: Config
    ) -> None:
        async with Client(server_config) as client:
            with pytest.raises(ResponseError, match="KeyTooLong"):
                await client.put_object(obs_bucket[5:], "k" * 1100, b"")

    async def test_a_key_that_is_no_text_is_refused(self, server_config: Config) -> None:
        # What os.fsdecode makes of a file name that is not UTF-8.
        async with Client(server_config) as client:
            with pytest.raises(ObsError, match="key"):
                await client.put_object("bucket", "caf\udce9", b"")

    @pytest.mark.parametrize("url", ["gs://bucket/key", "file:///tmp/x", "https://host/x"])
    async def test_an_unknown_scheme_is_refused_with_those_that_are_known(self, url: str) -> None:
        with pytest.raises(ConfigError, match="is not supported; write s3://") as caught:
            await aioobs.file.exists(url)
        assert url in str(caught.value)

    async def test_a_url_without_a_bucket_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"s3:///key: .*no bucket; write s3://bucket/key"):
            await aioobs.file.read("s3:///key")

    async def test_a_url_without_a_key_cannot_be_read(self, obs_bucket: str) -> None:
        with pytest.raises(ObsError) as caught:
            await aioobs.file.read(obs_bucket)
        assert obs_bucket in str(caught.value)


class TestArguments:
    """Values of another type, which Python would take for something else or trip over later."""

    @pytest.mark.parametrize("body", ["text", 3, io.BytesIO(b"file"), array.array("i", [1, 2])])
    async def test_a_body_that_is_not_bytes_is_refused_before_anything_is_sent(
        self, server_config: Config, body: Any
    ) -> None:
        async with Client(server_config) as client:
            with pytest.raises(TypeError, match=r"the body is of type .*; give bytes"):
                await client.put_object("bucket", "k", body)
            with pytest.raises(TypeError, match="the body is of type"):
                await client.upload_part("bucket", "k", "id", 1, body)
            assert client.stats().requests == 0

    @pytest.mark.parametrize("key", [5, b"k"])
    async def test_a_key_that_is_not_text_is_refused_before_anything_is_sent(
        self, server_config: Config, key: Any
    ) -> None:
        refused = pytest.raises(TypeError, match=f"the key {key!r} is of type .*; give a str")
        async with Client(server_config) as client:
            with refused:
                await client.put_object("bucket", key, b"")
            with refused:
                await client.get_object("bucket", key)
            with refused:
                await client.delete_objects("bucket", ["k", key])
            assert client.stats().requests == 0

    async def test_metadata_that_is_not_text_is_refused_before_anything_is_sent(
        self, server_config: Config
    ) -> None:
        five: Any = 5
        async with Client(server_config) as client:
            with pytest.raises(TypeError, match="'x-amz-meta-a' is of type int; give a str"):
                await client.put_object("bucket", "k", b"", metadata={"a": five})
            with pytest.raises(TypeError, match="the name of metadata 5 is of type int"):
                await client.put_object("bucket", "k", b"", metadata={five: "a"})
            assert client.stats().requests == 0

    @pytest.mark.parametrize("threads", ["8", -1, 2.5, None])
    async def test_threads_that_are_no_number_of_requests_are_refused(
        self, tmp_path: Path, threads: Any
    ) -> None:
        source, target = str(tmp_path / "none"), "s3://bucket/key"
        refused = pytest.raises(
            ConfigError, match=rf"threads={threads!r} .*; write, say, threads=16"
        )
        with refused:
            await aioobs.file.copy_parallel(source, target, threads=threads)
        with refused:
            await aioobs.plan_sync(source, target, threads=threads)
        with refused:
            await aioobs.verify(source, target, threads=threads)
        with refused:
            aioobs.file.background_sync_copy(source, target, threads=threads)

    async def test_an_async_file_says_what_to_open_it_with(self, tmp_path: Path) -> None:
        file: Any = aioobs.file.File(str(tmp_path / "file"), "w")
        with pytest.raises(TypeError, match="opened with async with"), file:
            pass
        async with file:
            with pytest.raises(TypeError, match="read with async for"):
                list(file)

    @pytest.mark.parametrize("data", [{"a": 1}, 3, None])
    async def test_data_that_is_neither_text_nor_bytes_is_refused(
        self, tmp_path: Path, data: Any
    ) -> None:
        for url in (str(tmp_path / "file"), "s3://bucket/key"):
            with pytest.raises(TypeError, match=f"{type(data).__name__}; give text or bytes"):
                await aioobs.file.write(url, data)

    async def test_one_name_in_the_place_of_a_list_is_not_taken_letter_by_letter(
        self, tmp_path: Path, server_config: Config
    ) -> None:
        (tmp_path / "a").mkdir()
        source, target = str(tmp_path / "a"), str(tmp_path / "b")
        with pytest.raises(ConfigError, match=r"write file_list=\['x.txt'\]"):
            await aioobs.file.copy_parallel(source, target, file_list="x.txt")
        with pytest.raises(ConfigError, match=r"write exclude=\['\*.tmp'\]"):
            await aioobs.sync_tree(source, target, exclude="*.tmp")
        async with Client(server_config) as client:
            with pytest.raises(ConfigError, match=r"write keys=\['key'\]"):
                await client.delete_objects("bucket", "key")

    async def test_the_source_of_a_copy_that_is_one_text_is_refused(
        self, server_config: Config
    ) -> None:
        source: Any = "bucket/key"
        async with Client(server_config) as client:
            with pytest.raises(ConfigError, match=r"write \('bucket', 'key'\)"):
                await client.copy_object(source, "bucket", "copy")

    async def test_an_endpoint_in_the_place_of_a_config_is_refused(self) -> None:
        endpoint: Any = "http://localhost:9000"
        with pytest.raises(ConfigError, match=r"write Client\(Config\(endpoint="):
            Client(endpoint)


@pytest.mark.usefixtures("session")
class TestEndpoints:
    """Endpoints that are down, are something else, or speak otherwise."""

    async def test_without_an_endpoint_the_error_says_how_to_give_one(self) -> None:
        async with connect("") as client:
            with pytest.raises(ConfigError, match=r"S3_ENDPOINT.*set_auth\(server="):
                await client.get_object("bucket", "k")

    @call
    async def test_an_endpoint_that_is_down_is_named(
        self, call: Callable[[Client], Awaitable[object]]
    ) -> None:
        (port,) = free_ports(1)
        async with connect(f"http://127.0.0.1:{port}") as client:
            with pytest.raises(
                ConnectionFailed,
                match=rf"s3://bucket.*nothing listens at 127\.0\.0\.1:{port}.*endpoint right",
            ) as caught:
                await call(client)
        assert caught.value.kind == "refused"

    async def test_an_unknown_host_is_named(self) -> None:
        async with connect("http://no-such-host.invalid") as client:
            with pytest.raises(
                ConnectionFailed, match=r"getObject s3://bucket/k: .*no-such-host\.invalid"
            ) as caught:
                await client.get_object("bucket", "k")
        assert caught.value.kind in ("unknown host", "unreachable")

    @call
    async def test_a_web_server_is_no_store(
        self, call: Callable[[Client], Awaitable[object]], web: str
    ) -> None:
        async with connect(web) as client:
            with pytest.raises(ObsError, match="s3://bucket"):
                await call(client)

    async def test_a_web_server_has_no_buckets(self, web: str) -> None:
        async with connect(web) as client:
            with pytest.raises(ProtocolError, match=r"listBuckets s3://.*S3"):
                await client.list_buckets()

    async def test_a_login_page_is_no_object(self) -> None:
        page = answer(body="<html>please log in</html>", content_type="text/html")
        with FaultyServer(always=page) as server:
            async with connect(server.endpoint) as client:
                for call in CALLS:
                    with pytest.raises(ProtocolError, match="s3://bucket"):
                        await call(client)

    async def test_what_does_not_speak_http_is_no_store(self) -> None:
        banner = Answer(b"SSH-2.0-OpenSSH_9.9\r\n", "close")
        with FaultyServer(always=banner) as server:
            async with connect(server.endpoint) as client:
                for call in CALLS:
                    with pytest.raises(ConnectionFailed, match=r"s3://bucket.*127\.0\.0\.1:.*HTTP"):
                        await call(client)

    async def test_a_certificate_for_another_name_is_not_accepted(
        self, tls_context: ssl.SSLContext, tmp_path: Path
    ) -> None:
        with FaultyServer(tls=tls_context) as server:
            async with connect(server.endpoint, verify=str(tmp_path / "ca.pem")) as client:
                with pytest.raises(
                    ConnectionFailed, match=r"getObject s3://bucket/k: .*127\.0\.0\.1"
                ) as caught:
                    await client.get_object("bucket", "k")
        assert caught.value.kind == "tls"
        assert not server.requests
        assert server.connections == 1

    async def test_https_to_a_port_that_speaks_http_fails_with_the_way_out(self, web: str) -> None:
        async with connect(web.replace("http:", "https:")) as client:
            with pytest.raises(
                ConnectionFailed, match=r"127\.0\.0\.1:\d+.*(http://|S3_USE_HTTPS=0|is_secure)"
            ) as caught:
                await client.get_object("bucket", "k")
        assert caught.value.kind == "tls"

    async def test_http_to_a_port_that_speaks_https_fails_with_the_way_out(
        self, tls_context: ssl.SSLContext
    ) -> None:
        with FaultyServer(tls=tls_context) as server:
            async with connect(server.endpoint.replace("https:", "http:")) as client:
                with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:\d+.*https"):
                    await client.get_object("bucket", "k")

    async def test_http_to_a_port_where_go_speaks_https_fails_with_what_go_says(self) -> None:
        go = answer(400, "Client sent an HTTP request to an HTTPS server.\n", end="close")
        with FaultyServer(always=go) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ObsError, match="HTTPS"):
                    await client.get_object("bucket", "k")

    @pytest.mark.parametrize("content", [None, "", "no certificate"])
    async def test_a_bad_file_of_authorities_is_named(
        self, content: str | None, tmp_path: Path
    ) -> None:
        file = tmp_path / "ca.pem"
        if content is not None:
            file.write_text(content)
        async with connect("https://127.0.0.1:1", verify=str(file)) as client:
            with pytest.raises(ConfigError, match=f"certificate authorities in '{file}'"):
                await client.get_object("bucket", "k")

    async def test_a_file_of_authorities_is_read_again_when_it_has_changed(
        self, certificates: Certificates, tmp_path: Path
    ) -> None:
        file = tmp_path / "ca.pem"
        trustme.CA().cert_pem.write_to_path(file)
        with FaultyServer(always=stored(b"1"), tls=certificates.server) as server:
            async with connect(server.endpoint, verify=str(file), attempts=1) as client:
                with pytest.raises(ConnectionFailed, match="certificate"):
                    await client.get_object("bucket", "k")
            shutil.copyfile(certificates.authority, file)
            async with connect(server.endpoint, verify=str(file)) as client:
                assert await client.get_object("bucket", "k") == b"1"

    @pytest.mark.parametrize("proxy", ["nonsense", "ftp://proxy.test", "http://"])
    async def test_a_bad_proxy_is_refused_before_anything_is_sent(self, proxy: str) -> None:
        with pytest.raises(ConfigError, match="proxy"):
            connect("http://store.test", proxy=proxy)

    async def test_a_proxy_that_is_down_is_named_and_its_password_is_not(self) -> None:
        (port,) = free_ports(1)
        proxy = f"http://user:test-password@127.0.0.1:{port}"
        async with connect("http://store.test", proxy=proxy) as client:
            with pytest.raises(ConnectionFailed, match=f"proxy.*127.0.0.1:{port}") as caught:
                await client.get_object("bucket", "k")
        assert "test-password" not in str(caught.value)

    async def test_a_proxy_that_refuses_is_an_error_with_its_status(self) -> None:
        with FaultyServer(always=answer(407)) as server:
            async with connect("http://store.test", proxy=server.endpoint) as client:
                with pytest.raises(ObsError, match=r"getObject s3://bucket/k: .*407"):
                    await client.get_object("bucket", "k")


@pytest.mark.usefixtures("session")
class TestSettings:
    """`set_auth` and the variables, as people get them wrong."""

    def test_an_unknown_timeout_is_refused_with_those_that_are_known(self) -> None:
        with pytest.raises(
            ConfigError,
            match=r"unknown operation 'getObjectMetaData'; valid are .*getObjectMetadata",
        ):
            set_auth(timeout_config={"getObjectMetaData": 1})

    @pytest.mark.parametrize("port", [0, -1, 65536])
    def test_a_bad_port_is_refused(self, port: int) -> None:
        with pytest.raises(ConfigError, match=f"port={port}"):
            set_auth(server="store.test", port=port)

    def test_a_server_with_a_path_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"'store\.test/bucket'.*https://host\[:port\]"):
            set_auth(server="store.test/bucket")

    @pytest.mark.parametrize(
        ("name", "text"),
        [("S3_USE_HTTPS", "ja"), ("S3_VERIFY_SSL", "no way"), ("S3_ENDPOINT", "ftp://store.test")],
    )
    async def test_a_malformed_variable_is_quoted(
        self, name: str, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ACCESS_KEY_ID", "test-access-key")
        monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")
        monkeypatch.setenv(name, text)
        with pytest.raises(ConfigError, match=text):
            await aioobs.file.exists("s3://bucket/key")
