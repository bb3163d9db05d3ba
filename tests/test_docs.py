"""The examples in README and docs run as they stand."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import aioobs
import aioobs.sync
from aioobs.sync import file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aioobs.testing import LocalServer

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CALL = re.compile(r"^\| `((\w+)\(.*?\))` \|", re.MULTILINE)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLE_ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)


class Example(NamedTuple):
    """A block of code on a page."""

    page: str
    line: int
    code: str


def examples() -> list[Example]:
    return [
        Example(
            str(page.relative_to(ROOT)).removeprefix("docs/"),
            text[: block.start()].count("\n") + 1,
            block[1],
        )
        for page in PAGES
        for text in [page.read_text()]
        for block in BLOCK.finditer(text)
    ]


@pytest.fixture
def my_bucket(obs_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the environment lead to a store with the bucket of the examples."""
    for name, value in obs_server.environment.items():
        monkeypatch.setenv(name, value)
    obs_server.create_bucket("my-bucket")
    yield
    obs_server.delete_bucket("my-bucket")


@pytest.mark.usefixtures("my_bucket")
@pytest.mark.parametrize("example", examples(), ids=lambda found: f"{found.page}:{found.line}")
def test_an_example_runs_as_it_stands(example: Example, tmp_path: Path) -> None:
    is_test = "def test_" in example.code
    script = tmp_path / ("test_example.py" if is_test else "example.py")
    script.write_text(example.code)
    runner = ["-m", "pytest", "-q", "-p", "aioobs.testing"] if is_test else []
    if "import moxing" in example.code and "install_as_moxing" not in example.code:
        runner = ["-m", "aioobs", "run"]
    finished = subprocess.run(
        [sys.executable, "-W", "error", *runner, script.name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_readme_has_examples_for_each_way_in() -> None:
    codes = [example.code for example in examples() if example.page == "README.md"]

    assert any("await " in code for code in codes)
    assert any("from aioobs.sync import" in code for code in codes)
    assert any("import aioobs.sync as mox" in code for code in codes)


def test_the_table_of_calls_has_each_verb_with_its_signature() -> None:
    calls = {name: call for call, name in CALL.findall((ROOT / "docs" / "moxing.md").read_text())}

    verbs = {name for name in file.__all__ if name[0].islower()} - {"shifted"}
    assert set(calls) == verbs | {"File"}
    for name in verbs:
        actual = inspect.signature(getattr(file, name))
        bare = [
            kind.replace(annotation=inspect.Parameter.empty) for kind in actual.parameters.values()
        ]
        written = str(actual.replace(parameters=bare, return_annotation=actual.empty))
        shown = calls[name].removeprefix(name).removesuffix("...)")
        assert written.startswith(shown), f"{name}{written}"


def test_the_configuration_table_names_what_there_is() -> None:
    rows = [
        [cell.strip() for cell in row[1].split(" | ")]
        for row in TABLE_ROW.finditer((ROOT / "docs" / "configuration.md").read_text())
    ][2:]
    arguments, settings = (
        {name for row in rows for name in re.findall(r"`(\w+)`", row[column])} for column in (0, 1)
    )

    known = set(inspect.signature(aioobs.file.set_auth).parameters)
    assert arguments == known - {"negotiation", "obs_client_log"}
    assert settings <= {field.name for field in fields(aioobs.Config)}


@pytest.mark.parametrize(
    ("page", "documented", "public"),
    [
        ("files", aioobs.file, {*aioobs.file.__all__}),
        ("client", aioobs.Client, {*vars(aioobs.sync.Client), "aclose"}),
    ],
)
def test_the_reference_leaves_out_what_is_not_public(
    page: str, documented: Any, public: set[str]
) -> None:
    module = getattr(documented, "__module__", documented.__name__)
    defined = {
        name
        for name, value in vars(documented).items()
        if getattr(value, "__module__", "") == module and not name.startswith("_")
    }
    text = (ROOT / "docs" / "reference" / f"{page}.md").read_text()
    left_out = re.compile("|".join(re.findall(r'"!(.*?)"', text)))
    assert {name for name in defined if not left_out.search(name)} == defined & public
