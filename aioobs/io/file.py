"""`File`: the async counterpart of `open`."""

from __future__ import annotations

import asyncio
import io
import os
from typing import IO, TYPE_CHECKING, Any, NoReturn, Self

from aioobs.io.local_copy import LocalCopy, open_local_copy
from aioobs.io.raw import check_options, split_mode
from aioobs.io.reader import open_reader
from aioobs.io.stream import ByteStream, TextStream
from aioobs.io.writer import open_appender, open_writer
from aioobs.session import current_client
from aioobs.store.local import local_errors
from aioobs.threads import in_thread, to_its_end
from aioobs.url import Path, is_remote, parse

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from _typeshed import WriteableBuffer

    from aioobs.io.raw import Raw

__all__ = ["File", "open_raw"]


async def open_raw(path: str, letter: str, *, flush_interval: float = 0) -> Raw:
    """Return the object that *path* names, to be read or written in a stream.

    Raises:
        NotFound: there is no such object or bucket.
        FileExistsError: the letter of the mode is ``x``, and there is something of that name.
        IsADirectory: there is a folder of that name; with ``w`` nobody looks for one.
    """
    client = current_client()
    if letter == "r":
        return await open_reader(client, path)
    if letter == "a":
        return await open_appender(client, path, flush_interval=flush_interval)
    return await open_writer(client, path, exclusive=letter == "x", flush_interval=flush_interval)


