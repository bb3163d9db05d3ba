"""What both transports have in common: they send one request, once, and return a `Reply`.

They raise nothing but the errors of `aioobs.errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aioobs.s3.body import Sink
    from aioobs.s3.http.idle_timeout import Progress
    from aioobs.s3.request import SignedRequest

__all__ = ["Reply", "Transport"]


class Transport(Protocol):
    """The connections of one event loop to one store."""

    async def send(self, request: SignedRequest, progress: Progress) -> Reply:
        """Send one request, and return as soon as the head of its answer is there.

        *progress* is called whenever bytes have moved.

        Raises:
            ConnectionFailed: no answer came.
            ProtocolError: the answer is not HTTP.
        """
        ...


class Reply(Protocol):
    """The head of an answer; the body is read once, by one of the methods, or given up."""

    status: int
    reason: str
    headers: Mapping[str, str]
    """Names are in lower case."""
    length: int | None
    """The length of the body that the head announces."""
    received: int
    """How many bytes of the body have been read."""

    async def read(self, limit: int | None = None) -> bytes:
        """Return the whole body, or as much as comes until *limit* bytes are passed.

        Raises:
            ReadError: it breaks off.
        """

    async def read_into(self, sink: Sink) -> None:
        """Write the whole body into *sink* as it arrives.

        Raises:
            ReadError: it breaks off; the sink has what came until then.
        """

    def close(self) -> None:
        """Drop what has not been read; a connection with something unread on it is closed."""
