"""The commands of the command line, each with its module, its arguments and examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, get_args

from aioobs.cli.output import age, at_least_one, count, size_of
from aioobs.cli.usage import excluded
from aioobs.config import DEFAULT_THREADS
from aioobs.transfer.job import Comparison, Verify

if TYPE_CHECKING:
    from argparse import ArgumentParser as Parser
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["COMMANDS", "Command"]


class Command(NamedTuple):
    """A function of the command's name in a module of `aioobs.cli`, and what can be said to it."""

    module: str
    summary: str
    add_arguments: Callable[[Parser], None]
    examples: Sequence[str] = ()
    blocking: bool = False
    """Whether it does without an event loop, and without the store."""


def add_paths(parser: Parser, *, metavar: str = "PATH", least: str = "+") -> None:
    parser.add_argument("paths", metavar=metavar, nargs=least, help="path, URL or pattern")


def add_buckets(parser: Parser) -> None:
    parser.add_argument("paths", metavar="s3://BUCKET", nargs="+", help="bucket")


def add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def add_human(parser: Parser) -> None:
    parser.add_argument("-h", "--human", action="store_true", help="print sizes like 4.5 MiB")


def add_filters(parser: Parser) -> None:
    text = "below folders, take only what matches; * also matches slashes; repeatable"
    parser.add_argument("--include", action="append", default=[], metavar="PATTERN", help=text)
    text = "leave out what matches; sub/ is everything below that folder; repeatable"
    parser.add_argument(
        "--exclude", type=excluded, action="append", default=[], metavar="PATTERN", help=text
    )


def add_jobs(parser: Parser) -> None:
    text = "how many at the same time (default: 16, and more if that is faster)"
    parser.add_argument(
        "--jobs", type=at_least_one, default=DEFAULT_THREADS, metavar="N", help=text
    )


def add_content_type(parser: Parser) -> None:
    text = "of uploaded files, instead of what their names suggest; '' for none"
    parser.add_argument("--content-type", metavar="TYPE", help=text)


def add_reporting(parser: Parser) -> None:
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="only print what would be done"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print each file")
    parser.add_argument("--no-progress", action="store_true", help="show no progress line")


def cp(parser: Parser) -> None:
    add_paths(parser, metavar="SRC... DST")
    parser.epilog = (
        "If DST ends in a slash or is a folder, the copy goes into it, under its own name; "
        "otherwise DST is the name of the copy. Several sources, or a pattern, need a folder. "
        "- is standard input or output."
    )
    parser.add_argument("-r", "--recursive", action="store_true", help="copy folders, too")
    add_copying(parser)


def mv(parser: Parser) -> None:
    add_paths(parser, metavar="SRC... DST")
    parser.epilog = "DST works as for cp. Each file is removed once its copy is complete."
    parser.set_defaults(recursive=True)
    add_copying(parser)


def add_copying(parser: Parser) -> None:
    text = "DST is the name of the copy, even if it is a folder"
    parser.add_argument("-T", "--exact", action="store_true", help=text)
    add_jobs(parser)
    text = "how to check copies: by size (default), by checksum, or also keep a digest of each"
    parser.add_argument("--verify", choices=get_args(Verify), default="size", help=text)
    parser.add_argument("--durable", action="store_true", help="wait until files are on the disk")
    text = "record here what is done, so that the same command can resume; implies -T for folders"
    parser.add_argument("--journal", metavar="PATH", help=text)
    add_content_type(parser)
    add_reporting(parser)
    add_filters(parser)
    add_json(parser)


def sync(parser: Parser) -> None:
    parser.add_argument("source", metavar="SRC", help="folder")
    parser.add_argument("target", metavar="DST", help="folder to make like it")
    parser.epilog = (
        "Copies what is new in SRC, or different. A file of the same size that is newer in DST is "
        "not different; --compare etag looks at the content, too. Nothing is deleted unless "
        "everything has been copied, and nothing that the patterns leave out."
    )
    parser.add_argument("--delete", action="store_true", help="delete what is only in DST")
    text = "do nothing at all if that would delete more than N files"
    parser.add_argument("--max-delete", type=count, metavar="N", help=text)
    text = "what to compare, besides the size (default: time)"
    parser.add_argument("--compare", choices=get_args(Comparison), default="time", help=text)
    add_content_type(parser)
    add_jobs(parser)
    add_reporting(parser)
    add_filters(parser)
    add_json(parser)


