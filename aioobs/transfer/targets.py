"""Where each file of a copy goes."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from aioobs.errors import NameConflict, ObsError, UnsafeKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioobs.transfer.job import Job
    from aioobs.url import ObjectURL

__all__ = [
    "NameConflicts",
    "contains",
    "name_below",
    "place_below",
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


class NameConflicts:
    """Makes errors of jobs whose local targets cannot stand beside each other.

    Args:
        nested: Whether the jobs come from a listing, in whose order a key can be both a file and a
            folder.  A key ``a`` is held back until a key that does not begin with ``a`` shows that
            no ``a/b`` follows; of such a pair neither is written.
        fold: Returns what the file system takes a name for, if it makes no difference of some;
            then all targets are remembered.
    """

    def __init__(self, *, nested: bool, fold: Callable[[str], str] | None) -> None:
        self._nested = nested
        self._fold = fold
        self._held: list[tuple[str, Job, bool]] = []  # key, job, whether it is a folder as well
        self._taken: dict[str, str] = {}

    def sift(self, jobs: list[Job]) -> list[Job]:
        """Return those of the jobs up to now of which it is known what becomes of them."""
        return self._without_twins(self._without_nested(jobs) if self._nested else jobs)

    def rest(self) -> list[Job]:
        """Return those that are held back, as no more will come."""
        held, self._held = self._held, []
        return self._without_twins([released(one) for one in reversed(held)])

    def _without_nested(self, jobs: list[Job]) -> list[Job]:
        held, passed = self._held, []
        for job in jobs:
            key = job.source if isinstance(job.source, str) else job.source.key
            while held and not key.startswith(held[-1][0]):
                passed.append(released(held.pop()))
            for number, (name, file, _) in enumerate(held):
                if key.startswith(f"{name}/"):
                    held[number] = (name, file, True)
                    job = clash(job, name)
            if job.is_directory or job.error is not None:
                passed.append(job)
            else:
                held.append((key, job, False))
        return passed

    def _without_twins(self, jobs: list[Job]) -> list[Job]:
        return jobs if self._fold is None else [self._as_twin(job, self._fold) for job in jobs]

    def _as_twin(self, job: Job, fold: Callable[[str], str]) -> Job:
        if job.error is not None or job.is_directory:
            return job
        target = str(job.target)
        first = self._taken.setdefault(fold(target), target)
        if first == target:
            return job
        error = NameConflict(
            f"{target!r} is the same file as {first!r}, where another one was copied to",
            url=str(job.source),
        )
        return job._replace(error=error)


def released(held: tuple[str, Job, bool]) -> Job:
    """Return a job that was held back, as an error if its key is a folder as well."""
    key, job, is_folder = held
    return clash(job, key) if is_folder else job


def clash(job: Job, key: str) -> Job:
    error = NameConflict(f"{key!r} is both a file and a folder", url=str(job.source))
    return job._replace(error=error)


def contains(outer: ObjectURL | str, inner: ObjectURL | str) -> bool:
    """Tell whether the second of two places is the first one, or lies within it."""
    if isinstance(outer, str) or isinstance(inner, str):
        if not (isinstance(outer, str) and isinstance(inner, str)):
            return False
        above, below = (os.path.join(os.path.realpath(path), "") for path in (outer, inner))
        return below.startswith(above)
    return outer.bucket == inner.bucket and inner.folder.startswith(outer.folder)
