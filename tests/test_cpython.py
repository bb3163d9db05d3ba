"""CPython's own tests: the same with a shift as without, and on URLs."""

from __future__ import annotations

import pytest
from cpython.compare import INSTALL, differences, is_installed, results
from cpython.urls import CLASSES

pytest_plugins = ["verbs"]
pytestmark = pytest.mark.skipif(not is_installed(), reason=INSTALL)

QUICK = (
    "test_csv",
    "test_filecmp",
    "test_fileinput",
    "test_genericpath",
    "test_glob",
    "test_gzip",
    "test_posixpath",
    "test_shutil",
    "test_tempfile",
)

# On the server where a folder is gone with its last key.
WITH_FOLDERS = {"test_genericpath", "test_glob", "test_os", "test_shutil"}
ON_URLS = [
    pytest.param(module, marks=[pytest.mark.slow] if module == "test_io" else [])
    for module in CLASSES
]


@pytest.mark.parametrize("module", QUICK)
def test_a_shift_changes_the_end_of_no_test(module: str) -> None:
    before, after = (results(module, shifted=shifted, seconds=30) for shifted in (False, True))

    assert {test: after.details.get(test) for test in differences(before, after)} == {}
    assert after.count("ok") > 0


@pytest.mark.parametrize("module", ON_URLS)
def test_what_stores_can_do_passes_on_urls(module: str, request: pytest.FixtureRequest) -> None:
    server = "moto_bucket" if module in WITH_FOLDERS else "obs_bucket"
    url: str = request.getfixturevalue(server)

    found = results(module, shifted=True, url=url, seconds=100)

    assert {
        test: found.details[test]
        for test, ends in found.ends.items()
        if not {*ends} <= {"ok", "skipped", "expected failure"}
    } == {}
    assert found.count("ok") > 0
