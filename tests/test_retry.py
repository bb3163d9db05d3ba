"""Which failures are tried again, how often and when, over a real socket."""

from __future__ import annotations

import logging
import random
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
from faulty import (
    GARBAGE,
    HALF_CLOSE,
    HANG_UP,
    RESET,
    STALL,
    Answer,
    FaultyServer,
    Received,
    answer,
    connect,
    error_document,
    refusal,
    stored,
)

from aioobs import (
    AccessDenied,
    Config,
    ConnectionFailed,
    NotFound,
    ObsError,
    OperationTimeout,
    PreconditionFailed,
    ReadError,
    ResponseError,
)
from aioobs.errors import ErrorResponse, ObjectChanged, error_for
from aioobs.s3.retry import Budget, retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("both_transports")

GOOD = answer(etag='"1"')
RETRIED = [
    (408, "RequestTimeout"),
    (409, "OperationAborted"),
    (429, "TooManyRequests"),
    (500, "InternalError"),
    (502, ""),
    (503, "SlowDown"),
    (503, "ServiceUnavailable"),
    (504, ""),
    (400, "RequestTimeout"),
]
REFUSED: list[tuple[int, str, type[ObsError]]] = [
    (400, "InvalidArgument", ResponseError),
    (401, "Unauthorized", AccessDenied),
    (403, "AccessDenied", AccessDenied),
    (404, "NoSuchKey", NotFound),
    (404, "NoSuchBucket", NotFound),
    (405, "MethodNotAllowed", ResponseError),
    (409, "BucketNotEmpty", ResponseError),
    (411, "MissingContentLength", ResponseError),
    (412, "PreconditionFailed", PreconditionFailed),
    (501, "NotImplemented", ResponseError),
]


@pytest.fixture
def budget() -> Budget:
    return Budget(Config(attempts=100, retry_wait=0.1, retry_wait_max=2.0))


