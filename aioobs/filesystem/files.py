"""Open files as fsspec wants them, made of those of `aioobs.sync` and `aioobs.io`."""

from __future__ import annotations

import errno
import io
import os
from typing import IO, TYPE_CHECKING, Self, cast

from fsspec.compression import compr
from fsspec.spec import AbstractBufferedFile

from aioobs.filesystem.options import check_hints, take_headers
from aioobs.filesystem.ranges import read_range
from aioobs.io.local_copy import open_local_copy
from aioobs.io.reader import open_reader
from aioobs.io.stream import ByteStream
from aioobs.io.writer import open_appender, open_writer
from aioobs.sync._io import RemoteRandom, RemoteReader, RemoteText, RemoteWriter, writing
from aioobs.sync._loop import finish, run
from aioobs.sync._raw import BUFFER_SIZE, LocalCopyFile, StreamedObject
from aioobs.threads import in_thread

if TYPE_CHECKING:
    from types import TracebackType

    from fsspec.callbacks import Callback

    from aioobs.filesystem.interface import FileSystem
    from aioobs.io.raw import Raw
    from aioobs.store.headers import Headers
    from aioobs.sync._raw import RawObject

__all__ = [
    "AsyncFile",
    "CachedFile",
    "as_text",
    "compressed",
    "open_async",
    "open_blocking",
    "read_into",
]


class Open:
    """What fsspec's own open files have beyond those of `io`."""

    fs: FileSystem
    path: str
    blocksize = BUFFER_SIZE

    def of(self, fs: FileSystem, path: str) -> Self:
        """Say which file this is, and return it."""
        self.fs, self.path = fs, path
        return self

    @property
    def full_name(self) -> str:
        """The URL."""
        return self.fs.unstrip_protocol(self.path)

    @property
    def details(self) -> dict[str, object]:
        """What `info` says of the file."""
        return self.fs.info(self.path)

    def info(self) -> dict[str, object]:
        """Return what `info` says of the file."""
        return self.details

    def url(self, expires: int = 3600) -> str:
        """Return a URL with which anybody can read the object for *expires* seconds."""
        return self.fs.url(self.path, expires)

    def metadata(self) -> dict[str, str]:
        """Return the metadata of the object."""
        return self.fs.metadata(self.path)

    def getxattr(self, attr_name: str) -> str | None:
        """Return one value of the metadata; `None`: there is none of that name."""
        return self.fs.getxattr(self.path, attr_name)


class ReadObject(StreamedObject):
    """An object that is read; it need not be closed, which users of fsspec often forget."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a position; one before the beginning is a `ValueError` as well, as in fsspec."""
        try:
            return super().seek(offset, whence)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise io.UnsupportedOperation(*error.args) from error

    def __del__(self) -> None:
        if not self.closed:
            io.RawIOBase.close(self)
            if self._is_ours():
                finish(self._object.abort())


class Reading(Open, RemoteReader):
    """An object that is read; pickled as its name and the position."""

    version_id: str = ""
    """Which version it is, if one was named."""

    # A property, as fsspec has it, and no method as in moxing.
    @property
    def size(self) -> int:  # type: ignore[override]
        """The size of the object in bytes."""
        return self.raw_file.size()

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to *size* bytes; all that is left if that is negative, as fsspec has it."""
        return super().read(-1 if size is None or size < 0 else size)

    def __reduce_ex__(self, _protocol: object) -> tuple[object, ...]:
        return reopened, (self.fs, self.path, self.tell(), self.version_id)

    def __reduce__(self) -> tuple[object, ...]:
        return self.__reduce_ex__(0)


def reopened(fs: FileSystem, path: str, position: int, version_id: str = "") -> Reading:
    """Return a file that was pickled."""
    file = cast("Reading", fs.open(path, version_id=version_id))
    file.seek(position)
    return file


class Changing(Open):
    """An object that is written: it appears when it is closed, or at the end of a transaction."""

    held: bool = False
    """Whether closing it leaves that to `commit`."""
    discarded: bool = False

    @property
    def size(self) -> int:
        """How many bytes there are so far."""
        self.flush()
        return cast("RemoteWriter", self).raw_file.size()

    def flush(self) -> None:
        """Pass on what was written; the store shows nothing of it before the end."""
        with cast("RemoteWriter", self).raw_file.quiet():
            super().flush()  # type: ignore[misc]  # that of the other base

    def close(self) -> None:
        """Publish what was written, or leave that to `commit`."""
        if self.held:
            if not cast("RemoteWriter", self).closed:
                self.flush()
            return
        try:
            super().close()  # type: ignore[misc]  # likewise
        finally:
            self.fs.invalidate_cache(self.path)

    def commit(self) -> None:
        """Publish what was written.

        Raises:
            ValueError: it was discarded.
        """
        if self.discarded:
            raise ValueError(f"{self.full_name} was discarded: there is nothing to publish")
        self.held = False
        self.close()

    def discard(self) -> None:
        """Close without publishing anything."""
        self.discarded = True
        cast("RemoteWriter", self).abort()


# Its bases have a `size` each, a property and a method; the property comes first.
class Writing(Changing, RemoteWriter):  # type: ignore[misc]
    """An object that is written from its beginning to its end."""


class Updating(Changing, RemoteRandom):  # type: ignore[misc]
    """An object that is changed in a local copy."""


class Text(Open, RemoteText):
    """An object of text, over one of the others."""


class CachedFile(AbstractBufferedFile):
    """An object that is read through one of fsspec's caches, block by block."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        url, etag = str(self.fs.url_of(self.path)), self.details["ETag"]
        return run(read_range(self.fs.client, url, start, end, etag))


