"""Spans of OpenTelemetry: one for each call of a store, and below it one for each attempt.

    import aioobs.otel

    aioobs.otel.instrument()

The extra `otel` brings OpenTelemetry's API along; where the spans go is up to its SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

try:
    from opentelemetry import trace
except ModuleNotFoundError as _error:
    raise ImportError('aioobs.otel needs OpenTelemetry: pip install "aioobs[otel]"') from _error

from aioobs.session import current_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span, TracerProvider
    from opentelemetry.util.types import AttributeValue

    from aioobs.s3.observer import Attempt, Call

__all__ = ["instrument"]

NANOSECONDS = 1_000_000_000


class Observable(Protocol):
    """A client, async or blocking."""

    @property
    def on_call(self) -> list[Callable[[Call], None]]:
        """What is called with each call that has ended."""


def instrument(
    client: Observable | None = None, *, tracer_provider: TracerProvider | None = None
) -> Callable[[Call], None]:
    """Make spans of what *client* does from now on, by default of what the verbs do.

    They are children of the span that is current where the call is made.  They are made when it
    ends, with the times at which things happened.  Returns what was added to `Client.on_call`, to
    be removed from there when no more spans are wanted.
    """
    tracer = trace.get_tracer("aioobs", tracer_provider=tracer_provider)

    def on_call(call: Call) -> None:
        span = tracer.start_span(
            call.operation,
            kind=trace.SpanKind.CLIENT,
            attributes=named(call),
            start_time=nanoseconds(call.began),
        )
        below = trace.set_span_in_context(span)
        for attempt in call.attempts:
            inner = tracer.start_span(
                f"{call.operation} attempt",
                context=below,
                kind=trace.SpanKind.CLIENT,
                attributes=measured(attempt),
                start_time=nanoseconds(attempt.began),
            )
            end(inner, attempt)
        span.set_attribute("aioobs.attempts", len(call.attempts))
        end(span, call)

    (current_client() if client is None else client).on_call.append(on_call)
    return on_call


def end(span: Span, told: Call | Attempt) -> None:
    """End a span at the time, and as well or badly, as what it is about."""
    if told.error is not None:
        span.set_attribute("error.type", type(told.error).__name__)
        span.set_status(trace.StatusCode.ERROR, str(told.error))
    span.end(nanoseconds(told.began + told.seconds))


def named(call: Call) -> dict[str, AttributeValue]:
    """Return what a call is about, in the words of OpenTelemetry."""
    bucket, _, key = call.url.removeprefix("s3://").partition("/")
    names = {"aws.s3.bucket": bucket, "aws.s3.key": key, "rpc.method": call.operation}
    return {"rpc.service": "S3", **{name: text for name, text in names.items() if text}}


def measured(attempt: Attempt) -> dict[str, AttributeValue]:
    """Return what is known of an attempt, in the words of OpenTelemetry."""
    found: dict[str, AttributeValue] = {
        "http.request.resend_count": attempt.number - 1,
        "http.request.body.size": attempt.sent,
        "http.response.body.size": attempt.received,
    }
    if attempt.status is not None:
        found["http.response.status_code"] = attempt.status
    if attempt.request_id:
        found["aws.request_id"] = attempt.request_id
    return found


def nanoseconds(seconds: float) -> int:
    """Return a time as OpenTelemetry has it."""
    return int(seconds * NANOSECONDS)
