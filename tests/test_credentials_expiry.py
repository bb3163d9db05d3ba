"""Temporary credentials that expire in the middle of a copy."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import pytest
from copies import harvest
from faulty import Answer, FaultyServer, Received, forward, refusal
from metadata_server import KEY_PATH, MetadataServer, amazon_key, security_key

import aioobs
from aioobs.errors import ResponseError
from aioobs.s3.auth.credentials import CredentialChain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Give = Callable[[str], None]
    """Has a source give the credentials of this name from now on."""
    Source = Callable[[pytest.MonkeyPatch, Path, MetadataServer], Give]

pytest_plugins = ["verbs"]
pytestmark = pytest.mark.usefixtures("session")

FILES = {f"{number:03}": b"content of %d" % number for number in range(150)}
BIG = {"big": bytes(range(256)) * (28 << 12)}  # four parts of 8 MiB
SOURCES: dict[str, Source] = {}


def source(make: Source) -> Source:
    SOURCES[make.__name__] = make
    return make


def section(profile: str, name: str) -> str:
    keys = f"aws_access_key_id = {name}\naws_secret_access_key = secret-of-{name}\n"
    return f"[{profile}]\n{keys}aws_session_token = token-of-{name}\n"


@source
def environment(monkeypatch: pytest.MonkeyPatch, _: Path, __: MetadataServer) -> Give:
    def give(name: str) -> None:
        monkeypatch.setenv("ACCESS_KEY_ID", name)
        monkeypatch.setenv("SECRET_ACCESS_KEY", f"secret-of-{name}")
        monkeypatch.setenv("SECURITY_TOKEN", f"token-of-{name}")

    return give


@source
def file(monkeypatch: pytest.MonkeyPatch, folder: Path, _: MetadataServer) -> Give:
    path = folder / "credentials.json"
    monkeypatch.setenv("CREDENTIAL_PROFILES_FILE", str(path))

    def give(name: str) -> None:
        path.write_text(security_key(name, 3600))

    return give


@source
def profile(monkeypatch: pytest.MonkeyPatch, folder: Path, _: MetadataServer) -> Give:
    path = folder / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_PROFILE", "work")

    def give(name: str) -> None:
        path.write_text(section("default", "another") + section("work", name))

    return give


@source
def file_being_written(monkeypatch: pytest.MonkeyPatch, folder: Path, _: MetadataServer) -> Give:
    path = folder / "credentials"
    monkeypatch.setenv("CREDENTIAL_PROFILES_FILE", str(path))

    def give(name: str) -> None:
        if name == "old":
            path.write_text(section("default", name))
        else:
            path.write_text("[default]\n")
            threading.Timer(0.3, path.write_text, (section("default", name),)).start()

    return give


@source
def ecs(monkeypatch: pytest.MonkeyPatch, _: Path, service: MetadataServer) -> Give:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    # Its address is the same everywhere, and cannot be set.
    defaults = CredentialChain.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "ecs_endpoint", service.url)
    return lambda name: service.give(name, 3600)


@source
def container(monkeypatch: pytest.MonkeyPatch, _: Path, service: MetadataServer) -> Give:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/container")

    def give(name: str) -> None:
        service.answers["GET /container"] = (200, amazon_key(name))

    return give


@source
def set_auth(monkeypatch: pytest.MonkeyPatch, _: Path, __: MetadataServer) -> Give:
    def give(name: str) -> None:
        token = f"token-of-{name}"
        aioobs.file.set_auth(ak=name, sk=f"secret-of-{name}", security_token=token)

    return give


class Expiring:
    """Passes on what is signed with credentials that are good."""

    def __init__(self, upstream: str, after: int, renew: Callable[[], None]) -> None:
        self._pass_on = forward(upstream)
        self._after = after
        self._renew = renew
        self._lock = threading.Lock()
        self._seen = 0
        self.refused = 0

    def __call__(self, received: Received) -> Answer:
        """Answer a request."""
        found = re.search(r"Credential=(\w+)/", received.headers["authorization"])
        assert found is not None
        with self._lock:
            self._seen += 1
            if self._seen == self._after:
                self._renew()
            if self._seen >= self._after and found[1] == "old":
                self.refused += 1
                return refusal(400, "ExpiredToken")
        assert received.headers["x-amz-security-token"] == f"token-of-{found[1]}"
        return self._pass_on(received)


@pytest.fixture
def service() -> Iterator[MetadataServer]:
    with MetadataServer() as metadata:
        yield metadata


@pytest.fixture
def give(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    service: MetadataServer,
    moto_bucket: str,
) -> Give:
    """Give a source of credentials, and no other."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "settings").mkdir()
    made: Give = SOURCES[request.param](monkeypatch, tmp_path / "settings", service)
    return made


@pytest.mark.parametrize(
    ("give", "files"),
    [*((name, FILES) for name in SOURCES), ("file", BIG), ("set_auth", BIG)],
    ids=[*SOURCES, "file-big", "set_auth-big"],
    indirect=["give"],
)
async def test_a_copy_goes_on_with_newer_credentials(
    give: Give,
    files: dict[str, bytes],
    moto_bucket: str,
    moto_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    service: MetadataServer,
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, content in files.items():
        (tree / name).write_bytes(content)
    store = Expiring(moto_server, 50 if files is FILES else 3, lambda: give("new"))
    with FaultyServer(always=store) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        give("old")
        await aioobs.file.copy_parallel(tree, f"{moto_bucket}/copy", is_processing=False)
        assert 1 <= store.refused <= 20, "each worker learns it once"
        assert await harvest(aioobs.file, f"{moto_bucket}/copy") == files
    for path in (f"GET {KEY_PATH}", "GET /container"):
        assert service.count(path) in (0, 2), "one search for all that were refused"


@pytest.mark.parametrize("give", ["environment", "file", "set_auth"], indirect=True)
async def test_without_newer_credentials_the_error_says_so(
    give: Give,
    moto_bucket: str,
    moto_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "tree").mkdir()
    for name, content in FILES.items():
        (tmp_path / "tree" / name).write_bytes(content)
    store = Expiring(moto_server, 50, lambda: None)
    with FaultyServer(always=store) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        give("old")
        with pytest.raises(ResponseError, match="the temporary credentials have expired"):
            await aioobs.file.copy_parallel(
                tmp_path / "tree", f"{moto_bucket}/copy", is_processing=False
            )
