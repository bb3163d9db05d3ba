"""A long listing from several places at once.

A listing is a chain: each page says where the next one begins, and a store that answers late makes
it slow.  Here it is begun at further keys as well, *sections* that are guesses.  A section is
believed when the one before it comes to the very key that it began with, for then the two are one
listing, whatever order the store keeps.  If that key does not come, the section and all behind it
are dropped, and the chain goes on as it would have gone without them.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from math import isqrt
from os.path import commonprefix
from typing import TYPE_CHECKING, Protocol

from aioobs.threads import settled

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable

    from aioobs.s3.documents.page import Page

__all__ = ["ParallelListing"]

AT_ONCE = 8  # requests
NEAR = 8  # sections that may hold as many pages as HELD; those behind hold one
HELD = 2
MOST_SECTIONS = 24
FEWEST = 4  # pages that have to be left, as far as one can tell, to be shared by two sections
FREE_GUESSES = 6  # sections that may be useless, and one more for each four pages that were of use
FOR_A_LANE = 4
LONGEST = 64  # characters of a key that say where it is
SAMPLED = 50  # keys, of which one tells the characters that keys are made of


class Chain(Protocol):
    """Pages that follow one another."""

    marker: str
    """Where the next page begins; empty: at the beginning, or nowhere."""

    def page(self) -> Coroutine[object, object, Page]:
        """Return the next page."""


class Section:
    """What comes after a key, page by page."""

    __slots__ = ("after", "chain", "error", "first", "last", "pages", "task")

    def __init__(self, chain: Chain, after: str) -> None:
        self.chain: Chain = chain
        self.after: str = after
        self.pages: deque[Page] = deque()
        self.task: asyncio.Task[Page] | None = None
        self.error: BaseException | None = None
        # Keys of the page that came last.
        self.first: str = ""
        self.last: str = ""


class ParallelListing:
    """The rest of a listing that has proved long, in order, with so many pages ahead and no more.

    *begin* returns the chain of what comes after a key.
    """

    def __init__(self, begin: Callable[[str], Chain], prefix: str) -> None:
        self._begin = begin
        self._prefix = prefix
        self._scale = Scale()
        self._sections: list[Section] = []
        self._tasks: set[asyncio.Task[Page]] = set()
        self._news = asyncio.Event()
        self._useful = self._useless = 0
        self._guesses = True

    async def pages(self, chain: Chain, page: Page) -> AsyncGenerator[Page, None]:
        """Yield *page*, to which a chain has come, and all that follow."""
        section = Section(chain, "")
        self._sections = [section]
        self._take(section, page)
        self._extend()
        try:
            # The chain knows that it has ended a moment before its last page is here.
            while section.pages or section.task or section.chain.marker or section.error:
                while not section.pages:
                    if section.error:
                        raise section.error
                    await self._change()
                page = section.pages.popleft()
                cut = await self._meeting(page)
                if cut is None:
                    self._extend()
                    yield page
                else:
                    del self._sections[0]
                    section = self._sections[0]
                    self._extend()
                    if cut:
                        yield page._replace(objects=page.objects[:cut])
                self._useful += 1
        finally:
            self._sections.clear()  # what arrives now is for nobody
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await settled(asyncio.gather(*self._tasks, return_exceptions=True))

    async def _change(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _meeting(self, page: Page) -> int | None:
        """Return where on a page of the first section the next one begins; `None`: not on this."""
        while page.objects and len(self._sections) > 1:
            section = self._sections[1]
            if page.objects[-1].key <= section.after:
                return None
            if section.pages:
                start = section.pages[0].objects[0].key
                if start in page.objects.keys:
                    return page.objects.keys.index(start)
                self._give_up()
                return None
            await self._change()  # the section gets its first page, or is dropped
        return None

    def _give_up(self) -> None:
        """Go on without any other section than the first."""
        self._guesses = False
        for section in self._sections[1:]:
            self._drop(section)

    def _drop(self, section: Section) -> None:
        self._sections.remove(section)
        if section.task is not None:
            section.task.cancel()
        self._useless += 1

    def _extend(self) -> None:
        """Ask for what is next, near things first, and open sections where there is much to do."""
        place, running = 0, sum(section.task is not None for section in self._sections)
        while place < len(self._sections) and running < AT_ONCE:
            section, stop = self._sections[place], self._stop(place)
            open_ended = section.chain.marker and (stop is None or section.last <= stop)
            room = HELD if place < NEAR else 1
            is_free = section.task is None and not section.error
            if open_ended and is_free and len(section.pages) < room:
                self._start(section)
                running += 1
            elif open_ended and (after := self._guess(section, stop)):
                added = Section(self._begin(after), after)
                self._sections.insert(place + 1, added)
                self._start(added)
                running += 1
            else:
                place += 1

    def _stop(self, place: int) -> str | None:
        return self._sections[place + 1].after if place + 1 < len(self._sections) else None

    def _guess(self, section: Section, stop: str | None) -> str:
        """Return a key that shares what is left to a section out to two; "": there is none."""
        allowed = self._useless <= FREE_GUESSES + self._useful // FOR_A_LANE
        if not (self._guesses and allowed and len(self._sections) < MOST_SECTIONS):
            return ""
        return self._scale.between(section.first, section.last, stop, len(self._prefix))

    def _start(self, section: Section) -> None:
        task = asyncio.create_task(section.chain.page())
        section.task = task
        self._tasks.add(task)

        def arrived(task: asyncio.Task[Page]) -> None:
            self._tasks.discard(task)
            section.task = None
            error = None if task.cancelled() else task.exception()
            if section not in self._sections or task.cancelled():
                return
            if not error:
                self._take(section, task.result())
            elif section is self._sections[0] or section.pages:
                section.error = error
            else:
                self._drop(section)
            self._extend()
            self._news.set()

        task.add_done_callback(arrived)

    def _take(self, section: Section, page: Page) -> None:
        begins = not section.first
        if page.objects:
            keys = page.objects.keys
            section.first, section.last = keys[0], keys[-1]
            self._scale.learn(key[len(self._prefix) :] for key in keys[::SAMPLED])
        if begins and section is not self._sections[0]:
            stop = self._stop(self._sections.index(section))
            if not page.objects or (stop is not None and section.first > stop):
                self._drop(section)  # there is nothing up to the next one
                return
            if section.first <= section.after:  # the store does not do as it is asked
                self._give_up()
                return
        section.pages.append(page)


class Scale:
    """Keys as numbers whose digits are the characters that keys have been seen to be made of."""

    def __init__(self) -> None:
        self._characters: list[str] = []

    def learn(self, names: Iterable[str]) -> None:
        """Take the characters of these."""
        seen = set().union(*names)
        if not seen.issubset(self._characters):
            self._characters = sorted(seen.union(self._characters))

    def between(self, first: str, last: str, stop: str | None, start: int) -> str:
        """Return a key between *last* and *stop*; "": they are near each other.

        From *first* to *last* is the length of a page.  As what is near is wanted first, the key is
        not in the middle: the pages before it are the square root of all.
        """
        if stop is not None:
            start = max(start, len(commonprefix([first, stop])))  # noqa: RUF071 - of characters
        size = min(max(len(first), len(last), len(stop or "")) - start + 1, LONGEST)
        low, high = (self._number(key[start:], size) for key in (first, last))
        top = (len(self._characters) + 1) ** size - 1
        left = (top if stop is None else self._number(stop[start:], size)) - high
        page = max(high - low, 1)
        if left < FEWEST * page:
            return ""
        found = last[:start] + self._text(high + isqrt(left * page), size)
        for end in range(start + 1, len(found) + 1):
            if found[:end] > last:
                return found[:end] if stop is None or found[:end] < stop else ""
        return ""

    def _number(self, text: str, size: int) -> int:
        number, base = 0, len(self._characters) + 1
        for character in text[:size]:
            number = number * base + bisect_left(self._characters, character) + 1
        return int(number * base ** (size - min(len(text), size)))

    def _text(self, number: int, size: int) -> str:
        digits = []
        for _ in range(size):
            number, digit = divmod(number, len(self._characters) + 1)
            digits.append(digit)
        text = (self._characters[digit - 1] if digit else "\0" for digit in reversed(digits))
        return "".join(text).partition("\0")[0]
