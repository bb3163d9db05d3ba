"""The generator of the blocking twin, and what it wrote."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

import aioobs.file
import aioobs.s3.client
import aioobs.sync
import aioobs.sync.client
import aioobs.sync.file
from aioobs.sync._generate import (
    HANDWRITTEN,
    MODULES,
    RENAMED,
    Unsupported,
    blocking_source,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent


def twin(source: str) -> str:
    """Return what the generator makes of a module."""
    return blocking_source("aioobs.example", dedent(source), path=Path("example.py"))


def body(source: str) -> str:
    """Return the twin without its imports and `__all__`."""
    text = twin(source)
    return text[text.index("__all__") :].partition("\n\n\n")[2]


def example(definitions: str, *names: str, imports: str = "") -> str:
    """Return a module that publishes *names*."""
    first = f"from __future__ import annotations\n{dedent(imports)}\n__all__ = {[*names]!r}\n"
    return first + dedent(definitions)


def refused(source: str) -> str:
    with pytest.raises(Unsupported) as caught:
        twin(source)
    return str(caught.value)


# --- functions -----------------------------------------------------------------------------


def test_a_coroutine_function_becomes_one_that_runs_it() -> None:
    source = example(
        '''
        async def read(path: str, *, binary: bool = False) -> bytes | str:
            """Return the content of *path*.

            Raises:
                NotFound: there is nothing.
            """
            return await something(path)
        ''',
        "read",
    )
    assert body(source) == dedent('''\
        def read(path: str, *, binary: bool = False) -> bytes | str:
            """Return the content of *path*.

            Raises:
                NotFound: there is nothing.
            """
            return run(_async.read(path, binary=binary))
        ''')


def test_a_function_that_returns_nothing_returns_nothing() -> None:
    source = example("async def write(path: str) -> None: ...", "write")
    assert body(source) == dedent("""\
        def write(path: str) -> None:
            run(_async.write(path))
        """)


def test_every_kind_of_parameter_is_handed_on() -> None:
    source = example(
        """
        async def call(
            a: int, b: int = 1, /, c: str = ")->:", *rest: int, d: int, e: str = 'x', **more: int
        ) -> int:
            return 1
        """,
        "call",
    )
    assert "return run(_async.call(a, b, c, *rest, d=d, e=e, **more))" in body(source)


def test_comments_lambdas_and_trickery_in_a_signature_are_copied() -> None:
    source = example(
        '''
        async def call(  # why
            key: Callable[[int], str] = lambda value: f"{value:>3}",  # a colon : and ( -> here
            table: dict[str, int] | None = {"a": 1}["a":],
            *,
            deep: tuple[int, ...] = (1, 2),
        ) -> (  # the AsyncIterator is none
            int
        ):  # noqa: C901
            # a comment before the docstring
            """Say 'it' and \\"it\\"."""
        ''',
        "call",
        imports="from collections.abc import Callable",
    )
    text = body(source)
    for piece in [
        "def call(  # why",
        'lambda value: f"{value:>3}",  # a colon : and ( -> here',
        '{"a": 1}["a":]',
        "# noqa: C901",
        '"""Say \'it\' and \\"it\\"."""',
    ]:
        assert piece in text
    compile(text, "example", "exec")


def test_overloads_are_kept_in_order() -> None:
    source = example(
        """
        @overload
        async def read(path: str, *, binary: Literal[True]) -> bytes: ...
        @typing.overload
        async def read(path: str, *, binary: bool = False) -> bytes | str: ...
        async def read(path: str, *, binary: bool = False) -> bytes | str:
            return b""
        """,
        "read",
        imports="import typing\nfrom typing import Literal, overload",
    )
    assert body(source) == dedent("""\
        @overload
        def read(path: str, *, binary: Literal[True]) -> bytes: ...
        @typing.overload
        def read(path: str, *, binary: bool = False) -> bytes | str: ...
        def read(path: str, *, binary: bool = False) -> bytes | str:
            return run(_async.read(path, binary=binary))
        """)


ITERATORS = """
from __future__ import annotations
from collections.abc import AsyncIterator
__all__ = ["all_of", "scan_dir", "walk"]
async def scan_dir(path: str) -> AsyncIterator[str]:
    yield path
async def walk(top: str, source: AsyncIterator[int]) -> AsyncIterator[tuple[str, list[str]]]:
    def nobody():
        yield 1
    for _ in nobody():
        yield top, []
def all_of(path: str) -> AsyncIterator[str]:
    return scan_dir(path)
"""


