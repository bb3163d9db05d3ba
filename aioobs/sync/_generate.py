"""Write the blocking twins of the async modules.

    python -m aioobs.sync._generate            rewrite the ones that are out of date
    python -m aioobs.sync._generate --check    fail if one of them is out of date

A coroutine function becomes a function that runs it on the loop thread, an async generator an
iterator, a class with async methods a class that holds an instance of the async one.  Any other
public name, which is what the module's `__all__` has, is imported from there unchanged.
Signatures, overloads and docstrings are copied from the source text, so that the result does not
depend on the version of Python.  What this does not know is an error, never a guess.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

from aioobs.sync._source import (
    ASYNC_ITERATOR,
    ASYNC_TYPES,
    Function,
    Source,
    Unsupported,
    arguments,
    decorators,
    indent,
    is_iterator,
    names_in,
    returns_iterator,
)

__all__ = ["Unsupported", "blocking_source", "main"]

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "aioobs.file": "file",
    "aioobs.plans": "plans",
    "aioobs.audits": "audits",
    "aioobs.s3.client": "client",
    "aioobs.trees": "trees",
}
HANDWRITTEN = {
    "File": "aioobs.sync._io",
    "background_sync_copy": "aioobs.sync.background",
}
# What the blocking module has beyond the async one.
ADDED = {"aioobs.file": {"shift": "aioobs.sync.shift", "shifted": "aioobs.sync.shift"}}
# What is wrapped elsewhere: `current_client`.
WRAPPED = {"aioobs.s3.client": {"Client"}}
# Mostly a short request or two, or a look at the disk, which the thread of the caller may well do.
SHORT = {
    "aioobs.file": {
        *("exists", "get_size", "glob", "is_directory", "list_directory", "make_dirs", "mk_dir"),
        *("read", "remove", "stat", "write"),
    },
    "aioobs.s3.client": {"get_into", "get_object", "head_object", "put_object"},
}
# What a ``with`` block closes, as that of `os.scandir`; and how many items of it come with a thread
# hop, for otherwise the two sides move in lockstep.
SCANS = {"scan_dir": 1000}

RENAMED = {"__aenter__": "__enter__", "__aexit__": "__exit__", "aclose": "close"}
SHOWN = {"__repr__", "__str__"}
# What the twin inherits from `object` does the right thing with the async instance in it.
INTERNAL = {"__copy__", "__deepcopy__", "__del__", "__getstate__", "__reduce__", "__setstate__"}
FROM_INNER = """\
@classmethod
def _wrap(cls, inner: _async.{name}) -> Self:
    self = cls.__new__(cls)
    self._async = inner
    return self
