"""What went wrong: an exit status, and one line with the next step.

  0  all is done
  1  some files failed, or anything that is not below
  2  the command line or the configuration is wrong
  3  there is no such file, folder or bucket
  4  refused: credentials or permissions
  5  no connection, or no answer in time
130  Ctrl-C (143: SIGTERM, 141: nobody reads the output any more)
"""

from __future__ import annotations

import os
import re
import sys
from shlex import quote

from aioobs.cli.output import say_json
from aioobs.cli.usage import followed
from aioobs.errors import (
    AccessDenied,
    ConfigError,
    ConnectionFailed,
    NotFound,
    ObsError,
    OperationTimeout,
    ResponseError,
    TransferFailed,
)
from aioobs.store.pattern import has_magic

__all__ = ["FAILED", "UsageError", "complain", "line_of", "program", "status_of", "tell"]

FAILED, USAGE, MISSING, REFUSED, UNREACHABLE = 1, 2, 3, 4, 5

ABOUT_KEYS = re.compile("credentials|access.key", re.IGNORECASE)
LIKE_A_BUCKET = re.compile(r"[a-z0-9-]{3,63}(/.*)?")

# Where an error names what a program would do, the command line has a word of its own.
WORDS = {
    ", call set_auth(server=...), or give Config(endpoint=...)": " or give --endpoint",
    ", call set_auth(ak=..., sk=...), or give Config(anonymous=True)": " or give --anonymous",
    "addressing='virtual'": "give --addressing virtual",
    "is a folder; use copy_parallel to copy it": "is a folder: add -r",
    "give max_delete=": "give --max-delete ",
    "only folders can be made alike": "is a file: sync is for folders, cp for files",
}


class UsageError(Exception):
    """The command line asks for what makes no sense."""


def status_of(error: BaseException) -> int:
    """Return the exit status for an error."""
    if isinstance(error, ConfigError):
        return REFUSED if ABOUT_KEYS.search(error.message) else USAGE
    if isinstance(error, UsageError | IsADirectoryError | NotADirectoryError):
        return USAGE
    if isinstance(error, TransferFailed):
        return FAILED
    if isinstance(error, FileNotFoundError):
        return MISSING
    if isinstance(error, PermissionError):
        return REFUSED
    return UNREACHABLE if isinstance(error, ConnectionError | TimeoutError) else FAILED


def line_of(error: BaseException, *, steps: bool = True) -> str:
    """Return one line that says what is wrong, and unless *steps* is false what to do next."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and not isinstance(error, ObsError) and error.strerror:
        names = " to ".join(str(name) for name in (error.filename, error.filename2) if name)
        text = f"{names}: {error.strerror}" if names else error.strerror
    elif not isinstance(error, OSError | UsageError | ValueError | ImportError | RuntimeError):
        text = f"{type(error).__name__}: {text}; this is a fault of aioobs, --debug shows where"
    for theirs, ours in WORDS.items():
        text = text.replace(theirs, ours)
    step = next_step(error) if steps else ""
    return followed(text, step) if step else text


def next_step(error: BaseException) -> str:
    """Return what to try now, where the error does not say so itself."""
    bucket, _, key = getattr(error, "url", "").partition("://")[2].partition("/")
    if isinstance(error, NotFound) and bucket:
        code = error.resp.code if error.resp is not None else ""
        if code == "NoSuchBucket" or not key:
            return "aioobs ls shows your buckets, aioobs mb makes one"
        folder = f"{error.url.rstrip('/').rpartition('/')[0]}/"
        matches = "and nothing matches it; " if has_magic(key) else ""
        return f"{matches}see what there is: aioobs ls {quote(folder)}"
    name = str(getattr(error, "filename", ""))
    missing = isinstance(error, FileNotFoundError) and not os.path.lexists(name)
    if missing and LIKE_A_BUCKET.fullmatch(name):
        return f"an object or bucket is written s3://{name}"
    if isinstance(error, ResponseError) and error.resp and error.resp.code == "BucketNotEmpty":
        return "--force removes it with all that is in it"
    if isinstance(error, AccessDenied):
        place = f" s3://{bucket}" if bucket else ""
        return f"see what is allowed: aioobs doctor{place}"
    if isinstance(error, ConnectionFailed | OperationTimeout):
        return "find out why: aioobs doctor"
    return ""


def complain(error: OSError, *, as_json: bool) -> None:
    """Say why one of several files failed, on the standard output too if that is JSON."""
    if as_json:
        say_json(path=error.filename, error=line_of(error))
    tell(line_of(error))


def program() -> str:
    """Return how this program was called."""
    name = os.path.basename(sys.argv[0]) if sys.argv else ""
    return "python -m aioobs" if name == "__main__.py" else "aioobs"


def tell(line: str) -> None:
    """Write one line to the standard error, whatever is in it."""
    plain = " ".join(line.split())
    safe = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in plain)
    sys.stderr.write(f"{program()}: {safe}\n")
    sys.stderr.flush()
