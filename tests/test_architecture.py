"""The rules of the package: who may import whom, what an import does, and what is public."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from release.environment import CORE

import aioobs

PACKAGE = Path(aioobs.__file__).parent

# A module imports from its own group and from those above it; a name is a module or a package.
GROUPS = """
report
errors
logs forks url config calling_thread threads preallocation loops tasks generators
s3
session
store
transfer
io
file background plans trees audits
testing
sync
filesystem otel cli __main__
"""
RANKS = {name: rank for rank, line in enumerate(GROUPS.split("\n")) for name in line.split()}
# Who may import what, and nobody else; all other modules do with the standard library.
FOREIGN = {
    "aiohttp": {
        "s3.http.aiohttp_errors",
        "s3.http.connection_pool",
        "s3.http.connector",
        "s3.http.session_transport",
    },
    "yarl": {"s3.http.session_transport"},
    "botocore": {"s3.auth.credential_services"},
    "fsspec": {
        "filesystem",
        "filesystem.blocking",
        "filesystem.files",
        "filesystem.options",
        "filesystem.paths",
        "filesystem.ranges",
        "filesystem.trees",
    },
    "opentelemetry": {"otel"},
    "upath": {"filesystem.paths"},
    "pytest": {"testing"},
    "trustme": {"testing"},
    "uvloop": {"loops"},
}
EVERYWHERE = {"anyio", "aiofiles", "crc32c", "_typeshed"}


def modules() -> dict[str, Path]:
    """Return all modules by their name within the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


MODULES = modules()
PICTURE = Path(__file__).parents[1] / "docs" / "architecture.md"


