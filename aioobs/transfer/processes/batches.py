"""Batches of jobs, done by other processes: what is sent to them, and what comes back.

Everything here can be pickled and done twice.  A worker makes its own client of the `Config`, and
finds credentials that are not in it in its own environment, files and services.
"""

from __future__ import annotations

import asyncio
import os
import pickle
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from aioobs.config import DEFAULT_THREADS
from aioobs.errors import ConfigError
from aioobs.s3.client import Client
from aioobs.transfer.copier import Copier
from aioobs.transfer.failures import concerns_all
from aioobs.transfer.job import DEFAULT_SAFETY, Job, Safety, Versions
from aioobs.transfer.pieces import move_piece
from aioobs.transfer.progress import Meter
from aioobs.transfer.scheduler import Scheduler
from aioobs.transfer.shared_parts import Piece

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aioobs.config import Config

__all__ = ["Item", "Outcome", "Result", "do_batch", "run_batch", "weight"]

Item = Job | Piece

Result = Versions | dict[int, str] | OSError | None
"""A whole file that was copied; the parts of a piece; why it failed; `None`: not done."""


class Outcome(NamedTuple):
    """What came of a batch."""

    results: list[Result]
    """One for each item."""
    error: Exception | None = None
    """The error that cut it short, and has to end the whole copy."""


def weight(job: Job) -> int:
    """Return the bytes that a worker moves for a job."""
    if isinstance(job.source, str) or isinstance(job.target, str):
        return job.size or 0
    return 0  # the store does it


async def do_batch(
    client: Client,
    items: Sequence[Item],
    threads: int,
    safety: Safety = DEFAULT_SAFETY,
    *,
    adapts: bool = False,
) -> Outcome:
    """Do a batch with so many requests at a time; raises nothing but a cancellation.

    If it *adapts*, there are more of them where that is faster.
    """
    results: list[Result] = [None] * len(items)
    scheduler, meter = Scheduler(client, threads, adapts=adapts), Meter(None)
    copier = Copier(client, scheduler, meter, safety)

    async def move(number: int, piece: Piece) -> None:
        try:
            results[number] = await move_piece(client, scheduler, meter, piece, safety)
        except OSError as error:
            if concerns_all(error):
                raise
            results[number] = error

    def ended(number: int, _: Job, outcome: Versions | OSError) -> None:
        results[number] = outcome

    async def feed() -> None:
        for number, item in enumerate(items):
            if isinstance(item, Piece):
                scheduler.add(partial(move, number, item))
            else:
                await copier.add(item, partial(ended, number))

    error: Exception | None = None
    try:
        await scheduler.run(feed())
        await copier.settle()
    except Exception as failed:  # noqa: BLE001 - raised by the driver
        error = portable(failed)
    finally:
        await copier.aclose()
    # The driver has checked the names: it is this worker that is wrong, for later jobs too.
    return Outcome(results, error or next(filter(is_misfit, results), None))


def is_misfit(result: Result) -> TypeGuard[ConfigError]:
    return isinstance(result, ConfigError)


def portable(error: Exception) -> Exception:
    """Return the error, or if it cannot be pickled one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - whatever keeps it from being pickled
        return RuntimeError(f"in a worker: {error!r}")
    return error


def run_batch(
    config: Config, items: Sequence[Item], threads: int, safety: Safety = DEFAULT_SAFETY
) -> Outcome:
    """Do a batch on a worker of an executor."""
    adapts = threads == DEFAULT_THREADS
    return asyncio.run(do_batch(client_of(config), items, threads, safety, adapts=adapts))


class Held:
    """The last client of this process, kept for what it has learnt, its credentials included."""

    process = 0
    client: Client | None = None


def client_of(config: Config) -> Client:
    """Return a client of this process."""
    client = Held.client
    if client is None or Held.process != os.getpid() or client.config != config:
        client = Held.client = Client(config)
        Held.process = os.getpid()
    return client
