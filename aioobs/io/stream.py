"""Bytes, characters and lines of an open object, for the async API."""

from __future__ import annotations

import codecs
import io
import os
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, AnyStr, Generic

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from aioobs.io.raw import Raw

__all__ = ["ByteStream", "TextStream"]

FIRST_CHUNK = 64 << 10  # after opening and seeking; twice as much each time until CHUNK
CHUNK = 1 << 20


class Stream(ABC, Generic[AnyStr]):
    """What bytes and text have in common: a chunk of the object, and a position in it."""

    empty: AnyStr

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._piece: AnyStr = self.empty
        self._at = 0
        self._start = (0, 0)  # of the piece of text: the position, and the decoder's state there
        self._chunk = FIRST_CHUNK

    @abstractmethod
    async def _more(self) -> bool:
        """Go on to the next piece; tell whether there is one."""

    @abstractmethod
    async def _rest(self) -> AnyStr:
        """Return all that follows the piece."""

    @abstractmethod
    def _after_line(self) -> int:
        """Return where the next line begins, or -1 if the piece ends before."""

    async def _next_chunk(self) -> bytes:
        buffer = bytearray(self._chunk)
        self._chunk = min(2 * self._chunk, CHUNK)
        return bytes(buffer[: await self._raw.readinto(memoryview(buffer))])

    async def read(self, size: int | None = -1) -> AnyStr:
        """Return up to *size* characters or bytes; all that is left if it is negative."""
        if size is None or size < 0:
            rest = await self._rest()
            held = self._piece[self._at :]
            self._piece, self._at = self.empty, 0
            return held + rest if held else rest
        before, pieces = self._place(), []
        try:
            while size and (self._at < len(self._piece) or await self._more()):
                piece = self._piece[self._at : self._at + size]
                pieces.append(piece)
                self._at += len(piece)
                size -= len(piece)
        except BaseException:
            self._put_back(before, pieces)
            raise
        return self.empty.join(pieces)

    async def readline(self, size: int | None = -1) -> AnyStr:
        """Return the next line with its end, or *size* characters or bytes of it."""
        left = size if size is not None and size >= 0 else -1
        before, pieces = self._place(), []
        try:
            while left and (self._at < len(self._piece) or await self._more()):
                after = self._after_line()
                stop = after if after >= 0 else len(self._piece)
                if 0 <= left < stop - self._at:
                    stop, after = self._at + left, -1
                pieces.append(self._piece[self._at : stop])
                left -= (stop - self._at) if left > 0 else 0
                self._at = stop
                if after >= 0:
                    break
        except BaseException:
            self._put_back(before, pieces)
            raise
        return self.empty.join(pieces)

    def _place(self) -> tuple[AnyStr, int, tuple[int, int]]:
        return self._piece, self._at, self._start

    def _put_back(self, before: tuple[AnyStr, int, tuple[int, int]], pieces: list[AnyStr]) -> None:
        """Return to where *pieces* were taken, so that the next read gets them again."""
        piece, self._at, self._start = before
        self._piece = piece[: self._at] + self.empty.join(pieces)

    async def flush(self) -> None:
        """Publish what was written so far."""
        await self._raw.flush()

    async def size(self) -> int:
        """Return the number of bytes, with what was written so far."""
        return await self._raw.size()

    async def truncate(self, size: int | None = None) -> int:
        """Refuse: an object is written from its beginning to its end."""
        raise io.UnsupportedOperation("truncate needs a mode with a +")

    def _check_writable(self) -> None:
        if not self._raw.writable:
            raise io.UnsupportedOperation("not writable")


