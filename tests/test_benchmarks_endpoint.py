"""The endpoint of the benchmarks that costs next to nothing: as much of S3 as clients need."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from aioobs import Client, Config, NotFound
from benchmarks.endpoint import FastEndpoint, obstacle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.skipif(bool(obstacle()), reason=f"no fast endpoint here: {obstacle()}")

ROOT = Path(__file__).parent.parent
MIB = 1 << 20


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Have the program built once for this module."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("cache"))
        patch.setenv("XDG_CACHE_HOME", folder)
        yield folder


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def server(request: pytest.FixtureRequest, cache: str) -> Iterator[FastEndpoint]:
    """Give the endpoint, without TLS and with it."""
    if request.param and not Path("/usr/include/openssl/ssl.h").exists():
        pytest.skip("the headers of OpenSSL are not installed")
    with FastEndpoint(tls=request.param) as found:
        yield found


@pytest.fixture
async def client(server: FastEndpoint) -> AsyncIterator[Client]:
    """Give a client of it."""
    async with Client(config(server)) as found:
        yield found


def config(server: FastEndpoint, **options: object) -> Config:
    given = {"access_key": "test-access-key", "secret_key": "test-secret-key", **options}
    return Config(endpoint=server.endpoint, verify=server.ca_file or True, **given)  # type: ignore[arg-type]


async def test_an_object_has_the_size_that_was_put_and_bytes_that_ranges_agree_on(
    client: Client,
) -> None:
    size = 65 * MIB + 3  # more than there is of the pattern
    await client.put_object("bucket", "key with space", bytes(size))
    assert (await client.head_object("bucket", "key with space")).size == size
    whole = await client.get_object("bucket", "key with space")
    assert len(whole) == size
    for start, stop in (
        (0, 10),
        (MIB - 1, MIB + 1),
        (64 * MIB - 5, 64 * MIB + 5),
        (size - 1, size),
    ):
        part = await client.get_object("bucket", "key with space", start=start, stop=stop)
        assert part == whole[start:stop]
    await client.delete_object("bucket", "key with space")
    with pytest.raises(NotFound):
        await client.get_object("bucket", "key with space")


async def test_pages_follow_each_other_and_fold_at_the_delimiter(
    server: FastEndpoint, client: Client
) -> None:
    server.fill("bucket", "many/", 2500, 7)
    server.fill("bucket", "other/a&b/", 3, 1)
    pages = [page async for page in client.list_pages("bucket", "many/")]
    assert [len(page.objects) for page in pages] == [1000, 1000, 500]
    keys = [item.key for page in pages for item in page.objects]
    assert keys == [f"many/{number:08}" for number in range(2500)]
    assert pages[0].objects[0].size == 7
    (folded,) = [page async for page in client.list_pages("bucket", delimiter="/")]
    assert (list(folded.objects), folded.prefixes) == ([], ["many/", "other/"])
    (inner,) = [page async for page in client.list_pages("bucket", "other/", delimiter="/")]
    assert inner.prefixes == ["other/a&b/"]
    server.clear("bucket")
    assert [page.objects async for page in client.list_pages("bucket")] == [[]]


async def test_parts_copies_and_batches_of_deletions_work(
    server: FastEndpoint, client: Client
) -> None:
    upload = await client.create_multipart_upload("bucket", "parts")
    etags = {
        number: await client.upload_part("bucket", "parts", upload, number, bytes(5 * MIB))
        for number in (1, 2)
    }
    await client.complete_multipart_upload("bucket", "parts", upload, etags, size=10 * MIB)
    await client.copy_object(("bucket", "parts"), "bucket", "copy")
    assert (await client.head_object("bucket", "copy")).size == 10 * MIB
    assert await client.delete_objects("bucket", ["parts", "copy"]) == []
    assert [page.objects async for page in client.list_pages("bucket")] == [[]]


async def test_requests_are_counted(server: FastEndpoint, client: Client) -> None:
    server.fill("bucket", "", 3, 1)
    before = server.requests()
    for number in range(3):
        await client.head_object("bucket", f"{number:08}")
    assert server.requests() - before == 3


async def test_answers_are_late_by_as_much_as_wanted(cache: str) -> None:
    with FastEndpoint(delay=0.2) as server:
        server.fill("bucket", "", 1, 1)
        async with Client(config(server)) as client:
            begun = time.monotonic()
            await client.head_object("bucket", f"{0:08}")
            assert time.monotonic() - begun >= 0.2


def test_the_endpoint_ends_with_whoever_started_it_however_that_dies(cache: str) -> None:
    program = """
import os
from benchmarks.endpoint import FastEndpoint
with FastEndpoint() as server:
    print(server.endpoint, flush=True)
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    address = urlsplit(done.stdout.strip())
    assert address.port, done.stderr
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", address.port)).close()
        except ConnectionRefusedError:
            return
    pytest.fail("it still answers")


def test_without_a_compiler_seaweedfs_is_taken_and_said(tmp_path: Path) -> None:
    environment = {**os.environ, "CXX": "no-such-compiler", "PATH": "", "TMPDIR": str(tmp_path)}
    options = ["--store", "fast", "--trees", "small", "--scale", "0.001", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "copy_parallel", *options, "--peers", "aioobs"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "No fast endpoint, SeaweedFS instead: there is no C++ compiler." in done.stderr
