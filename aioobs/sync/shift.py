"""Teach the standard library to take URLs: `shift("os", "mox")`.

The functions in the table of `_standard` are wrapped where they stand: a call with an ``s3://`` or
``obs://`` URL among its arguments goes to the store, any other to the original, untouched and
less than a microsecond later.  Results and errors are those of the standard library, but what the
credentials do not allow to know raises PermissionError even in `os.path.exists`.

What the standard library builds in Python out of these takes URLs without being wrapped:
`os.walk`, `os.removedirs`, `os.renames`, `os.path.getmtime`, `os.path.samefile`, `shutil.copy`,
`shutil.copy2`, `shutil.move`, `shutil.make_archive` and others.  ``.`` and ``..`` in a URL mean
what they mean in a path.  What a store cannot do, such as `os.chmod`, `os.symlink` and `os.open`,
raises `io.UnsupportedOperation`, and so does `pathlib.Path` of a URL, which would lose a slash.

Wrap early: a module that has said ``from os import listdir`` before keeps the original.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING

from aioobs.url import PREFIXES, is_remote

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["shift", "shifted"]

Function = Callable[..., object]

PLAIN = frozenset({bool, bytes, int, type(None)})
SEVERAL = (list, tuple, set, frozenset)
SUPPORTS = ("supports_dir_fd", "supports_effective_ids", "supports_fd", "supports_follow_symlinks")


class Shifted:
    """A function of the standard library that takes URLs as well.

    No Python function, for in the body of a class that would become a method, which the
    builtin in its place does not.
    """

    def __init__(self, original: Function, replacement: Function, place: str) -> None:
        functools.update_wrapper(self, original)
        # Where pickle finds it, which need not be where the original says that it is from.
        self.__module__, _, self._name = place.rpartition(".")
        self._original = original
        self._replacement = replacement

    def __call__(self, *args: object, **options: object) -> object:
        # Every call of a local program pays for this, hence no call to is_remote for most of them.
        for value in (*args, *options.values()) if options else args:
            if type(value) is str:
                remote = value.startswith(PREFIXES)
            else:
                remote = type(value) not in PLAIN and leads_to_store(value)
            if remote:
                return self._replacement(*args, **options)
        return self._original(*args, **options)

    def __reduce__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"<shifted {self._original!r}>"


class _Switch:
    """Wraps the functions as long as anybody has asked for it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._wrapped: list[tuple[ModuleType | type, str, object, object]] = []
        self._lasting = False
        self._blocks = 0
        # A child must get neither half of it nor a lock that nobody will release.
        os.register_at_fork(
            before=self._lock.acquire,
            after_in_parent=self._release,
            after_in_child=self._release,
        )

    def _release(self) -> None:
        with suppress(RuntimeError):  # this was imported in the middle of a fork
            self._lock.release()

    def change(self, *, lasting: bool | None = None, blocks: int = 0) -> None:
        """Count who has asked for it, and wrap or restore the functions accordingly."""
        with self._lock:
            self._blocks += blocks
            if lasting is not None:
                self._lasting = lasting
            wanted = self._lasting or self._blocks > 0
            if wanted and not self._wrapped:
                self._wrap()
            elif not wanted:
                self._put_back()

    def _wrap(self) -> None:
        # Slow to import, with shutil and glob.
        from aioobs.sync._refusals import pathlib_hook
        from aioobs.sync._standard import REPLACEMENTS

        # All of them, for what is imported later would have got its `open` from here.
        modules = {name: import_module(name.rpartition(".")[0]) for name in REPLACEMENTS}
        made: dict[Function, Shifted] = {}  # `io.open` is the same as `open`, and stays so
        for name, replacement in REPLACEMENTS.items():
            module, attribute = modules[name], name.rpartition(".")[2]
            original = getattr(module, attribute)
            wrapper = made.setdefault(original, Shifted(original, replacement, name))
            self._put(module, attribute, wrapper, original)
        self._put(*pathlib_hook())

    def _put(
        self, holder: ModuleType | type, attribute: str, wrapper: object, original: object, /
    ) -> None:
        self._wrapped.append((holder, attribute, wrapper, original))
        for group in supported_by(original):
            group.add(wrapper)
        setattr(holder, attribute, wrapper)

    def _put_back(self) -> None:
        while self._wrapped:
            holder, attribute, wrapper, original = self._wrapped.pop()
            if vars(holder).get(attribute) is wrapper:  # else it is another's by now
                setattr(holder, attribute, original)
            for group in supported_by(original):
                group.discard(wrapper)


def leads_to_store(value: object) -> bool:
    """Tell whether an argument is a URL, or several things with a URL among them."""
    if isinstance(value, SEVERAL):
        return any(map(is_remote, value))
    return is_remote(value)


def supported_by(function: object) -> list[set[object]]:
    """Return the sets `os.supports_…` that a function is in."""
    return [group for group in (getattr(os, name) for name in SUPPORTS) if function in group]


switch: _Switch = _Switch()


def shift(old: str, new: str) -> None:
    """Let the functions of the standard library take URLs, or, from "mox" to "os", not any more.

    It holds for the whole process and those that it forks; one that is spawned has to ask for
    itself.  Asking again changes nothing.  A block of `shifted` keeps it until its end.

    Args:
        old: "os"; or "mox" for the way back.
        new: "mox"; or "os" for the way back.

    Raises:
        ValueError: there is no such shift.
    """
    if (old, new) not in (("os", "mox"), ("mox", "os")):
        raise ValueError(f"write shift('os', 'mox') or shift('mox', 'os'), not {old!r}, {new!r}")
    switch.change(lasting=new == "mox")


@contextmanager
def shifted() -> Iterator[None]:
    """Let the functions of the standard library take URLs within a ``with`` block.

    All threads of the process see it.  Blocks can be within others, and in several threads.
    """
    switch.change(blocks=1)
    try:
        yield
    finally:
        switch.change(blocks=-1)
