"""What is told of requests: counts, hooks, logs and spans, of single calls and of queued ones."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from faulty import RESET, STALL, FaultyServer, answer, connect, forward, refusal
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import aioobs
import aioobs.file
import aioobs.otel
import aioobs.sync
from aioobs import Attempt, Call, Client, Config, NotFound, ObsError, Observer, OperationTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from faulty import Answer

GOOD = answer(etag='"1"', x_amz_request_id="request-9")
FILES = 40


@pytest.fixture
def front(obs_bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """Give a proxy before the store that has all requests."""
    with FaultyServer(always=forward(os.environ["S3_ENDPOINT"])) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        yield server


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give a folder of small files, of 100 bytes each."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:02}").write_bytes(b"x" * 100)
    return folder


@pytest.fixture
def calls() -> Iterator[list[Call]]:
    """Give what the client of the verbs does."""
    seen: list[Call] = []
    hooks = aioobs.current_client().on_call
    hooks.append(seen.append)
    yield seen
    hooks.remove(seen.append)


# Counts


async def test_requests_and_bytes_are_counted_by_operation(obs_bucket: str) -> None:
    bucket = obs_bucket.removeprefix("s3://")
    async with Client(Config.from_env()) as client:
        assert client.stats().requests == 0
        await client.put_object(bucket, "k", b"content")
        for _ in range(3):
            await client.get_object(bucket, "k", start=4)
        with pytest.raises(NotFound):
            await client.head_object(bucket, "other")
        stats = client.stats()

    assert {name: one.requests for name, one in stats.operations.items()} == {
        "getObject": 3,
        "getObjectMetadata": 1,
        "putContent": 1,
    }
    assert (stats.requests, stats.sent, stats.received) == (5, 7, 9)
    assert (stats.retries, stats.failures) == (0, 0)
    assert sum(stats.latency.values()) == 5
    assert list(stats.latency) == sorted(stats.latency)
    assert math.inf in stats.latency


async def test_every_request_of_a_copy_is_counted_once(
    front: FaultyServer, obs_bucket: str, tree: Path, tmp_path: Path
) -> None:
    before = aioobs.current_client().stats()
    await aioobs.file.copy_parallel(str(tree), f"{obs_bucket}/a", is_processing=False)
    await aioobs.file.copy_parallel(f"{obs_bucket}/a", f"{obs_bucket}/b", is_processing=False)
    await aioobs.file.copy_parallel(f"{obs_bucket}/b", str(tmp_path / "c"), is_processing=False)
    stats = aioobs.current_client().stats()

    assert stats.requests - before.requests == len(front.requests)
    for name in ("putContent", "copyObject", "getObject"):
        earlier = before.operations.get(name, aioobs.Stats()).requests
        assert stats.operations[name].requests - earlier == FILES
    assert stats.sent - before.sent == FILES * 100
    assert stats.received - before.received > FILES * 100  # listings are among it


async def test_what_breaks_among_queued_requests_is_counted_once(
    front: FaultyServer, obs_bucket: str, tree: Path, calls: list[Call]
) -> None:
    before = aioobs.current_client().stats()
    passed_on = forward(front.endpoint)

    def step(received: Any) -> Answer:
        tried = [request.path for request in server.requests].count(received.path)
        if tried == 1 and received.path.endswith(("/07", "/23")):
            return RESET if received.path.endswith("/07") else refusal(503, "SlowDown")
        return passed_on(received)

    with FaultyServer(always=step) as server:
        os.environ["S3_ENDPOINT"] = server.endpoint
        await aioobs.file.copy_parallel(str(tree), f"{obs_bucket}/a", is_processing=False)
        stats = aioobs.current_client().stats()

        assert stats.requests - before.requests == len(server.requests)
    assert stats.retries - before.retries == 2
    assert stats.failures - before.failures == 2
    puts = [call for call in calls if call.operation == "putContent"]
    assert len(puts) == FILES
    assert sorted(len(call.attempts) for call in puts) == [1] * (FILES - 2) + [2, 2]


@pytest.mark.usefixtures("session")
async def test_counts_of_the_verbs_go_on_over_set_auth_and_are_those_of_both_apis(
    obs_bucket: str,
) -> None:
    before = aioobs.current_client().stats().requests
    await aioobs.file.write(f"{obs_bucket}/a", "one")
    first = aioobs.current_client()
    aioobs.file.set_auth(retry=3)
    assert aioobs.current_client() is not first
    await asyncio.to_thread(aioobs.sync.file.write, f"{obs_bucket}/b", "two")

    blocking = aioobs.sync.current_client()
    assert isinstance(blocking, aioobs.sync.Client)
    assert blocking.stats() == aioobs.current_client().stats()
    assert blocking.stats().requests - before == 2
    assert blocking.on_call is aioobs.current_client().on_call


async def test_clients_may_count_together() -> None:
    observer = Observer()
    with FaultyServer(always=GOOD) as server:
        for _ in range(2):
            given: dict[str, Any] = {"access_key": "a", "secret_key": "b"}
            config = Config(endpoint=server.endpoint, **given)
            async with Client(config, observer=observer) as client:
                await client.put_object("b", "k", b"x")
    assert observer.stats().operations["putContent"].requests == 2


# Hooks and logs


async def test_each_attempt_is_told_and_each_retry_logged(caplog: pytest.LogCaptureFixture) -> None:
    attempts: list[Attempt] = []
    calls: list[Call] = []
    slow = refusal(503, "SlowDown", retry_after="0.2")
    with (
        FaultyServer(RESET, slow, GOOD) as server,
        caplog.at_level(logging.INFO, "aioobs.request"),
    ):
        async with connect(server.endpoint) as client:
            client.on_attempt.append(attempts.append)
            client.on_call.append(calls.append)
            await client.put_object("b", "k", b"content")
            stats = client.stats()

    (call,) = calls
    assert (call.operation, call.url, call.error) == ("putContent", "s3://b/k", None)
    assert call.attempts == tuple(attempts)
    assert call.seconds >= 0.2
    assert [attempt.number for attempt in attempts] == [1, 2, 3]
    assert [attempt.status for attempt in attempts] == [None, 503, 200]
    assert [attempt.reason for attempt in attempts] == ["reset", "SlowDown", ""]
    assert [attempt.request_id for attempt in attempts] == ["", "request-7", "request-9"]
    assert [attempt.sent for attempt in attempts] == [0, 7, 7]
    assert [attempt.wait is None for attempt in attempts] == [False, False, True]
    assert attempts[1].wait == pytest.approx(0.2)
    assert (stats.requests, stats.retries, stats.failures) == (3, 2, 2)

    first, second = (vars(record) for record in caplog.records)
    assert (first["operation"], first["url"]) == ("putContent", "s3://b/k")
    assert (first["attempt"], first["reason"], first["retry_after"]) == (1, "reset", 0)
    assert (second["attempt"], second["reason"], second["request_id"]) == (
        *(2, "SlowDown"),
        "request-7",
    )
    assert second["retry_after"] == second["wait"] == pytest.approx(0.2)
    assert caplog.messages[1].startswith("attempt 2 failed, the next in 0.20 s, as the store asks")


async def test_another_way_that_a_store_teaches_is_a_retry(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = refusal(400, "AuthorizationHeaderMalformed", "<Region>moon</Region>")
    with (
        FaultyServer(wrong, GOOD) as server,
        caplog.at_level(logging.INFO, "aioobs.request"),
    ):
        async with connect(server.endpoint) as client:
            await client.put_object("b", "k", b"")
            assert (client.stats().requests, client.stats().retries) == (2, 1)
    (record,) = caplog.records
    assert vars(record)["reason"] == "region moon"
    assert vars(record)["wait"] == 0


async def test_a_call_that_fails_is_told_with_its_error() -> None:
    calls: list[Call] = []
    with FaultyServer(always=refusal(403, "AccessDenied")) as server:
        async with connect(server.endpoint) as client:
            client.on_call.append(calls.append)
            with pytest.raises(ObsError) as caught:
                await client.get_object("b", "k")
    (call,) = calls
    assert call.error is caught.value
    assert [attempt.error for attempt in call.attempts] == [caught.value]


@pytest.mark.parametrize("how", ["cancelled", "too late"])
async def test_a_call_that_is_given_up_is_told_as_well(how: str) -> None:
    calls: list[Call] = []
    limit = {"getObject": 0.2} if how == "too late" else {}
    with FaultyServer(always=STALL) as server:
        async with connect(server.endpoint, timeouts=limit) as client:
            client.on_call.append(calls.append)
            task = asyncio.create_task(client.get_object("b", "k"))
            await asyncio.to_thread(server.arrived.acquire)
            if how == "cancelled":
                task.cancel()
            with pytest.raises((asyncio.CancelledError, OperationTimeout)) as caught:
                await task
            assert client.stats().failures == client.stats().requests
    (call,) = calls
    assert type(call.error) is caught.type
    assert len(call.attempts) == len(server.requests)
    assert all(attempt.error is not None for attempt in call.attempts)


async def test_what_was_never_sent_is_no_request() -> None:
    calls: list[Call] = []
    async with Client(Config(endpoint="http://store.test")) as client:
        client.on_call.append(calls.append)
        with pytest.raises(aioobs.ConfigError):
            await client.get_object("b", "k")
        assert client.stats() == aioobs.Stats(latency=client.stats().latency)
    assert [call.attempts for call in calls] == [()]


async def test_a_hook_that_fails_harms_nobody_else(
    obs_bucket: str, tree: Path, calls: list[Call], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Attempt) -> None:
        raise ValueError("the hook's own")

    hooks = aioobs.current_client().on_attempt
    hooks.append(fail)
    try:
        await aioobs.file.copy_parallel(str(tree), f"{obs_bucket}/a", is_processing=False)
    finally:
        hooks.remove(fail)
    assert len(calls) >= FILES
    assert "the hook's own" in caplog.text
    assert {record.name for record in caplog.records} == {"aioobs.request"}


async def test_hooks_are_called_in_the_context_of_the_caller(obs_bucket: str, tree: Path) -> None:
    who = contextvars.ContextVar("who", default="nobody")
    seen: list[tuple[str, str]] = []

    def note(call: Call) -> None:
        seen.append((call.url.split("/")[3], who.get()))

    hooks = aioobs.current_client().on_call
    hooks.append(note)
    try:
        for name in ("first", "second"):  # on the connections that the first has left
            who.set(name)
            target = f"{obs_bucket}/{name}"
            await aioobs.file.copy_parallel(str(tree), target, is_processing=False)
            await asyncio.to_thread(aioobs.sync.file.write, f"{target}/one", "x")
    finally:
        hooks.remove(note)
    assert {pair for pair in seen if pair[0]} == {("first", "first"), ("second", "second")}


async def test_with_the_level_debug_every_attempt_is_logged(
    obs_bucket: str, tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "aioobs"):
        await aioobs.file.write(f"{obs_bucket}/k", "content")
        await aioobs.file.copy_parallel(str(tree), f"{obs_bucket}/a", is_processing=False)
    assert caplog.messages[0].startswith(f"putContent {obs_bucket}/k: 200 in 0.")
    puts = [record for record in caplog.records if vars(record).get("operation") == "putContent"]
    assert len(puts) == FILES + 1
    assert all(vars(record)["request_id"] for record in puts)


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("debug", ["DEBUG aioobs.request: putContent s3://b/k: reset in 0.0", "WARNING"]),
        ("WARNING", ["WARNING aioobs.request: attempt 1 failed"]),
        ("", []),
        ("loud", ["AIOOBS_LOG='loud' is not one of debug, info", "WARNING"]),
    ],
)
def test_the_environment_can_ask_for_a_log(level: str, told: list[str]) -> None:
    program = """