class ByteStream(Stream[bytes]):
    """The bytes of an open object."""

    empty = b""

    async def _more(self) -> bool:
        self._piece, self._at = await self._next_chunk(), 0
        return bool(self._piece)

    async def _rest(self) -> bytes:
        return await self._raw.readall()

    def _after_line(self) -> int:
        return self._piece.find(b"\n", self._at) + 1 or -1

    async def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill *buffer* and return how many bytes there were."""
        view = memoryview(buffer).cast("B")
        held = self._piece[self._at : self._at + len(view)]
        count = len(held)
        view[:count] = held
        try:
            while count < len(view) and (more := await self._raw.readinto(view[count:])):
                count += more
        except BaseException:
            await self._raw.seek(len(held) - count, os.SEEK_CUR)
            raise
        self._at += len(held)
        return count

    async def write(self, data: ReadableBuffer) -> int:
        """Write bytes and return their number."""
        self._check_writable()
        return await self._raw.write(memoryview(data).cast("B"))

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position and return it."""
        if whence == os.SEEK_CUR:
            offset, whence = offset + await self.tell(), os.SEEK_SET
        position = await self._raw.seek(offset, whence)
        self._piece, self._at, self._chunk = b"", 0, FIRST_CHUNK
        return position

    async def tell(self) -> int:
        """Return the position."""
        return await self._raw.seek(0, os.SEEK_CUR) - (len(self._piece) - self._at)


class TextStream(Stream[str]):
    """The text of an open object, with encodings and newlines as in `open`."""

    empty = ""

    def __init__(self, raw: Raw, encoding: str, errors: str, newline: str | None) -> None:
        super().__init__(raw)
        self._newline = newline
        self._line_end = re.compile("\r\n|\r|\n" if newline == "" else newline or "\n")
        decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=newline is None)
        self._encoder = codecs.getincrementalencoder(encoding)(errors)
        self._started = False
        self._ended = False

    async def _more(self) -> bool:
        while not self._ended:
            waiting, state = self._decoder.getstate()
            position = await self._raw.seek(0, os.SEEK_CUR) - len(waiting)
            data = await self._next_chunk()
            self._piece, self._at = await self._decoded(data, final=not data), 0
            self._start = (position, state)
            if self._piece:
                return True
        return False

    async def _rest(self) -> str:
        if self._ended:
            return ""
        return await self._decoded(await self._raw.readall(), final=True)

    async def _decoded(self, data: bytes, *, final: bool) -> str:
        try:
            text = self._decoder.decode(data, final=final)
        except UnicodeError:
            await self._raw.seek(-len(data), os.SEEK_CUR)  # the next read fails again
            raise
        self._ended = final
        return text

    def _after_line(self) -> int:
        found = self._line_end.search(self._piece, self._at)
        return found.end() if found else -1

    async def readinto(self, buffer: WriteableBuffer) -> int:
        """Refuse: bytes are not text."""
        raise io.UnsupportedOperation("readinto of a text file")

    async def write(self, text: str) -> int:
        """Write text and return its length."""
        self._check_writable()
        if not self._started:
            self._started = True
            if await self._raw.size():  # a byte order mark is there already, or none is wanted
                self._encoder.setstate(0)
        translated = self._newline not in (None, "", "\n")
        written = text.replace("\n", self._newline or "") if translated else text
        await self._raw.write(memoryview(self._encoder.encode(written)))
        return len(text)

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to the beginning, to the end, or to where `tell` has been."""
        if whence == os.SEEK_CUR and not offset:
            return await self.tell()
        if whence == os.SEEK_END and not offset:
            offset = await self._raw.size()
        elif whence != os.SEEK_SET:
            raise io.UnsupportedOperation("text has no other positions than those of tell()")
        if offset < 0:
            raise ValueError(f"negative seek position {offset}")
        position, skipped, state = offset & POSITION, offset >> 64 & POSITION, offset >> 128
        await self._raw.seek(position, os.SEEK_SET)
        if position:
            self._decoder.setstate((b"", state))
        else:
            self._decoder.reset()  # to look for a byte order mark
        self._piece, self._at, self._ended, self._chunk = "", 0, False, FIRST_CHUNK
        self._start = (position, state)
        await self.read(skipped)
        return offset

    async def tell(self) -> int:
        """Return the position for `seek`, which is no number of characters or bytes."""
        if self._raw.writable:
            return await self._raw.seek(0, os.SEEK_CUR)
        skipped, (position, state) = self._at, self._start
        if skipped == len(self._piece):
            waiting, state = self._decoder.getstate()
            skipped, position = 0, await self._raw.seek(0, os.SEEK_CUR) - len(waiting)
        return position | skipped << 64 | (state << 128 if position else 0)


POSITION = (1 << 64) - 1
