"""Where each file of a copy goes; pure, except that listings and trees arrive bit by bit."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from aioobs.errors import NameConflict, ObsError, UnsafeKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aioobs.transfer.job import Job
    from aioobs.url import ObjectURL

__all__ = [
    "contains",
    "name_below",
    "place_below",
    "split_conflicts",
    "split_twins",
    "target_of",
]

UNSAFE = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)|\0")  # "", ".", "..", or a NUL within


def place_below(root: ObjectURL | str, name: str) -> ObjectURL | str:
    """Return the place of *name* below a root.

    Raises:
        UnsafeKey: it would lie elsewhere, or cannot be told from another one.
    """
    if not isinstance(root, str):
        return root.with_key(root.folder + name)
    if UNSAFE.search(name):
        bad = next(part for part in name.split("/") if UNSAFE.search(part))
        raise UnsafeKey(f"{name!r} has no safe place below {root}: it holds the name {bad!r}")
    between = "" if not root or root.endswith("/") else "/"
    return f"{root}{between}{name}"


def name_below(root: ObjectURL | str, place: ObjectURL | str) -> str:
    """Return the name of a place below a root, of a folder without a slash at its end."""
    if isinstance(root, str) or isinstance(place, str):
        return str(place).removeprefix(os.path.join(str(root), ""))
    return place.key[len(root.folder) :].rstrip("/")


def target_of(
    source: ObjectURL, name: str, root: ObjectURL | str, *, is_marker: bool
) -> tuple[ObjectURL | str, ObsError | None]:
    """Return the target of an object below a folder, or the error that it has none.

    If it is the marker of a folder, its *name* is without the slash.
    """
    try:
        if not isinstance(root, str):
            return root.with_key(f"{root.folder}{name}{'/' if is_marker else ''}"), None
        return place_below(root, name), None
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
            yield released(held.pop())
        for number, (name, file, _) in enumerate(held):
            if key.startswith(f"{name}/"):
                held[number] = (name, file, True)
                job = clash(job, name)
        if job.is_directory or job.error is not None:
            yield job
        else:
            held.append((key, job, False))
    while held:
        yield released(held.pop())


def released(held: tuple[str, Job, bool]) -> Job:
    """Return a job that was held back, as an error if its key is a folder as well."""
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


def contains(outer: ObjectURL | str, inner: ObjectURL | str) -> bool:
    """Tell whether the second of two places is the first one, or lies within it."""
    if isinstance(outer, str) or isinstance(inner, str):
        if not (isinstance(outer, str) and isinstance(inner, str)):
            return False
        above, below = (os.path.join(os.path.realpath(path), "") for path in (outer, inner))
        return below.startswith(above)
    return outer.bucket == inner.bucket and inner.folder.startswith(outer.folder)
