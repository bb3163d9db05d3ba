"""TLS of a connection that the event loop and a worker thread can take turns with.

The event loop has buffers of its own for what goes over the wire, and a worker thread works past
these: whatever the event loop does meanwhile, it does not touch what the thread works on.
"""

from __future__ import annotations

import os
import ssl
import threading
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from aioobs.errors import ConfigError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from aioobs.config import Config

__all__ = ["SENT", "SharedTLS", "Tunnel", "context_for"]

RECEIVED = 512 << 10  # bytes that are received in one go
SENT = 256 << 10  # bytes that are encrypted in one go, without the lock of the interpreter
PATIENCE = 1.0  # seconds to wait for a turn; another thread's disk may hang
AT_ONCE = 2  # threads that decrypt; more of them only wait for the interpreter's lock


def context_for(config: Config) -> ssl.SSLContext | bool:
    """Return what aiohttp verifies certificates with.

    Raises:
        ConfigError: the file of authorities cannot be read.
    """
    shares = config.transport == "lean" and config.origin.startswith("https:")
    if not isinstance(config.verify, str):
        return usual_context(verify=config.verify) if shares else config.verify
    try:
        found = os.stat(config.verify)
        version = found.st_mtime_ns, found.st_size, found.st_ino
        return context_with(config.verify, version, shares=shares)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(
            f"cannot read the certificate authorities in {config.verify!r}: {exc}"
        ) from exc


@lru_cache(maxsize=8)
def context_with(
    authorities: str, _version: tuple[int, int, int], *, shares: bool
) -> ssl.SSLContext:
    """Return a context for a file or folder of authorities; reading many takes 20 ms."""
    if os.path.isdir(authorities):
        context = ssl.create_default_context(capath=authorities)
    else:
        context = ssl.create_default_context(cafile=authorities)
    return shared(context) if shares else context


@cache
def usual_context(*, verify: bool) -> ssl.SSLContext:
    """Return what aiohttp would make for `True` or `False`; that takes a while."""
    if verify:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return shared(context)


def shared(context: ssl.SSLContext) -> ssl.SSLContext:
    if hasattr(ssl.SSLObject, "_create"):  # or else TLS stays the event loop's alone
        context.sslobject_class = SharedTLS
    return context


class SharedTLS(ssl.SSLObject):
    """The `SSLObject` that the event loop works with, over buffers that a thread can share."""

    _incoming: ssl.MemoryBIO  # of the event loop
    _outgoing: ssl.MemoryBIO
    _lock: threading.Lock
    _taken = False
    _receiving = False
    arrived: ssl.MemoryBIO
    """What came over the wire and has not been decrypted."""
    leaving: ssl.MemoryBIO
    """What is to be sent."""

    @classmethod
    def _create(
        cls, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any
    ) -> SharedTLS:
        arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        # The types know only what is documented.
        found: SharedTLS = super()._create(arrived, leaving, *args, **kwargs)  # type: ignore[misc]
        found._incoming, found._outgoing = incoming, outgoing
        found.arrived, found.leaving = arrived, leaving
        found._lock = threading.Lock()
        return found

    # What a worker thread does, between `take` and `leave`

    def take(self, *, receiving: bool) -> None:
        """Have a worker thread send, or receive alone."""
        self._taken, self._receiving = True, receiving
        if receiving:
            self._pull()

    def leave(self) -> None:
        """Leave it to the event loop again."""
        self._taken = self._receiving = False

    def decrypt(self, buffer: memoryview) -> int:
        """Put what has arrived into *buffer*; 0: the other side says that nothing follows.

        Raises:
            ssl.SSLWantReadError: nothing has.
        """
        read: Callable[[int, memoryview], Any] = super().read
        filled, size = 0, len(buffer)
        try:
            while filled < size:  # 16 KiB at a time
                count = read(size - filled, buffer[filled:])
                if not count:
                    break
                filled += count
        except ssl.SSLWantReadError:
            if not filled:
                raise
        return filled

    def encrypt(self, data: memoryview) -> bytes:
        """Return what has to be sent for *data*."""
        with self._lock:
            super().write(data)
            return self.leaving.read()

    def is_drained(self) -> bool:
        """Tell whether nothing is left of what has arrived."""
        try:
            self.decrypt(memoryview(bytearray(1)))
        except ssl.SSLWantReadError:
            return not (self.arrived.pending or self._incoming.pending)
        except ssl.SSLError:
            pass
        return False

    # What the event loop calls; it tries again after it was told to wait

    def do_handshake(self) -> None:
        """Go on with the handshake."""
        self._pull()
        try:
            super().do_handshake()
        finally:
            self._push()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002
        """Decrypt what has come."""
        if self._receiving:
            raise ssl.SSLWantReadError
        with self._lock:
            self._pull()
            try:
                return super().read(len, buffer)
            finally:
                if not self._taken:  # or else the thread sends that, in its order
                    self._push()

    def pending(self) -> int:
        """Return how many bytes there are to read, or to decrypt.

        uvloop, which does not know of the memory here, reads as long as there are some.
        """
        return super().pending() + self.arrived.pending

    def write(self, data: Any) -> int:
        """Encrypt what is to be sent."""
        if self._taken:
            raise ssl.SSLWantReadError
        try:
            return super().write(data)
        finally:
            self._push()

    def unwrap(self) -> None:
        """Say that nothing follows."""
        if self._taken:
            raise ssl.SSLWantReadError
        self._pull()
        try:
            super().unwrap()
        finally:
            self._push()

    def _pull(self) -> None:
        if self._incoming.pending:
            self.arrived.write(self._incoming.read())

    def _push(self) -> None:
        if self.leaving.pending:
            self._outgoing.write(self.leaving.read())


@cache
def turns() -> SimpleQueue[memoryview]:
    """Return the free buffers: to hold one is to have a turn at decrypting."""
    free: SimpleQueue[memoryview] = SimpleQueue()
    for _ in range(AT_ONCE):
        free.put(memoryview(bytearray(RECEIVED)))
    return free


if hasattr(os, "register_at_fork"):  # the threads that had them are not in the child
    os.register_at_fork(after_in_child=turns.cache_clear)


class Tunnel:
    """A socket over which a worker thread speaks TLS."""

    def __init__(self, tls: SharedTLS, connection: socket.socket) -> None:
        self.unsent: memoryview = memoryview(b"")
        """What has been encrypted and not been sent."""
        self._tls = tls
        self._socket = connection
        self._buffer = memoryview(b"")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn to receive, or until the threads that have one seem stuck."""
        free = turns()
        try:
            self._buffer = free.get(timeout=PATIENCE)
        except Empty:
            self._buffer = memoryview(bytearray(RECEIVED))
        try:
            yield
        finally:
            if free.qsize() < AT_ONCE:
                free.put(self._buffer)

    def recv_into(self, buffer: memoryview) -> int:
        """Receive as a socket does; only within a `turn`."""
        while True:
            try:
                return self._tls.decrypt(buffer)
            except ssl.SSLWantReadError:
                pass
            count = self._socket.recv_into(self._buffer)
            if not count:
                return 0
            self._tls.arrived.write(self._buffer[:count])

    def send(self, view: memoryview) -> int:
        """Send as a socket does; what cannot be sent at once is kept in `unsent`."""
        self._flush()
        view = view[:SENT]
        if view:
            self.unsent = memoryview(self._tls.encrypt(view))
            with suppress(BlockingIOError):
                self._flush()
        return len(view)

    def _flush(self) -> None:
        while self.unsent:
            self.unsent = self.unsent[self._socket.send(self.unsent) :]
