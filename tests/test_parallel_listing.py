"""Long listings of a slow store, asked for from several places at once."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import pytest
from faulty import Answer, FaultyServer, Received, answer, connect, listing, refusal

from aioobs import ObsError, ProtocolError, file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAGE = 20


def by_folder(key: str) -> tuple[object, ...]:
    """Order keys as a walk through folders meets them, which some stores do."""
    return tuple(key.split("/"))


def numbered(count: int) -> list[str]:
    return [f"p/{number:06}" for number in range(count)]


def in_folders(count: int) -> list[str]:
    return [f"p/{n % 7}{'-' * (n % 3)}/{n * 7919 % 1000}/{n:05}" for n in range(count)]


def words(count: int) -> list[str]:
    chance = random.Random(1)
    return [
        f"p/{''.join(chance.choices('aZ09é_', k=chance.randint(1, 9)))}{n}" for n in range(count)
    ]


KEYS: dict[str, Callable[[int], list[str]]] = {
    "numbered": numbered,
    "in-folders": in_folders,
    "words": words,
}
ORDERS: dict[str, Callable[[str], object]] = {"of-bytes": str.encode, "of-folders": by_folder}


class Store:
    """A store that takes its time, and keeps its own order."""

    def __init__(self, keys: Sequence[str], order: Callable[[str], object], seed: int = 0) -> None:
        self.keys = sorted(keys, key=order)  # type: ignore[arg-type]
        self.requests = 0
        self._order: Callable[[str], object] = order
        self._chance = random.Random(seed)

    def __call__(self, received: Received) -> Answer:
        self.requests += 1
        time.sleep(0.006 + self._chance.random() / 100)
        token, after = received.query.get("continuation-token"), received.query.get("start-after")
        if token is not None:
            first = int(token.removeprefix("t"))
        else:
            mark: object = self._order(after) if after else None
            known = enumerate(map(self._order, self.keys))
            first = next((i for i, key in known if mark is None or key > mark), len(self.keys))  # type: ignore[operator]
        page, rest = self.keys[first : first + PAGE], self.keys[first + PAGE :]
        return answer(body=listing(*page, following=f"t{first + PAGE}" if rest else ""))


def requests() -> list[asyncio.Task[object]]:
    """Return the requests for pages that are under way."""
    return [task for task in asyncio.all_tasks() if "Chain." in repr(task.get_coro())]


async def listed(store: Store | Callable[[Received], Answer], *, idle: bool = False) -> list[str]:
    """Return the keys of a listing; *idle*: of one who comes when nothing is under way."""
    keys: list[str] = []
    with FaultyServer(always=store) as server:
        async with connect(server.endpoint, page_size=PAGE, list_version=2, attempts=1) as client:
            async for page in client.list_pages("b", "p/"):
                keys += page.objects.keys
                while idle and requests():
                    await asyncio.sleep(0)
    return keys


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("idle", [False, True], ids=["busy", "idle"])
async def test_each_key_comes_once_and_in_the_order_of_the_store(
    keys: str, order: str, *, idle: bool
) -> None:
    store = Store(KEYS[keys](100 * PAGE + 3), ORDERS[order])
    assert await listed(store, idle=idle) == store.keys
    assert store.requests < 160


async def test_it_takes_less_time_than_one_page_after_the_other() -> None:
    there: list[int] = [0, 0]

    def count(received: Received) -> Answer:
        there[0] += 1
        there[1] = max(there)
        try:
            return store(received)
        finally:
            there[0] -= 1

    store = Store(numbered(100 * PAGE), str.encode)
    assert await listed(count) == store.keys
    assert there[1] >= 4


async def test_a_page_that_fails_ends_the_listing_with_its_error() -> None:
    store = Store(numbered(60 * PAGE), str.encode)

    def fail(received: Received) -> Answer:
        found = store(received)
        return refusal(403, "AccessDenied") if store.requests >= 30 else found

    with pytest.raises(ObsError, match="AccessDenied"):
        await listed(fail)


async def test_a_store_that_goes_round_in_circles_is_told() -> None:
    store = Store(numbered(60 * PAGE), str.encode)

    def circle(received: Received) -> Answer:
        if int(received.query.get("continuation-token", "t0")[1:]) >= 40 * PAGE:
            return answer(body=listing(*store.keys[:PAGE], following=f"t{PAGE}"))
        return store(received)

    with pytest.raises(ProtocolError, match="round in circles"):
        await listed(circle)


async def test_who_has_enough_leaves_nothing_behind() -> None:
    with FaultyServer(always=Store(numbered(100 * PAGE), str.encode)) as server:
        async with connect(server.endpoint, page_size=PAGE, list_version=2) as client:
            pages = client.list_pages("b", "p/")
            for _ in range(16):
                await anext(pages)
            await pages.aclose()  # type: ignore[attr-defined]
            assert requests() == []


def test_a_loop_that_ends_before_a_listing_closes_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []

    async def first(url: str) -> str:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: said.append(context))
        async for entry in file.scan_dir(url):
            return entry.name
        return ""

    with FaultyServer(always=Store(numbered(4 * PAGE), str.encode)) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        monkeypatch.setenv("ACCESS_KEY_ID", "test-access-key")
        monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")
        assert asyncio.run(first("s3://b/p")) == "000000"

    assert said == []
