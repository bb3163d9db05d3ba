"""The command line ``aioobs``, which is `python -m aioobs` as well.

Each command is a function of its own name in one of the modules beside this one, imported when it
is called for.  Data go to the standard output and nothing else does; the rest is for the standard
error.  The exit status tells the class of an error: see `aioobs.cli.failures`.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, cast

from aioobs.cli.parser import parse

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Coroutine, Sequence

    from aioobs.cli.tally import Tally

    Command = Callable[[argparse.Namespace, Tally], Coroutine[object, object, int]]
    Program = Callable[[argparse.Namespace], int]

__all__ = ["main"]

INTERRUPTED, TERMINATED, BROKEN_PIPE = 130, 143, 141  # what a shell says of such an end


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says, and exit."""
    replace_closed()
    given = parse(arguments)
    if given.command == "run":
        configure(given)
        from aioobs.cli.running import run

        sys.exit(run(given))
    status = perform(given)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = silenced()
    except OSError as error:
        silenced()
        if not status:
            from aioobs.cli.failures import FAILED, tell

            tell(f"standard output: {error.strerror}")
            status = FAILED
    sys.exit(status)


def replace_closed() -> None:
    """Have standard streams that are closed fail where they are used, and keep their place.

    What goes to a standard error that is closed is lost.
    """
    for name, mode in (("stdin", os.O_WRONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, mode)  # the lowest one that is free: its own
            opened = open(descriptor, "r" if name == "stdin" else "w", closefd=False)  # noqa: SIM115
            setattr(sys, name, opened)


def perform(given: argparse.Namespace) -> int:
    """Run a command and return its exit status; what goes wrong is said in one line."""
    from importlib import import_module

    from aioobs.cli.failures import line_of, status_of, tell
    from aioobs.cli.output import prepare_output
    from aioobs.cli.tally import Tally

    tally = Tally()
    try:
        prepare_output()
        configure(given)
        found = getattr(import_module(f"aioobs.cli.{given.module}"), given.command)
        if given.blocking:
            return cast("Program", found)(given)
        return in_loop(cast("Command", found)(given, tally))
    except KeyboardInterrupt:
        tell(f"interrupted{tally}")
        return INTERRUPTED
    except Terminated:
        tell(f"terminated{tally}")
        return TERMINATED
    except BrokenPipeError:
        return silenced()
    except Exception as error:  # noqa: BLE001 - this is where the program ends
        if given.debug:
            import traceback

            traceback.print_exc()
        tell(line_of(error))
        return status_of(error)


def configure(given: argparse.Namespace) -> None:
    """Take the options that say how the store is reached, and how much is told."""
    if given.debug:
        import logging

        logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
        logging.getLogger("aioobs").setLevel(logging.DEBUG)
    options = {
        "server": given.endpoint,
        "region": given.region,
        "path_style": given.addressing and given.addressing == "path",
        "signature": given.signature,
        "anonymous": given.anonymous or None,
        "retry": given.attempts,
    }
    if any(value is not None for value in options.values()):
        from aioobs.session import set_auth

        set_auth(**options)


class Terminated(Exception):
    """SIGTERM has come, and what was under way has been given up in good order."""


def in_loop(command: Coroutine[object, object, int]) -> int:
    """Run a command in an event loop; SIGINT and SIGTERM cancel it, and its clean-up is awaited."""
    import asyncio

    from aioobs.loops import new_event_loop

    terminated = False

    async def cancellable() -> int:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            assert task is not None
            task.cancel()

        loop.add_signal_handler(signal.SIGTERM, terminate)
        return await command

    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(cancellable())
    except asyncio.CancelledError:
        if not terminated:
            raise
        raise Terminated from None


def silenced() -> int:
    """Let the interpreter find nobody to write to, when it flushes for the last time."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
