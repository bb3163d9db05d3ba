"""`File`, as `open` for the async API."""

from __future__ import annotations

import codecs
import io
import os
from typing import TYPE_CHECKING, Any, Protocol, Self

from aioobs.session import current_client
from aioobs.store.reader import open_reader
from aioobs.store.writer import open_writer
from aioobs.url import Path, is_remote, parse

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

__all__ = ["File", "Raw", "open_raw"]

CHUNK = 1 << 20
LETTERS = {"r", "w", "x", "a"}


class Raw(Protocol):
    """One open object, unbuffered."""

    readable: bool
    writable: bool

    async def readinto(self, buffer: memoryview, /) -> int:
        """Fill *buffer* as far as there is something."""

    async def readall(self) -> bytes:
        """Return all from the current position on."""

    async def write(self, data: memoryview, /) -> int:
        """Take *data* and return its length."""

    async def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position and return it."""

    async def size(self) -> int:
        """Return the number of bytes of the object."""

    async def flush(self) -> None:
        """Publish what was written so far."""

    async def aclose(self) -> None:
        """Publish what was written, and close."""

    async def abort(self) -> None:
        """Close without publishing."""


def split_mode(mode: str) -> tuple[str, bool, bool]:
    """Return the letter of a mode, whether it updates, and whether it is binary.

    Raises:
        ValueError: it is not a mode.
    """
    letters = sorted(set(mode) - set("bt+"))
    if len(letters) != 1 or letters[0] not in LETTERS or len(set(mode)) != len(mode):
        raise ValueError(f"invalid mode: {mode!r}")
    if "b" in mode and "t" in mode:
        raise ValueError("can't have text and binary mode at once")
    return letters[0], "+" in mode, "b" in mode


async def open_raw(path: str, mode: str) -> Raw:
    """Return the object that *path* names, open for reading or for writing.

    Raises:
        io.UnsupportedOperation: *mode* reads and writes at once, or appends.
    """
    letter, updates, _ = split_mode(mode)
    if updates or letter == "a":
        raise io.UnsupportedOperation(
            f"mode {mode!r} is not supported for objects yet; aioobs.file.append adds to the end"
        )
    if letter == "r":
        return await open_reader(current_client(), path)
    return await open_writer(current_client(), path, exclusive=letter == "x")


class File:
    """A local file or an object, to be opened with ``async with``.

    Text is UTF-8 unless *encoding* says otherwise.  An object that is written shows in the store
    when the block ends well; an exception in the block publishes nothing.
    """

    def __init__(
        self,
        name: Path,
        mode: str = "r",
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> None:
        parse(name)
        self.name = os.fspath(name)
        self.mode = mode
        letter, updates, binary = split_mode(mode)
        self._letter, self._updates = letter, updates
        self._text = None if binary else (encoding or "utf-8", errors or "strict", newline)
        self._raw: Raw | None = None
        self._local: Any = None
        self._pending: bytes | str = b"" if binary else ""
        self._decoder: codecs.IncrementalDecoder | io.IncrementalNewlineDecoder | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        if is_remote(self.name):
            self._raw = await open_raw(self.name, self.mode)
            if self._text:
                encoding, errors, newline = self._text
                decoder = codecs.getincrementaldecoder(encoding)(errors)
                self._decoder = io.IncrementalNewlineDecoder(decoder, translate=newline is None)
        else:
            import aiofiles

            plain = self._letter + ("" if self._text else "b") + ("+" if self._updates else "")
            texts = dict(zip(("encoding", "errors", "newline"), self._text or (), strict=False))
            self._local = await aiofiles.open(self.name, plain, **texts)  # type: ignore[call-overload]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        raw = self._raw
        if exc is not None and raw is not None:
            self._raw = None
            await raw.abort()
        else:
            await self.aclose()

    async def read(self, size: int = -1) -> Any:
        """Return up to *size* characters or bytes; all that is left if it is negative."""
        if self._local is not None:
            return await self._local.read(size)
        self._opened()
        while not self._ended and (size < 0 or len(self._pending) < size):
            await self._more(everything=size < 0)
        size = len(self._pending) if size < 0 else size
        found, self._pending = self._pending[:size], self._pending[size:]
        return found

    async def readline(self) -> Any:
        """Return the next line with its end; empty at the end of the file."""
        if self._local is not None:
            return await self._local.readline()
        self._opened()
        end: Any = "\n" if self._text else b"\n"
        while (at := self._pending.find(end)) < 0 and not self._ended:
            await self._more()
        cut = at + 1 if at >= 0 else len(self._pending)
        found, self._pending = self._pending[:cut], self._pending[cut:]
        return found

    async def readlines(self) -> list[Any]:
        """Return all lines that are left, with their ends."""
        return [line async for line in self]

    async def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill *buffer* and return how many bytes there were; binary files only."""
        if self._text:
            raise io.UnsupportedOperation("readinto of a text file")
        view = memoryview(buffer).cast("B")
        data = await self.read(len(view))
        view[: len(data)] = data
        return len(data)

    async def write(self, data: Any) -> int:
        """Write text or bytes and return their length."""
        if self._local is not None:
            return int(await self._local.write(data))
        raw = self._opened()
        if not raw.writable:
            raise io.UnsupportedOperation("not writable")
        if self._text:
            encoding, errors, newline = self._text
            text = data if newline in (None, "", "\n") else data.replace("\n", newline)
            await raw.write(memoryview(text.encode(encoding, errors)))
        else:
            await raw.write(memoryview(data).cast("B"))
        return len(data)

    async def writelines(self, lines: Iterable[Any]) -> None:
        """Write several pieces, between which nothing is put."""
        for line in lines:
            await self.write(line)

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position; in an object that is read as text only to its beginning."""
        if self._local is not None:
            return int(await self._local.seek(offset, whence))
        raw = self._opened()
        if self._text and (offset, whence) != (0, os.SEEK_SET):
            raise io.UnsupportedOperation("only seek(0) in text")
        if whence == os.SEEK_CUR:
            offset -= len(self._pending)
        self._pending = "" if self._text else b""
        self._ended = False
        if self._decoder is not None:
            self._decoder.reset()
        return await raw.seek(offset, whence)

    async def tell(self) -> int:
        """Return the position; not of an object that is read as text."""
        if self._local is not None:
            return int(await self._local.tell())
        raw = self._opened()
        if self._text and raw.readable:
            raise io.UnsupportedOperation("tell in text")
        return await raw.seek(0, os.SEEK_CUR) - len(self._pending)

    async def size(self) -> int:
        """Return the size of the file in bytes."""
        if self._local is not None:
            await self._local.flush()
            return os.fstat(self._local.fileno()).st_size
        return await self._opened().size()

    async def flush(self) -> None:
        """Publish what was written so far, if it still fits into one request."""
        await (self._local or self._opened()).flush()

    async def aclose(self) -> None:
        """Publish what was written, and close; a second time is no error."""
        raw, local = self._raw, self._local
        self._raw = self._local = None
        if local is not None:
            await local.close()
        elif raw is not None:
            await raw.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    def _opened(self) -> Raw:
        if self._raw is None:
            raise ValueError(f"{self.name} is not open; use it in an async with block")
        return self._raw

    async def _more(self, *, everything: bool = False) -> None:
        raw = self._opened()
        if everything:
            data = await raw.readall()
            self._ended = True
        else:
            buffer = bytearray(CHUNK)
            data = bytes(buffer[: await raw.readinto(memoryview(buffer))])
            self._ended = not data
        if self._decoder is not None:
            self._pending += self._decoder.decode(data, final=self._ended)  # type: ignore[operator]
        else:
            self._pending += data  # type: ignore[operator]
