"""Run tests of CPython in this process and write down what becomes of each one.

A program of its own, for these tests change what is the whole process's: its directory, its
warnings, its signals.  Every line that it writes is a test's name and its end, so that what ran
before a crash or a timeout is known.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import traceback
import unittest
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO

from aioobs.sync.shift import shifted
from cpython import urls

if TYPE_CHECKING:
    from types import TracebackType

    Failure = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class Notes(unittest.TestResult):
    """Writes one line for each test that has ended."""

    def __init__(self, file: TextIO, url: str | None) -> None:
        super().__init__()
        self._file = file
        self._url = url
        self._end = "ok"
        self._details = ""

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._end, self._details = "ok", ""

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self._write(test)
        if self._url:
            shutil.rmtree(self._url)  # one that has failed shall not make others fail

    def addError(self, test: unittest.TestCase, err: Failure) -> None:
        self._note(test, "error", err)

    def addFailure(self, test: unittest.TestCase, err: Failure) -> None:
        self._note(test, "failure", err)

    def addSubTest(
        self, test: unittest.TestCase, subtest: unittest.TestCase, err: Failure | None
    ) -> None:
        if err is not None:
            kind = err[0]
            failed = kind is not None and issubclass(kind, test.failureException)
            self._note(test, "failure" if failed else "error", err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._end, self._details = "skipped", reason
        if not isinstance(test, unittest.TestCase):  # a whole class or module
            self._write(test)

    def addExpectedFailure(self, test: unittest.TestCase, err: Failure) -> None:
        self._end = "expected failure"

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._end = "unexpected success"

    def _note(self, test: unittest.TestCase, end: str, err: Failure) -> None:
        self._end = end
        self._details += "".join(traceback.format_exception(*err))
        if not isinstance(test, unittest.TestCase):
            self._write(test)

    def _write(self, test: unittest.TestCase) -> None:
        self._file.write(json.dumps([test.id(), self._end, self._details]) + "\n")
        self._file.flush()


def chosen(tests: unittest.TestSuite) -> unittest.TestSuite:
    """Return those of some tests that run on URLs."""
    kept = unittest.TestSuite()
    for test in tests:
        if isinstance(test, unittest.TestSuite):
            kept.addTest(chosen(test))
        elif urls.is_chosen(test.id()):
            kept.addTest(test)
    return kept


def main() -> None:
    """Run the module of tests that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shifted", action="store_true", help="shift before all else")
    parser.add_argument("--url", help="run what can be run below this URL")
    parser.add_argument("notes", help="the file that is written")
    parser.add_argument("module", help="such as test_os")
    options = parser.parse_args()
    with open(options.notes, "w", encoding="utf-8") as file, contextlib.ExitStack() as stack:
        if options.shifted:
            stack.enter_context(shifted())
        # Shifted already, as everything that comes after it.
        support: Any = import_module("test.support")
        support.use_resources = []  # neither the network nor gigabytes
        if options.url:
            urls.move_to(options.url)
            urls.adapt(options.module, options.url)
        tests = unittest.defaultTestLoader.loadTestsFromName(f"test.{options.module}")
        (chosen(tests) if options.url else tests).run(Notes(file, options.url))


if __name__ == "__main__":
    main()
