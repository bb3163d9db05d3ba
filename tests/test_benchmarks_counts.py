"""What an object costs in things that can be counted, on any machine, busy or not.

The limits are what was counted in ten runs on a busy machine, at most, and 15 % more.  Of all that
is counted only `Pace` goes by the clock, and the threads of a body, which report twenty times in a
second, and look again whenever less has come than they have room for.  So a body may take half as
many calls of Python functions again; moved by the event loop it would take three times as many.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from benchmarks import listing
from benchmarks.copy_parallel import case, written
from benchmarks.counts import can_trace, each
from benchmarks.endpoint import obstacle
from benchmarks.stores import fast_places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.counts import Counts
    from benchmarks.stores import Places

    Counting = Callable[[str, str], Counts]

pytestmark = [
    pytest.mark.skipif(bool(obstacle()), reason=f"install g++: {obstacle()}"),
    pytest.mark.usefixtures("lean"),
    pytest.mark.slow,
]

OURS = "aioobs.sync"
KIB = 1 << 10
MIB = 1 << 20
HEADS = 1300  # bytes of a request and its answer, and what wakes threads
OBJECTS = {"small": 1500, "big": 100}
needs_strace = pytest.mark.skipif(
    not can_trace(), reason="install strace, and let it trace: system calls are not counted"
)


@pytest.fixture(scope="module")
def at() -> Iterator[Places]:
    """Give the endpoint that counts requests."""
    with fast_places() as found:
        yield found


@pytest.fixture(scope="module")
def counted(at: Places) -> Callable[[str, str], Counts]:
    """Give what counts a tree on a leg, once for all tests."""
    return functools.cache(lambda tree, leg: each(at, OURS, tree, leg, OBJECTS[tree]))


@pytest.mark.parametrize("leg", ["up", "copy", "down"])
def test_a_small_object_takes_one_request(counted: Counting, leg: str) -> None:
    assert 1 <= counted("small", leg).requests <= 1.001  # a listing has a thousand keys to a page


@pytest.mark.parametrize("leg", ["up", "down"])
def test_a_big_file_takes_one_request_for_each_part_of_8_mib(counted: Counting, leg: str) -> None:
    assert counted("big", leg).requests == pytest.approx(1 / 8, abs=0.011)


@pytest.mark.parametrize(("leg", "most"), [("up", 112), ("copy", 98), ("down", 114)])
def test_a_small_object_takes_few_calls_of_python_functions(
    counted: Counting, leg: str, most: int
) -> None:
    assert 0 < counted("small", leg).python_calls <= most


@pytest.mark.parametrize(("leg", "most"), [("up", 50), ("down", 90)])
def test_a_big_file_is_moved_below_python(counted: Counting, leg: str, most: int) -> None:
    assert 0 < counted("big", leg).python_calls <= most


@needs_strace
@pytest.mark.parametrize(("leg", "most"), [("up", 8.6), ("copy", 2.3), ("down", 9.3)])
def test_a_small_object_takes_few_system_calls(counted: Counting, leg: str, most: float) -> None:
    found = counted("small", leg).system_calls
    assert found is not None
    assert 1.5 <= found <= most


@needs_strace
@pytest.mark.parametrize(("leg", "most"), [("up", 6), ("down", 8)])
def test_a_big_file_takes_few_system_calls(counted: Counting, leg: str, most: float) -> None:
    found = counted("big", leg).system_calls
    assert found is not None
    assert 1.5 <= found <= most


@needs_strace
@pytest.mark.parametrize(("leg", "bodies"), [("up", 2), ("copy", 0), ("down", 2)])
def test_a_small_object_goes_through_memory_once_in_and_once_out(
    counted: Counting, leg: str, bodies: int
) -> None:
    found = counted("small", leg).copied
    assert found is not None
    assert 4 * KIB * bodies < found < 4 * KIB * bodies + HEADS


@needs_strace
@pytest.mark.parametrize("leg", ["up", "down"])
def test_a_big_file_hardly_goes_through_memory(counted: Counting, leg: str) -> None:
    found = counted("big", leg).copied
    assert found is not None
    assert found <= 0.2 * MIB


def test_a_listing_takes_one_request_for_each_thousand_keys(at: Places) -> None:
    assert at.requests is not None
    with at.place() as (store, prefix):
        at.fill(store, prefix, 5000, 1)
        before = at.requests()
        assert len(store.keys(prefix)) == 5000
        assert at.requests() - before == 5


@pytest.mark.parametrize("leg", ["up", "down"])
@pytest.mark.parametrize(("tree", "tenth"), [("small", 0.1), ("big", 0.016)])
def test_ten_times_as_much_takes_no_more_memory(
    at: Places, tree: str, tenth: float, leg: str, tmp_path: Path
) -> None:
    peaks = []
    for scale in (tenth, 10 * tenth):
        with case(at, written(str(tmp_path), tree, scale), leg, 16).open() as measured:
            outcome = measured(OURS)
        assert outcome.error == ""
        peaks.append(outcome.peak_rss)
    assert peaks[1] - peaks[0] < 12 * MIB


def test_ten_times_the_keys_take_no_more_memory(at: Places) -> None:
    peaks = []
    for keys in (10_000, 100_000):
        with listing.case(at, keys, 16).open() as measured:
            outcome = measured(OURS)
        assert outcome.error == ""
        peaks.append(outcome.peak_rss)
    assert peaks[1] - peaks[0] < 12 * MIB
