"""Blocking file objects: the layers of `io` over one raw file.

    Text                       characters, lines, encodings
     └── Reader Writer Random  bytes, in a buffer
          └── RawObject        the object itself: see _raw.py

Only the raw layer of a remote file goes through the loop thread; that of a local one is
`io.FileIO`.  What a remote file needs beyond `io` is in the classes named `Remote…`: a flush
reaches the store, and what is not closed in an orderly way is not published.
"""

from __future__ import annotations

import contextlib
import io
import os
import weakref
from collections import UserString
from typing import TYPE_CHECKING, Any, AnyStr, Literal, Protocol, cast, overload

from aioobs.io.file import open_raw
from aioobs.io.local_copy import open_local_copy
from aioobs.io.raw import check_options, split_mode
from aioobs.session import current_client
from aioobs.store.local import local_errors
from aioobs.sync._loop import run, run_here
from aioobs.sync._raw import BUFFER_SIZE, LocalCopyFile, RawObject, StreamedObject
from aioobs.url import ObjectURL, Path, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from _typeshed import (
        OpenBinaryMode,
        OpenBinaryModeReading,
        OpenBinaryModeUpdating,
        OpenBinaryModeWriting,
        OpenTextMode,
    )

__all__ = ["File", "Random", "Reader", "Text", "Writer"]


class _Open(Protocol):
    """The part of the `io` classes that the mix-ins rely on."""

    def close(self) -> None: ...
    def flush(self) -> None: ...
    def fileno(self) -> int: ...
    def writable(self) -> bool: ...


class _OpenRemote(_Open, Protocol):
    @property
    def raw_file(self) -> RawObject: ...
    def abort(self) -> None: ...


class _Buffered(Protocol):
    @property
    def raw(self) -> object: ...


class _Extras:
    """What files of the mox API add to those of `io`."""

    def size(self: _Open) -> int:
        """Return the size of the file in bytes, with what was written so far."""
        if self.writable():
            self.flush()
        return os.fstat(self.fileno()).st_size

    def next(self: Iterator[AnyStr]) -> AnyStr:
        """Return the next line, or raise StopIteration."""
        return next(self)


class LocalRaw(_Extras, io.FileIO):
    """A local file without a buffer."""


class Reader(_Extras, io.BufferedReader):
    """A file of bytes that is read."""


class Writer(_Extras, io.BufferedWriter):
    """A file of bytes that is written."""


class Random(_Extras, io.BufferedRandom):
    """A file of bytes that is read and written."""


class Text(_Extras, io.TextIOWrapper):
    """A file of text."""


