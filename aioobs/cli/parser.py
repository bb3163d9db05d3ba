"""The commands of the command line, and their options."""

from __future__ import annotations

import argparse
import re
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from aioobs.cli.failures import program
from aioobs.cli.output import age, size_of
from aioobs.config import Addressing, Signature
from aioobs.transfer.job import Comparison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["build", "parse"]

DESCRIPTION = """\
Files and folders in object stores, and on this machine: s3://bucket/key, obs://bucket/key and
local paths alike.  Put patterns (* ? [...] **) in quotes; they match objects, too.
"""
EPILOG = """\
The store is that of S3_ENDPOINT or --endpoint.  Access keys come from the environment
(ACCESS_KEY_ID and SECRET_ACCESS_KEY), from credential files or a metadata service, and never
from options, which everybody on the machine could read.  `aioobs doctor` checks all of it.

exit status: 0 done, 1 some files failed, 2 usage or configuration, 3 not found, 4 refused,
5 no connection or no answer in time, 130 Ctrl-C
"""


REACHED = "How the store is reached (--endpoint and others): see aioobs --help."


class Formatter(argparse.HelpFormatter):
    """Fills the lines of a paragraph, and leaves the examples after it as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        prose, end, examples = text.partition("\n\n")
        return super()._fill_text(prose, width, indent) + end + examples


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        """Exit with the status 2."""
        if unknown := re.match("argument COMMAND: invalid choice: '([^']*)'", message):
            message = f"there is no command {unknown[1]}{meant(unknown[1], COMMANDS)}"
        elif unknown := re.match("unrecognized arguments: (--[^ =]+)", message):
            message += meant(unknown[1], self._option_string_actions)
        self.exit(2, f"{program()}: {message}; see: {self.prog} --help\n")


def meant(word: str, words: Iterable[str]) -> str:
    """Return a question for the one of *words* that *word* is most like, if it is like any."""
    from difflib import get_close_matches  # slow to import

    near = get_close_matches(word, words, 1)
    return f", did you mean {near[0]}?" if near else ""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the arguments say; those that make no sense end the program."""
    parser = build()
    words = sys.argv[1:] if arguments is None else list(arguments)
    if not words:
        parser.print_help(sys.stderr)
        parser.exit(2)
    given, others = parser.parse_known_args(words)
    # argparse ends a list of paths at the first option that follows one.
    wrong = [text for text in others if text.startswith("-") and text != "-"]
    if wrong or (others and not isinstance(getattr(given, "paths", None), list)):
        given.parser.error(f"unrecognized arguments: {' '.join(wrong or others)}")
    if others:
        given.paths += others
    for name, value in REACH_DEFAULTS.items():
        setattr(given, name, getattr(given, name, value))
    return given


REACH_DEFAULTS: Mapping[str, str | bool | None] = {
    "endpoint": None,
    "region": None,
    "addressing": None,
    "signature": None,
    "anonymous": False,
    "attempts": None,
    "debug": False,
}


def reach(parser: Parser, *, shown: bool) -> None:
    """Add the options that every command has; its own help leaves them to that of all."""
    group = parser.add_argument_group("how the store is reached, before the command or after it")
    styles, signatures = get_args(Addressing)[1:], get_args(Signature)
    options: dict[str, tuple[str, dict[str, Any]]] = {
        "--endpoint": ("the store, instead of S3_ENDPOINT", {"metavar": "URL"}),
        "--region": ("the region to sign for", {"metavar": "NAME"}),
        "--addressing": ("where the bucket stands: in the host name or the path", of(styles)),
        "--signature": ("how requests are signed, v4 unless given", of(signatures)),
        "--anonymous": ("send requests unsigned, as to public data", {"action": "store_true"}),
        "--attempts": ("how often a request is tried, 10", {"type": int, "metavar": "N"}),
        "--debug": ("log requests, and show where errors arise", {"action": "store_true"}),
    }
    for name, (text, rest) in options.items():
        # Without defaults: what stands before the command is not undone by what stands after it.
        more: dict[str, Any] = {
            "help": text if shown else argparse.SUPPRESS,
            "default": argparse.SUPPRESS,
        }
        group.add_argument(name, **more, **rest)


