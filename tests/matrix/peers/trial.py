"""One operation of one client, in a process of its own, while one thing goes wrong."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from faulty import Store

from matrix.faults import NOTHING, asking, is_listing
from matrix.peers import NAMES, SECONDS, Reach, libraries, programs
from matrix.peers.operations import OPERATIONS, Operation, difference
from matrix.proxy import Proxy, Tampering, serve
from matrix.verbs import Place

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from multiprocessing.connection import Connection
    from pathlib import Path

    from faulty import Answer, Received

    from aioobs.s3.client import Client
    from aioobs.testing import LocalServer
    from matrix.faults import Fault

__all__ = [
    "BAD",
    "ERROR",
    "PEERS",
    "PROCESSES",
    "RIGHT",
    "STILL",
    "UNKNOWN",
    "UNMET",
    "Bench",
    "Seen",
]

UNMET = "unmet"
"""Nothing could go wrong."""
RIGHT, ERROR, UNKNOWN, STILL = "right", "error", "cannot tell", "still trying"
WRONG, HARM, LEFT, HANG, CRASH = "wrong", "harm", "left over", "no end", "crash"
BAD = (WRONG, HARM, HANG, CRASH, LEFT)
"""What should not be: success without the content; an error that has spoilt what was there, or left
something half made in its place; no end; the end of the process; something left elsewhere."""
LONGEST = 30.0  # seconds for an operation
QUIET = 10.0  # seconds without a request, of one that does not end
LEAVING = 5.0  # seconds in which a client may tidy up when it has answered
TIMES = 3  # trials where the store was slow, or something bad was seen
PAGE = 4  # keys to a page, whatever is asked for

APART = {("get_range", "replaced while it is read")}
"""A piece alone is of one version."""

PEERS: dict[str, type[Any]] = {
    "aioobs": libraries.Aioobs,
    "boto3": libraries.Boto3,
    "s3fs": libraries.S3fs,
    "obstore": libraries.Obstore,
    "opendal": libraries.Opendal,
    "s5cmd": programs.S5cmd,
    "rclone": programs.Rclone,
}
assert tuple(PEERS) == NAMES
PROCESSES = multiprocessing.get_context("forkserver")


class Seen(NamedTuple):
    """What came of an operation."""

    verdict: str
    why: str = ""
    said: str = ""
    """The words of the error that was raised."""


class Gate(Proxy):
    """Tampers with everything that comes, and answers listings page by page."""

    def __init__(
        self, store: Store, access_key: str, secret_key: str, tampering: Tampering
    ) -> None:
        super().__init__(store, access_key, secret_key)
        self._tampering = tampering
        self._asked = time.monotonic()

    @property
    def is_quiet(self) -> bool:
        """Whether nobody has asked for anything for long."""
        return time.monotonic() - self._asked > QUIET

    def of(self, received: Received) -> Tampering:
        self._asked = time.monotonic()
        return self._tampering

    def __call__(self, received: Received) -> Answer:
        if is_listing(received):
            received = self._signed(asking(received, max_keys=str(PAGE)))
        return super().__call__(received)


@dataclass
class Bench:
    """A real store with a bucket, and where the clients are tried."""

    server: LocalServer
    bucket: str
    folder: Path
    direct: Client
    """Reaches the store without anything that goes wrong."""
    threads: ThreadPoolExecutor
    usual: dict[tuple[str, str], list[Received]] = field(default_factory=dict)
    """The requests, without bodies, of a client and operation when nothing goes wrong."""
    trials: int = 0
    planted: set[str] = field(default_factory=set)
    planting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def verdict(self, peer: str, operation: str, fault: Fault, schedule: str) -> Seen | None:
        """Try an operation of a client; `None`: it has none of that name.

        What is bad is tried again, and counts when it is seen twice.

        Raises:
            AssertionError: it goes wrong where nothing else does.
        """
        if not hasattr(PEERS[peer], operation):
            return None
        if (operation, fault.name) in APART or not await self._can_meet(peer, operation, fault):
            return Seen(UNMET)
        found: list[Seen] = []
        for _ in range(TIMES):
            seen, tampering = await self.tried(peer, operation, fault, schedule)
            if tampering.longest > SECONDS / 2:  # for which it may have been given up
                continue
            if seen.verdict == RIGHT:
                return seen if tampering.times else Seen(UNMET)
            if seen.verdict not in BAD or any(seen.verdict == before.verdict for before in found):
                return seen
            found.append(seen)
        if len(found) == TIMES:  # and never the same
            return min(found, key=lambda seen: BAD.index(seen.verdict))
        return Seen(UNKNOWN, found[0].why if found else "the store was slow each time")

    async def _can_meet(self, peer: str, operation: str, fault: Fault) -> bool:
        for _ in range(TIMES):  # the store may be slow
            if (peer, operation) in self.usual:
                break
            seen, tampering = await self.tried(peer, operation, NOTHING, "once")
            if seen.verdict == RIGHT:
                found = [replace(received, body=b"") for received in tampering.requests]
                self.usual[peer, operation] = found
        assert (peer, operation) in self.usual, f"{peer}, {operation}: {seen}"
        return any(map(fault.concerns, self.usual[peer, operation]))

    async def tried(
        self, peer: str, operation: str, fault: Fault, schedule: str
    ) -> tuple[Seen, Tampering]:
        """Try it once, and tell what the server saw."""
        wanted = OPERATIONS[operation]
        place = await self._place(operation, wanted)
        tampering = Tampering(fault, schedule, "")
        keys = self.server.access_key, self.server.secret_key
        gate = Gate(Store(self.server.endpoint), *keys, tampering)
        with serve(gate) as faulty:
            reach = Reach(faulty.endpoint, self.bucket, *keys)
            answer = await self._answer(peer, reach, operation, wanted.arguments(place))
            quiet = gate.is_quiet
            gate.settle()
        if answer is None or isinstance(answer, Crashed):
            return unfinished(answer, tampering, quiet=quiet), tampering
        seen = await self._judged(wanted, place, answer)
        left = await self._uploads(place, tampering)
        if left and seen.verdict in (RIGHT, ERROR):
            after = f" after {seen.why}" if seen.why else ""
            return Seen(LEFT, f"an upload in parts{after}", seen.said), tampering
        return seen, tampering

    async def _place(self, name: str, wanted: Operation) -> Place:
        self.trials += 1
        local = self.folder / f"{name}-{self.trials}"
        local.mkdir()
        planted = self.planted if wanted.after is None else None
        folder = local.name if planted is None else "read"
        place = Place(self.bucket, folder, local, self.direct, planted)
        async with self.planting:
            for key, content in wanted.before.items():
                await place.put(f"o/{key}", content)
        for path, content in wanted.files.items():
            place.make(path, content)
        return place

    async def _answer(self, *call: Any) -> Answered | Crashed | None:
        """Return what a client returned or raised; `None`: it did not come to an end."""
        ours, its = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=perform, args=(its, *call))
        process.start()
        its.close()
        loop = asyncio.get_running_loop()
        try:
            if not await loop.run_in_executor(self.threads, ours.poll, LONGEST):
                return None
            with suppress(EOFError):
                answered: Answered = await loop.run_in_executor(self.threads, ours.recv)
                await loop.run_in_executor(self.threads, process.join, LEAVING)
                return answered
            await loop.run_in_executor(self.threads, process.join)
            return Crashed(process.exitcode)
        finally:
            with suppress(ProcessLookupError):  # with what it has started
                os.killpg(process.pid or 0, signal.SIGKILL)
            await loop.run_in_executor(self.threads, process.join)
            process.close()
            ours.close()

    async def _judged(self, wanted: Operation, place: Place, answer: Answered) -> Seen:
        files, new = place.files(), {**wanted.files, **wanted.made}
        objects = await place.tree("o") if wanted.after is not None else None
        if answer.error:
            harm = ""
            if objects not in (None, wanted.before, wanted.after):
                harm = difference(objects, wanted.after)
            elif files not in (wanted.files, new):
                harm = difference(files, new)
            if harm:
                return Seen(HARM, f"{harm}, after {answer.error}", answer.said)
            return Seen(ERROR, answer.error, answer.said)
        result = answer.result
        if isinstance(result, list):
            result = sorted(name.removeprefix(f"{place.folder}/o/") for name in result)
        wrong = difference(result, wanted.result) or difference(objects, wanted.after)
        wrong = wrong or difference(files, new)
        return Seen(WRONG, wrong) if wrong else Seen(RIGHT)

    async def _uploads(self, place: Place, tampering: Tampering) -> bool:
        """Tell whether an upload is left that the client knew of, and could have given up."""
        excused = tampering.unknown | tampering.given_up
        pages = self.direct.list_multipart_uploads(self.bucket, f"{place.folder}/")
        left = [upload async for upload in pages]
        for upload in left:
            await self.direct.abort_multipart_upload(self.bucket, upload.key, upload.upload_id)
        late = tampering.fault.late or tampering.longest > SECONDS / 2
        return not late and any(upload.upload_id not in excused for upload in left)


class Answered(NamedTuple):
    """What a client returned, or the error that it raised."""

    result: Any
    error: str = ""
    """Its class."""
    said: str = ""


class Crashed(NamedTuple):
    """How a process ended that has not answered."""

    status: int | None


def perform(
    pipe: Connection, peer: str, reach: Reach, operation: str, arguments: tuple[Any, ...]
) -> None:
    """Do it in this process, and send what came of it."""
    os.setpgid(0, 0)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        answer = Answered(getattr(PEERS[peer](reach), operation)(*arguments))
    except BaseException as error:  # noqa: BLE001  # Rust's panics are of that kind
        name = type(error).__name__
        text = " ".join(str(error).split())
        answer = Answered(None, name, text[:300])
    pipe.send(answer)
    pipe.close()


def unfinished(crashed: Crashed | None, tampering: Tampering, *, quiet: bool) -> Seen:
    """Tell what became of a client that has not answered."""
    told = f"{len(tampering.requests)} requests"
    if crashed:
        return Seen(CRASH, f"status {crashed.status} after {told}")
    if not quiet:
        return Seen(STILL, f"{told} in {LONGEST:g} s")
    last = tampering.requests[-1:]
    return Seen(HANG, f"{told}, the last one a {last[0].method}" if last else told)
