"""Short requests that follow one another on a connection, without a task for each of them.

What is taken here is the answer that nearly always comes: status 200, of a length that is
announced and expected, and nothing around it.  At the first sign of anything else the request
goes on as any other one does, with the bytes that have come: see `Exchange.call`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextvars import copy_context
from typing import TYPE_CHECKING

from aioobs.errors import ObsError
from aioobs.s3.body import FilePart, size_of
from aioobs.s3.connection_errors import stalled
from aioobs.s3.request import head_of
from aioobs.s3.response_head import LONGEST_HEAD, parse_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioobs.s3.connection_pool import PooledConnection
    from aioobs.s3.exchange import Begun, Exchange
    from aioobs.s3.lean import LeanTransport
    from aioobs.s3.request import Request, Sign
    from aioobs.s3.response_head import Head
    from aioobs.s3.wire import Wire

    Orders = Callable[[], "Order | None"]
    Stopped = tuple["Order", Begun | None]

__all__ = ["Order", "stream"]

PLAIN = b"HTTP/1.1 200"
LONGEST = 0.5  # seconds, after which credentials are asked for again and others get a turn


class Order(ABC):
    """A short request that may be sent twice, and what becomes of its answer."""

    __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        self.request: Request = request

    @abstractmethod
    def expects(self, head: Head) -> bool:
        """Tell whether a good answer is the one that was hoped for."""

    @abstractmethod
    def take(self, head: Head, body: list[memoryview]) -> bool:
        """Take the whole answer; return whether it is what was hoped for."""

    @abstractmethod
    async def perform(self, exchange: Exchange, begun: Begun | None) -> None:
        """Do it with all that `Exchange.call` knows, from what has *begun* of it on."""


async def stream(exchange: Exchange, orders: Orders) -> None:
    """Do what *orders* gives, one after the other on one connection, until it gives `None`.

    What the methods of an order raise ends it.
    """
    while (order := orders()) is not None:
        begun: Begun | None = None
        lean = await exchange.lean(order.request)
        if lean is not None:
            stopped = await follow(exchange, lean, order, orders)
            if stopped is None:
                continue
            order, begun = stopped
        try:
            await order.perform(exchange, begun)
        finally:
            if begun is not None and not isinstance(begun, ObsError):
                begun.close()


async def follow(
    exchange: Exchange, lean: LeanTransport, order: Order, orders: Orders
) -> Stopped | None:
    """Do orders until there is none, or one that cannot be done here: return that."""
    connections = await exchange.connections()
    async with connections.slots:
        try:
            sign = await exchange.access.signing()
            lent = await lean.pool.borrow(sign(order.request)[0])
        except ObsError as error:
            return order, error
        if lent is None:
            return order, None
        return await Lane(exchange, lean, lent, orders, sign).run(order)


class Lane:
    """A connection on which one order follows the other."""

    __slots__ = (
        "_began",
        "_body",
        "_context",
        "_counters",
        "_head",
        "_last",
        "_lean",
        "_lent",
        "_loop",
        "_missing",
        "_observer",
        "_order",
        "_orders",
        "_raw",
        "_seconds",
        "_sign",
        "_stopped",
        "_timer",
        "_until",
    )

    _head: Head
    _order: Order
    _timer: asyncio.TimerHandle

    def __init__(
        self,
        exchange: Exchange,
        lean: LeanTransport,
        lent: PooledConnection,
        orders: Orders,
        sign: Sign,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._observer = exchange.observer
        self._counters = exchange.observer.counters
        # What a connection tells comes in the context of whoever opened it.
        self._context = copy_context() if exchange.observer.is_asked() else None
        self._lean = lean
        self._lent = lent
        self._orders = orders
        self._sign = sign
        # Seconds without a byte, after which an order is given up.
        self._seconds = exchange.config.idle_timeout
        self._raw = b""  # of the head, or what has come of it
        self._body: list[memoryview] = []
        self._missing = -1  # bytes of the body; -1: the head has not come as a whole
        self._stopped: asyncio.Future[Stopped | None] = self._loop.create_future()
        self._last = self._began = self._until = 0.0

    async def run(self, order: Order) -> Stopped | None:
        """Do orders, *order* first, until there is none, or one that cannot be done here."""
        self._last = self._loop.time()
        self._until = self._last + LONGEST
        self._timer = self._loop.call_later(self._seconds, self._look)
        self._lent.user = self
        try:
            self._send(order)
            return await self._stopped
        except BaseException:
            self._lent.close()
            raise
        finally:
            self._timer.cancel()

    def _send(self, order: Order) -> None:
        self._order = order
        self._began = self._last
        request = order.request
        try:
            origin, target, headers = self._sign(request)
        except ObsError:
            origin = ""  # whoever does it now finds that as well, and tells it
        if origin != self._lent.origin:
            self._leave((order, None))
            return
        head, body = head_of(request.method, target, headers), request.body
        assert not isinstance(body, FilePart)
        self._lent.transport.writelines((head, body) if body else (head,))

    def _leave(self, stopped: Stopped | None) -> None:
        """Give the connection back, for all that was asked on it has been answered."""
        if self._lent.is_good():
            self._lean.pool.give_back(self._lent)
        else:
            self._lent.close()
        self._stopped.set_result(stopped)

    def _next(self) -> None:
        self._raw, self._body, self._missing = b"", [], -1
        order = self._orders() if self._last < self._until else None
        if order is None:
            self._leave(None)
        elif order.request.method != "GET" and not self._lent.is_good():
            # Of two answers to one write the second must not be taken for that to the next one.
            self._leave((order, None))
        else:
            self._send(order)

    def _look(self) -> None:
        left = self._last + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        elif not self._stopped.done():
            self._lent.close()
            self._stopped.set_result((self._order, stalled(self._seconds)))

    def _hand_over(self) -> Wire:
        """Have somebody else see what there is to be made of the answer."""
        wire = self._lean.wire(self._lent, self._order.request.method)
        wire.data_received(b"".join((self._raw, *self._body)))
        self._stopped.set_result((self._order, wire))
        return wire

    # What the connection tells

    def data_received(self, data: bytes) -> None:
        """Take what arrives."""
        if self._stopped.done():  # it was cancelled a moment ago
            return
        self._last = self._loop.time()
        try:
            self._receive(data)
        except BaseException as error:  # noqa: BLE001 - raised where the order comes from
            if not self._stopped.done():
                self._stopped.set_exception(error)

    def _receive(self, data: bytes) -> None:
        if self._missing < 0:
            data = self._raw + data if self._raw else data
            end = data.find(b"\r\n\r\n") + 4
            if end < 4 and len(data) < LONGEST_HEAD and data.startswith(PLAIN[: len(data)]):
                self._raw = data
                return
            self._raw = data[:end]
            rest = memoryview(data)[end:]
            head = parse_head(self._raw)
            if head is None or not self._is_plain(head):
                self._body = [rest]
                self._hand_over()
                return
            self._head, self._missing = head, head.length or 0
        else:
            rest = memoryview(data)
        self._body.append(rest)
        self._missing -= len(rest)
        if self._missing > 0:
            return
        unsent = self._order.request.body and self._lent.transport.get_write_buffer_size()
        if self._missing or unsent or not self._order.take(self._head, self._body):
            self._hand_over()
        else:
            self._count()
            self._next()

    def _count(self) -> None:
        request, seconds = self._order.request, self._last - self._began
        sent, received = size_of(request.body), self._head.length or 0
        self._counters[request.operation].add(seconds, sent, received)
        if self._context is not None:
            self._context.run(self._observer.at_once, request, self._head, seconds)

    def _is_plain(self, head: Head) -> bool:
        plain = head.status == 200 and head.length is not None and head.keep
        return plain and self._order.expects(head)

    def lost(self, exc: Exception | None) -> None:
        """Take the end of the connection."""
        if not self._stopped.done():
            self._hand_over().lost(exc)

    def pause_writing(self) -> None:
        """Nothing: what is sent is short, and waits in memory."""

    def resume_writing(self) -> None:
        """Nothing, for the same reason."""