def open_blocking(
    fs: FileSystem,
    path: str,
    mode: str,
    *,
    held: bool,
    headers: Headers | None,
    version_id: str = "",
) -> Reading | Writing | Updating:
    """Open an object for reading or writing of bytes; if *held*, closing it does not publish it.

    Raises:
        TypeError: there are *headers*, and none is written from its beginning.
        FileNotFoundError: there is no such object or bucket.
        FileExistsError: the mode is ``x``, and there is something of that name.
        IsADirectoryError: there is a folder of that name.
    """
    check_made(mode, headers)
    url, name, raw_mode = str(fs.url_of(path)), mode[0], mode.replace("b", "") + "b"
    raw: RawObject
    file: Writing | Updating
    if "+" in mode:
        raw = LocalCopyFile(run(open_local_copy(fs.client, url, name)), url, raw_mode)
        file = Updating(raw).of(fs, path)
    elif name == "r":
        reader = run(open_reader(fs.client, url, version_id=version_id))
        reading = Reading(ReadObject(reader, url, raw_mode), BUFFER_SIZE).of(fs, path)
        reading.version_id = version_id
        return reading
    else:
        raw = StreamedObject(run(open_raw(fs, url, name, headers)), url, raw_mode)
        file = Writing(raw, BUFFER_SIZE).of(fs, path)
    writing.add(file)
    file.held = held
    return file


def compressed(file: IO[bytes], codec: str, letter: str) -> IO[bytes]:
    """Return a file that compresses; closing it closes *file* too, which few codecs do."""
    outer = compr[codec](file, mode=letter)
    end = outer.close

    def close() -> None:
        try:
            end()
        except BaseException:
            if isinstance(file, Changing):
                file.discard()
            raise
        file.close()

    outer.close = close
    return cast("IO[bytes]", outer)


def as_text(
    file: IO[bytes],
    *,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> io.TextIOWrapper:
    """Return a file of text over one of bytes; UTF-8 unless *encoding* is given."""
    encoding = encoding or "utf-8"
    if not isinstance(file, Open):
        return io.TextIOWrapper(file, encoding, errors, newline)
    buffer = cast("RemoteWriter", file)
    text = Text(buffer, encoding, errors, newline, write_through=True)
    return text.of(file.fs, file.path)


def check_made(mode: str, headers: Headers | None) -> None:
    if headers is not None and (mode[0] not in "wx" or "+" in mode):
        raise TypeError(f"ContentType and Metadata are for the modes w and x, and not for {mode!r}")


async def open_raw(fs: FileSystem, url: str, letter: str, headers: Headers | None = None) -> Raw:
    if letter == "r":
        return await open_reader(fs.client, url)
    if letter == "a":
        return await open_appender(fs.client, url, flush_interval=0)
    return await open_writer(
        fs.client, url, exclusive=letter == "x", flush_interval=0, headers=headers
    )


class AsyncFile:
    """An open object for ``async with``, as `AbstractAsyncStreamedFile` of fsspec is.

    What is written appears when it is closed, and not at all if the block ends with an error.
    """

    def __init__(self, fs: FileSystem, path: str, mode: str, raw: Raw, size: int) -> None:
        self.fs = fs
        self.path = path
        self.mode = mode
        self.size: int = size
        self.loc: int = 0 if raw.readable else size
        self.closed: bool = False
        self._raw = raw
        self._stream = ByteStream(raw)

    async def read(self, length: int = -1) -> bytes:
        """Return the next bytes, up to *length*; all that is left if that is negative."""
        data = await self._stream.read(length)
        self.loc += len(data)
        return data

    async def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write bytes, and return how many."""
        count = await self._stream.write(data)
        self.loc += count
        self.size = self.loc
        return count

    def tell(self) -> int:
        """Return the position."""
        return self.loc

    async def seek(self, loc: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position and return it; only what is read can be sought in."""
        if not self._raw.readable:
            raise io.UnsupportedOperation(f"{self.path} is written from beginning to end")
        self.loc = await self._stream.seek(loc, whence)
        return self.loc

    async def flush(self) -> None:
        """Do nothing: what is written shows when it is whole."""

    async def close(self) -> None:
        """Publish what was written; a second time is no error."""
        if not self.closed:
            self.closed = True
            await self._raw.aclose()
            if self._raw.writable:
                self.fs.invalidate_cache(self.path)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None or self._raw.readable:
            await self.close()
        elif not self.closed:
            self.closed = True
            await self._raw.abort()


async def open_async(
    fs: FileSystem,
    path: str,
    mode: str,
    *,
    compression: str | None = None,
    size: int | None = None,  # is found out all the same
    **hints: object,
) -> AsyncFile:
    """Open an object for `await`; see `open_blocking`."""
    headers = take_headers(hints)
    check_hints("open_async", hints)
    check_made(mode, headers)
    if "b" not in mode or "+" in mode or compression:
        raise ValueError(f"the mode {mode!r} is not one of rb, wb, xb and ab")
    raw = await open_raw(fs, str(fs.url_of(path)), mode[0], headers)
    length = 0 if mode[0] in "wx" else await raw.size()
    return AsyncFile(fs, path, mode, raw, length)


async def read_into(fs: FileSystem, path: str, target: IO[bytes], callback: Callback) -> None:
    """Write what is in an object into an open file."""
    async with await open_async(fs, path, "rb") as source:
        callback.set_size(source.size)
        while data := await source.read(BUFFER_SIZE):
            await in_thread(target.write, data)
            callback.relative_update(len(data))