def pictured() -> list[str]:
    """Return the modules that the documentation draws, from the top to the bottom."""
    tree = PICTURE.read_text(encoding="utf-8").split("```")[1]
    names: list[str] = []
    packages: list[str] = []  # those that a line stands in
    for line in tree.splitlines()[2:]:
        found = re.match(r"( +)((?:\w+\.py(?:, )?)+|\w+/ )", line)
        if found:
            packages = packages[: len(found[1]) // 2 - 1]
            if found[2].endswith("/ "):
                packages.append(found[2][:-2])
            else:
                modules = re.findall(r"(\w+)\.py", found[2])
                names += [".".join([*packages, module]) for module in modules]
    return names


def group(module: str) -> str:
    """Return what of the table a module belongs to."""
    return module.partition(".")[0]


@functools.cache
def imports(path: Path) -> set[str]:
    """Return what a module imports at run time or for types, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = inner.removeprefix("aioobs.") in MODULES
                found.add(inner if is_module else node.module)
    return found


def own_imports(module: str) -> set[str]:
    """Return the modules of this package that a module imports."""
    names = {name for name in imports(MODULES[module]) if name.partition(".")[0] == "aioobs"}
    assert "aioobs" not in names, f"{module} imports the whole package"
    return {name.removeprefix("aioobs.") for name in names}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_group_and_those_below(module: str) -> None:
    assert group(module) in RANKS, f"{module} has no place in the table of this test"
    for name in own_imports(module):
        assert RANKS[group(name)] <= RANKS[group(module)], f"{module} imports {name}"


def test_no_imports_go_in_circles() -> None:
    graph = {module: own_imports(module) for module in MODULES if module != "sync"}
    list(graphlib.TopologicalSorter(graph).static_order())


def test_the_documentation_draws_every_module() -> None:
    packages = {module.rpartition(".")[0] for module in MODULES}
    drawn = pictured()
    expected = {m for m in MODULES if m not in packages and not m.startswith("sync._moxing")}
    assert len(drawn) == len(set(drawn))
    assert expected ^ set(drawn) == set()


def test_a_module_imports_only_what_is_drawn_above_it() -> None:
    drawn = pictured()
    below = {
        (module, name)
        for module in drawn
        for name in own_imports(module)
        if name in drawn and drawn.index(name) > drawn.index(module)
    }
    assert below == set()


@pytest.mark.parametrize(
    "package",
    [
        name
        for name, path in MODULES.items()
        if path.name == "__init__.py" and group(name) in ("s3", "store", "transfer", "io")
    ],
)
def test_a_package_is_a_place_and_nothing_more(package: str) -> None:
    assert not imports(MODULES[package])


@pytest.mark.parametrize("module", MODULES)
def test_others_packages_are_known_in_one_place(module: str) -> None:
    for name in imports(MODULES[module]):
        top = name.partition(".")[0]
        if top == "aioobs" or top in sys.stdlib_module_names or top in EVERYWHERE:
            continue
        assert module in FOREIGN.get(top, ()), f"{module} imports {top}"


@pytest.mark.parametrize("module", ["", *MODULES])
def test_every_public_name_exists_once_and_in_order(module: str) -> None:
    found = importlib.import_module(f"aioobs.{module}".rstrip("."))
    names: list[str] = getattr(found, "__all__", [])
    assert [name for name in names if not hasattr(found, name)] == []
    assert len(set(names)) == len(names)


def test_the_package_exports_what_it_imports() -> None:
    submodules = {name for _, name, _ in pkgutil.iter_modules(aioobs.__path__)}
    public = {name for name in vars(aioobs) if name.isidentifier() and name[0] != "_"}
    machinery = {"annotations", "TYPE_CHECKING", "import_module", "LATE", "logging"}
    machinery |= {"follow_environment", "fork_after_imports"}
    assert public - submodules - machinery <= set(aioobs.__all__)
    assert all(getattr(aioobs, name) is not None for name in aioobs.__all__)
    assert set(aioobs.__all__) >= {"errors", "file", "Client", "Config", "__version__"}
    errors = {
        name for name in aioobs.errors.__all__ if isinstance(getattr(aioobs.errors, name), type)
    }
    assert errors - {"ErrorResponse"} <= set(aioobs.__all__)


def test_the_blocking_twin_exports_what_the_package_does() -> None:
    twin = importlib.import_module("aioobs.sync")
    assert set(twin.__all__) == set(aioobs.__all__) - {"__version__"} | {"install_as_moxing"}
    assert all(getattr(twin, name) is not None for name in twin.__all__)


@pytest.mark.parametrize(
    "module",
    [
        name
        for name in ("aioobs", "aioobs.cli", "aioobs.file", "aioobs.sync", "aioobs.testing")
        if name == "aioobs" or name.removeprefix("aioobs.") in MODULES
    ],
)
def test_an_import_is_cheap_and_silent(module: str) -> None:
    program = f"""
import sys, threading, os
opened = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
import {module}
heavy = ["aiohttp", "botocore", "anyio", "aiofiles", "uvloop", "yarl", "fsspec", "boto3"]
print([name for name in heavy if name in sys.modules], file=sys.stderr, end="")
assert threading.active_count() == 1, threading.enumerate()
import logging
assert [type(h) for h in logging.getLogger("aioobs").handlers] == [logging.NullHandler]
assert not logging.getLogger().handlers
assert sys.excepthook is sys.__excepthook__
if opened:
    assert set(os.listdir("/proc/self/fd")) <= opened
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "[]")


@pytest.mark.parametrize(
    ("module", "foreign", "extra"),
    [("filesystem", "fsspec", "fsspec"), ("otel", "opentelemetry", "otel")],
)
def test_a_module_of_an_extra_says_how_to_install_what_it_needs(
    module: str, foreign: str, extra: str
) -> None:
    script = f"import sys; sys.modules[{foreign!r}] = None; import aioobs.{module}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    told = done.stderr.decode().splitlines()[-1]
    assert told.startswith(f"ImportError: aioobs.{module} needs ")
    assert told.endswith(f': pip install "aioobs[{extra}]"')


def test_the_release_check_names_tests_that_are_there() -> None:
    there = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert {*CORE} <= there
