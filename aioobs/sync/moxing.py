"""Let scripts that were written for moxing run as they are.

The folder `_moxing` beside this module holds a package `moxing` of a few lines.  To install it is
to put that folder on `sys.path`, and nothing else: so the processes that multiprocessing starts
have it too, whichever way they start.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["install_as_moxing", "prepare", "run_module", "run_script"]

PLACE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_moxing")


def install_as_moxing(*, replace: bool = False) -> None:
    """Make ``import moxing`` give the file API of aioobs, in this process and its children.

    Children are those that `os.fork` and `multiprocessing` make.  Asking again changes nothing.

    Args:
        replace: Whether to go before another moxing that is installed, and to forget it if it is
            imported.

    Raises:
        ImportError: another moxing is installed, and *replace* is not set; it says where.
    """
    other = other_moxing()
    if other is not None and not replace:
        raise ImportError(
            f"another moxing is installed, at {other}: uninstall it, or put aioobs before it with "
            "install_as_moxing(replace=True) or `python -m aioobs run --replace`",
            name="moxing",
            path=other,
        )
    if other is not None:
        for name in [name for name in sys.modules if is_moxing(name)]:
            del sys.modules[name]
        sys.path.insert(0, PLACE)
    elif PLACE not in sys.path:
        sys.path.append(PLACE)


def other_moxing() -> str | None:
    """Return where there is a moxing that is not ours, if there is."""
    module = sys.modules.get("moxing")
    if module is not None:
        location = getattr(module, "__file__", None) or repr(module)
    else:
        spec = find_spec("moxing")
        # A folder of that name that is no package has no origin, and does not hide ours.
        location = spec.origin if spec is not None else None
    ours = os.path.join(PLACE, "moxing", "__init__.py")
    if location is None or os.path.realpath(location) == os.path.realpath(ours):
        return None
    return str(location)


def is_moxing(module: str) -> bool:
    """Tell whether a module is moxing or within it."""
    return module.partition(".")[0] == "moxing"


def prepare(program: str, arguments: Sequence[str], *, module: bool, replace: bool) -> None:
    """Set `sys.argv` and `sys.path` as for a new program, and install moxing for it.

    Other Python processes that it starts have it too, through ``PYTHONPATH``.

    Raises:
        ImportError: as `install_as_moxing`.
    """
    sys.argv = [program, *arguments]
    if not sys.flags.safe_path:
        sys.path[0] = os.getcwd() if module else os.path.dirname(os.path.realpath(program))
    install_as_moxing(replace=replace)
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if PLACE not in paths:
        paths.insert(0 if replace else len(paths), PLACE)
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)


def run_script(path: str) -> None:
    """Run a file as the main program."""
    location = os.path.join(os.getcwd(), path)  # as Python does
    loader = SourceFileLoader("__main__", location)
    code = loader.source_to_code(loader.get_data(location), location)
    # Not runpy, which takes `__main__` away at the end of the script: its threads and what it does
    # at exit still need it, to pickle for one.
    main = ModuleType("__main__")
    vars(main).update(__file__=location, __loader__=loader, __cached__=None)
    sys.modules["__main__"] = main
    exec(code, vars(main))  # noqa: S102


def run_module(name: str) -> None:
    """Run a module, or a package's `__main__`, as the main program."""
    import runpy

    runpy.run_module(name, run_name="__main__", alter_sys=True)
