"""The command line: arguments that make no sense, and standard streams that are not there."""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest
from command import PROGRAM, checkout, make, objects, run

from aioobs.sync import file

__all__ = ["checkout"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("cp --jobs 0 a b", "--jobs: '0' is not a number from 1 on"),
        ("verify --jobs -1 a b", "--jobs: '-1' is not a number from 1 on"),
        ("sync --max-delete -1 a b", "--max-delete: '-1' is not a number from 0 on"),
        ("du -d -1 a", "-d/--depth: '-1' is not a number from 0 on"),
        ("tree -L x a", "-L/--depth: 'x' is not a number from 1 on"),
        ("head -n -1 a", "-n/--lines: '-1' is not a number from 0 on"),
        ("find --larger x a", "--larger: 'x' is not a size, as 10, 64K or 1.5G"),
        ("find --newer x a", "--newer: 'x' is not a time, as 90s, 12h or 7d"),
        ("ls --attempts x a", "--attempts: 'x' is not a whole number"),
        ("cp --recursive=f a b", "argument -r/--recursive: ignored explicit argument 'f'"),
        (
            "cp -r a b --exclude * --include *.txt",
            "argument --exclude: '*' leaves out all: --include alone takes only what matches",
        ),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_in_words(words: str, said: str) -> None:
    command = words.split()
    done = run(*command, status=2)
    assert done.stderr == f"python -m aioobs: {said}; see: python -m aioobs {command[0]} --help\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("s3 ls", "there is no command s3: leave it out, as in aioobs ls and aioobs cp"),
        ("delete s3://b/a", "there is no command delete: use rm"),
        ("--endpoint-url http://x ls", "--endpoint-url, did you mean --endpoint?"),
        ("--debug --profile dev ls", "unrecognized arguments: --profile: set AWS_PROFILE"),
        ("cp -R a s3://b/a", "unrecognized arguments: -R: use --recursive"),
        ("cp -rf a s3://b/a", "unrecognized arguments: -f: leave it out, nothing is asked"),
        ("cp -r -j 30 a s3://b/a", "unrecognized arguments: -j: use --jobs"),
        ("cp --checksum a s3://b/a", "unrecognized arguments: --checksum: use --verify checksum"),
        ("sync --checksum a s3://b/a", "unrecognized arguments: --checksum: use --compare etag"),
        ("sync --dryrun a s3://b/a", "unrecognized arguments: --dryrun, did you mean --dry-run?"),
        ("find s3://b -name *.x", "unrecognized arguments: -name, did you mean --name?"),
        ("find s3://b -mtime=1", "-mtime=1: use --newer or --older, as in --newer 1d"),
        ("du -sh s3://b", "-sh: leave it out, a sum is what is printed without --depth"),
        ("cp --acl public-read a s3://b/a", "a policy of the bucket says who may read"),
        ("cp --storage-class COLD a s3://b/a", "a lifecycle rule of the bucket can"),
    ],
)
def test_words_of_other_programs_lead_to_those_of_this_one(words: str, said: str) -> None:
    done = run(*words.split(), status=2)
    assert done.stderr.count("\n") == 1
    assert f"{said}{'' if said.endswith('?') else ';'} see: python -m aioobs" in done.stderr


@pytest.mark.parametrize(
    ("words", "unknown"),
    [
        ("cp --frob a b", "--frob"),
        ("cp --preserve a b", "--preserve"),
        ("ls --threads 3", "--threads"),  # known elsewhere, but not to this command
        ("sync a b c d", "c d"),
    ],
)
def test_nothing_is_suggested_where_nothing_is_like_it(words: str, unknown: str) -> None:
    command = words.partition(" ")[0]
    said = f"unrecognized arguments: {unknown}; see: python -m aioobs {command} --help\n"
    assert run(*words.split(), status=2).stderr == f"python -m aioobs: {said}"


@pytest.mark.parametrize("words", [["-h"], ["cp", "-h"], ["find", "-h"]])
def test_help_has_a_short_name_where_that_is_free(words: list[str]) -> None:
    assert run(*words).stdout == run(*words[:-1], "--help").stdout


def test_help_says_once_that_there_can_be_several() -> None:
    lines = run("cp", "--help").stdout.splitlines()
    assert "SRC... DST" in [line.strip() for line in lines]


def test_what_could_be_a_bucket_without_its_scheme_is_asked_for(obs_bucket: str) -> None:
    name = obs_bucket.removeprefix("s3://")
    assert run("ls", name, status=3).stderr.endswith(
        f"; an object or bucket is written s3://{name}\n"
    )
    assert "s3://" not in run("ls", "no.txt", status=3).stderr


def test_a_signed_url_is_told_as_json(obs_bucket: str) -> None:
    (told,) = objects("presign", f"{obs_bucket}/a", "--expires", "2m")
    assert (told["path"], told["method"], told["expires"]) == (f"{obs_bucket}/a", "GET", 120)
    assert "X-Amz-Expires=120" in told["url"]


def test_a_pipe_is_no_target_but_the_standard_output_is(obs_bucket: str) -> None:
    file.write(f"{obs_bucket}/a", "x")
    os.mkfifo("pipe")
    done = run("cp", f"{obs_bucket}/a", "pipe", status=2)
    assert done.stderr.endswith(f": pipe is a pipe: aioobs cp {obs_bucket}/a - > pipe\n")


def through_shell(redirected: str, *words: str) -> tuple[int, str]:
    """Run the command with streams redirected; return how it ended and what it said."""
    line = f"{shlex.join([*PROGRAM, *words])} {redirected}"
    done = subprocess.run(
        ["bash", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [["ls"], ["cat", "{bucket}/a"]])
def test_an_output_that_is_closed_is_an_error_where_there_is_any(
    obs_bucket: str, words: list[str]
) -> None:
    file.write(f"{obs_bucket}/a", "x")
    words = [word.format(bucket=obs_bucket) for word in words]
    said = "python -m aioobs: standard output: Bad file descriptor\n"
    assert through_shell(">&-", *words) == (1, said)


def test_a_copy_does_without_standard_streams(obs_bucket: str) -> None:
    make("a")
    assert through_shell("<&- >&- 2>&-", "cp", "a", f"{obs_bucket}/a") == (0, "")
    assert file.read(f"{obs_bucket}/a") == "a"


def test_an_input_that_is_closed_makes_no_object(obs_bucket: str) -> None:
    said = "python -m aioobs: standard input: Bad file descriptor\n"
    assert through_shell("<&-", "cp", "-", f"{obs_bucket}/a") == (1, said)
    assert not file.exists(f"{obs_bucket}/a")


def test_an_output_that_is_full_is_named(obs_bucket: str) -> None:
    file.write(f"{obs_bucket}/a", "x")
    status, said = through_shell("> /dev/full", "cat", f"{obs_bucket}/a")
    assert (status, said) == (1, "python -m aioobs: standard output: No space left on device\n")
