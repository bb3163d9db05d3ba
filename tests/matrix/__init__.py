"""Every fault with every verb: what becomes of it, and what is left behind.

`trials` tries the verbs through a proxy that goes wrong, and returns a verdict for each: ``right``,
``unharmed`` if nothing could go wrong, or the class of the error.  What must not be is an
`AssertionError`: wrong bytes, an error that is none of ours, no end, more requests than there are
attempts, and anything that is half done or left over.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from faulty import Store

import aioobs.sync
from aioobs.config import Config
from aioobs.errors import ObsError, TransferFailed
from aioobs.s3.client import Client
from aioobs.session import session
from aioobs.sync._loop import run
from matrix.faults import NOTHING, is_get
from matrix.proxy import Proxy, Tampering, serve
from matrix.verbs import BIG, CALM, FAILED, READING, SIZES, VERBS, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from faulty import Certificates, Received

    from aioobs.testing import LocalServer
    from matrix.faults import Fault
    from matrix.verbs import Trial

__all__ = ["RIGHT", "UNHARMED", "WRONG", "Site", "trials"]

RIGHT, UNHARMED, WRONG = "right", "unharmed", "wrong bytes"
IDLE = 0.5  # seconds without a byte, after which an attempt is given up
LONGEST = 30.0  # seconds for one trial
SETTLED = 5.0  # seconds in which what was closed has to come to its end
ATTEMPTS = {"first": 10, "seventh": 10, "random": 10, "always": 3}
LOOKS = 3  # at what seems to change all the time
READ_ON = len(BIG) >> 16  # attempts that may bring 64 KiB of a body, and so do not count
MORE = 6  # requests that a failure may lead to besides further attempts
AT_ONCE = 10  # trials, where most of the time is spent waiting
TRIES = 3  # where the store itself was slow


@dataclass
class Site:
    """A real store with a bucket, and a folder for local files."""

    server: LocalServer
    bucket: str
    folder: Path
    certificates: Certificates | None = None
    """For trials over TLS."""
    trials: int = 0
    planted: dict[str, set[str]] = field(default_factory=dict)
    """What was made for the verbs that change nothing."""
    usual: dict[tuple[str, str], list[Received]] = field(default_factory=dict)
    """The requests, without bodies, of a transport and verb when nothing goes wrong."""

    def place(self, verb: str, direct: Client) -> Place:
        """Return a place for one trial of a verb."""
        self.trials += 1
        local = self.folder / f"{verb}-{self.trials}"
        local.mkdir()
        if verb in READING:
            planted = self.planted.setdefault(verb, set())
            return Place(self.bucket, verb, local, direct, planted)
        return Place(self.bucket, local.name, local, direct)


@dataclass
class Row:
    """The trials of one fault, at one time, over one transport."""

    site: Site
    fault: Fault
    schedule: str
    transport: str
    proxy: Proxy
    direct: Client
    tampered: list[Tampering] = field(default_factory=list)

    async def verdict(self, verb: str) -> str:
        """Try a verb, again if the store itself was slow and that did no good."""
        usual = self.site.usual.get((self.transport, verb), [])
        if self.fault is not NOTHING and not any(map(self.fault.concerns, usual)):
            return UNHARMED
        for number in range(TRIES):
            tampering = Tampering(self.fault, self.schedule, f"{self.fault.name} {verb}")
            self.tampered.append(tampering)
            try:
                verdict = await self._tried(verb, tampering)
            except AssertionError as error:
                error.add_note(f"{self.fault.name}, {self.schedule}: {verb}")
                if number == TRIES - 1 or not tampering.was_slow:
                    raise
            else:
                if verdict == RIGHT or not tampering.was_slow:
                    break
        return verdict if tampering.times or self.fault is NOTHING else UNHARMED

    async def _tried(self, verb: str, tampering: Tampering) -> str:
        place = self.site.place(verb, self.direct)
        trial = await VERBS[verb](place)
        self.proxy.folders[place.folder] = tampering
        verdict, result = await outcome(trial)
        self.proxy.settle()
        self._check_requests(verb, tampering)
        try:
            await trial.check(result)
        except AssertionError:
            if self.fault.unnoticed:
                return WRONG
            raise
        return verdict

    def _check_requests(self, verb: str, tampering: Tampering) -> None:
        made = len(tampering.requests)
        if self.fault is NOTHING:
            found = [replace(received, body=b"") for received in tampering.requests]
            self.site.usual[self.transport, verb] = found
        elif verb != "background":  # which begins anew of its own accord
            tries = ATTEMPTS[self.schedule] * (LOOKS if self.fault.lies else 1)
            usual = self.site.usual[self.transport, verb]
            reads = sum(map(is_get, usual)) if self.fault.cuts else 0
            most = tries * len(usual) + READ_ON * reads + MORE
            assert made <= most, f"{made} requests, where {most} would have done"


async def trials(
    site: Site, fault: Fault, schedule: str, transport: str, verbs: Sequence[str] = tuple(VERBS)
) -> dict[str, str]:
    """Return the verdict for each of the verbs.

    Raises:
        AssertionError: something is as it must not be.
    """
    if schedule == "always":
        verbs = [verb for verb in verbs if verb not in fault.but]
    new = [verb for verb in verbs if (transport, verb) not in site.usual]
    if new and fault is not NOTHING:
        await trials(site, NOTHING, "first", transport, new)
    await to_thread.run_sync(run, asyncio.sleep(0))  # the loop of blocking calls is there to stay
    gc.collect()
    before, opened = tasks() + threads(), descriptors()
    async with Client(Config(endpoint=site.server.endpoint)) as direct:
        proxy = Proxy(Store(site.server.endpoint), site.server.access_key, site.server.secret_key)
        proxy.folders[CALM] = Tampering(NOTHING, "first", CALM)
        row = Row(site, fault, schedule, transport, proxy, direct)
        found = site.certificates
        with serve(proxy, found and found.server) as server:
            options = {
                "endpoint": server.endpoint,
                "verify": found.authority if found else True,
                "attempts": ATTEMPTS[schedule],
                "retry_wait": 0.001,
                "idle_timeout": IDLE,
                "page_size": 4,
                "transport": transport,
                **SIZES,
            }
            verdicts = await in_turn(row, verbs, options)
        await check_uploads(site, direct, row.tampered)
    await settled(lambda: tasks() + threads() - before, "a task or a thread is left")
    await settled(lambda: descriptors() - opened, "a descriptor is left")
    return dict(zip(verbs, verdicts, strict=True))


async def in_turn(row: Row, verbs: Sequence[str], options: dict[str, Any]) -> list[str]:
    """Try the verbs one after the other, each with a client of its own.

    Where most of the time is spent waiting some are tried at once.
    """
    verdicts: list[str] = []
    at_once = AT_ONCE if row.fault.waits else 1
    for start in range(0, len(verbs), at_once):
        session.set(options)
        tried = map(row.verdict, verbs[start : start + at_once])
        verdicts += await asyncio.gather(*tried)
        await session.client().aclose()
        await to_thread.run_sync(aioobs.sync.current_client().close)
    return verdicts


async def outcome(trial: Trial) -> tuple[str, Any]:
    try:
        async with asyncio.timeout(LONGEST) as limit:
            return RIGHT, await trial.act()
    except OSError as error:
        failures = error.failures if isinstance(error, TransferFailed) else (error,)
    assert not limit.expired(), f"no end within {LONGEST:g} s"
    for failure in failures:
        assert isinstance(failure, ObsError), f"not one of our errors: {failure!r}"
    return " or ".join(sorted({type(failure).__name__ for failure in failures})), FAILED


async def check_uploads(site: Site, direct: Client, tampered: Iterable[Tampering]) -> None:
    """Check that no upload is left that the client knew of, and could have given up."""
    excused = {name for found in tampered for name in found.unknown | found.given_up}
    # A part that is carried out while its upload is aborted may bring it back.
    late = any(found.fault.late or found.was_slow for found in tampered)
    left = [upload async for upload in direct.list_multipart_uploads(site.bucket)]
    for upload in left:
        await direct.abort_multipart_upload(site.bucket, upload.key, upload.upload_id)
    names = [upload.key for upload in left if upload.upload_id not in excused]
    assert late or not names, f"uploads are left over: {names}"


async def settled(left: Callable[[], Counter[str]], message: str) -> None:
    """Check that nothing is left, or is after what was closed last has come to its end."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLED):
            while left():
                gc.collect()
                await asyncio.sleep(0.01)
    assert left() == Counter(), f"{message}: {left()}"


def tasks() -> Counter[str]:
    return Counter(task.get_name() for task in asyncio.all_tasks())


def threads() -> Counter[str]:
    """Return the threads that do not wait for work."""
    names = (thread.name.rstrip("0123456789") for thread in threading.enumerate())
    workers = "AnyIO worker", "aioobs-worker"
    return Counter(name for name in names if not name.startswith(workers))


def descriptors() -> Counter[str]:
    """Return what is open, but for the one that the event loop of blocking calls keeps."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    names = ("socket" if path.startswith("socket:") else path for path in found)
    return Counter(name for name in names if name != os.devnull)
