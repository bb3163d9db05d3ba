"""The commands of the command line, each with its module, its arguments and examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, get_args

from aioobs.cli.output import age, at_least_one, count, size_of
from aioobs.cli.usage import excluded
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


def add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="write a JSON object on each line")


def add_human(parser: Parser) -> None:
    parser.add_argument("-h", "--human", action="store_true", help="write sizes as 4.5 MiB")


def add_filters(parser: Parser) -> None:
    text = "take only what matches below a folder; * also stands for slashes; can be repeated"
    parser.add_argument("--include", action="append", default=[], metavar="PATTERN", help=text)
    text = "leave out what matches; sub/ is all below a folder; can be repeated"
    parser.add_argument(
        "--exclude", type=excluded, action="append", default=[], metavar="PATTERN", help=text
    )


def add_jobs(parser: Parser, number: int = 32) -> None:
    text = f"at the same time, {number}"
    parser.add_argument("--jobs", type=at_least_one, default=number, metavar="N", help=text)


def add_content_type(parser: Parser) -> None:
    text = "of the objects that local files become, instead of what their names tell; '' for none"
    parser.add_argument("--content-type", metavar="TYPE", help=text)


def add_reporting(parser: Parser) -> None:
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("-v", "--verbose", action="store_true", help="name each file")
    parser.add_argument("--no-progress", action="store_true", help="show no line of progress")


def cp(parser: Parser) -> None:
    add_paths(parser, metavar="SRC... DST")
    parser.epilog = (
        "DST that ends in a slash or is a folder: into it, under the same name. Else DST is the "
        "name of the copy. Several sources, or a pattern, need a folder. - is the standard input "
        "or output."
    )
    parser.add_argument("-r", "--recursive", action="store_true", help="copy folders as well")
    add_copying(parser)


def mv(parser: Parser) -> None:
    add_paths(parser, metavar="SRC... DST")
    parser.epilog = "DST is as for cp. Each file is removed when its copy is whole."
    parser.set_defaults(recursive=True)
    add_copying(parser)


def add_copying(parser: Parser) -> None:
    text = "DST is the name of the copy, although it is a folder"
    parser.add_argument("-T", "--exact", action="store_true", help=text)
    add_jobs(parser)
    text = "how sure to be: size (default); checksum: of all that moves; digest: kept as well"
    parser.add_argument("--verify", choices=get_args(Verify), default="size", help=text)
    parser.add_argument("--durable", action="store_true", help="wait for the disk")
    text = "note here what is done, for the same command to go on; a folder goes as with -T"
    parser.add_argument("--journal", metavar="PATH", help=text)
    add_content_type(parser)
    add_reporting(parser)
    add_filters(parser)
    add_json(parser)


def sync(parser: Parser) -> None:
    parser.add_argument("source", metavar="SRC", help="folder")
    parser.add_argument("target", metavar="DST", help="folder that is made like it")
    parser.epilog = (
        "Copies what is new in SRC, or differs. A file of the same size that is newer in DST does "
        "not differ; --compare etag looks at its content as well. Nothing is deleted unless "
        "everything has been copied, and nothing that the patterns leave out."
    )
    parser.add_argument("--delete", action="store_true", help="delete what is in DST alone")
    text = "do nothing at all if more than N files would be deleted"
    parser.add_argument("--max-delete", type=count, metavar="N", help=text)
    text = "what tells files apart, besides their size: time unless given"
    parser.add_argument("--compare", choices=get_args(Comparison), default="time", help=text)
    add_content_type(parser)
    add_jobs(parser)
    add_reporting(parser)
    add_filters(parser)
    add_json(parser)


def verify(parser: Parser) -> None:
    parser.epilog = (
        "= the same, ! different, - missing from DST, + in DST alone, ? of one size and nothing "
        "more is known. The exit status is 1 if anything is different or missing."
    )
    parser.add_argument("source", metavar="SRC", help="file or folder")
    parser.add_argument("target", metavar="DST", help="what is to be a copy of it")
    text = "nothing: ETags and checksums tell; local: local files, too (default); all: every byte"
    parser.add_argument("--read", choices=("nothing", "local", "all"), default="local", help=text)
    add_jobs(parser, 16)
    parser.add_argument("-v", "--verbose", action="store_true", help="name what is the same, too")
    add_json(parser)


def rm(parser: Parser) -> None:
    add_paths(parser)
    parser.add_argument("-r", "--recursive", action="store_true", help="remove folders as well")
    parser.add_argument("--force", action="store_true", help="even all that is in a bucket")
    add_reporting(parser)
    add_filters(parser)
    add_json(parser)


def ls(parser: Parser) -> None:
    add_paths(parser, least="*")
    parser.epilog = "Without PATH: the buckets."
    parser.add_argument("-l", "--long", action="store_true", help="show sizes, and times in UTC")
    add_human(parser)
    parser.add_argument("-r", "--recursive", action="store_true", help="list all below folders")
    add_json(parser)


def tree(parser: Parser) -> None:
    parser.add_argument("path", metavar="PATH", help="folder or bucket")
    parser.add_argument("-L", "--depth", type=at_least_one, metavar="N", help="go down N folders")


def du(parser: Parser) -> None:
    add_paths(parser)
    add_human(parser)
    parser.add_argument(
        "-d",
        "--depth",
        type=count,
        default=0,
        metavar="N",
        help="name folders to N below PATH",
    )
    add_filters(parser)
    add_json(parser)


def find(parser: Parser) -> None:
    add_paths(parser)
    parser.add_argument("--name", metavar="PATTERN", help="those whose last name matches")
    parser.add_argument("--type", choices=("f", "d"), help="files or folders alone")
    parser.add_argument("--larger", type=size_of, metavar="SIZE", help="larger than 10, 64K, 1.5G")
    parser.add_argument("--smaller", type=size_of, metavar="SIZE", help="smaller than that")
    parser.add_argument("--newer", type=age, metavar="AGE", help="changed within 90s, 12h, 7d")
    parser.add_argument("--older", type=age, metavar="AGE", help="not changed for so long")
    parser.add_argument("-0", "--null", action="store_true", help="end names with NUL, for xargs")
    add_filters(parser)
    add_json(parser)


def cat(parser: Parser) -> None:
    add_paths(parser)


def head(parser: Parser) -> None:
    add_paths(parser)
    parser.add_argument("-n", "--lines", type=count, default=10, metavar="N", help="how many lines")
    parser.add_argument("-c", "--bytes", type=size_of, metavar="SIZE", help="how many bytes")


def stat(parser: Parser) -> None:
    add_paths(parser)
    add_json(parser)


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
    add_json(parser)


def mb(parser: Parser) -> None:
    add_paths(parser, metavar="s3://BUCKET")
    add_json(parser)


def rb(parser: Parser) -> None:
    add_paths(parser, metavar="s3://BUCKET")
    parser.add_argument("--force", action="store_true", help="and all that is in them")
    parser.set_defaults(dry_run=False, verbose=False, no_progress=False)
    add_json(parser)


def uploads(parser: Parser) -> None:
    parser.add_argument("url", metavar="URL", help="bucket, or bucket and prefix")
    parser.add_argument("--older-than", type=age, metavar="AGE", help="those begun 12h, 7d ago")
    parser.add_argument("--abort", action="store_true", help="give them up; needs --older-than")
    add_json(parser)


def run(parser: Parser) -> None:
    parser.description = "Run a script as Python does, with aioobs in the place of moxing."
    parser.add_argument("--replace", action="store_true", help="go before another moxing")
    parser.add_argument("-m", dest="is_module", action="store_true", help="PROGRAM is a module")
    parser.add_argument("program", metavar="PROGRAM", help="the script")
    parser.add_argument("arguments", metavar="...", nargs="...", help="its arguments")


def serve(parser: Parser) -> None:
    parser.add_argument(
        "--bucket", action="append", default=[], metavar="NAME", help="make one, or more"
    )
    parser.add_argument("--tls", action="store_true", help="speak HTTPS alone")


def doctor(parser: Parser) -> None:
    parser.add_argument("url", metavar="URL", nargs="?", help="a bucket, or a prefix to try on")
    add_json(parser)


def bench(parser: Parser) -> None:
    parser.add_argument("url", metavar="URL", help="a bucket, or a folder in it")
    parser.epilog = "What it writes there, in a folder of its own, it removes in the end."
    text = "small ones, 500"
    parser.add_argument("--files", type=at_least_one, default=500, metavar="N", help=text)
    text = "how big the big file is, 64M"
    parser.add_argument("--size", type=size_of, default=64 << 20, metavar="SIZE", help=text)
    add_jobs(parser)
    add_json(parser)


def config(parser: Parser) -> None:
    add_json(parser)


def completion(parser: Parser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="for which shell")


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
    "cat": Command("streams", "write files to the standard output", cat),
    "head": Command("streams", "write how files begin", head),
    "stat": Command("listing", "show size, time, ETag and metadata", stat),
    "presign": Command(
        "buckets",
        "make a URL that anybody can use for a while",
        presign,
        ("s3://bucket/report.pdf --expires 2d",),
    ),
    "mb": Command("buckets", "make buckets", mb),
    "rb": Command("buckets", "remove buckets", rb),
    "uploads": Command(
        "buckets",
        "list uploads that were not finished, or abort them",
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
        "doctor", "check all that it takes to reach the store", doctor, ("s3://bucket",)
    ),
    "bench": Command("bench", "measure how fast the store is from here", bench),
    "config": Command("settings", "print how the store is reached, and what says so", config),
    "completion": Command(
        "completion",
        "print a script that completes commands",
        completion,
        ("bash >> ~/.bashrc",),
        blocking=True,
    ),
}
