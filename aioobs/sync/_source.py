"""The text of an async module, for `_generate`: what its names stand for, and pieces of it."""

from __future__ import annotations

import ast
import re
import tokenize
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "ASYNC_ITERATOR",
    "ASYNC_TYPES",
    "Function",
    "Source",
    "Unsupported",
    "arguments",
    "decorators",
    "indent",
    "is_iterator",
    "names_in",
    "returns_iterator",
]

ASYNC_ITERATOR = "AsyncIterator"  # as the whole of a returned type
ASYNC_TYPES = {
    "AbstractAsyncContextManager",
    "AsyncContextManager",
    "AsyncGenerator",
    "AsyncIterable",
    "AsyncIterator",
    "Awaitable",
    "Coroutine",
    "Future",
    "Task",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Unsupported(Exception):
    """Something public in the source has no blocking form."""


class Source:
    """The text of one async module, and what its names stand for."""

    def __init__(self, module: str, text: str, path: Path, root: Path) -> None:
        self.module = module
        self.path = path
        self.root = root
        self.text = text
        self.lines = text.split("\n")
        self.tree = ast.parse(text)
        self.imports: dict[str, list[str]] = {}  # name: the statements that bind it
        self.origins: dict[str, tuple[str, str]] = {}  # name: its module, its name there
        self.definitions: dict[str, list[ast.stmt]] = {}
        for node in self.tree.body:
            self._enter(node)

    def _enter(self, node: ast.stmt) -> None:
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                for child in node.body:
                    self._enter(child)
            case ast.Import():
                for alias in node.names:
                    suffix = f" as {alias.asname}" if alias.asname else ""
                    name = alias.asname or alias.name.partition(".")[0]
                    self.imports.setdefault(name, []).append(f"import {alias.name}{suffix}")
            case ast.ImportFrom(module="__future__"):
                pass
            case ast.ImportFrom():
                if node.level or node.module is None or node.names[0].name == "*":
                    raise self.error(node, "name the module and what is imported from it in full")
                for alias in node.names:
                    suffix = f" as {alias.asname}" if alias.asname else ""
                    statement = f"from {node.module} import {alias.name}{suffix}"
                    self.imports[alias.asname or alias.name] = [statement]
                    self.origins[alias.asname or alias.name] = (node.module, alias.name)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self.definitions.setdefault(node.name, []).append(node)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                self.definitions.setdefault(name, []).append(node)

    def public(self) -> dict[str, ast.stmt]:
        """Return the names in `__all__`, each with the statement to name in errors."""
        match self.definitions.get("__all__"):
            case [ast.Assign(value=ast.List(elts=names) | ast.Tuple(elts=names)) as node]:
                return {ast.literal_eval(name): node for name in names}
        raise self.error(self.tree.body[0], "__all__ must be one list of names")

    def is_async(self, name: str) -> bool:
        """Tell whether *name* is a coroutine function, or a class that has async methods."""
        if name in self.origins:
            other = self.other(self.origins[name][0])
            return other is not None and other.is_async(self.origins[name][1])
        return any(is_async(node) for node in self.definitions.get(name, ()))

    def other(self, module: str) -> Source | None:
        """Return another module of the package."""
        if module.partition(".")[0] != "aioobs":
            return None
        path = self.root.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if path == self.path or not path.exists():
            return None
        return Source(module, path.read_text("utf-8"), path, self.root)

    def segment(self, node: ast.AST) -> str:
        """Return the text of *node*."""
        return ast.get_source_segment(self.text, node) or ""

    def header(self, node: Function, name: str, iterator: str) -> str:
        """Return the text from ``def`` to the colon, for a blocking function called *name*.

        An async iterator that it returns becomes an *iterator*.
        """
        lines = self.lines[node.lineno - 1 :]
        depth, arrow = 0, (0, 0)
        for token in tokenize.generate_tokens(iter([f"{line}\n" for line in lines]).__next__):
            if token.type == tokenize.OP:
                depth += (token.string in "([{") - (token.string in ")]}")
                if depth == 0 and token.string == "->":
                    arrow = token.end
                if depth == 0 and token.string == ":":
                    break
        row, column = token.end
        if not re.fullmatch(r"\s*#.*", lines[row - 1][column:]):
            lines[row - 1] = lines[row - 1][:column]
        text = "\n".join(lines[:row])
        if arrow > (0, 0):
            at = sum(len(line) + 1 for line in lines[: arrow[0] - 1]) + arrow[1]
            text = text[:at] + re.sub(rf"\b{ASYNC_ITERATOR}\b", iterator, text[at:])
        text = re.sub(rf"(async\s+)?def\s+{node.name}\b", f"def {name}", text, count=1)
        return dedent(text, node.col_offset)

    def docstring(self, node: Function | ast.ClassDef) -> str:
        """Return the docstring as it is written, with its examples made blocking."""
        match node.body[0]:
            case ast.Expr(value=ast.Constant(value=str())) as first:
                text = dedent(self.segment(first), first.col_offset)
                text = re.sub(r"\bawait (?=[\w.]+\()", "", text)
                text = re.sub(r"\basync (?=(with|for)\b)", "", text)
                return text.replace("`aclose`", "`close`")
        return ""

    def error(self, node: ast.AST, message: str) -> Unsupported:
        return Unsupported(f"{self.path}:{getattr(node, 'lineno', 1)}: {message}")


def is_async(node: ast.stmt) -> bool:
    """Tell whether *node* defines something that is awaited, or has something that is."""
    if isinstance(node, ast.ClassDef):
        return any(is_async(item) for item in node.body if isinstance(item, Function))
    return isinstance(node, ast.AsyncFunctionDef) or (
        isinstance(node, ast.FunctionDef) and returns_iterator(node)
    )


def is_iterator(node: Function) -> bool:
    """Tell whether calling *node* gives an async iterator."""
    if isinstance(node, ast.FunctionDef):
        return returns_iterator(node)
    return yields(node.body)


def yields(nodes: Iterable[ast.AST]) -> bool:
    """Tell whether there is a ``yield`` outside of the functions and classes in *nodes*."""
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    return any(
        isinstance(node, ast.Yield)
        or (not isinstance(node, inner) and yields(ast.iter_child_nodes(node)))
        for node in nodes
    )


def returns_iterator(node: Function) -> bool:
    """Tell whether the annotation says that *node* returns an async iterator."""
    returned = node.returns.value if isinstance(node.returns, ast.Subscript) else node.returns
    return getattr(returned, "id", getattr(returned, "attr", "")) == ASYNC_ITERATOR


def decorators(node: Function) -> set[str]:
    """Return the names of the decorators, of dotted ones the last part."""
    return {getattr(d, "id", getattr(d, "attr", ast.dump(d))) for d in node.decorator_list}


def arguments(node: Function, *, drop_first: bool) -> str:
    """Return the arguments that hand on all that *node* takes: ``a, b=b``."""
    spec = node.args
    names = [argument.arg for argument in (*spec.posonlyargs, *spec.args)][drop_first:]
    if spec.vararg:
        names.append(f"*{spec.vararg.arg}")
    names += [f"{argument.arg}={argument.arg}" for argument in spec.kwonlyargs]
    if spec.kwarg:
        names.append(f"**{spec.kwarg.arg}")
    return ", ".join(names)


def names_in(node: ast.AST | None) -> set[str]:
    """Return the names that an expression uses."""
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)} if node else set()


def dedent(text: str, columns: int) -> str:
    return re.sub(rf"^ {{{columns}}}", "", text, flags=re.MULTILINE)


def indent(text: str) -> str:
    return re.sub(r"^(?=.)", "    ", text.strip("\n"), flags=re.MULTILINE)