"""
DECORATORS = {"classmethod", "overload", "property", "staticmethod"}
RESERVED = {"Scan", "_async", "iterate", "run", "run_here"}


class Twin:
    """The blocking form of one module."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.error = source.error
        self.public = source.public()
        self.wrapped = {
            name
            for name in self.public
            if source.is_async(name)
            and isinstance(source.definitions.get(name, [0])[0], ast.ClassDef)
        }
        self.body: dict[str, str] = {}
        # Classes of which async instances come out.
        self.rewrapped = set(WRAPPED.get(source.module, ()))
        self.imports: list[str] = []  # statements
        self.defined: set[str] = set()
        self.annotations: set[str] = set()  # names used in them
        self.values: set[str] = set()  # names used elsewhere

    def text(self) -> str:
        """Return the module, not formatted yet."""
        for name in RESERVED & {*self.public, *self.source.imports}:
            raise self.error(self.source.tree.body[0], f"the name {name} is needed in the twin")
        for name, node in self.public.items():
            self.publish(name, node)
        added = ADDED.get(self.source.module, {})
        self.imports += [f"from {module} import {name}" for name, module in added.items()]
        for name in self.rewrapped:
            self.body[name] += indent(FROM_INNER.format(name=name))
            self.annotations.add("Self")
        values = [line for name in sorted(self.values) for line in self.statements(name)]
        types = [line for name in sorted(self.annotations) for line in self.statements(name)]
        typed = [line for line in types if not line.startswith("from typing ")]
        runtime = [*self.imports, *values, *(line for line in types if line not in typed)]
        typed = [line for line in typed if line not in runtime]
        if typed:
            runtime.append("from typing import TYPE_CHECKING")
            typed = ["if TYPE_CHECKING:", *(f"    {line}" for line in typed)]
        package, _, module = self.source.module.rpartition(".")
        path = self.source.module.replace(".", "/")
        return "\n".join(
            [
                f"# Written by aioobs/sync/_generate.py from {path}.py: do not edit.",
                f'"""Blocking version of `{self.source.module}`."""',
                "from __future__ import annotations",
                *dict.fromkeys(runtime),
                f"from {package} import {module} as _async",
                *self.loop_import(),
                *typed,
                "",
                f"__all__ = {sorted({*self.public, *added})!r}",
                *self.body.values(),
                "",
            ]
        )

    def loop_import(self) -> list[str]:
        text = "\n".join(self.body.values())
        names = [name for name in ("iterate", "run", "run_here") if re.search(rf"\b{name}\(", text)]
        return [f"from aioobs.sync._loop import {', '.join(names)}"] if names else []

    def statements(self, name: str) -> list[str]:
        """Return the imports for a name that a signature uses."""
        if name in self.defined or name in self.public:
            return []
        if name in self.source.imports:
            return self.source.imports[name]
        if name in self.source.definitions:
            return [f"from {self.source.module} import {name}"]
        return {
            "Iterator": ["from collections.abc import Iterator"],
            "Scan": ["from aioobs.sync._scan import Scan"],
            "Self": ["from typing import Self"],
        }.get(name, [])

    def publish(self, name: str, blame: ast.stmt) -> None:
        """Bring one public name into the twin."""
        source = self.source
        nodes = source.definitions.get(name, [])
        if name in HANDWRITTEN:
            self.imports.append(f"from {HANDWRITTEN[name]} import {name}")
        elif name in source.origins and not nodes:
            self.share_import(name, blame)
        elif not nodes:
            raise self.error(blame, f"{name} is in __all__ but not at the top level of the module")
        elif all(isinstance(node, Function) for node in nodes):
            self.publish_function(name, [node for node in nodes if isinstance(node, Function)])
        elif len(nodes) > 1:
            raise self.error(nodes[1], f"{name} is defined twice")
        elif isinstance(nodes[0], ast.ClassDef) and name in self.wrapped:
            self.body[name] = Wrapper(self, nodes[0]).text()
            self.defined.add(name)
        elif isinstance(nodes[0], ast.ClassDef):
            self.share(name)
        else:
            self.publish_value(name, nodes[0])

    def share(self, name: str) -> None:
        self.imports.append(f"from {self.source.module} import {name}")

    def share_import(self, name: str, blame: ast.stmt) -> None:
        module, original = self.source.origins[name]
        if not self.source.is_async(name):
            self.share(name)
        elif module in MODULES:
            suffix = f" as {name}" if name != original else ""
            self.imports.append(f"from aioobs.sync.{MODULES[module]} import {original}{suffix}")
        else:
            raise self.error(blame, f"{name} is async, but {module} has no blocking twin")

    def publish_value(self, name: str, node: ast.stmt) -> None:
        value = getattr(node, "value", None)
        if isinstance(value, ast.Name) and self.source.is_async(value.id):
            if value.id not in self.public:
                raise self.error(node, f"{name} stands for {value.id}, which is not public")
            self.body[name] = f"{name} = {value.id}"
        elif value is not None and any(self.source.is_async(used) for used in names_in(value)):
            raise self.error(node, f"{name} is made of something async")
        else:
            self.share(name)

    def publish_function(self, name: str, nodes: list[Function]) -> None:
        last = nodes[-1]
        if isinstance(last, ast.AsyncFunctionDef) or returns_iterator(last):
            self.body[name] = "\n".join(self.function(node, f"_async.{name}") for node in nodes)
            self.defined.add(name)
            return
        if "asynccontextmanager" in decorators(last) or self.wrapper_of(last, ""):
            raise self.error(last, f"{name} returns something async")
        self.share(name)

    def function(self, node: Function, target: str, *, owner: str = "") -> str:
        """Return the blocking form of a function or of a method of the class *owner*."""
        kinds = decorators(node)
        is_coroutine = isinstance(node, ast.AsyncFunctionDef)
        if kinds - (DECORATORS if owner else {"overload"}) or (
            is_coroutine and "property" in kinds
        ):
            raise self.error(node, f"{node.name} has a decorator that has no blocking form")
        head = "".join(f"@{self.source.segment(d)}\n" for d in node.decorator_list)
        head += self.header(node)
        if "overload" in kinds:
            return f"{head} ..."
        given = arguments(node, drop_first=bool(owner) and "staticmethod" not in kinds)
        call = target if "property" in kinds else f"{target}({given})"
        if is_iterator(node):
            batch = SCANS.get(node.name)
            call = f"Scan(iterate({call}, batch={batch}))" if batch else f"iterate({call})"
        elif is_coroutine:
            short = node.name in SHORT.get(self.source.module, ())
            call = f"run_here({call})" if short else f"run({call})"
        if wrapper := self.wrapper_of(node, owner):
            call = f"{wrapper}._wrap({call})"
        if not isinstance(node.returns, ast.Constant):
            call = f"return {call}"
        private = "  # noqa: SLF001" if wrapper and not owner else ""
        return f"{head}\n" + indent(f"{self.source.docstring(node)}\n{call}{private}")

    def wrapper_of(self, node: Function, owner: str) -> str:
        """Return what gives the result of *node* its blocking form, or nothing."""
        returned = node.returns
        if isinstance(returned, ast.Constant) and returned.value is not None:
            raise self.error(node, f"{node.name}: leave out the quotes around the returned type")
        if isinstance(returned, ast.Name) and returned.id in self.wrapped:
            self.rewrapped.add(returned.id)
            return returned.id
        if owner and isinstance(returned, ast.Name) and returned.id == "Self":
            self.rewrapped.add(owner)
            return node.args.args[0].arg  # self or cls
        used = names_in(returned)
        wrong = {name for name in used if name in HANDWRITTEN or self.source.is_async(name)}
        wrong |= used & (ASYNC_TYPES | ({"Self"} if owner else set()))
        if is_iterator(node):
            if not returns_iterator(node):
                raise self.error(node, f"{node.name} must be annotated to return an AsyncIterator")
            wrong -= {ASYNC_ITERATOR}
        if wrong:
            raise self.error(node, f"{node.name} returns what is async: {', '.join(sorted(wrong))}")
        return ""

    def header(self, node: Function) -> str:
        """Return the first lines of the blocking form of *node*, and note what they use."""
        iterator = "Scan" if node.name in SCANS else "Iterator"
        self.note(node, iterator)
        return self.source.header(node, RENAMED.get(node.name, node.name), iterator)

    def note(self, node: Function, iterator: str) -> None:
        """Note the names that a signature uses, and refuse parameters that cannot be handed on."""
        spec = node.args
        parameters = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
        parameters += [extra for extra in (spec.vararg, spec.kwarg) if extra is not None]
        for parameter in parameters:
            used = names_in(parameter.annotation)
            if parameter.arg in RESERVED:
                raise self.error(parameter, f"the name {parameter.arg} is needed in the twin")
            if used & (self.wrapped | {*HANDWRITTEN}):
                raise self.error(parameter, f"{parameter.arg} takes what has a blocking twin")
            self.annotations |= used
        for value in (*spec.defaults, *spec.kw_defaults, *node.decorator_list):
            self.values |= names_in(value)
        returned = names_in(node.returns)
        self.annotations |= returned - {ASYNC_ITERATOR}
        if ASYNC_ITERATOR in returned:
            (self.values if iterator == "Scan" else self.annotations).add(iterator)


