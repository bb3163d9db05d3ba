"""What other programs call it: advice for those who know aws, s5cmd, rclone, mc or find.

Only what leads to the right word; a word that is nearly right is found without a line here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aioobs.cli.usage import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["instead_of_command", "instead_of_option"]

COMMANDS = {
    "check": "use verify",
    "configure": "use config, which shows where settings come from",
    "create-bucket": "use mb",
    "del": "use rm",
    "delete": "use rm",
    "diff": "use verify",
    "dir": "use ls",
    "download": "use cp",
    "get": "use cp",
    "head-object": "use stat",
    "help": "use --help, or COMMAND --help",
    "info": "use stat",
    "list": "use ls",
    "make-bucket": "use mb",
    "mirror": "use sync",
    "mkdir": "a folder comes with the first file in it, and mb makes buckets",
    "pipe": "use cp - URL",
    "purge": "use rm -r",
    "put": "use cp",
    "rcat": "use cp - URL",
    "remove": "use rm",
    "remove-bucket": "use rb",
    "rename": "use mv",
    "rmdir": "use rm -r, or rb for buckets",
    "s3": "leave it out, as in aioobs ls and aioobs cp",
    "s3api": "S3's own operations are in Python's aioobs.Client",
    "share": "use presign",
    "sign": "use presign",
    "signurl": "use presign",
    "size": "use du",
    "tail": "use cat URL | tail",
    "touch": "use cp - URL < /dev/null",
    "upload": "use cp",
    "version": "use --version",
}

# By the name of an option without its dashes, or by that after a command.
OPTIONS = {
    "R": "use --recursive",
    "acl": "aioobs sets none, a policy of the bucket says who may read",
    "c": "use --jobs",
    "checksum": "use --verify checksum",
    "d": "use --depth",
    "du s": "leave it out, a sum is what is printed without --depth",
    "f": "leave it out, nothing is asked",
    "find delete": "use --null | xargs -0 aioobs rm",
    "find exec": "use --null | xargs -0",
    "find mmin": "use --newer or --older, as in --newer 30m",
    "find mtime": "use --newer or --older, as in --newer 1d",
    "find print": "leave it out",
    "find print0": "use --null",
    "find size": "use --larger or --smaller, as in --larger 1M",
    "human-readable": "use --human",
    "insecure": "set S3_VERIFY_SSL=0",
    "j": "use --jobs",
    "k": "set S3_VERIFY_SSL=0",
    "level": "use --depth",
    "ls a": "leave it out, all names are shown",
    "max-depth": "use --depth",
    "metadata": "put_object of Python's aioobs.Client takes it",
    "no-check-certificate": "set S3_VERIFY_SSL=0",
    "no-sign-request": "use --anonymous",
    "no-verify-ssl": "set S3_VERIFY_SSL=0",
    "numworkers": "use --jobs",
    "only-show-errors": "use --no-progress",
    "output": "use --json",
    "p": "use --jobs",
    "parallel": "use --jobs",
    "profile": "set AWS_PROFILE",
    "q": "use --no-progress",
    "quiet": "use --no-progress",
    "rb f": "use --force",
    "summarize": "use du",
    "sse": "aioobs sets none, the encryption of the bucket is for all that is in it",
    "storage-class": "aioobs sets none, a lifecycle rule of the bucket can",
    "sync checksum": "use --compare etag",
    "sync size-only": "use --compare size",
    "threads": "use --jobs",
    "transfers": "use --jobs",
    "verbose": "use --debug",
    "workers": "use --jobs",
    **{
        f"{command} {option}": "sync copies only what is new or different"
        for command in ("cp", "mv")
        for option in ("ignore-existing", "no-clobber", "u", "update")
    },
}


def instead_of_command(word: str, commands: Iterable[str]) -> str:
    """Return what to say behind a command that there is not, if anything is known to help."""
    return f": {COMMANDS[word]}" if word in COMMANDS else suggestion(word, commands)


def instead_of_option(word: str, command: str, options: Iterable[str]) -> str:
    """Return what to say behind an option that *command*, which takes *options*, does not know."""
    known = [option[2:] for option in options if option.startswith("--")]
    name = word.partition("=")[0].lstrip("-")
    if name in known:  # behind a single dash, as find has it
        return f", did you mean --{name}?"
    names = [name] if word.startswith("--") else [name, name[0]]  # -sh may be -s and -h
    for key in (f"{prefix}{one}" for one in names for prefix in (f"{command} ", "")):
        told = OPTIONS.get(key)
        # Where a command lacks the option, what it does for another one does not help.
        if told and all(option in known for option in re.findall(r"--([\w-]+)", told)):
            return f": {told}"
    return suggestion(name, known).replace("mean ", "mean --")
