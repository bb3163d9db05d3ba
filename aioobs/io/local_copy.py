"""Objects that are changed in place: in a local copy, which is written back."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from functools import partial
from typing import IO, TYPE_CHECKING

from aioobs.errors import IsADirectory, NotFound
from aioobs.s3.body import FilePart, FileSink, digest
from aioobs.s3.ranges import read_ranges
from aioobs.store.compose import Stored, stored
from aioobs.store.remote import RemoteStore, file_url
from aioobs.threads import in_thread
from aioobs.transfer import engine

if TYPE_CHECKING:
    from aioobs.s3.client import Client
    from aioobs.store.upload import Guard
    from aioobs.url import ObjectURL

__all__ = ["LocalCopy", "open_local_copy"]


async def open_local_copy(client: Client, path: str, letter: str) -> LocalCopy:
    """Return a copy of the object that *path* names, as the letter of a mode with ``+`` wants it.

    Raises:
        NotFound: the letter is ``r``, and there is no such object.
        FileExistsError: it is ``x``, and there is one.
        IsADirectory: there is a folder of that name.
    """
    url, store = file_url(path), RemoteStore(client)
    if letter == "x" and await store.exists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    base = await stored(client, url) if letter in "ra" else None
    if base is None and letter in "ra":
        if await store.is_directory(path):
            raise IsADirectory("is a folder", operation="getObject", url=path)
        if letter == "r":
            raise NotFound("there is no such object", operation="getObject", url=path)
    copy = LocalCopy(client, url, base, new=letter in "ax")
    try:
        await copy.open(appending=letter == "a")
    except BaseException as error:
        await copy.abort()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = tempfile.gettempdir()  # there is no room, mostly
        raise
    return copy


class LocalCopy:
    """A file without a name that holds an object, and is written back where it was changed.

    Whoever opened it reads and writes the descriptor.  Whether something was changed shows in the
    file's time of modification, which is put back to 1970 whenever it is equal to the object.
    Changes in mapped memory need not show there; once they are possible, see `share`.
    """

    def __init__(self, client: Client, url: ObjectURL, base: Stored | None, *, new: bool) -> None:
        self.descriptor: int = -1
        self._file: IO[bytes] | None = None  # which the collector closes if nobody else can
        self._client = client
        self._url = url
        self._base = base
        self._new = new
        self._digest: bytes | None = None  # of the object, if the time may not show a change
        self._failure: BaseException | None = None

    async def open(self, *, appending: bool) -> None:
        """Create the file and fill it."""
        await in_thread(self._create)
        if self._base is not None:
            await read_ranges(
                partial(self._client.stream_object, self._url.bucket, self._url.key),
                lambda offset, _: FileSink(self.descriptor, offset),
                start=0,
                size=self._base.size,
                part_size=self._client.config.part_size,
                etag=self._base.etag,
            )
            os.utime(self.descriptor, ns=(0, 0))
        if appending:
            flags = fcntl.fcntl(self.descriptor, fcntl.F_GETFL)
            fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags | os.O_APPEND)

    def _create(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `abort`
        self.descriptor = self._file.fileno()

    def spoil(self, failure: BaseException) -> None:
        """Never write it back: something may be missing in it, as on a full disk."""
        self._failure = failure

    async def flush(self) -> None:
        """Write it back if it was changed.

        Raises:
            ObjectChanged: the object was replaced meanwhile; it stays as it is.
            OSError: something may be missing.
        """
        if self._failure is not None:
            raise OSError(
                f"an earlier write to {self._url} failed, nothing more is published"
            ) from self._failure
        found = None if self._digest is None else await self._compute_digest()
        if not self._is_touched() and found == self._digest:
            return
        os.utime(self.descriptor, ns=(0, 0))  # before the rest, during which it may be changed
        body = self._body()
        try:
            headers = self._base.headers if self._base else {}
            etag = await engine.put(self._client, self._url, body, self._guard(), headers)
        except BaseException:
            os.utime(self.descriptor)
            raise
        self._base = Stored(self._url.bucket, self._url.key, body.size, etag, headers=headers)
        self._digest = found

    async def share(self) -> None:
        """From now on compare the content itself to know whether it was changed."""
        if self._digest is None:
            self._digest = b"" if self._is_touched() else await self._compute_digest()

    def _is_touched(self) -> bool:
        return os.fstat(self.descriptor).st_mtime_ns != 0

    def _body(self) -> FilePart:
        return FilePart(self.descriptor, 0, os.fstat(self.descriptor).st_size)

    async def _compute_digest(self) -> bytes:
        return await digest(self._body(), "sha256")

    def _guard(self) -> Guard:
        if self._base is not None:
            return {"if_match": self._base.etag}
        return {"if_none_match": "*"} if self._new else {}

    async def aclose(self) -> None:
        """Write it back if it was changed, and close it."""
        try:
            await self.flush()
        finally:
            await self.abort()

    async def abort(self) -> None:
        """Close it without writing it back."""
        self.descriptor = -1
        if self._file is not None:
            self._file.close()
