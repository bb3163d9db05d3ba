"""A program as its author's type checker sees it; it is checked, and never run."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from typing import assert_type

import aioobs
import aioobs.sync as mox
from aioobs.sync import file


async def from_await(url: str) -> None:
    """Use the async verbs."""
    assert_type(await aioobs.file.read(url), str)
    assert_type(await aioobs.file.read(url, binary=True), bytes)
    assert_type(await aioobs.file.list_directory(url), list[str])
    assert_type(await aioobs.file.exists(url), bool)
    assert_type((await aioobs.file.stat(url)).length, int)
    async for entry in aioobs.file.scan_dir(url):
        assert_type(entry.name, str)
    async for root, folders, files in aioobs.file.walk(url):
        assert_type((root, folders, files), tuple[str, list[str], list[str]])
    async with aioobs.file.background_sync_copy("data", url) as sync:
        assert_type(sync.rounds, int)


async def from_client() -> None:
    """Use the operations of a store."""
    async with aioobs.Client(aioobs.Config.from_env()) as client:
        info = await client.head_object("bucket", "key")
        assert_type(info, aioobs.ObjectInfo)
        assert_type(await client.get_object("bucket", "key"), bytes)
        assert_type(await client.list_objects("bucket"), aioobs.Page)
        async for page in client.list_pages("bucket"):
            assert_type(list(page.objects), list[aioobs.Listed])


async def from_a_plan(url: str) -> None:
    """Copy in two steps."""
    plan = await aioobs.plan_copy("data", url)
    assert_type(plan, aioobs.CopyPlan)
    assert_type([job.size for job in plan], list[int | None])
    with ProcessPoolExecutor() as executor:
        await aioobs.run_copy(plan, executor=executor, progress=lambda now: now.bytes_total)


def from_a_script(url: str) -> None:
    """Use the blocking verbs."""
    assert_type(file.read(url), str)
    assert_type(file.read(url, binary=True), bytes)
    with file.scan_dir(url) as entries:
        assert_type([entry.name for entry in entries], list[str])
    for root, folders, files in mox.file.walk(url):
        assert_type((root, folders, files), tuple[str, list[str], list[str]])
    with mox.Client() as client:
        assert_type(client.head_object("bucket", "key").etag, str)
    try:
        file.read(url)
    except mox.file.MoxFileNotExistsException as error:
        assert_type(error, aioobs.NotFound)