def verify(parser: Parser) -> None:
    parser.epilog = (
        "= same, ! different, - missing from DST, + only in DST, ? same size, but nothing more is "
        "known. The exit status is 1 if anything is different or missing."
    )
    parser.add_argument("source", metavar="SRC", help="file or folder")
    parser.add_argument("target", metavar="DST", help="what should be a copy of it")
    text = "nothing: only ETags and checksums; local: local files, too (default); all: both sides"
    parser.add_argument("--read", choices=("nothing", "local", "all"), default="local", help=text)
    add_jobs(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="print what is the same, too")
    add_json(parser)


def rm(parser: Parser) -> None:
    add_paths(parser)
    parser.add_argument("-r", "--recursive", action="store_true", help="remove folders, too")
    parser.add_argument("--force", action="store_true", help="allow emptying a whole bucket")
    add_reporting(parser)
    add_filters(parser)
    add_json(parser)


def ls(parser: Parser) -> None:
    add_paths(parser, least="*")
    parser.epilog = "Without PATH, lists the buckets."
    parser.add_argument("-l", "--long", action="store_true", help="show sizes, and times in UTC")
    parser.add_argument("-1", action="store_true", help="show one name a line, as always")
    add_human(parser)
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="list everything below folders"
    )
    add_json(parser)


def tree(parser: Parser) -> None:
    parser.add_argument("path", metavar="PATH", help="folder or bucket")
    parser.add_argument("-L", "--depth", type=at_least_one, metavar="N", help="at most N levels")


def du(parser: Parser) -> None:
    add_paths(parser)
    add_human(parser)
    parser.add_argument(
        "-d",
        "--depth",
        type=count,
        default=0,
        metavar="N",
        help="also print folders, N levels below PATH",
    )
    add_filters(parser)
    add_json(parser)


def find(parser: Parser) -> None:
    add_paths(parser)
    parser.add_argument("--name", metavar="PATTERN", help="whose name matches")
    parser.add_argument("--type", choices=("f", "d"), help="only files, or only folders")
    parser.add_argument(
        "--larger", type=size_of, metavar="SIZE", help="larger than that: 10, 64K, 1.5G"
    )
    parser.add_argument("--smaller", type=size_of, metavar="SIZE", help="smaller than that")
    parser.add_argument(
        "--newer", type=age, metavar="AGE", help="changed within that time: 90s, 12h, 7d"
    )
    parser.add_argument("--older", type=age, metavar="AGE", help="not changed within that time")
    parser.add_argument(
        "-0", "--null", action="store_true", help="end names with NUL, for xargs -0"
    )
    add_filters(parser)
    add_json(parser)


def cat(parser: Parser) -> None:
    add_paths(parser)


def head(parser: Parser) -> None:
    add_paths(parser)
    parser.add_argument(
        "-n", "--lines", type=count, default=10, metavar="N", help="how many lines (default: 10)"
    )
    parser.add_argument(
        "-c", "--bytes", type=size_of, metavar="SIZE", help="how many bytes, instead of lines"
    )


def stat(parser: Parser) -> None:
    add_paths(parser)
    add_json(parser)


def presign(parser: Parser) -> None:
    parser.add_argument("url", metavar="URL", help="an object")
    methods = ("GET", "PUT", "HEAD", "DELETE")
    parser.add_argument("--method", choices=methods, default="GET", help="default: GET")
    parser.add_argument(
        "--expires",
        type=age,
        default=3600.0,
        metavar="AGE",
        help="how long it is valid, at most 7d (default: 1h)",
    )
    add_json(parser)


def mb(parser: Parser) -> None:
    add_buckets(parser)
    add_json(parser)


def rb(parser: Parser) -> None:
    add_buckets(parser)
    parser.add_argument("--force", action="store_true", help="even if they are not empty")
    parser.set_defaults(dry_run=False, verbose=False, no_progress=False)
    add_json(parser)


def uploads(parser: Parser) -> None:
    parser.add_argument("url", metavar="URL", help="bucket, or bucket and prefix")
    parser.add_argument(
        "--older-than", type=age, metavar="AGE", help="only those begun longer ago: 12h, 7d"
    )
    parser.add_argument("--abort", action="store_true", help="abort them; needs --older-than")
    add_json(parser)


