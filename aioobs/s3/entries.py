"""The entries of a listing, read by the pattern of the first one.

A page holds a thousand entries of one kind, and to read them as the tree of XML that they are takes
most of the time of a listing.  Here the first one is taken apart, and the others have to be like it
to the letter, but for key, time, ETag and size.  A page on which anything is different is none for
this: it is read as a tree.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["read_entries"]

OPEN, CLOSE = "<Contents>", "</Contents>"
VALUES = {
    # No markup, no references to characters, and nothing that XML changes or refuses.
    "Key": "([^<>&\x00-\x1f\x7f\ufffe\uffff]+)",
    "LastModified": "([0-9T:.Z+-]+)",
    "ETag": "([0-9A-Za-z+=_.-]+)",
    "Size": "([0-9]{1,19})",
}
FIELD = re.compile(r"<(Key|LastModified|ETag|Size)>(&quot;|&#34;|\"|)([^<&\"]*)\2</\1>")


def read_entries(document: str) -> tuple[list[tuple[str, str, str, str]], str] | None:
    """Return key, time, ETag and size of each entry as they stand, and the page without them.

    `None`: it has to be read as a tree.
    """
    start, stop = document.find(OPEN), document.rfind(CLOSE) + len(CLOSE)
    if start < 0 or stop < start:
        return None
    entries, rest = document[start:stop], document[:start] + document[stop:]
    pattern = pattern_of(entries[: entries.find(CLOSE) + len(CLOSE)])
    if pattern is None or "<Contents" in rest or "<!" in rest:
        return None
    regex, fixed = pattern
    rows: list[tuple[str, str, str, str]] = regex.findall(entries)
    varying = sum(map(len, map("".join, rows)))
    if len(entries) != varying + fixed * len(rows):  # there is something else between them
        return None
    return rows, rest


def pattern_of(entry: str) -> tuple[re.Pattern[str], int] | None:
    """Return what matches entries like this one, and the length of what they have in common."""
    try:
        root = ElementTree.fromstring(entry)  # noqa: S314 - no entities are declared in it
    except ElementTree.ParseError:
        return None
    fields = list(FIELD.finditer(entry))
    for names in ((field[1] for field in fields), tags(root), tags(root.iter())):
        if [name for name in names if name in VALUES] != list(VALUES):
            return None
    if "<!" in entry or "<?" in entry:
        return None
    parts, position, fixed = [], 0, len(entry)
    for field in fields:
        start, stop = field.span(3)
        parts += [re.escape(entry[position:start]), VALUES[field[1]]]
        position, fixed = stop, fixed - (stop - start)
    return re.compile("".join(parts) + re.escape(entry[position:])), fixed


def tags(elements: Iterable[ElementTree.Element]) -> Iterator[str]:
    return (element.tag for element in elements)