@pytest.fixture
def retries(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Give the messages about attempts that failed."""
    with caplog.at_level(logging.INFO, "aioobs.request"):
        yield caplog


@pytest.mark.parametrize(("status", "code"), RETRIED)
async def test_what_may_pass_is_tried_again(status: int, code: str) -> None:
    refused = refusal(status, code) if code else answer(status)
    with FaultyServer(refused, refused, GOOD) as server:
        async with connect(server.endpoint) as client:
            assert await client.put_object("b", "k", b"content") == "1"
    assert [request.body for request in server.requests] == [b"content"] * 3


@pytest.mark.parametrize(("status", "code", "kind"), REFUSED)
async def test_what_cannot_change_is_tried_once(
    status: int, code: str, kind: type[ObsError]
) -> None:
    with FaultyServer(always=refusal(status, code)) as server:
        async with connect(server.endpoint) as client:
            with pytest.raises(kind, match=rf"putContent s3://b/k: {status} {code}: .*request-7"):
                await client.put_object("b", "k", b"")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        RESET,
        HANG_UP,
        HALF_CLOSE,
        GARBAGE,
        GOOD.cut(head=9, end="close"),
        GOOD.cut(head=40, end="reset"),
        answer(200, content_length="nonsense", end="close"),
    ],
    ids=["reset", "hang-up", "half-close", "garbage", "cut-status", "cut-head", "bad-length"],
)
async def test_a_broken_connection_is_replaced_by_another(fault: Answer) -> None:
    with FaultyServer(fault, GOOD) as server:
        async with connect(server.endpoint) as client:
            assert await client.put_object("b", "k", b"content") == "1"
    assert [(request.connection, request.body) for request in server.requests] == [
        (1, b"content"),
        (2, b"content"),
    ]


@pytest.mark.parametrize("call", ["put_object", "delete_object", "abort_multipart_upload"])
async def test_an_error_under_the_status_of_success_is_an_error(call: str) -> None:
    lie = answer(200, error_document("InternalError"), etag='"2"')
    with FaultyServer(lie, GOOD) as server:
        async with connect(server.endpoint) as client:
            if call == "put_object":
                assert await client.put_object("b", "k", b"content") == "1"
            elif call == "delete_object":
                await client.delete_object("b", "k")
            else:
                await client.abort_multipart_upload("b", "k", "upload")
    assert len(server.requests) == 2


async def test_a_body_that_breaks_off_is_read_on_for_as_long_as_much_of_it_comes() -> None:
    content, much = random.Random(1).randbytes(20 * 70_000), 70_000

    def broken(received: Received) -> Answer:
        return stored(content)(received).cut(body=much, end="close")

    with FaultyServer(always=broken) as server:
        async with connect(server.endpoint, attempts=3) as client:
            assert await client.get_object("b", "k") == content
    assert [received.first_byte for received in server.requests] == list(
        range(0, len(content), much)
    )


async def test_a_body_of_which_little_comes_each_time_is_given_up() -> None:
    def broken(received: Received) -> Answer:
        return stored(bytes(100_000))(received).cut(body=1000, end="close")

    with FaultyServer(always=broken) as server:
        async with connect(server.endpoint, attempts=3) as client:
            with pytest.raises(ReadError, match="broke off"):
                await client.get_object("b", "k")
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        (STALL, 0),
        (answer(body=b"0123456789", etag="1").cut(head=20, end="stall"), 0),
        (answer(body=b"0123456789", etag="1").cut(body=4, end="stall"), 4),
    ],
    ids=["before-the-head", "in-the-head", "in-the-body"],
)
async def test_an_attempt_that_stalls_is_given_up_and_tried_again(fault: Answer, sent: int) -> None:
    with FaultyServer(fault, stored(b"0123456789", "1")) as server:
        async with connect(server.endpoint, idle_timeout=0.2) as client:
            started = time.monotonic()
            assert await client.get_object("b", "k") == b"0123456789"
    assert 0.2 <= time.monotonic() - started < 5
    assert [request.first_byte for request in server.requests] == [0, sent]


async def test_attempts_are_bounded_whatever_fails() -> None:
    with FaultyServer(always=RESET) as server:
        async with connect(server.endpoint, attempts=4) as client:
            with pytest.raises(ConnectionFailed, match=r"putContent s3://b/k: the connection"):
                await client.put_object("b", "k", b"")
    assert len(server.requests) == 4


async def test_an_answer_that_makes_no_sense_after_other_failures_is_tried_again_too() -> None:
    slow_down = refusal(503, "SlowDown")
    failures = [slow_down, RESET, GARBAGE, HANG_UP, refusal(400, "BadDigest"), slow_down]
    with FaultyServer(*failures, always=GOOD) as server:
        async with connect(server.endpoint) as client:
            await client.put_object("b", "k", b"x")
    assert len(server.requests) == 7


async def test_answers_that_make_no_sense_are_given_up_after_the_third_of_them() -> None:
    with FaultyServer(RESET, GARBAGE, GARBAGE, RESET, always=GARBAGE) as server:
        async with connect(server.endpoint) as client:
            with pytest.raises(ConnectionFailed) as failed:
                await client.put_object("b", "k", b"x")
    assert failed.value.kind == "not http"
    assert len(server.requests) == 5


async def test_answers_that_make_no_sense_are_forgotten_once_much_has_come() -> None:
    content = random.Random(1).randbytes(100_000)
    part = stored(content)(Received("GET", "/b/k", {}, b"", 1)).cut(body=70_000, end="close")
    with FaultyServer(GARBAGE, GARBAGE, part, GARBAGE, GARBAGE, always=stored(content)) as server:
        async with connect(server.endpoint) as client:
            assert await client.get_object("b", "k") == content
    assert len(server.requests) == 6


async def test_one_attempt_means_one() -> None:
    with FaultyServer(always=refusal(500, "InternalError")) as server:
        async with connect(server.endpoint, attempts=1) as client:
            with pytest.raises(ResponseError, match=r"headBucket.*500"):
                await client.head_bucket("b")
    assert len(server.requests) == 1


async def test_reading_on_draws_on_the_attempts_of_the_first_request() -> None:
    content = bytes(range(256))

    def one_byte_more(received: Received) -> Answer:
        return stored(content)(received).cut(body=1, end="stall")

    with FaultyServer(always=one_byte_more) as server:
        async with connect(server.endpoint, attempts=3, idle_timeout=0.3) as client:
            with pytest.raises(ConnectionFailed, match=r"getObject s3://b/k: no progress"):
                await client.get_object("b", "k")
    assert [request.first_byte for request in server.requests] == [0, 1, 2]


async def test_retry_after_is_honoured_and_each_attempt_is_signed_afresh() -> None:
    slow_down = refusal(503, "SlowDown", retry_after="1.1")
    with FaultyServer(slow_down, GOOD) as server:
        async with connect(server.endpoint) as client:
            started = time.monotonic()
            await client.put_object("b", "k", b"")
    assert time.monotonic() - started >= 1.1
    first, second = (request.headers for request in server.requests)
    assert first["x-amz-date"] != second["x-amz-date"]
    assert first["authorization"] != second["authorization"]


async def test_a_wait_that_is_longer_than_the_operation_may_take_ends_with_its_time() -> None:
    with FaultyServer(always=refusal(503, "SlowDown", retry_after="60")) as server:
        async with connect(server.endpoint, timeouts={"headBucket": 0.3}) as client:
            started = time.monotonic()
            with pytest.raises(OperationTimeout, match=r"headBucket s3://b/?: .*0.3 s.*503"):
                await client.head_bucket("b")
    assert time.monotonic() - started < 5


async def test_each_failed_attempt_is_logged_and_no_secret_with_it(
    retries: pytest.LogCaptureFixture,
) -> None:
    with FaultyServer(RESET, refusal(500, "InternalError"), GOOD) as server:
        async with connect(server.endpoint, security_token="test-token") as client:
            await client.put_object("b", "k", b"")
    assert len(retries.messages) == 2
    assert all("putContent s3://b/k" in line for line in retries.messages)
    assert "test-secret-key" not in retries.text
    assert "test-token" not in retries.text


async def test_the_transport_never_sends_a_put_twice_by_itself(
    retries: pytest.LogCaptureFixture,
) -> None:
    with FaultyServer(GOOD, RESET, GOOD) as server:
        async with connect(server.endpoint) as client:
            await client.put_object("b", "k", b"1")
            await client.put_object("b", "k", b"2")  # on the connection that is kept, and breaks
    assert [(request.body, request.connection) for request in server.requests] == [
        (b"1", 1),
        (b"2", 1),
        (b"2", 2),
    ]
    assert len(retries.messages) == 1, "the retry is not the transport's"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_failure_whatever_its_shape_is_never_followed_by_a_secret_second_request(
    status: int,
) -> None:
    # What failed inside the store may have been done all the same.
    refused = answer(status, "<Error><Code>Odd</Code></Error>", chunked=True)
    with FaultyServer(refused, always=GOOD) as server:
        async with connect(server.endpoint, attempts=1) as client:
            with pytest.raises(ResponseError, match=f"{status} Odd"):
                await client.put_object("b", "k", b"content")
    assert len(server.requests) == 1


async def test_a_put_whose_attempts_are_used_up_was_not_sent_more_often() -> None:
    with FaultyServer(GOOD, always=RESET) as server:
        async with connect(server.endpoint, attempts=1) as client:
            await client.put_object("b", "k", b"1")
            with pytest.raises(ConnectionFailed):
                await client.put_object("b", "k", b"2")
    assert [request.body for request in server.requests] == [b"1", b"2"]


def failure(status: int, code: str = "", **headers: str) -> ObsError:
    return error_for("getObject", "s3://b/k", ErrorResponse(status, code=code, headers=headers))


def test_waits_double_up_to_the_longest_and_are_jittered(budget: Budget) -> None:
    waits = [budget.wait_after(failure(500)) for _ in range(8)]
    for wait, full in zip(waits, [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0], strict=True):
        assert wait is not None
        assert full / 2 <= wait <= full


def test_a_budget_of_any_number_of_attempts_lasts(budget: Budget) -> None:
    budget.attempts = 5_000
    waits = [budget.wait_after(failure(500)) for _ in range(5_000)]
    assert waits[-1] is None
    assert all(wait is not None and wait <= 2 for wait in waits[:-1])


async def test_a_store_that_was_there_is_given_the_time_of_a_restart() -> None:
    with FaultyServer(always=GOOD) as server:
        pass
    async with connect(server.endpoint, attempts=8) as client:
        with pytest.raises(ConnectionFailed, match="nothing listens"):
            await client.head_object("b", "k")
        assert client.stats().requests == 5  # it may be the wrong place

    with FaultyServer(always=GOOD) as server:
        client = connect(server.endpoint, attempts=8)
        await client.head_object("b", "k")
    async with client:
        with pytest.raises(ConnectionFailed, match="nothing listens"):
            await client.head_object("b", "k")
        assert client.stats().requests == 1 + 8


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (ConnectionFailed("", kind="refused"), 5),
        (ConnectionFailed("", kind="unknown host"), 3),
        (ConnectionFailed("", kind="tls"), 1),
        (ConnectionFailed("", kind="reset"), 100),
        (ConnectionFailed("", kind="stalled"), 100),
        (ConnectionFailed("", kind="unreachable"), 100),
        (failure(400, "BadDigest"), 3),
        (failure(503, "SlowDown"), 100),
        (failure(403, "AccessDenied"), 1),
        (ReadError(""), 100),
        (ObjectChanged(""), 1),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else type(value).__name__,
)
def test_what_is_hopeless_is_given_up_earlier(
    budget: Budget, error: ObsError, attempts: int
) -> None:
    waits = [budget.wait_after(error) for _ in range(attempts)]
    assert waits[-1] is None
    assert None not in waits[:-1]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": formatdate(1_000_030), "date": formatdate(1_000_000)}, 30),
        ({"retry-after": "86400"}, 120),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, 0),
        ({"retry-after": "nan"}, 0),
        ({"retry-after": "inf"}, 120),
        ({}, 0),
    ],
)
def test_what_a_store_may_ask_for_is_read_and_bounded(
    headers: dict[str, str], seconds: float
) -> None:
    assert retry_after(ErrorResponse(503, headers=headers)) == seconds


@pytest.mark.parametrize("lost", [RESET, HANG_UP])
async def test_a_bucket_is_created_and_deleted_although_the_answers_are_lost(lost: Answer) -> None:
    owned, gone = refusal(409, "BucketAlreadyOwnedByYou"), refusal(404, "NoSuchBucket")
    with FaultyServer(lost, owned, answer(), lost, gone) as server:
        async with connect(server.endpoint) as client:
            await client.create_bucket("bucket")
            await client.delete_bucket("bucket")
    assert [request.method for request in server.requests] == [
        *("PUT", "PUT", "HEAD"),
        *("DELETE", "DELETE"),
    ]


@pytest.mark.parametrize("lost", [RESET, answer(500)])
async def test_what_is_deleted_although_the_answer_is_lost_is_no_error(lost: Answer) -> None:
    others = refusal(404, "NoSuchBucket"), answer(404, "default backend - 404")
    with FaultyServer(lost, refusal(404, "NoSuchKey"), *others) as server:
        async with connect(server.endpoint) as client:
            await client.delete_object("b", "k")
            for _ in others:
                with pytest.raises(NotFound, match="deleteObject s3://b/k: 404"):
                    await client.delete_object("b", "k")
    assert [request.method for request in server.requests] == ["DELETE"] * 4


async def test_a_404_that_is_not_of_the_store_deletes_nothing_one_by_one_either() -> None:
    def serve(received: Received) -> Answer:
        if received.method == "POST":
            return refusal(501, "NotImplemented")
        gone = received.path == "/b/gone"
        return refusal(404, "NoSuchKey") if gone else answer(404, "default backend - 404")

    with FaultyServer(always=serve) as server:
        async with connect(server.endpoint) as client:
            left = await client.delete_objects("b", ["gone", "there"])
    assert [error.url for error in left] == ["s3://b/there"]


async def test_a_bucket_of_somebody_else_is_not_taken_for_one_that_was_created() -> None:
    with FaultyServer(RESET, refusal(409, "BucketAlreadyExists"), answer(403)) as server:
        async with connect(server.endpoint) as client:
            with pytest.raises(AccessDenied):
                await client.create_bucket("bucket")
