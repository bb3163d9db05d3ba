"""Automatic journals, by which a big file continues after its process was killed.

A big file that is copied without a journal gets one of its own, in a folder of the user, locked by
the process that copies it.  It is removed when the copy ends, well or not.  So one that can be
locked was left by a process that was killed, and no other process continues its file.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import time
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b
from typing import TYPE_CHECKING

from aioobs.store.staged_file import StagedFile
from aioobs.threads import in_thread, to_its_end
from aioobs.transfer.journals.journal import Journal, canonical_name
from aioobs.transfer.journals.resume import discard
from aioobs.transfer.journals.storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aioobs.s3.client import Client
    from aioobs.url import ObjectURL

__all__ = ["journal_for"]

WORTH = 64 << 20  # bytes of a file; to copy less again takes no time worth a journal
NAME = re.compile(r"[0-9a-f]{32}\.jsonl")
FORGOTTEN = 7 * 24 * 3600  # seconds after which a file is not going to be continued

log: logging.Logger = logging.getLogger("aioobs.transfer")


@asynccontextmanager
async def journal_for(
    journal: Journal | None,
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    size: int,
) -> AsyncIterator[Journal | None]:
    """Yield the journal of a copy, or if it has none, a big file's own while it is copied.

    `None`: the file is small, another copy has its journal, or none can be made and locked.
    """
    if journal is not None or size < WORTH:
        yield journal
        return
    own = await opened_journal(client, source, target)
    try:
        yield own
    finally:
        if own is not None:
            await to_its_end(own.aclose())


async def opened_journal(
    client: Client, source: ObjectURL | str, target: ObjectURL | str
) -> Journal | None:
    """Open a file's own journal; `None`: that cannot be done."""
    names = (client.config.origin, canonical_name(source), canonical_name(target))
    try:
        folder = await in_thread(own_folder)
        await forget_old(folder)
        path = os.path.join(folder, file_name(names))
        own = Journal(LocalStorage(path, lasts=False), source, target, durable=False)
        try:
            await own.open(client)
        except BaseException:
            await to_its_end(own.aclose())
            raise
    except OSError as error:
        log.info("%s will begin anew if this process is killed: %s", target, error)
        return None
    return own


def file_name(names: tuple[str, ...]) -> str:
    """Return the name of a file's own journal."""
    text = "\0".join(names).encode("utf-8", "surrogatepass")
    return f"{blake2b(text, digest_size=16).hexdigest()}.jsonl"


def own_folder() -> str:
    """Return the folder of these journals, which nobody else can read or write."""
    root = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    folder = os.path.join(root, "aioobs")
    if not os.path.isabs(folder):
        raise FileNotFoundError(errno.ENOENT, "there is no folder for what goes on", folder)
    os.makedirs(folder, 0o700, exist_ok=True)
    info = os.stat(folder)
    if info.st_uid != os.geteuid() or info.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "others can write there", folder)
    return folder


async def forget_old(folder: str) -> None:
    """Remove journals that were left long ago, and the staged files that they name."""

    def old() -> list[str]:
        before = time.time() - FORGOTTEN
        with os.scandir(folder) as found:
            mine = [one for one in found if NAME.fullmatch(one.name)]
            return [one.path for one in mine if one.stat().st_mtime < before]

    for path in await in_thread(old):
        storage, staged_files = LocalStorage(path, lasts=False), StagedFiles()
        try:
            await storage.open(staged_files.read)
            await in_thread(staged_files.discard)
        except OSError as error:
            log.info("%s stays: %s", path, error)
        finally:
            await to_its_end(storage.aclose())


class StagedFiles:
    """The staged files that a file's own journal names."""

    def __init__(self) -> None:
        self._target = ""
        self._paths: list[str] = []

    def read(self, lines: Iterable[bytes]) -> None:
        """Parse what was written."""
        for line in lines:
            with suppress(ValueError, RecursionError):
                match json.loads(line):
                    case {"journal": _, "target": str(target)} if os.path.isabs(target):
                        self._target = target
                    case {"begun": _, "at": str(path)} if self._target:
                        self._paths.append(path)

    def discard(self) -> None:
        """Remove those that are still there."""
        for path in self._paths:
            discard(StagedFile(self._target), path)