def of(choices: Sequence[str]) -> dict[str, Any]:
    """Return what makes an option one of several words."""
    return {"choices": choices, "metavar": "|".join(choices)}


def build() -> Parser:
    """Return the parser of the command line."""
    version = import_module("aioobs").__version__
    parser = Parser(
        prog=program(),
        usage=f"{program()} [OPTION...] COMMAND ...",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND", prog=program()
    )
    parser.add_argument("--help", action="help", help="show this, or that of a command")
    parser.add_argument("--version", action="version", version=f"aioobs {version}", help="show it")
    reach(parser, shown=True)
    for name, (module, blocking, text, fill) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            formatter_class=Formatter,
            allow_abbrev=False,
            add_help=False,  # -h is for sizes that are easy to read
        )
        command.add_argument("--help", action="help", help="show this")
        command.set_defaults(module=module, blocking=blocking, parser=command)
        fill(command)
        told = [command.epilog or ""]
        if not blocking:
            reach(command, shown=False)
            told.append(REACHED)
        examples = "".join(f"\n  {program()} {name} {one}" for one in EXAMPLES.get(name, ()))
        command.epilog = " ".join(told).strip() + (examples and f"\n\nexamples:{examples}")
    return parser


def paths(parser: Parser, *, metavar: str = "PATH", least: str = "+") -> None:
    parser.add_argument("paths", metavar=metavar, nargs=least, help="path, URL or pattern")


def json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="write a JSON object on each line")


def human(parser: Parser) -> None:
    parser.add_argument("-h", "--human", action="store_true", help="write sizes as 4.5 MiB")


def filters(parser: Parser) -> None:
    only = "take only what matches below a folder; * also stands for slashes; can be repeated"
    parser.add_argument("--include", action="append", default=[], metavar="PATTERN", help=only)
    none = "leave out what matches; sub/ is all below a folder; can be repeated"
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help=none)


def jobs(parser: Parser) -> None:
    parser.add_argument("--jobs", type=int, default=32, metavar="N", help="at the same time, 32")


def doing(parser: Parser) -> None:
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("-v", "--verbose", action="store_true", help="name each file")
    parser.add_argument("--no-progress", action="store_true", help="show no line of progress")


def cp(parser: Parser) -> None:
    paths(parser, metavar="SRC... DST")
    parser.epilog = (
        "DST that ends in a slash or is a folder: into it, under the same name. Else DST is the "
        "name of the copy. Several sources, or a pattern, need a folder. - is the standard input "
        "or output."
    )
    parser.add_argument("-r", "--recursive", action="store_true", help="copy folders as well")
    moving(parser)


def mv(parser: Parser) -> None:
    paths(parser, metavar="SRC... DST")
    parser.epilog = "DST is as for cp. Each file is removed when its copy is whole."
    parser.set_defaults(recursive=True)
    moving(parser)


def moving(parser: Parser) -> None:
    exact = "DST is the name of the copy, although it is a folder"
    parser.add_argument("-T", "--exact", action="store_true", help=exact)
    jobs(parser)
    text = "how sure to be: size (default); checksum: of all that moves; digest: kept as well"
    ways = ("size", "checksum", "digest")
    parser.add_argument("--verify", choices=ways, default=ways[0], help=text)
    parser.add_argument("--durable", action="store_true", help="wait for the disk")
    text = "note here what is done; the same command again goes on where this one ended"
    parser.add_argument("--journal", metavar="PATH", help=text)
    doing(parser)
    filters(parser)
    json(parser)


def sync(parser: Parser) -> None:
    parser.add_argument("source", metavar="SRC", help="folder")
    parser.add_argument("target", metavar="DST", help="folder that is made like it")
    parser.epilog = (
        "Copies what is new in SRC, or differs. A file of the same size that is newer in DST does "
        "not differ; --compare etag looks at its content as well. Nothing is deleted unless "
        "everything has been copied, and nothing that the patterns leave out."
    )
    text = "delete what is in DST alone"
    parser.add_argument("--delete", action="store_true", help=text)
    most = "do nothing at all if more than N files would be deleted"
    parser.add_argument("--max-delete", type=int, metavar="N", help=most)
    by = "what tells files apart, besides their size: time unless given"
    parser.add_argument("--compare", choices=get_args(Comparison), default="time", help=by)
    jobs(parser)
    doing(parser)
    filters(parser)
    json(parser)


