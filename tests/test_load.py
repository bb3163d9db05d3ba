"""Much at once: a server that is too busy, trees of which a part fails, and everything for long."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from faulty import Answer, FaultyServer, Received, Store, refusal
from matrix.soak import soak

from aioobs import TransferFailed, file
from aioobs.session import session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aioobs.testing import LocalServer

pytest_plugins = ["verbs"]
pytestmark = pytest.mark.usefixtures("session")


class Narrow:
    """Carries out two requests at a time, each of which takes a while, and refuses all others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._room = threading.Semaphore(2)
        self.refused = 0

    def __call__(self, received: Received) -> Answer:
        """Answer."""
        if not self._room.acquire(blocking=False):
            self.refused += 1
            return refusal(503, "SlowDown")
        try:
            time.sleep(0.002)
            return self._store(received)
        finally:
            self._room.release()


@pytest.fixture
def through(
    obs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Callable[[Store], Any]], Any]]:
    """Give what puts something before the store of the bucket."""
    servers: list[FaultyServer] = []

    def start(make: Callable[[Store], Any]) -> Any:
        step = make(Store(os.environ["S3_ENDPOINT"]))
        servers.append(FaultyServer(always=step).__enter__())
        monkeypatch.setenv("S3_ENDPOINT", servers[-1].endpoint)
        return step

    yield start
    for server in servers:
        server.__exit__()


def tree(folder: Path, count: int) -> dict[str, bytes]:
    """Make a tree of small files."""
    files = {f"{number % 17:02}/{number:05}": b"%d" % number for number in range(count)}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return files


async def test_a_store_that_takes_two_requests_at_a_time_gets_everything_in_the_end(
    through: Callable[..., Narrow], obs_bucket: str, tmp_path: Path
) -> None:
    files = tree(tmp_path / "source", 200)
    session.set({"retry_wait": 0.02})
    narrow = through(Narrow)
    await file.copy_parallel(tmp_path / "source", f"{obs_bucket}/tree", threads=32)
    await file.copy_parallel(f"{obs_bucket}/tree", tmp_path / "copy", threads=32)

    assert narrow.refused > 10
    assert {name: (tmp_path / "copy" / name).read_bytes() for name in files} == files


@pytest.mark.parametrize(
    ("direction", "count"),
    [
        ("up", 1000),
        pytest.param("down", 10_000, marks=[pytest.mark.slow, pytest.mark.timeout(240)]),
    ],
)
async def test_of_a_tree_exactly_those_files_fail_that_cannot_be_copied(
    through: Callable[..., Any], obs_bucket: str, tmp_path: Path, count: int, direction: str
) -> None:
    files = tree(tmp_path / "source", count)
    bad = {name for number, name in enumerate(files) if number % 100 == 7}
    session.set({"attempts": 2, "retry_wait": 0.001})
    if direction == "down":
        await file.copy_parallel(tmp_path / "source", f"{obs_bucket}/source")

    def make(store: Store) -> Callable[[Received], Answer]:
        def step(received: Received) -> Answer:
            if any(received.path.endswith(f"/{name}") for name in bad):
                return refusal(500, "InternalError")
            return store(received)

        return step

    through(make)
    source, target = str(tmp_path / "source"), f"{obs_bucket}/target"
    if direction == "down":
        source, target = f"{obs_bucket}/source", str(tmp_path / "target")
    with pytest.raises(TransferFailed, match=f"{len(bad)} of {count} files") as caught:
        await file.copy_parallel(source, target, threads=32)

    failed = {
        getattr(error, "url", "").rpartition("/source/")[2] for error in caught.value.failures
    }
    assert failed == bad or {name.rpartition("/target/")[2] for name in failed} == bad
    found = await file.list_directory(target, recursive=True)
    assert {name for name in found if "/" in name} == files.keys() - bad


async def test_nothing_grows_while_all_goes_on_and_some_of_it_goes_wrong(
    obs_server: LocalServer, obs_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await soak(obs_server, obs_bucket.partition("://")[2], tmp_path, seconds=4)