import logging
from aioobs.sync import file
file.set_auth(retry_wait=0)
file.write("s3://b/k", "content")
assert not logging.getLogger().handlers
"""
    with FaultyServer(RESET, always=GOOD) as server:
        store = {"S3_ENDPOINT": server.endpoint, "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **store, "AIOOBS_LOG": level},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, "")
    assert all(text in done.stderr for text in told)
    assert bool(done.stderr) == bool(told)


# Spans


async def test_spans_show_calls_and_attempts_below_what_the_program_does() -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    slow = refusal(503, "SlowDown", retry_after="0.1")
    with FaultyServer(slow, GOOD, refusal(403, "AccessDenied")) as server:
        async with connect(server.endpoint) as client:
            hook = aioobs.otel.instrument(client, tracer_provider=provider)
            with provider.get_tracer("program").start_as_current_span("work"):
                await client.put_object("b", "a/k", b"content")
                with pytest.raises(ObsError):
                    await client.list_buckets()
            client.on_call.remove(hook)
            with pytest.raises(ObsError):
                await client.list_buckets()

    first, second, put, third, listed, work = kept.get_finished_spans()
    assert [span.name for span in (work, put, first, listed)] == [
        *("work", "putContent", "putContent attempt", "listBuckets")
    ]
    parents = [span.parent and span.parent.span_id for span in (put, first, second, third, listed)]
    assert work.context is not None
    assert put.context is not None
    assert listed.context is not None
    outer, inner, last = work.context.span_id, put.context.span_id, listed.context.span_id
    assert parents == [outer, inner, inner, last, outer]
    assert put.attributes == {
        "rpc.service": "S3",
        "rpc.method": "putContent",
        "aws.s3.bucket": "b",
        "aws.s3.key": "a/k",
        "aioobs.attempts": 2,
    }
    assert first.attributes is not None
    assert second.attributes is not None
    assert first.attributes["http.response.status_code"] == 503
    assert first.attributes["aws.request_id"] == "request-7"
    assert second.attributes["http.request.resend_count"] == 1
    assert (first.status.is_ok, put.status.is_ok, listed.status.is_ok) == (False, True, False)
    assert put.start_time is not None
    assert put.end_time is not None
    assert second.start_time is not None
    assert put.end_time - put.start_time >= 100_000_000
    assert put.start_time < second.start_time < put.end_time