def verify(parser: Parser) -> None:
    parser.epilog = (
        "= the same, ! different, - missing from DST, + in DST alone, ? of one size and nothing "
        "more is known. The exit status is 1 if anything is different or missing."
    )
    parser.add_argument("source", metavar="SRC", help="file or folder")
    parser.add_argument("target", metavar="DST", help="what is to be a copy of it")
    text = "nothing: ETags and checksums tell; local: local files, too (default); all: every byte"
    parser.add_argument("--read", choices=("nothing", "local", "all"), default="local", help=text)
    parser.add_argument("--jobs", type=int, default=16, metavar="N", help="at the same time, 16")
    parser.add_argument("-v", "--verbose", action="store_true", help="name what is the same, too")
    json(parser)


def rm(parser: Parser) -> None:
    paths(parser)
    parser.add_argument("-r", "--recursive", action="store_true", help="remove folders as well")
    parser.add_argument("--force", action="store_true", help="even all that is in a bucket")
    doing(parser)
    filters(parser)
    json(parser)


def ls(parser: Parser) -> None:
    paths(parser, least="*")
    parser.epilog = "Without PATH: the buckets."
    parser.add_argument("-l", "--long", action="store_true", help="show sizes, and times in UTC")
    human(parser)
    parser.add_argument("-r", "--recursive", action="store_true", help="list all below folders")
    json(parser)


def tree(parser: Parser) -> None:
    parser.add_argument("path", metavar="PATH", help="folder or bucket")
    parser.add_argument("-L", "--depth", type=int, metavar="N", help="go down N folders")


def du(parser: Parser) -> None:
    paths(parser)
    human(parser)
    parser.add_argument(
        "-d",
        "--depth",
        type=int,
        default=0,
        metavar="N",
        help="name folders to N below PATH",
    )
    filters(parser)
    json(parser)


def find(parser: Parser) -> None:
    paths(parser)
    parser.add_argument("--name", metavar="PATTERN", help="those whose last name matches")
    parser.add_argument("--type", choices=("f", "d"), help="files or folders alone")
    parser.add_argument("--larger", type=size_of, metavar="SIZE", help="larger than 10, 64K, 1.5G")
    parser.add_argument("--smaller", type=size_of, metavar="SIZE", help="smaller than that")
    parser.add_argument("--newer", type=age, metavar="AGE", help="changed within 90s, 12h, 7d")
    parser.add_argument("--older", type=age, metavar="AGE", help="not changed for so long")
    parser.add_argument("-0", "--null", action="store_true", help="end names with NUL, for xargs")
    filters(parser)
    json(parser)


def cat(parser: Parser) -> None:
    paths(parser)


def head(parser: Parser) -> None:
    paths(parser)
    parser.add_argument("-n", "--lines", type=int, default=10, metavar="N", help="how many lines")
    parser.add_argument("-c", "--bytes", type=size_of, metavar="SIZE", help="how many bytes")


def stat(parser: Parser) -> None:
    paths(parser)
    json(parser)


def presign(parser: Parser) -> None:
    parser.add_argument("url", metavar="URL", help="an object")
    methods = ("GET", "PUT", "HEAD", "DELETE")
    parser.add_argument("--method", choices=methods, default="GET", help="GET unless given")
    parser.add_argument(
        "--expires",
        type=age,
        default=3600.0,
        metavar="AGE",
        help="1h unless given; at most 7d",
    )


def mb(parser: Parser) -> None:
    paths(parser, metavar="s3://BUCKET")
    json(parser)


def rb(parser: Parser) -> None:
    paths(parser, metavar="s3://BUCKET")
    parser.add_argument("--force", action="store_true", help="and all that is in them")
    parser.set_defaults(dry_run=False, verbose=False, no_progress=False)
    json(parser)


def uploads(parser: Parser) -> None:
    parser.add_argument("url", metavar="URL", help="bucket, or bucket and prefix")
    parser.add_argument("--older-than", type=age, metavar="AGE", help="those begun 12h, 7d ago")
    parser.add_argument("--abort", action="store_true", help="give them up; needs --older-than")
    json(parser)