def test_async_generators_become_iterators_in_lockstep_or_scans_in_batches() -> None:
    text = twin(ITERATORS)
    assert "def scan_dir(path: str) -> Scan[str]:" in text
    assert "return Scan(iterate(_async.scan_dir(path), batch=1000))" in text
    assert "from aioobs.sync._scan import Scan\n" in text
    assert "return iterate(_async.walk(top, source))" in text
    assert "return iterate(_async.all_of(path))" in text
    assert "from aioobs.sync._loop import iterate\n" in text


def test_only_the_returned_type_is_renamed() -> None:
    text = twin(ITERATORS)
    assert "source: AsyncIterator[int]) -> Iterator[tuple[str, list[str]]]" in text
    assert "from collections.abc import AsyncIterator, Iterator" in text


def test_a_nested_generator_does_not_make_an_async_generator() -> None:
    source = example(
        """
        async def total() -> int:
            def numbers():
                yield 1
            return sum(numbers())
        """,
        "total",
    )
    assert "return run(_async.total())" in body(source)


def test_examples_in_docstrings_become_blocking_and_prose_stays() -> None:
    source = example(
        '''
        async def read(path: str) -> str:
            """Return it; you need not await the result, nor `aclose` anything.

            >>> text = (await file.read("a")).strip() or await read("b")
            >>> async with file.File("a") as f:
            ...     async for line in f:
            ...         print(line)
            """
        ''',
        "read",
    )
    assert body(source) == dedent('''\
        def read(path: str) -> str:
            """Return it; you need not await the result, nor `close` anything.

            >>> text = (file.read("a")).strip() or read("b")
            >>> with file.File("a") as f:
            ...     for line in f:
            ...         print(line)
            """
            return run(_async.read(path))
        ''')


# --- names ---------------------------------------------------------------------------------


def test_everything_else_that_is_public_is_imported_and_the_rest_is_not() -> None:
    text = twin(
        example(
            """
            LIMIT = 5
            PAIR: tuple[int, int] = (1, 2)
            Path = str | None
            _private = 1
            class Entry:
                def name(self) -> str: ...
            def pure(path: str) -> bool: ...
            def hidden() -> None: ...
            async def also_hidden() -> None: ...
            """,
            *("Entry", "LIMIT", "Missing", "PAIR", "Path", "pure"),
            imports="from aioobs.errors import NotFound as Missing",
        )
    )
    assert "from aioobs.example import LIMIT, PAIR, Entry, Missing, Path, pure" in text
    assert "hidden" not in text
    assert "_private" not in text
    assert "_loop" not in text


def test_an_alias_of_a_coroutine_function_is_one_of_the_blocking_function() -> None:
    source = example("async def remove() -> None: ...\ndelete = remove", "delete", "remove")
    assert "\ndelete = remove\n" in twin(source) + "\n"


def test_signatures_find_the_names_they_use() -> None:
    text = twin(
        example(
            """
            if TYPE_CHECKING:
                from types import TracebackType
            _DEFAULT = 5
            Path = str
            async def call(
                path: Path, size: int = _DEFAULT, where: str = os.sep, error: TracebackType = None
            ) -> collections.abc.Sequence[Decimal]: ...
            """,
            "call",
            imports="""
            import collections.abc
            import os
            import sys
            from decimal import Decimal, getcontext
            from typing import TYPE_CHECKING
            """,
        )
    )
    runtime, _, types = text.partition("if TYPE_CHECKING:")
    assert "import os\n" in runtime
    assert "from aioobs.example import _DEFAULT\n" in runtime
    types = types[: types.index("__all__")]
    for line in ["import collections.abc", "from aioobs.example import Path"]:
        assert line in types
    assert "from decimal import Decimal\n" in types
    assert "from types import TracebackType" in types
    assert "sys" not in text
    compile(text, "example", "exec")


def test_the_file_is_the_handwritten_one() -> None:
    text = twin(example("class File:\n    async def read(self) -> str: ...", "File"))
    assert "from aioobs.sync._io import File\n" in text


# --- classes -------------------------------------------------------------------------------