class Wrapper:
    """The blocking form of one class."""

    def __init__(self, twin: Twin, node: ast.ClassDef) -> None:
        self.twin = twin
        self.node = node
        self.error = twin.error

    def text(self) -> str:
        """Return the class."""
        node = self.node
        if node.bases or node.keywords or node.decorator_list:
            raise self.error(node, f"{node.name} inherits something or is decorated")
        names = {item.name for item in node.body if isinstance(item, Function)}
        if {"aclose", "close"} <= names:
            raise self.error(node, f"{node.name} has close() and aclose()")
        parts = [self.twin.source.docstring(node)]
        if "__init__" not in names:
            parts.append(f"def __init__(self) -> None:\n    self._async = _async.{node.name}()")
        for item in node.body:
            parts += self.member(item)
        return f"class {node.name}:\n" + indent("\n\n".join(filter(None, parts))) + "\n\n"

    def member(self, item: ast.stmt) -> list[str]:
        """Return what one statement of the class becomes."""
        match item:
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                return []
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                return self.method(item, name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if name.startswith("_"):
                    return []
        raise self.error(item, f"{self.node.name} has something public that is no method")

    def method(self, item: Function, name: str) -> list[str]:
        of_class = decorators(item) & {"classmethod", "staticmethod"}
        inner = f"_async.{self.node.name}" if of_class else "self._async"
        if name == "__init__":
            return [self.constructor(item)]
        if name == "__aenter__":
            return [f"{self.twin.header(item)}\n    run(self._async.__aenter__())\n    return self"]
        if name in INTERNAL or (name.startswith("_") and not name.startswith("__")):
            return []
        if name.startswith("__") and name not in RENAMED and name not in SHOWN:
            raise self.error(item, f"{name} has no blocking form")
        return [self.twin.function(item, f"{inner}.{name}", owner=self.node.name)]

    def constructor(self, item: Function) -> str:
        for node in ast.walk(item):
            match node:
                case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                    if not name.startswith("_"):
                        raise self.error(node, f"self.{name} is public: make it a property")
        given = arguments(item, drop_first=True)
        call = f"self._async = _async.{self.node.name}({given})"
        return f"{self.twin.header(item)}\n" + indent(f"{self.twin.source.docstring(item)}\n{call}")


def meaning(text: str) -> list[object]:
    """Return the meaning of a module, whatever its layout, which only ruff decides."""
    imports: set[tuple[str | None, str, str | None]] = set()
    rest: list[object] = [imports]
    for node in ast.parse(text).body:
        conditional = isinstance(node, ast.If)  # the imports for types
        for inner in node.body if isinstance(node, ast.If) else [node]:
            match inner:
                case ast.Import(names=names):
                    imports |= {(None, alias.name, alias.asname) for alias in names}
                case ast.ImportFrom(module=module, names=names):
                    imports |= {(module, alias.name, alias.asname) for alias in names}
                case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                    rest.append(set(ast.literal_eval(value)))
                case _:
                    rest.append((conditional, ast.dump(with_clean_docstrings(inner))))
    return rest


def with_clean_docstrings(node: ast.stmt) -> ast.stmt:
    for inner in ast.walk(node):
        match inner:
            case ast.Expr(value=ast.Constant(value=str(text)) as constant):
                constant.value = inspect.cleandoc(text)
    return node


def blocking_source(module: str, text: str, *, path: Path, root: Path = ROOT) -> str:
    """Return the blocking twin of a module with the given text, formatted.

    Raises:
        Unsupported: something public in it has no blocking form.
    """
    twin = Twin(Source(module, text, path, root)).text()
    return formatted(twin, root / "aioobs" / "sync" / f"{MODULES.get(module, 'example')}.py")


def formatted(twin: str, target: Path) -> str:
    """Return a module as ruff lays it out at its place."""
    command = [sys.executable, "-m", "ruff"]
    options = [f"--stdin-filename={target}", "-"]
    for action in (["check", "--fix", "--quiet", "--select=I,RUF022"], ["format", "--quiet"]):
        twin = subprocess.run(
            [*command, *action, *options],
            input=twin,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            check=True,
            cwd=target.parents[2],
        ).stdout
    return twin


def says_the_same(text: str, twin: str) -> bool:
    """Tell whether a module is the twin, which is not formatted; needs no ruff."""
    try:
        return meaning(text) == meaning(twin)
    except SyntaxError:
        return False


def main(arguments: list[str] | None = None) -> int:
    """Write or check the twins; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m aioobs.sync._generate")
    parser.add_argument("--check", action="store_true", help="only tell what is out of date")
    check = parser.parse_args(arguments).check
    stale = False
    for module, name in MODULES.items():
        source = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        target = ROOT / "aioobs" / "sync" / f"{name}.py"
        text, found = (
            source.read_text("utf-8"),
            target.read_text("utf-8") if target.exists() else "",
        )
        try:
            twin = Twin(Source(module, text, source, ROOT)).text()
        except Unsupported as error:
            print(error, file=sys.stderr)
            return 2
        if check:
            if not says_the_same(found, twin):
                stale = True
                print("out of date:", target.relative_to(ROOT))
        elif found != (wanted := formatted(twin, target)):
            target.write_text(wanted, "utf-8")
            print("written:", target.relative_to(ROOT))
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
