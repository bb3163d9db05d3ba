"""The last bytes of an object, of which nobody has asked how long it is."""

from __future__ import annotations

import pytest
from faulty import RESET, FaultyServer, answer, connect, forward, refusal, stored

from aioobs import Client, ConfigError, ObjectChanged, ReadError
from aioobs.filesystem import ObsFileSystem
from aioobs.sync import file

pytest_plugins = ["verbs"]

SERVERS = ("seaweedfs", "moto", "swift")
CONTENT = bytes(range(256)) * 1000


@pytest.mark.parametrize("size", [0, 1, 5, 3000])
async def test_a_negative_start_counts_from_the_end(bucket: str, size: int) -> None:
    name = bucket.partition("://")[2]
    async with Client() as client:
        await client.put_object(name, "k", CONTENT[:size])
        for count in (1, 5, 4000):
            found = await client.get_object(name, "k", start=-count)
            assert found == CONTENT[:size][-count:]


async def test_the_end_is_read_on_where_it_broke() -> None:
    start = len(CONTENT) - 100_000
    whole = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
    first = answer(206, CONTENT[start:], etag='"version-1"', content_range=whole)
    with FaultyServer(first.cut(body=70_000, end="reset"), always=stored(CONTENT)) as server:
        async with connect(server.endpoint) as client:
            assert await client.get_object("b", "k", start=-100_000) == CONTENT[start:]
    asked = [(one.headers["range"], one.headers.get("if-match")) for one in server.requests]
    assert asked[0] == ("bytes=-100000", None)
    assert asked[1] == (f"bytes={start + 70_000}-", '"version-1"')


async def test_the_end_of_another_version_is_never_put_behind_it() -> None:
    whole = "bytes 900-999/1000"
    first = answer(206, bytes(100), etag='"version-0"', content_range=whole)
    changed = refusal(412, "PreconditionFailed")
    with FaultyServer(first.cut(body=50, end="reset"), always=changed) as server:
        async with connect(server.endpoint) as client:
            with pytest.raises(ObjectChanged):
                await client.get_object("b", "k", start=-100)


async def test_nothing_is_lost_by_a_reset_before_the_answer() -> None:
    first = answer(206, b"89", etag='"1"', content_range="bytes 8-9/10")
    with FaultyServer(RESET, always=first) as server:
        async with connect(server.endpoint) as client:
            assert await client.get_object("b", "k", start=-2) == b"89"
    assert [one.headers["range"] for one in server.requests] == ["bytes=-2"] * 2


async def test_a_store_that_sends_all_of_it_is_believed_as_far_as_that_goes() -> None:
    with FaultyServer(always=answer(200, b"0123456789", etag='"1"')) as server:
        async with connect(server.endpoint) as client:
            assert await client.get_object("b", "k", start=-3) == b"789"


@pytest.mark.parametrize("found", ["bytes 6-8/10", "bytes 7-9/*", "bytes 0-2/10"])
async def test_another_range_is_no_end(found: str) -> None:
    with FaultyServer(always=answer(206, b"678", etag='"1"', content_range=found)) as server:
        async with connect(server.endpoint, attempts=2) as client:
            with pytest.raises(ReadError, match="asked for the last 3 bytes"):
                await client.get_object("b", "k", start=-3)


async def test_an_end_has_no_stop() -> None:
    async with connect("http://127.0.0.1:1") as client:
        with pytest.raises(ConfigError, match="start=-3 counts from the end, and takes no stop"):
            await client.get_object("b", "k", start=-3, stop=5)


def test_the_file_system_asks_once_for_an_end_and_for_one_version(
    moto_bucket: str, moto_server: str
) -> None:
    file.write(f"{moto_bucket}/k", b"0123456789")
    name = moto_bucket.partition("://")[2]
    with FaultyServer(always=forward(moto_server)) as server:
        fs = ObsFileSystem(endpoint=server.endpoint, part_size=5 << 20, skip_instance_cache=True)
        assert fs.cat_file(f"{name}/k", -4) == b"6789"
        assert [one.method for one in server.requests] == ["GET"]
        assert fs.cat_file(f"{name}/k", -4, -1) == b"678"
        assert fs.cat_file(f"{name}/k", 1, -1) == b"12345678"
        assert "if-match" in server.requests[-1].headers
        assert fs.cat_file(f"{name}/k", -(6 << 20)) == b"0123456789"