def run(parser: Parser) -> None:
    parser.description = "Run a script as Python does, with aioobs in place of moxing."
    parser.add_argument(
        "--replace", action="store_true", help="take precedence over an installed moxing"
    )
    parser.add_argument("-m", dest="is_module", action="store_true", help="PROGRAM is a module")
    parser.add_argument("program", metavar="PROGRAM", help="the script")
    parser.add_argument("arguments", metavar="...", nargs="...", help="its arguments")


def serve(parser: Parser) -> None:
    parser.add_argument(
        "--bucket",
        action="append",
        default=[],
        metavar="NAME",
        help="create this bucket; repeatable",
    )
    parser.add_argument("--tls", action="store_true", help="serve HTTPS only")


def doctor(parser: Parser) -> None:
    parser.add_argument("url", metavar="URL", nargs="?", help="a bucket or prefix to try")
    add_json(parser)


def bench(parser: Parser) -> None:
    parser.add_argument("url", metavar="URL", help="a bucket, or a folder in it")
    parser.epilog = "Writes into a folder of its own, and removes that at the end."
    text = "how many small files (default: 500)"
    parser.add_argument("--files", type=at_least_one, default=500, metavar="N", help=text)
    text = "size of the big file (default: 64M)"
    parser.add_argument("--size", type=size_of, default=64 << 20, metavar="SIZE", help=text)
    add_jobs(parser)
    add_json(parser)


def config(parser: Parser) -> None:
    add_json(parser)


def completion(parser: Parser) -> None:
    shells = ("bash", "zsh", "fish")
    parser.add_argument("shell", choices=shells, metavar="|".join(shells), help="your shell")


COMMANDS: Mapping[str, Command] = {
    "cp": Command(
        "copying",
        "copy files and folders",
        cp,
        (
            "report.pdf s3://bucket/reports/",
            "-r data s3://bucket/data",
            "'s3://bucket/logs/*.gz' logs/",
            "- s3://bucket/dump.sql < dump.sql",
        ),
    ),
    "mv": Command(
        "copying",
        "move files and folders",
        mv,
        ("-n old/ s3://bucket/archive/", "s3://bucket/a.txt s3://bucket/b.txt"),
    ),
    "sync": Command(
        "syncing",
        "make a folder like another one",
        sync,
        ("-n --delete data s3://bucket/data", "s3://bucket/data data --exclude '*.tmp'"),
    ),
    "verify": Command(
        "verifying", "compare a file or folder with its copy", verify, ("data s3://bucket/data",)
    ),
    "rm": Command(
        "removing",
        "remove files and folders",
        rm,
        ("'s3://bucket/logs/*.gz'", "-rn s3://bucket/old/"),
    ),
    "ls": Command(
        "listing",
        "list folders and buckets",
        ls,
        ("s3://bucket/data/", "-lh 's3://bucket/logs/*.gz'"),
    ),
    "tree": Command("listing", "draw what is in a folder", tree),
    "du": Command("finding", "add up the sizes of files", du, ("-h -d 1 s3://bucket",)),
    "find": Command(
        "finding",
        "find files and folders",
        find,
        ("s3://bucket --name '*.ckpt' --larger 1G --older 7d",),
    ),
    "cat": Command("streams", "print files", cat),
    "head": Command("streams", "print the beginning of files", head),
    "stat": Command("listing", "show size, time, ETag and metadata", stat),
    "presign": Command(
        "buckets",
        "make a URL that anybody can use for a limited time",
        presign,
        ("s3://bucket/report.pdf --expires 2d",),
    ),
    "mb": Command("buckets", "create buckets", mb),
    "rb": Command("buckets", "remove buckets", rb),
    "uploads": Command(
        "buckets",
        "list unfinished uploads, or abort them",
        uploads,
        ("s3://bucket --older-than 7d --abort",),
    ),
    "run": Command(
        "running",
        "run a script that was written for moxing",
        run,
        ("train.py --data s3://bucket/data",),
        blocking=True,
    ),
    "serve": Command(
        "running",
        "run a local S3 server for tests, until Ctrl-C",
        serve,
        ("--bucket demo",),
        blocking=True,
    ),
    "doctor": Command(
        "doctor", "check everything that it takes to reach the store", doctor, ("s3://bucket",)
    ),
    "bench": Command("bench", "measure how fast the store is from here", bench),
    "config": Command("settings", "print the settings, and where each comes from", config),
    "completion": Command(
        "completion",
        "print a completion script for a shell",
        completion,
        ("bash >> ~/.bashrc",),
        blocking=True,
    ),
}