class _Remote:
    """What remote files add to local ones."""

    @property
    def raw_file(self: _Buffered) -> RawObject:
        """The raw file below."""
        return cast("RawObject", self.raw)

    def size(self: _OpenRemote) -> int:
        """Return the size of the object in bytes, with what was written so far."""
        with self.raw_file.quiet():
            self.flush()
        return self.raw_file.size()

    def abort(self: _OpenRemote) -> None:
        """Close without publishing anything that was not flushed."""
        self.raw_file.abort()  # and then the layers above see that they are closed

    def __exit__(
        self: _OpenRemote,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        """Leave it to the raw file: the destructors of `io` would publish."""


class RemoteReader(_Remote, Reader):
    """A remote file of bytes that is read."""

    def read1(self, size: int = -1, /) -> bytes:
        # Fill the buffer: the inherited one asks the raw file for the 8 KiB that Text wants.
        return super().read1(size) if size == 0 or self.peek(1) else b""


class Name(UserString):
    """The name of a file that is written, a `str` in all but its type.

    The `to_parquet` of pandas 2 opens what has a `str` for a name once more, by way of pyarrow.
    """

    def __fspath__(self) -> str:
        return self.data


class RemoteWriter(_Remote, Writer):
    """A remote file of bytes that is written."""

    @property
    def name(self) -> Name:
        return Name(self.raw_file.name)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if not self.seekable():  # a clearer message than that of io
            raise io.UnsupportedOperation(
                f"{self.raw_file.name} is written from beginning to end: to seek, open it with w+"
            )
        return super().seek(offset, whence)

    def flush(self) -> None:
        super().flush()
        self.raw_file.sync()  # which `io` does not call

    def close(self) -> None:
        with closing(self.raw_file):
            super().close()


class RemoteRandom(_Remote, Random):
    """A remote file of bytes that is read and written."""

    def read1(self, size: int = -1, /) -> bytes:
        return super().read1(size) if size == 0 or self.peek(1) else b""

    def flush(self) -> None:
        super().flush()
        self.raw_file.sync()

    def close(self) -> None:
        with closing(self.raw_file):
            super().close()


class RemoteText(_Remote, Text):
    """A remote file of text."""

    def __init__(self, buffer: Reader | Writer | Random, *args: Any, **options: Any) -> None:
        # Or else `io` does not ask whether this is the start, where a byte order mark belongs.
        raw = cast("RawObject", buffer.raw)
        raw.poses_as_seekable = True
        super().__init__(buffer, *args, **options)
        raw.poses_as_seekable = False

    @property
    def name(self) -> str:
        return self.raw_file.name

    @property
    def raw_file(self) -> RawObject:
        return cast("RemoteReader | RemoteWriter | RemoteRandom", self.buffer).raw_file

    def seek(self, cookie: int, whence: int = io.SEEK_SET, /) -> int:
        with self.raw_file.quiet():
            return super().seek(cookie, whence)

    def tell(self) -> int:
        if not self.seekable():  # nothing is pending in this layer: see write_through
            return cast("Writer", self.buffer).tell()
        with self.raw_file.quiet():
            return super().tell()

    def close(self) -> None:
        with closing(self.raw_file):
            super().close()


@contextlib.contextmanager
def closing(raw: RawObject) -> Iterator[None]:
    """Close the layers over a raw file, whose own `close` publishes all that they flush.

    Ctrl-C during a flush is raised, not the error that the raw file has nothing to publish then,
    behind which `io` hides it.
    """
    try:
        with raw.quiet():
            yield
    except OSError as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        raise error.__context__ from None


LOCAL = (Reader, Writer, Random, Text)
REMOTE = (RemoteReader, RemoteWriter, RemoteRandom, RemoteText)


@overload
def File(
    name: Path,
    mode: OpenTextMode = "r",
    *,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    flush_interval: float = 0,
) -> Text: ...
@overload
def File(  # type: ignore[overload-overlap]
    name: Path, mode: OpenBinaryMode, *, buffering: Literal[0], flush_interval: float = 0
) -> io.RawIOBase: ...
@overload
def File(
    name: Path, mode: OpenBinaryModeReading, *, buffering: int = -1, flush_interval: float = 0
) -> Reader: ...
@overload
def File(
    name: Path, mode: OpenBinaryModeWriting, *, buffering: int = -1, flush_interval: float = 0
) -> Writer: ...
@overload
def File(
    name: Path, mode: OpenBinaryModeUpdating, *, buffering: int = -1, flush_interval: float = 0
) -> Random: ...
@overload
def File(
    name: Path,
    mode: str,
    *,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    flush_interval: float = 0,
) -> Text | Reader | Writer | Random | io.RawIOBase: ...
def File(  # a function that looks like a class, as `open` does  # noqa: N802
    name: Path,
    mode: str = "r",
    *,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    flush_interval: float = 0,
) -> Text | Reader | Writer | Random | io.RawIOBase:
    """Open a local file or an object, as `open` does; text is UTF-8 unless *encoding* is given.

    An object that is written appears, or replaces the one before, when the file is closed, and as
    far as it is written at each `flush`, after which only the rest is sent.  An exception in its
    ``with`` block publishes nothing more, and neither does a file that was never closed, unless it
    is still open when the interpreter exits, which closes it.  With a ``+`` in the mode the file
    works on a temporary local copy, which is written back if it was changed.

    Reading holds at most 40 MiB in memory; writing about as much, in parts under way.  A log that
    is written to an object lacks the log records of that writing itself.

    Args:
        name: A path or URL.
        mode: As for `open`; the letters can be in any order.
        buffering: In bytes, as for `open`.
        encoding: Of text.
        errors: How to treat what cannot be encoded or decoded, as for `open`.
        newline: As for `open`.
        flush_interval: The least number of seconds between two flushes that reach the store; an
            earlier one waits, so that a log can be flushed after each record.

    Raises:
        MoxFileNotExistsException: there is no such file, or no such bucket or folder to write in.
        IsADirectoryError: there is a folder of that name; with ``w`` nobody looks for one.
        FileExistsError: the mode is ``x`` and there is something of that name.
        ObjectChanged: the object was replaced while it was being read or changed; raised by the
            methods of the file.
        ValueError: the arguments do not fit together.
    """
    letter, updates, binary = split_mode(mode)
    check_options(
        binary=binary, buffering=buffering, encoding=encoding, errors=errors, newline=newline
    )
    raw_mode = f"{letter}b{'+' if updates else ''}"
    if not isinstance(parse(name), ObjectURL):
        with local_errors(os.fspath(name)):
            local = LocalRaw(os.fspath(name), raw_mode)
        try:
            return layers(local, mode, buffering, encoding, errors, newline)
        except BaseException:
            local.close()
            raise
    raw = open_object(os.fspath(name), raw_mode, flush_interval)
    try:
        file = layers(raw, mode, buffering, encoding, errors, newline)
    except BaseException:
        raw.abort()
        raise
    if raw.writable():
        writing.add(file)
    return file


def open_object(url: str, mode: str, flush_interval: float) -> RawObject:
    """Return the raw file of the object that *url* names."""
    if "+" in mode:
        return LocalCopyFile(run(open_local_copy(current_client(), url, mode[0])), url, mode)
    begin = run_here if mode[0] == "r" else run
    inner = begin(open_raw(url, mode[0], flush_interval=flush_interval))
    return StreamedObject(inner, url, mode)


def layers(
    raw: RawObject | LocalRaw,
    mode: str,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> Text | Reader | Writer | Random | io.RawIOBase:
    """Put the layers that *mode* asks for over a raw file."""
    if buffering == 0:
        return raw
    remote = isinstance(raw, RawObject)
    reader, writer, random, text = REMOTE if remote else LOCAL
    buffer_class = random if "+" in mode else reader if raw.readable() else writer
    default_size = BUFFER_SIZE if isinstance(raw, StreamedObject) else io.DEFAULT_BUFFER_SIZE
    buffered = buffer_class(raw, buffering if buffering > 1 else default_size)
    if "b" in mode:
        return buffered
    file = text(
        buffered,
        encoding or "utf-8",
        errors,
        newline,
        line_buffering=buffering == 1,
        write_through=remote,  # one buffer less
    )
    file.mode = mode  # type: ignore[misc]  # `io` lets it be set, which its types do not know
    return file


# Weak, for a file that is forgotten must not wait for the exit to be aborted.
writing: weakref.WeakSet[io.IOBase] = weakref.WeakSet()


def close_all() -> None:
    """Publish what is still open for writing when the interpreter exits, as `open` would."""
    with contextlib.ExitStack() as stack:
        for file in list(writing):
            stack.callback(close_at_exit, file)


def close_at_exit(file: io.IOBase) -> None:
    try:
        file.close()
    except ValueError:
        if not file.closed:  # a daemon thread may close it at this moment
            raise
    # Python flushes what stands for sys.stdout later still, and an error is then its exit code.
    vars(file)["flush"] = lambda: None


os.register_at_fork(after_in_child=writing.clear)
