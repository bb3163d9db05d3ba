"""Verbs that are cancelled, wherever it hits them: they end, and nothing is half done or left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from faulty import FaultyServer, Store
from matrix.verbs import FAILED, SIZES, VERBS, Place
from suspensions import counted

from aioobs.config import Config
from aioobs.s3.client import Client
from aioobs.session import session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from aioobs.testing import LocalServer

pytestmark = pytest.mark.usefixtures("session")

LONGEST = 20.0  # seconds
POINTS = 12  # at which each verb is cancelled, evenly spread over all there are


@pytest.fixture
def store(
    obs_server: LocalServer, obs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """Have a store that takes whole requests, and tells when nothing is being carried out."""
    found = Store(obs_server.endpoint)
    with FaultyServer(always=found) as server:
        session.set({"endpoint": server.endpoint, "page_size": 4, **SIZES})
        yield found


@pytest.fixture
async def direct(obs_server: LocalServer, obs_bucket: str) -> AsyncIterator[Client]:
    """Give a client that reaches the store by itself."""
    async with Client(Config(endpoint=obs_server.endpoint)) as client:
        yield client


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_can_be_cancelled_wherever_it_is_suspended(
    verb: str, store: Store, direct: Client, obs_bucket: str, tmp_path: Path
) -> None:
    bucket = obs_bucket.removeprefix("s3://")

    async def cancelled_at(number: int, times: int) -> int | None:
        """Cancel the verb at a suspension; return how many it had if it came to its end."""
        place = Place(bucket, f"{verb}-{number}", tmp_path / str(number), direct)
        place.local.mkdir()
        trial = await VERBS[verb](place)
        task = asyncio.create_task(counted(trial.act(), number, times))  # type: ignore[arg-type]
        await asyncio.wait([task], timeout=LONGEST)
        assert task.done(), f"it goes on after it was cancelled at {number}"
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
        store.settle()
        await trial.check(FAILED)
        return None if task.cancelled() else task.result()

    before = asyncio.all_tasks()
    suspensions = await cancelled_at(0, 0)
    assert suspensions
    for number in range(1, suspensions, max(suspensions // POINTS, 1)):
        count = await cancelled_at(number, 1)
        assert count is None or count < number, f"the cancellation at {number} was swallowed"
    assert [upload.key async for upload in direct.list_multipart_uploads(bucket)] == []
