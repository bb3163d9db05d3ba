"""What a copy has done, written down so that another run need not do it again.

A journal is lines of JSON that are only ever added, one for each thing that has happened:

    {"journal": 1, "source": ..., "target": ..., "boot": ..., "durable": ..., "time": ...}
    {"done": name, "from": version, "is": version}
    {"begun": name, "from": version, "at": upload or staged file, "part_size": bytes}
    {"part": name, "at": upload or staged file, "number": 1, "is": ETag or CRC-32}
    {"failed": name, "why": ...}

A line claims something and proves nothing.  What is done counts if source and target are both
still of the versions that the line names; parts count if the store still has them, or if their
bytes in the staged file still have their sum.  So a journal that was torn, is old or tells lies
costs time, nothing else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from aioobs.errors import AccessDenied, ConfigError, NotFound
from aioobs.store.entry import version_of
from aioobs.threads import to_its_end
from aioobs.transfer.journals.storage import LocalStorage, RemoteStorage
from aioobs.transfer.targets import contains

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aioobs.s3.client import Client
    from aioobs.transfer.job import Job, Versions
    from aioobs.url import ObjectURL

__all__ = ["UNSUMMED", "Begun", "Journal", "journal_at"]

FORMAT = 1
BEGINNING = b'{"journal": '
UNSUMMED = "written"  # a part of a staged file of which no sum was made

log: logging.Logger = logging.getLogger("aioobs.transfer")


class Begun(NamedTuple):
    """A big file that an earlier run has begun."""

    version: str
    """Of the source."""
    at: str
    """The id of the upload, or the path of the staged file."""
    part_size: int
    parts: dict[int, str]
    """Of those that were moved, by number, the ETag or the sum, or `UNSUMMED`."""


@asynccontextmanager
async def journal_at(
    place: ObjectURL | str | None,
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    *,
    durable: bool = False,
) -> AsyncIterator[Journal | None]:
    """Open the journal of a copy, a local file or a folder of a store, for as long as it takes.

    Raises:
        ConfigError: it belongs to another copy, is no journal, or is in use by another copy.
    """
    if place is None:
        yield None
        return
    if contains(source, place):
        raise ConfigError(
            "the journal lies in what is to be copied: keep it elsewhere", url=str(place)
        )
    storage = LocalStorage(place) if isinstance(place, str) else RemoteStorage(client, place)
    journal = Journal(storage, source, target, durable=durable)
    try:
        await journal.open(client)
        yield journal
    finally:
        await to_its_end(journal.aclose())


class Journal:
    """The journal of one copy."""

    def __init__(
        self,
        storage: LocalStorage | RemoteStorage,
        source: ObjectURL | str,
        target: ObjectURL | str,
        *,
        durable: bool,
    ) -> None:
        self._storage = storage
        self._target = target
        self._header = {
            "journal": FORMAT,
            "source": canonical_name(source),
            "target": canonical_name(target),
            "boot": boot(),
            "durable": durable,
        }
        self._root = os.path.join(str(target), "") if isinstance(target, str) else target.folder
        self._believed = False  # whether local files of the run that is read count
        self._claims: dict[bytes, bytes] = {}
        self._right: set[bytes] = set()
        self._begun: dict[str, Begun] = {}
        self._waiting: list[str] = []
        self._writing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._broken = False
        self._empty = True

    async def open(self, client: Client) -> None:
        """Read what there is, and find out how much of it is still true."""
        await self._storage.open(self._read)
        if not isinstance(self._target, str) and self._claims:
            try:
                await self._compare(client, self._target)
            except AccessDenied:
                log.info("%s cannot be listed: all of it is copied again", self._target)
        self._claims.clear()
        self._write(**self._header, time=datetime.now(UTC).isoformat(timespec="seconds"))

    async def aclose(self) -> None:
        """Write the last lines."""
        self._closing.set()
        try:
            if self._writing is not None:
                await self._writing
        finally:
            await self._storage.aclose()

    @property
    def lasts(self) -> bool:
        """Whether it outlives this run, and with it what the run has begun, whatever ends that."""
        return self._storage.lasts

    # What is known

    def has(self, job: Job) -> bool:
        """Tell whether a file need not be copied: both of its ends are as they were then."""
        version = job.version
        return bool(version and self._right) and mark(self._name(job.target), version) in (
            self._right
        )

    def begun(self, target: ObjectURL | str, version: str) -> Begun | None:
        """Return how far an earlier run has come with this version of a big file."""
        found = self._begun.get(self._name(target))
        return found if found is not None and found.version == version else None

    def outdated(self, target: ObjectURL | str, version: str) -> str:
        """Return where an earlier run has begun to copy another version of a big file, if so."""
        found = self._begun.get(self._name(target))
        return found.at if found is not None and found.version != version else ""

    # What happens

    def done(self, target: ObjectURL | str, versions: Versions) -> None:
        """Note that a file is copied."""
        if versions.source and versions.target:
            name = self._name(target)
            self._begun.pop(name, None)
            self._write(done=name, **{"from": versions.source, "is": versions.target})

    def failed(self, target: ObjectURL | str, error: OSError) -> None:
        """Note that a file was not copied."""
        self._write(failed=self._name(target), why=str(error))

    def begin(self, target: ObjectURL | str, version: str, at: str, part_size: int) -> None:
        """Note that a big file is begun."""
        name = self._name(target)
        self._begun[name] = Begun(version, at, part_size, {})
        self._write(begun=name, **{"from": version, "at": at, "part_size": part_size})

    def part(self, target: ObjectURL | str, at: str, number: int, version: str) -> None:
        """Note that a part is moved."""
        name = self._name(target)
        if (begun := self._begun.get(name)) is not None and begun.at == at:
            begun.parts[number] = version
        self._write(part=name, at=at, number=number, **{"is": version})

    def forget(self, target: ObjectURL | str) -> None:
        """Have a big file begin anew the next time."""
        self._begun.pop(self._name(target), None)

    def _name(self, target: ObjectURL | str) -> str:
        """Return the name below the target of the copy; empty: it is the target itself."""
        path = target if isinstance(target, str) else target.key
        root = self._target if isinstance(self._target, str) else self._target.key
        return "" if path == root else path.removeprefix(self._root)

    # Reading

    def _read(self, lines: Iterable[bytes]) -> None:
        """Parse what another run has written; called in a worker thread."""
        for line in lines:
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):  # it was torn, or half of one stands before it
                found = None
            start = line.rstrip()[: len(BEGINNING)]  # of which there may be no more
            if self._empty and not (start and BEGINNING.startswith(start)):
                raise ConfigError(
                    "is no journal of a copy: name a new file", url=str(self._storage)
                )
            self._empty = False
            self._take(found)

    def _check(self, number: object, source: object, target: object) -> None:
        """Refuse the journal of another copy."""
        if number != FORMAT:
            raise ConfigError(
                f"is a journal of format {number}, not {FORMAT}: name a new one",
                url=str(self._storage),
            )
        if (source, target) != (self._header["source"], self._header["target"]):
            raise ConfigError(
                f"is the journal of another copy, from {source} to {target}: name a new one",
                url=str(self._storage),
            )

    def _take(self, found: object) -> None:
        match found:
            case {"done": str(name), "from": str(source), "is": str(target)}:
                self._begun.pop(name, None)
                if not isinstance(self._target, str):
                    self._claims[mark(name, target)] = mark(name, source)
                elif self._believed and self._is(name, target):
                    self._right.add(mark(name, source))
            case {"begun": str(name), "from": str(source), "at": str(at), "part_size": int(size)}:
                self._begun[name] = Begun(source, at, size, {})
            case {"part": str(name), "at": str(at), "number": int(number), "is": str(version)}:
                begun = self._begun.get(name)
                told = version != UNSUMMED or self._believed
                if begun is not None and begun.at == at and told:
                    begun.parts[number] = version
            case {"journal": number, "source": source, "target": target, **rest}:
                self._check(number, source, target)
                # What was not on its disk need not be there after a restart, whatever its size.
                same = bool(rest.get("boot")) and rest.get("boot") == self._header["boot"]
                self._believed = same or rest.get("durable") is True

    def _is(self, name: str, version: str) -> bool:
        """Tell whether a local file is of a version."""
        try:
            info = os.stat(os.path.join(self._root, name) if name else str(self._target))
        except (OSError, ValueError):
            return False
        return version_of(info.st_size, info.st_mtime_ns) == version

    async def _compare(self, client: Client, target: ObjectURL) -> None:
        """Find out which of the objects are still what has been written."""
        if target.key and not target.key.endswith("/"):
            try:
                info = await client.head_object(target.bucket, target.key)
            except NotFound:
                pass
            else:
                self._confirm("", info.etag)
        async for page in client.list_pages(target.bucket, target.folder):
            for item in page.objects:
                self._confirm(item.key[len(target.folder) :], item.etag)

    def _confirm(self, name: str, etag: str) -> None:
        if etag and (source := self._claims.get(mark(name, etag))) is not None:
            self._right.add(source)

    # Writing

    def _write(self, **fields: object) -> None:
        """Queue a line; those that come while others are written are written together."""
        self._waiting.append(json.dumps(fields) + "\n")
        if self._writing is None:
            self._writing = asyncio.create_task(self._keep_writing())

    async def _keep_writing(self) -> None:
        while self._waiting:
            lines, self._waiting = self._waiting, []
            try:
                await self._storage.append(lines)
            except OSError as error:
                if not self._broken:
                    log.warning("the copy goes on without its journal %s: %s", self._storage, error)
                self._broken = True
            await self._pause()
        self._writing = None

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._storage.pause):
                await self._closing.wait()
        except TimeoutError:
            pass


def canonical_name(place: ObjectURL | str) -> str:
    """Return one name for a place, however it was given."""
    if isinstance(place, str):
        return os.path.abspath(place)
    return f"s3://{place.bucket}/{place.key.rstrip('/')}"


def mark(name: str, version: str) -> bytes:
    """Return a short mark for a version of a file: many names would take too much memory."""
    text = f"{name}\0{version}".encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=16).digest()


def boot() -> str:
    """Return what tells one boot of this machine from the next; empty: nothing does."""
    try:
        if sys.platform == "darwin":
            command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
            return subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.strip()
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, subprocess.SubprocessError):
        return ""
