"""What a store cannot do, refused by name instead of with "No such file: s3://…"."""

from __future__ import annotations

import errno
import functools
import io
import os
import pathlib
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn, cast

from aioobs import file as verbs
from aioobs.sync._loop import run
from aioobs.url import PREFIXES, Path, is_remote

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["REASONS", "REFUSALS", "is_there", "pathlib_hook"]

REASONS = {
    "os.chdir": "a store is no place to work in",
    "os.chflags": "an object has no flags",
    "os.chmod": "an object has no mode",
    "os.chown": "an object has no owner",
    "os.chroot": "a store is no place to work in",
    "os.fwalk": "a folder in a store has no descriptor; use os.walk",
    "os.getxattr": "an object has no extended attributes",
    "os.lchflags": "an object has no flags",
    "os.lchmod": "an object has no mode",
    "os.lchown": "an object has no owner",
    "os.link": "a store has no links",
    "os.listxattr": "an object has no extended attributes",
    "os.mkfifo": "a store holds files and folders only",
    "os.mknod": "a store holds files and folders only",
    "os.open": "an object has no descriptor; use open",
    "os.pathconf": "a store is no file system",
    "os.removexattr": "an object has no extended attributes",
    "os.setxattr": "an object has no extended attributes",
    "os.statvfs": "a store does not tell how much room it has",
    "os.symlink": "a store has no links, nor can a link lead into it",
    "os.truncate": "an object cannot be cut; write it anew",
    "os.utime": "the time of an object is when it was written",
    "shutil.disk_usage": "a store does not tell how much room it has",
}


def unsupported(name: str, reason: str, url: str) -> io.UnsupportedOperation:
    """Return the error, of a number that programs know for "this file system cannot do it"."""
    return io.UnsupportedOperation(errno.ENOTSUP, f"{name}: {reason}", url)


def refusal(name: str, reason: str) -> Callable[..., NoReturn]:
    def refuse(*args: object, **options: object) -> NoReturn:
        url = next(value for value in (*args, *options.values()) if is_remote(value))
        raise unsupported(name, reason, os.fspath(cast("Path", url)))

    return refuse


def readlink(path: Path, *, dir_fd: int | None = None) -> NoReturn:
    run(verbs.stat(path))
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), os.fspath(path))


def is_there(name: str) -> bool:
    """Tell whether this Python, on this system, has a function of the standard library."""
    module, _, attribute = name.rpartition(".")
    return hasattr(import_module(module), attribute)


REFUSALS: dict[str, Callable[..., NoReturn]] = {
    name: refusal(name, reason) for name, reason in REASONS.items() if is_there(name)
} | {"os.readlink": readlink}


CONCRETE = (pathlib.PosixPath, pathlib.WindowsPath)


def refuse_urls(kind: type, args: tuple[object, ...]) -> None:
    """Raise if a path that leads somewhere would be made of a URL.

    A class of somebody else may know what it does, and a pure path of a URL still has its name
    and suffix.
    """
    for arg in args:
        if type(arg) is str:
            remote = arg.startswith(PREFIXES)
        else:
            remote = type(arg) is not kind and is_remote(arg)
        if remote and kind in CONCRETE:
            reason = "a path would lose a slash of the URL; use open, os, os.path or shutil"
            raise unsupported("pathlib", reason, os.fspath(cast("Path", arg)))


def pathlib_hook() -> tuple[type, str, object, object]:
    """Return the method that gets the arguments of every path.

    That is its class, its name, another one that refuses URLs, and the method itself.
    """
    paths = pathlib.PurePath
    if "__init__" in vars(paths):
        init = vars(paths)["__init__"]

        @functools.wraps(init)
        def __init__(self: pathlib.PurePath, *args: object) -> None:  # noqa: N807
            refuse_urls(type(self), args)
            init(self, *args)

        return paths, "__init__", __init__, init

    parse_args = vars(paths)["_parse_args"]  # Python 3.11

    @functools.wraps(parse_args.__func__)
    def _parse_args(cls: type, args: tuple[object, ...]) -> object:
        refuse_urls(cls, args)
        return parse_args.__func__(cls, args)

    return paths, "_parse_args", classmethod(_parse_args), parse_args
