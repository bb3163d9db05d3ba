"""The entries of a listing, read by the pattern of the first one.

A page holds a thousand entries of one kind, and parsing them as XML takes most of the time of a
listing.  Here the first one is taken apart, and the others have to be like it to the letter, except
for key, time, ETag and size.  A page on which anything else differs is parsed as XML instead.

The pattern is loose, and so it matches fast; what it has found is checked afterwards, a column of
the page at a time.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Columns", "read_entries"]

OPEN, CLOSE = "<Contents>", "</Contents>"
FIELD = re.compile(r"<(Key|LastModified|ETag|Size)>(&quot;|&#34;|\"|)([^<&\"]*)\2</\1>")
PLAIN = {
    "Key": bytes({*range(0x20, 0x7F), *range(0x80, 0x100)} - {*b"<>&"}),
    "LastModified": b"0123456789T:.Z+-",
    "ETag": string.ascii_letters.encode() + b"0123456789+=_.-",
    "Size": b"0123456789",
}
NAMES = tuple(PLAIN)
NO_CHARACTERS = "\ufffe", "\uffff"
LONGEST_NUMBER = 19  # digits; no store has more than 10^19 bytes


class Columns(NamedTuple):
    """What varies in the entries of a page, as it stands there."""

    keys: list[str]
    times: list[str]
    etags: list[str]
    """Without quotes."""
    sizes: list[str]


def read_entries(document: str) -> tuple[Columns, str] | None:
    """Return the columns of a page, and the page without its entries.

    `None`: it has to be parsed as XML.
    """
    start, stop = document.find(OPEN), document.rfind(CLOSE) + len(CLOSE)
    if start < 0 or stop < start:
        return None
    entries, rest = document[start:stop], document[:start] + document[stop:]
    pattern = pattern_of(entries[: entries.find(CLOSE) + len(CLOSE)])
    if pattern is None or "<Contents" in rest or "<!" in rest:
        return None
    between, *values = slices(pattern.split(entries))
    columns = Columns._make(values)
    texts = [*map("".join, columns._replace(times=[*set(columns.times)]))]
    plain = (
        not any(between)
        and not any(map(beyond, texts, PLAIN.values()))
        and not any(character in texts[0] for character in NO_CHARACTERS)
        and max(map(len, columns.sizes)) <= LONGEST_NUMBER
    )
    return (columns, rest) if plain else None


def slices(parts: list[str]) -> Iterator[list[str]]:
    """Return what is between the entries, and then one column after the other."""
    step = len(NAMES) + 1
    return (parts[start::step] for start in range(step))


def beyond(text: str, plain: bytes) -> bytes:
    """Return the characters of a text that are not among the plain ones."""
    return text.encode().translate(None, plain)


def pattern_of(entry: str) -> re.Pattern[str] | None:
    """Return what matches entries like this one, with what varies in groups."""
    try:
        root = ElementTree.fromstring(entry)  # noqa: S314 - no entities are declared in it
    except ElementTree.ParseError:
        return None
    fields = list(FIELD.finditer(entry))
    for names in ((field[1] for field in fields), tags(root), tags(root.iter())):
        if tuple(name for name in names if name in NAMES) != NAMES:
            return None
    if "<!" in entry or "<?" in entry:
        return None
    parts, position = [], 0
    for field in fields:
        start, stop = field.span(3)
        after = entry[stop]  # where the value ends; one character is found faster than several
        parts += [re.escape(entry[position:start]), f"([^{after}]+)"]
        position = stop
    return re.compile("".join(parts) + re.escape(entry[position:]))


def tags(elements: Iterable[ElementTree.Element]) -> Iterator[str]:
    return (element.tag for element in elements)
