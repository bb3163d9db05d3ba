"""Other clients meet the same faults; docs/reliability-peers.md shows what is recorded of them."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from matrix.faults import FAULTS
from matrix.peers.operations import OPERATIONS
from matrix.peers.record import PAGES, SCHEDULES, TRIED, load, page_with
from matrix.peers.trial import BAD, PEERS, Bench

from aioobs.config import Config
from aioobs.s3.client import Client

if TYPE_CHECKING:
    from pathlib import Path

    from aioobs.testing import LocalServer


@pytest.mark.parametrize("peer", ["aioobs", "boto3"])
async def test_a_client_meets_a_fault(obs_server: LocalServer, tmp_path: Path, peer: str) -> None:
    bucket = f"peers-{secrets.token_hex(6)}"
    obs_server.create_bucket(bucket)
    config = Config(
        endpoint=obs_server.endpoint,
        access_key=obs_server.access_key,
        secret_key=obs_server.secret_key,
    )
    fault, schedule, operation = "closed in the body", "once", "get"
    with ThreadPoolExecutor(1) as threads:
        async with Client(config) as direct:
            bench = Bench(obs_server, bucket, tmp_path, direct, threads)
            seen = await bench.verdict(peer, operation, FAULTS[fault], schedule)
    obs_server.delete_bucket(bucket)

    assert seen is not None
    assert list(filter(None, seen))[:2] == load()["seen"][fault][schedule][peer][operation]


def test_what_is_recorded_of_clients_is_what_is_tried() -> None:
    record = load()
    assert record["versions"].keys() == PEERS.keys()
    assert list(record["seen"]) == TRIED
    for times in record["seen"].values():
        assert list(times) == list(SCHEDULES)
        for found in times.values():
            assert found.keys() == PEERS.keys()
            for peer, operations in found.items():
                assert operations.keys() <= {
                    name for name in OPERATIONS if hasattr(PEERS[peer], name)
                }


def test_this_client_does_nothing_bad() -> None:
    bad = {
        (fault, time, operation)
        for fault, times in load()["seen"].items()
        for time, found in times.items()
        for operation, (verdict, *_) in found["aioobs"].items()
        if verdict in BAD and not FAULTS[fault].unnoticed
    }
    assert bad == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_show_what_is_recorded_of_clients(page: Path) -> None:
    assert page.read_text() == page_with(page.read_text(), load())
