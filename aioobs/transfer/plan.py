"""Where each file of a copy goes; pure, except that listings and trees arrive bit by bit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, NamedTuple

from aioobs.errors import NameConflict, ObsError, UnsafeKey
from aioobs.store.entry import version_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aioobs.url import ObjectURL

__all__ = [
    "PLAIN",
    "Care",
    "Comparison",
    "Job",
    "Verify",
    "Versions",
    "place_below",
    "same_place",
    "split_conflicts",
    "split_twins",
    "target_of",
]


Comparison = Literal["time", "size", "etag", "content"]
"""By what files are told to differ."""


class Job(NamedTuple):
    """One file to copy, or one empty folder to create, or one thing that cannot be copied."""

    source: ObjectURL | str
    target: ObjectURL | str
    size: int | None = 0
    """Bytes; `None`: not known yet."""
    etag: str = ""
    is_directory: bool = False
    error: OSError | None = None
    mtime_nsec: int = 0
    """The time that a local copy is given, nanoseconds since 1970; 0: that of the copying."""
    reason: str = ""
    """Why it is copied, where a target was looked at: "new", "size", "time" or "content"."""
    changed_nsec: int = 0
    """When a local source was last changed, as it was found; 0: not known."""

    @property
    def version(self) -> str:
        """What the source is known by, as it was found; empty: by nothing."""
        if not isinstance(self.source, str):
            return self.etag
        return version_of(self.size or 0, self.changed_nsec) if self.changed_nsec else ""


class Versions(NamedTuple):
    """What was copied, and what has become of that: an ETag, or size and time of a local file."""

    source: str = ""
    target: str = ""
    checked: bool = True
    """Whether the contents are known to be one, if that was asked for."""


Verify = Literal["size", "checksum", "digest"]


class Care(NamedTuple):
    """How much is done to be sure of a copy; see `aioobs.file.copy_parallel`."""

    verify: Verify = "size"
    durable: bool = False


PLAIN = Care()


def place_below(root: ObjectURL | str, name: str) -> ObjectURL | str:
    """Return the place of *name* below a root.

    Raises:
        UnsafeKey: it would lie elsewhere, or cannot be told from another one.
    """
    if not isinstance(root, str):
        return root.with_key(root.folder + name)
    parts = name.split("/")
    bad = next((part for part in parts if part in ("", ".", "..") or "\0" in part), None)
    if bad is not None or os.path.isabs(name) or (os.sep != "/" and os.sep in name):
        raise UnsafeKey(f"{name!r} has no safe place below {root}: it holds the name {bad!r}")
    return os.path.join(root, *parts)


def target_of(source: ObjectURL, name: str, root: ObjectURL | str) -> tuple[str, ObsError | None]:
    """Return the local target of an object below a folder, or the error that there is none."""
    try:
        return str(place_below(root, name)), None
    except UnsafeKey as error:
        error.url = str(source)
        return "", error


async def split_conflicts(jobs: AsyncIterator[Job]) -> AsyncIterator[Job]:
    """Yield the downloads of a listing, those of keys that are file and folder at once as errors.

    A key ``a`` is held back until a key that does not begin with ``a`` shows that no ``a/b``
    follows; of such a pair neither is written.
    """
    held: list[tuple[str, Job, bool]] = []  # key, job, whether it is a folder as well
    async for job in jobs:
        key = job.source if isinstance(job.source, str) else job.source.key
        while held and not key.startswith(held[-1][0]):
            yield settled(held.pop())
        for number, (name, file, _) in enumerate(held):
            if key.startswith(f"{name}/"):
                held[number] = (name, file, True)
                job = clash(job, name)
        if job.is_directory or job.error is not None:
            yield job
        else:
            held.append((key, job, False))
    while held:
        yield settled(held.pop())


def settled(held: tuple[str, Job, bool]) -> Job:
    key, job, is_folder = held
    return clash(job, key) if is_folder else job


def clash(job: Job, key: str) -> Job:
    error = NameConflict(f"{key!r} is both a file and a folder", url=str(job.source))
    return job._replace(error=error)


async def split_twins(jobs: AsyncIterator[Job], folded: Callable[[str], str]) -> AsyncIterator[Job]:
    """Yield the jobs, as errors those whose targets are one file with that of an earlier one.

    All targets are remembered: this is for the file systems that make no difference of some names.
    """
    taken: dict[str, str] = {}
    async for job in jobs:
        if job.error is None and not job.is_directory:
            target = str(job.target)
            first = taken.setdefault(folded(target), target)
            if first != target:
                error = NameConflict(
                    f"{target!r} is the same file as {first!r}, where another one was copied to",
                    url=str(job.source),
                )
                job = job._replace(error=error)
        yield job


def same_place(first: ObjectURL | str, second: ObjectURL | str) -> bool:
    """Tell whether one of two places is, or lies within, the other."""
    if isinstance(first, str) or isinstance(second, str):
        if not (isinstance(first, str) and isinstance(second, str)):
            return False
        one, other = (os.path.join(os.path.realpath(path), "") for path in (first, second))
        return other.startswith(one)
    return first.bucket == second.bucket and second.folder.startswith(first.folder)
