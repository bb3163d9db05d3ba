"""Whatever comes in: the inputs that went wrong once, and some more each time.

`make fuzz` looks for new ones for longer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from fuzz import CORPUS, TARGETS, corpus, documents, pages, ranges, response, times, urls, written
from fuzz import settings as environments
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

often = settings(
    max_examples=300,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("target", TARGETS)
def test_what_went_wrong_once_does_not_any_more(target: str) -> None:
    check = import_module(f"fuzz.{target}").check
    assert corpus(target)
    for data in corpus(target):
        check(data)


def test_every_corpus_has_its_target() -> None:
    assert {path.stem for path in CORPUS.iterdir()} == set(TARGETS)


@given(st.binary())
@example(bytes(range(256)))
def test_an_input_is_written_as_a_line_and_read_again(data: bytes) -> None:
    line = written(data)
    assert "\n" not in line
    assert line.encode("ascii").decode("unicode_escape").encode("latin-1") == data


@settings(often, max_examples=1000)
@given(response.inputs)
def test_an_answer_that_is_taken_is_taken_so_by_both_of_aiohttps_parsers(data: bytes) -> None:
    response.check(data)


@often
@given(documents.inputs)
def test_a_document_is_read_or_refused_as_what_it_is(data: bytes) -> None:
    documents.check(data)


@often
@given(pages.inputs)
def test_a_page_says_what_its_tree_says(data: bytes) -> None:
    pages.check(data)


@often
@given(ranges.inputs)
def test_an_answer_to_a_range_is_that_range_or_refused(data: bytes) -> None:
    ranges.check(data)


@often
@given(times.inputs)
def test_a_time_is_one_or_refused(data: bytes) -> None:
    times.check(data)


@often
@given(urls.inputs)
def test_a_name_is_read_as_it_is_written_or_refused(data: bytes) -> None:
    urls.check(data)


@often
@given(environments.inputs)
def test_an_environment_gives_a_configuration_or_its_error(data: bytes) -> None:
    environments.check(data)


def test_without_atheris_hypothesis_looks_for_as_long() -> None:
    tests = Path(__file__).parent
    # As with a Python for which there is none.
    program = "import sys; sys.modules['atheris'] = None; sys.argv[1:] = ['urls']\n"
    program += "from fuzz.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tests,
        env={**os.environ, "PYTHONPATH": str(tests.parent), "FUZZ_SECONDS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert "Hypothesis looks instead" in first
    assert second == "urls, 1 s"
    assert int(third.removesuffix(" examples")) >= 200