class File:
    """A local file or an object, to be opened with ``async with``.

    Text is UTF-8 unless *encoding* says otherwise.  An object that is written appears in the
    store when the block ends without an exception, and as far as it is written at each `flush`.
    With a ``+`` in the mode the block works on a temporary local copy, which is written back if it
    was changed.

    Reading holds at most 40 MiB in memory; writing about as much, in parts under way.

    Args:
        name: A path or URL.
        mode: As for `open`; the letters can be in any order.
        encoding: Of text.
        errors: How to treat what cannot be encoded or decoded, as for `open`.
        newline: As for `open`.
        flush_interval: The least number of seconds between two flushes that reach the store; an
            earlier one waits, so that a log can be flushed after each line.
    """

    def __init__(
        self,
        name: Path,
        mode: str = "r",
        *,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        flush_interval: float = 0,
    ) -> None:
        parse(name)
        self.name: str = os.fspath(name)
        self.mode = mode
        letter, updates, binary = split_mode(mode)
        check_options(
            binary=binary, buffering=buffering, encoding=encoding, errors=errors, newline=newline
        )
        self._updates = updates
        self._plain_mode = letter + ("b" if binary else "") + ("+" if updates else "")
        self._buffering = buffering
        self._text = None if binary else (encoding or "utf-8", errors or "strict", newline)
        self._flush_interval = flush_interval
        self._stream: Any = None
        self._object: Raw | LocalCopy | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name!r} mode={self.mode!r}>"

    async def __aenter__(self) -> Self:
        if not is_remote(self.name):
            with local_errors(self.name):
                self._stream = await self._open_locally(self.name)
            return self
        letter = self._plain_mode[0]
        if self._updates:
            opened: Raw | LocalCopy = await open_local_copy(current_client(), self.name, letter)
        else:
            opened = await open_raw(self.name, letter, flush_interval=self._flush_interval)
        try:
            self._stream = await self._stream_of(opened)
        except BaseException:
            await opened.abort()
            raise
        self._object = opened
        return self

    async def _stream_of(self, opened: Raw | LocalCopy) -> Any:
        if isinstance(opened, LocalCopy):
            return await self._open_locally(opened.descriptor, closefd=False)
        return TextStream(opened, *self._text) if self._text else ByteStream(opened)

    async def _open_locally(self, file: str | int, *, closefd: bool = True) -> Any:
        from aiofiles.threadpool import wrap

        encoding, errors, newline = self._text or (None, None, None)
        opened: list[IO[Any]] = []  # here even if this is cancelled while it opens

        def open_it() -> None:
            found = open(  # noqa: SIM115 - closed by `_end`
                file,
                self._plain_mode,
                self._buffering,
                encoding=encoding,
                errors=errors,
                newline=newline,
                closefd=closefd,
            )
            opened.append(found)
            if isinstance(found, io.TextIOWrapper) and not closefd:
                found.reconfigure(write_through=True)  # so that it is `write` that fails

        try:
            await in_thread(open_it)
        except asyncio.CancelledError:
            for found in opened:
                found.close()
            raise
        return wrap(opened[0])

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            await self.aclose()
        else:
            await self._end(publish=False)

    def __enter__(self) -> NoReturn:
        raise TypeError(f"{self.name} is opened with async with; aioobs.sync has blocking files")

    def __exit__(self, *_: object) -> None:
        """Do nothing: Python looks for it before it calls `__enter__`."""

    @property
    def closed(self) -> bool:
        """Whether it is not open yet, or not any more."""
        return self._stream is None

    def readable(self) -> bool:
        """Tell whether it is open for reading."""
        return self._plain_mode[0] == "r" or self._updates

    def writable(self) -> bool:
        """Tell whether it is open for writing."""
        return self._plain_mode[0] != "r" or self._updates

    def seekable(self) -> bool:
        """Tell whether `seek` can move: not in an object that is only written."""
        return self.readable() or not is_remote(self.name)

    def fileno(self) -> int:
        """Return the descriptor of a local file.

        Raises:
            io.UnsupportedOperation: it is an object.
        """
        if is_remote(self.name):
            raise io.UnsupportedOperation("fileno")
        return int(self._opened().fileno())

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return not is_remote(self.name) and os.isatty(self.fileno())

    async def read(self, size: int = -1) -> Any:
        """Return up to *size* characters or bytes; all that is left if it is negative."""
        return await self._opened().read(size)

    async def readline(self, size: int = -1) -> Any:
        """Return the next line with its end; empty at the end of the file."""
        return await self._opened().readline(size)

    async def readlines(self) -> list[Any]:
        """Return all lines that are left, with their ends."""
        return [line async for line in self]

    async def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill *buffer* and return how many bytes there were; binary files only."""
        return int(await self._opened().readinto(buffer))

    async def write(self, data: Any) -> int:
        """Write text or bytes and return their length."""
        try:
            return int(await self._opened().write(data))
        except (OSError, asyncio.CancelledError) as error:
            if isinstance(self._object, LocalCopy):
                self._object.spoil(error)
            raise

    async def writelines(self, lines: Iterable[Any]) -> None:
        """Write several pieces; no line ends are added."""
        for line in lines:
            await self.write(line)

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position; in text only to the beginning, the end, or where `tell` has been."""
        return int(await self._opened().seek(offset, whence))

    async def tell(self) -> int:
        """Return the position; in text it is a value for `seek` alone."""
        return int(await self._opened().tell())

    async def truncate(self, size: int | None = None) -> int:
        """Cut the file off at *size* bytes, or at the position; an object needs a ``+``."""
        return int(await self._opened().truncate(size))

    async def size(self) -> int:
        """Return the size of the file in bytes, with what was written so far."""
        stream = self._opened()
        if isinstance(stream, ByteStream | TextStream):
            return await stream.size()
        await stream.flush()
        return os.fstat(stream.fileno()).st_size

    async def flush(self) -> None:
        """Publish what was written so far; what was flushed before is not sent again.

        A file below 5 MiB is sent again as a whole, and so is one that is open with a ``+``.
        """
        await self._opened().flush()
        if isinstance(self._object, LocalCopy):
            await self._object.flush()

    async def aclose(self) -> None:
        """Publish what was written, and close; a second time is no error."""
        await self._end(publish=True)

    async def _end(self, *, publish: bool) -> None:
        stream, opened = self._stream, self._object
        self._stream = self._object = None
        try:
            if stream is not None and not isinstance(stream, ByteStream | TextStream):
                # A thread that is still at work must not find the descriptor closed, or another's.
                await to_its_end(stream.close())
        except BaseException:
            publish = False
            raise
        finally:
            if opened is not None:
                await (opened.aclose() if publish else opened.abort())

    async def next(self) -> Any:
        """Return the next line, or raise StopAsyncIteration."""
        return await anext(self)

    def __iter__(self) -> NoReturn:
        raise TypeError(f"{self.name} is read with async for; aioobs.sync has blocking files")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    def _opened(self) -> Any:
        if self._stream is None:
            raise ValueError(f"{self.name} is not open; use it in an async with block")
        return self._stream