CLIENT = '''
from __future__ import annotations
from collections.abc import AsyncIterator
from types import TracebackType
from typing import ClassVar, Self, overload
__all__ = ["Client", "connect"]
class Client:
    """A connection; `aclose` it."""

    _shared: ClassVar[int] = 1
    __slots__ = ("_endpoint",)

    def __init__(self, endpoint: str, *, limit: int = 64) -> None:
        """Connect to *endpoint*."""
        self._endpoint = endpoint

    @property
    def endpoint(self) -> str:
        """The URL requests are sent to."""
        return self._endpoint

    @classmethod
    def from_env(cls) -> Self:
        return cls("")

    @classmethod
    async def connect(cls, endpoint: str) -> Self:
        return cls(endpoint)

    @staticmethod
    def parse(url: str) -> str:
        return url

    @staticmethod
    async def probe(url: str) -> bool:
        return True

    async def get(self, key: str, /, *, start: int = 0) -> bytes:
        return b""

    async def names(self) -> AsyncIterator[str]:
        yield ""

    def with_endpoint(self, endpoint: str) -> Client:
        return Client(endpoint)

    async def copied(self) -> Self:
        return self

    def forget(self) -> None:
        """Do it at once."""

    async def _internal(self) -> None: ...

    async def aclose(self) -> None:
        """Close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[type[Client], tuple[str]]:
        return Client, (self._endpoint,)

    def __repr__(self) -> str:
        return ""
async def connect(endpoint: str) -> Client:
    return Client(endpoint)
'''


def test_a_class_with_async_methods_becomes_one_that_holds_it() -> None:
    text = twin(CLIENT)
    for piece in [
        '"""A connection; `close` it."""',
        (
            "def __init__(self, endpoint: str, *, limit: int = 64) -> None:\n"
            '        """Connect to *endpoint*."""\n'
            "        self._async = _async.Client(endpoint, limit=limit)"
        ),
        (
            "@property\n    def endpoint(self) -> str:\n"
            '        """The URL requests are sent to."""\n        return self._async.endpoint'
        ),
        (
            "@classmethod\n    def from_env(cls) -> Self:\n"
            "        return cls._wrap(_async.Client.from_env())"
        ),
        (
            "@classmethod\n    def connect(cls, endpoint: str) -> Self:\n"
            "        return cls._wrap(run(_async.Client.connect(endpoint)))"
        ),
        "@staticmethod\n    def parse(url: str) -> str:\n        return _async.Client.parse(url)",
        (
            "@staticmethod\n    def probe(url: str) -> bool:\n"
            "        return run(_async.Client.probe(url))"
        ),
        "return run(self._async.get(key, start=start))",
        "def names(self) -> Iterator[str]:\n        return iterate(self._async.names())",
        "return Client._wrap(self._async.with_endpoint(endpoint))",
        "return self._wrap(run(self._async.copied()))",
        '"""Do it at once."""\n        self._async.forget()',
        'def close(self) -> None:\n        """Close."""\n        run(self._async.aclose())',
        "def __enter__(self) -> Self:\n        run(self._async.__aenter__())\n        return self",
        "run(self._async.__aexit__(exc_type, exc, traceback))",
        "return self._async.__repr__()",
        (
            "def connect(endpoint: str) -> Client:\n"
            "    return Client._wrap(run(_async.connect(endpoint)))"
        ),
    ]:
        assert piece in text
    for absent in ["_internal", "_shared", "__reduce__", "__slots__"]:
        assert absent not in text