def run(parser: Parser) -> None:
    parser.description = "Run a script as Python does, with aioobs in the place of moxing."
    parser.add_argument("--replace", action="store_true", help="go before another moxing")
    parser.add_argument("-m", dest="is_module", action="store_true", help="PROGRAM is a module")
    parser.add_argument("program", metavar="PROGRAM", help="the script")
    parser.add_argument("arguments", metavar="...", nargs=argparse.REMAINDER, help="its arguments")


def serve(parser: Parser) -> None:
    parser.add_argument(
        "--bucket", action="append", default=[], metavar="NAME", help="make one, or more"
    )
    parser.add_argument("--tls", action="store_true", help="speak HTTPS alone")


def doctor(parser: Parser) -> None:
    parser.add_argument("url", metavar="URL", nargs="?", help="a bucket, or a prefix to try on")
    json(parser)


def bench(parser: Parser) -> None:
    parser.add_argument("url", metavar="URL", help="a bucket, or a folder in it")
    parser.epilog = "What it writes there, in a folder of its own, it removes in the end."
    parser.add_argument("--files", type=int, default=500, metavar="N", help="small ones, 500")
    size = "how big the big file is, 64M"
    parser.add_argument("--size", type=size_of, default=64 << 20, metavar="SIZE", help=size)
    jobs(parser)
    json(parser)


def config(parser: Parser) -> None:
    json(parser)


def completion(parser: Parser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="for which shell")


# By name: the module, whether it does without an event loop, what it does, its arguments.
COMMANDS: dict[str, tuple[str, bool, str, Callable[[Parser], None]]] = {
    "cp": ("copying", False, "copy files and folders", cp),
    "mv": ("copying", False, "move files and folders", mv),
    "sync": ("syncing", False, "make a folder like another one", sync),
    "verify": ("verifying", False, "compare a file or folder with its copy", verify),
    "rm": ("removing", False, "remove files and folders", rm),
    "ls": ("listing", False, "list folders and buckets", ls),
    "tree": ("listing", False, "draw what is in a folder", tree),
    "du": ("finding", False, "add up the sizes of files", du),
    "find": ("finding", False, "find files and folders", find),
    "cat": ("streams", False, "write files to the standard output", cat),
    "head": ("streams", False, "write how files begin", head),
    "stat": ("listing", False, "show size, time, ETag and metadata", stat),
    "presign": ("buckets", False, "make a URL that anybody can use for a while", presign),
    "mb": ("buckets", False, "make buckets", mb),
    "rb": ("buckets", False, "remove buckets", rb),
    "uploads": ("buckets", False, "list uploads that were not finished, or abort them", uploads),
    "run": ("running", True, "run a script that was written for moxing", run),
    "serve": ("running", True, "run a local S3 server for tests, until Ctrl-C", serve),
    "doctor": ("doctor", False, "check all that it takes to reach the store", doctor),
    "bench": ("bench", False, "measure how fast the store is from here", bench),
    "config": ("settings", False, "print how the store is reached, and what says so", config),
    "completion": ("completion", True, "print a script that completes commands", completion),
}

EXAMPLES: Mapping[str, Sequence[str]] = {
    "cp": (
        "report.pdf s3://bucket/reports/",
        "-r data s3://bucket/data",
        "'s3://bucket/logs/*.gz' logs/",
        "- s3://bucket/dump.sql < dump.sql",
    ),
    "mv": ("-n old/ s3://bucket/archive/", "s3://bucket/a.txt s3://bucket/b.txt"),
    "sync": ("-n --delete data s3://bucket/data", "s3://bucket/data data --exclude '*.tmp'"),
    "verify": ("data s3://bucket/data",),
    "rm": ("'s3://bucket/logs/*.gz'", "-rn s3://bucket/old/"),
    "ls": ("s3://bucket/data/", "-lh 's3://bucket/logs/*.gz'"),
    "du": ("-h -d 1 s3://bucket",),
    "find": ("s3://bucket --name '*.ckpt' --larger 1G --older 7d",),
    "presign": ("s3://bucket/report.pdf --expires 2d",),
    "uploads": ("s3://bucket --older-than 7d --abort",),
    "run": ("train.py --data s3://bucket/data",),
    "serve": ("--bucket demo",),
    "doctor": ("s3://bucket",),
    "completion": ("bash >> ~/.bashrc",),
}