@pytest.mark.slow
def test_the_result_passes_mypy_and_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "example").mkdir()
    for module, text in {"example": CLIENT, "iterators": ITERATORS}.items():
        (tmp_path / "example" / f"{module}.py").write_text(
            text.replace("    def nobody():", "    def nobody() -> Iterator[int]:").replace(
                "import AsyncIterator", "import AsyncIterator, Iterator"
            )
        )
        blocking = blocking_source(f"example.{module}", text, path=Path("example.py"))
        (tmp_path / "example" / f"blocking_{module}.py").write_text(blocking)
    (tmp_path / "example" / "__init__.py").touch()
    command = ["-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "--follow-imports=silent"]
    checked = subprocess.run(
        [sys.executable, *command, str(tmp_path / "example")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)},
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr

    monkeypatch.syspath_prepend(tmp_path)
    blocking_client = importlib.import_module("example.blocking_example")
    with blocking_client.connect("https://store") as client:
        assert type(client) is blocking_client.Client
        assert client.endpoint == "https://store"
        assert client.get("key", start=1) == b""
        assert list(client.names()) == [""]
        assert client.with_endpoint("other").endpoint == "other"
        assert (
            type(client.copied())
            is type(blocking_client.Client.from_env())
            is blocking_client.Client
        )
    iterators = importlib.import_module("example.blocking_iterators")
    assert list(iterators.walk("top", None)) == [("top", [])]


# --- what has no blocking form -------------------------------------------------------------

METHODS = """
class Client:
    async def aclose(self) -> None: ...
"""


@pytest.mark.parametrize(
    ("definitions", "names", "message"),
    [
        ("", ["gone"], "gone is in __all__ but not at the top level"),
        ("@cache\nasync def f() -> int: ...", ["f"], "decorator"),
        ("@asynccontextmanager\nasync def f() -> AsyncIterator[int]: ...", ["f"], "decorator"),
        ("@asynccontextmanager\ndef f(): ...", ["f"], "returns something async"),
        ("def f() -> Awaitable[int]: ...", ["f"], "returns what is async: Awaitable"),
        ("async def f() -> Coroutine[int, int, int]: ...", ["f"], "returns what is async"),
        ("async def f() -> AsyncIterator[int]: ...", ["f"], "returns what is async: AsyncIter"),
        ("async def f() -> AsyncGenerator[int, None]:\n    yield 1", ["f"], "return an AsyncIter"),
        ("async def f() -> list[Client]: ..." + METHODS, ["Client", "f"], "async: Client"),
        ("async def f() -> Client: ..." + METHODS, ["f"], "async: Client"),
        ("async def f() -> 'int': ...", ["f"], "leave out the quotes"),
        ("async def f(client: Client) -> None: ..." + METHODS, ["Client", "f"], "client takes"),
        ("async def f(run: int) -> None: ...", ["f"], "the name run is needed"),
        ("async def run() -> None: ...", ["run"], "the name run is needed"),
        ("async def f() -> None: ...\ng = partial(f)", ["g"], "made of something async"),
        ("async def f() -> None: ...\ng = f", ["g"], "f, which is not public"),
        ("a = 1\na = 2", ["a"], "a is defined twice"),
        (METHODS + "    timeout: float = 1", ["Client"], "public that is no method"),
        (METHODS + "    class Inner: ...", ["Client"], "public that is no method"),
        (METHODS + "    async def __anext__(self) -> int: ...", ["Client"], "__anext__ has no"),
        (METHODS + "    def __len__(self) -> int: ...", ["Client"], "__len__ has no blocking"),
        (METHODS + "    def close(self) -> None: ...", ["Client"], "close"),
        (METHODS + "    @x.setter\n    def x(self, x: int) -> None: ...", ["Client"], "decorator"),
        (METHODS + "    @property\n    async def x(self) -> int: ...", ["Client"], "decorator"),
        (METHODS + "    def __init__(self):\n        self.x = 1", ["Client"], "self.x is public"),
        (METHODS.replace("Client", "Client(Base)"), ["Client"], "inherits something"),
        ("@dataclass" + METHODS, ["Client"], "decorated"),
        ("from .url import parse", ["parse"], "in full"),
        ("from aioobs.url import *", ["parse"], "in full"),
        ("from aioobs.io.file import open_raw", ["open_raw"], "no blocking twin"),
        (
            "from aioobs.s3.client import Client\nasync def f() -> Client: ...",
            ["f"],
            "async: Client",
        ),
        ("from aioobs.file import File\nasync def f() -> File: ...", ["f"], "async: File"),
    ],
)
def test_what_is_unknown_is_an_error_with_its_place(
    definitions: str, names: list[str], message: str
) -> None:
    error = refused(example(definitions, *names))
    assert error.startswith("example.py:")
    assert error.split(":")[1].isdigit()
    assert message in error


def test_the_place_of_an_error_is_that_of_the_definition() -> None:
    source = example("\n\n\n@cache\nasync def f() -> int: ...", "f")
    line = source[: source.index("async def")].count("\n") + 1
    assert refused(source).startswith(f"example.py:{line}: f has a decorator")


@pytest.mark.parametrize("text", ["x = 1", "__all__ = ['x'] + y", "__all__ = ['x']\n__all__ = []"])
def test_a_module_must_say_what_is_public(text: str) -> None:
    assert "__all__ must be one list" in refused(text)


def test_something_async_of_a_module_with_a_twin_comes_from_that_twin() -> None:
    text = twin(example("from aioobs.s3.client import Client as S3\n", "S3"))
    assert "from aioobs.sync.client import Client as S3\n" in text


# --- freshness -----------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "aioobs", tmp_path / "aioobs", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def generate(checkout: Path, *options: str) -> tuple[int, str]:
    finished = subprocess.run(
        [sys.executable, "-m", "aioobs.sync._generate", *options],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return finished.returncode, finished.stdout


def test_the_twins_are_fresh() -> None:
    assert generate(ROOT, "--check") == (0, "")


def test_whether_they_are_is_told_without_ruff() -> None:
    without = f"import sys; sys.path = {[str(ROOT), *(p for p in sys.path if 'site-' not in p)]}"
    program = f"{without}\nfrom aioobs.sync._generate import main\nsys.exit(main(['--check']))"
    command = [sys.executable, "-S", "-c", program]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


@pytest.mark.slow
def test_what_is_out_of_date_is_found_and_repaired(checkout: Path) -> None:
    twin_file, source = checkout / "aioobs/sync/file.py", checkout / "aioobs/file.py"
    fresh = twin_file.read_text()
    changes: dict[str, Callable[[], object]] = {
        "lines were appended": lambda: twin_file.write_text(fresh + "\nmore = 1\n"),
        "the file is gone": twin_file.unlink,
        "it cannot be imported": lambda: twin_file.write_text("from aioobs.file import missing"),
        "a source changed": lambda: source.write_text(
            source.read_text().replace("Return the content", "Give the content")
        ),
    }
    for change in changes.values():
        change()
        assert generate(checkout, "--check") == (1, "out of date: aioobs/sync/file.py\n")
        assert generate(checkout) == (0, "written: aioobs/sync/file.py\n")
        assert generate(checkout, "--check") == (0, "")
    assert twin_file.read_text() == fresh.replace("Return the content", "Give the content")


def test_a_source_that_has_no_blocking_form_is_reported_and_nothing_is_written(
    checkout: Path,
) -> None:
    source, twin_file = checkout / "aioobs/file.py", checkout / "aioobs/sync/file.py"
    source.write_text(source.read_text().replace("async def stat(", "@property\nasync def stat("))
    before = twin_file.read_text()
    code, output = generate(checkout)
    assert code == 2
    assert f"{source}:" in output
    assert "stat has a decorator that has no blocking form" in output
    assert twin_file.read_text() == before


UNFORMATTED = """
import sys, types
from pathlib import Path
root = Path(sys.argv[1])
for name in "aioobs", "aioobs.sync":  # without what the package itself imports
    sys.modules[name] = module = types.ModuleType(name)
    module.__path__ = [str(root.joinpath(*name.split(".")))]
from aioobs.sync._generate import MODULES, Source, Twin
for module in MODULES:
    path = root.joinpath(*module.split(".")).with_suffix(".py")
    print(Twin(Source(module, path.read_text("utf-8"), path, root)).text())
"""


def test_the_result_does_not_depend_on_the_version_of_python() -> None:
    results = {}
    for python in [sys.executable, *(f"python3.{minor}" for minor in range(11, 20))]:
        if shutil.which(python) is None:
            continue
        finished = subprocess.run(
            [python, "-c", UNFORMATTED, str(ROOT)], capture_output=True, check=False
        )
        if finished.returncode == 0:  # some are only the names of versions to be installed
            results[python] = finished.stdout
    assert results[sys.executable]
    assert len({*results.values()}) == 1


# --- what it wrote -------------------------------------------------------------------------


def test_every_public_name_is_on_both_sides_and_takes_the_same() -> None:
    added = {"shift", "shifted"}  # the standard library blocks, so there is no async form
    assert {*aioobs.sync.file.__all__} == {*aioobs.file.__all__, *added}
    for name in aioobs.file.__all__:
        ours, theirs = getattr(aioobs.sync.file, name), getattr(aioobs.file, name)
        if name in HANDWRITTEN:  # File can do more: see aioobs.sync._io
            assert {*parameters(ours)} >= {*parameters(theirs)}
        elif inspect.iscoroutinefunction(theirs) or inspect.isasyncgenfunction(theirs):
            assert parameters(ours) == parameters(theirs)
            assert not inspect.iscoroutinefunction(ours)
            assert ours.__doc__
        else:
            assert ours is theirs


def test_the_blocking_client_has_every_method_of_the_async_one() -> None:
    theirs = vars(aioobs.s3.client.Client)
    for name, member in theirs.items():
        shown = not name.startswith("_") or name in {"__aenter__", "__aexit__", "__init__"}
        if not shown:
            continue
        ours = vars(aioobs.sync.client.Client)[RENAMED.get(name, name)]
        if isinstance(member, property):
            assert isinstance(ours, property)
        else:
            assert parameters(ours) == parameters(member)


def parameters(function: object) -> list[tuple[str, object, object]]:
    signature = inspect.signature(function)  # type: ignore[arg-type]
    return [(each.name, each.kind, each.default) for each in signature.parameters.values()]


def test_every_module_with_a_twin_is_on_the_list() -> None:
    for module, name in MODULES.items():
        assert importlib.import_module(f"aioobs.sync.{name}").__doc__ == (
            f"Blocking version of `{module}`."
        )


def test_exceptions_are_the_same_in_both_worlds() -> None:
    missing = aioobs.sync.file.MoxFileNotExistsException
    assert missing is aioobs.file.MoxFileNotExistsException is aioobs.sync.NotFound
    for name in aioobs.sync.__all__:
        assert hasattr(aioobs.sync, name)
    assert aioobs.sync.Client is aioobs.sync.client.Client
    assert {*aioobs.sync.__all__} <= {*dir(aioobs.sync)}
    with pytest.raises(AttributeError, match="no attribute 'unknown'"):
        aioobs.sync.unknown  # noqa: B018


def test_the_verbs_work_on_local_paths(tmp_path: Path) -> None:
    mox = aioobs.sync
    mox.file.make_dirs(tmp_path / "a" / "b")
    mox.file.write(tmp_path / "a" / "b" / "name", "text")
    assert mox.file.read(tmp_path / "a" / "b" / "name", binary=True) == b"text"
    assert [entry.name for entry in mox.file.scan_dir(tmp_path / "a")] == ["b"]
    assert [step[1:] for step in mox.file.walk(tmp_path)] == [
        (["a"], []),
        (["b"], []),
        ([], ["name"]),
    ]
    with pytest.raises(mox.file.MoxFileNotExistsException):
        mox.file.stat(tmp_path / "missing")


def test_folders_that_are_removed_from_a_step_of_walk_are_not_entered(tmp_path: Path) -> None:
    for name in ("kept", "left_out"):
        (tmp_path / name / "below").mkdir(parents=True)
    seen = []
    for path, folders, _ in aioobs.sync.file.walk(tmp_path):
        seen.append(Path(path).name)
        if "left_out" in folders:
            folders.remove("left_out")
    assert seen == [tmp_path.name, "kept", "below"]


def test_the_verbs_and_the_client_work_on_a_store(obs_bucket: str) -> None:
    mox = aioobs.sync
    mox.file.write(f"{obs_bucket}/folder/name", "text")
    assert mox.file.read(f"{obs_bucket}/folder/name") == "text"
    assert mox.file.list_directory(obs_bucket, recursive=True) == ["folder", "folder/name"]
    bucket = obs_bucket.removeprefix("s3://")
    with mox.Client() as client:
        assert client.get_object(bucket, "folder/name") == b"text"
        assert [o.key for page in client.list_pages(bucket) for o in page.objects] == [
            "folder/name"
        ]

        async def inside_a_loop() -> bytes:
            return client.get_object(bucket, "folder/name", start=1)

        assert asyncio.run(inside_a_loop()) == b"ext"


def test_importing_is_cheap_and_loads_nothing_heavy(tmp_path: Path) -> None:
    script = """
import sys, time
start = time.process_time()
import asyncio
middle = time.process_time()
import aioobs.sync as mox
mox.file
print((time.process_time() - middle) / (middle - start))
heavy = {"aiohttp", "aiofiles", "anyio", "botocore", "uvloop"} & {*sys.modules}
assert not heavy, heavy
"""
    # Compiled before, as what is installed is; the first run does that.
    compiled = os.environ | {"PYTHONPYCACHEPREFIX": str(tmp_path)}
    compiled.pop("PYTHONDONTWRITEBYTECODE", None)
    runs = [
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=compiled
        )
        for _ in range(4)
    ]
    # Compared with asyncio, which everybody has: that is independent of the machine and its load.
    assert min(float(run.stdout) for run in runs[1:]) < 2
