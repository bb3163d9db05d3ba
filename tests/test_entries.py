"""Pages of listings read by a pattern: always what the tree of the same page says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioobs import ProtocolError
from aioobs.s3.documents import xml
from aioobs.s3.documents.entries import read_entries
from aioobs.s3.documents.page import Listed, Page

if TYPE_CHECKING:
    from collections.abc import Callable

OWNER = "<Owner><ID>0</ID><DisplayName>owner</DisplayName></Owner>"
# How stores write their entries: what follows the key, and the quotes of an ETag.
STYLES = {
    "aws": ("&quot;", "<StorageClass>STANDARD</StorageClass>"),
    "ceph": ("&quot;", f"<StorageClass>STANDARD</StorageClass>{OWNER}<Type>Normal</Type>"),
    "minio": ("&#34;", f"{OWNER}<StorageClass>STANDARD</StorageClass>"),
    "plain": ('"', "<StorageClass>STANDARD</StorageClass>"),
    "bare": ("", ""),
}


def entry(key: str, size: str, style: str = "aws") -> str:
    quote, rest = STYLES[style]
    return (
        f"<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified>"
        f"<ETag>{quote}e{len(key)}{quote}</ETag><Size>{size}</Size>{rest}</Contents>"
    )


def page(entries: str, after: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
        f"<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{entries}{after}"
        "</ListBucketResult>"
    )


def outcome(document: str) -> Page | type[Exception]:
    try:
        return xml.parse_page(document.encode(), version=2)
    except ProtocolError as error:
        return type(error)


def as_a_tree(document: str) -> Page | type[Exception]:
    """Return what the page says to those who have to read it as a tree."""
    document = document.replace("</ListBucketResult>", "<!-- a tree --></ListBucketResult>")
    assert "<!--" not in document or read_entries(document) is None
    return outcome(document)


@pytest.mark.parametrize("style", STYLES)
def test_pages_are_read_by_the_pattern_of_their_first_entry(style: str) -> None:
    document = page("".join(entry(f"a%20b/{i}", str(i * 10**i), style) for i in range(12)))
    found = read_entries(document)
    assert found is not None
    columns, rest = found
    assert [*columns.keys] == [f"a%20b/{i}" for i in range(12)]
    assert "Contents" not in rest
    read = outcome(document)
    assert read == as_a_tree(document)
    assert isinstance(read, Page)
    assert read.objects[3] == Listed("a b/3", 3000, "e7", 1_767_323_045_678_000_000)


DIFFERENCES: dict[str, Callable[[str], str]] = {
    "another-order": lambda text: text.replace("<Size>1</Size>", "").replace(
        "<Key>b", "<Size>1</Size><Key>b"
    ),
    "a-reference": lambda text: text.replace("<Key>b", "<Key>b&amp;"),
    "cdata": lambda text: text.replace("<Key>b<", "<Key><![CDATA[b]]><"),
    "comment": lambda text: text.replace("<Key>b", "<!-- <Key>c</Key> --><Key>b"),
    "attribute": lambda text: text.replace("<Contents><Key>b", "<Contents a='1'><Key>b"),
    "more": lambda text: text.replace("<Key>b", "<More>1</More><Key>b"),
    "less": lambda text: text.replace("<StorageClass>STANDARD</StorageClass>", "", 1),
    "another-class": lambda text: text.replace("STANDARD", "GLACIER", 1),
    "nested": lambda text: text.replace("<Key>b", "<Contents></Contents><Key>b"),
    "twice": lambda text: text.replace("<Key>b</Key>", "<Key>b</Key><Key>c</Key>"),
    "between": lambda text: text.replace("</Contents><", "</Contents><Prefix>p</Prefix><", 1),
    "line-break": lambda text: text.replace("<Key>b", "<Key>b\r\n"),
    "not-well-formed": lambda text: text.replace("</Contents></List", "</Contents></x></List"),
    "the-first-not-well-formed": lambda text: text.replace("<Key>a</Key>", "<Key>a</Key><x>"),
    "not-a-number": lambda text: text.replace("<Size>1<", "<Size>1e3<", 1),
    "a-long-number": lambda text: text.replace("<Size>1<", f"<Size>{'1' * 5000}<", 1),
    "latin-1": lambda text: text.replace("UTF-8", "ISO-8859-1"),
    "indented": lambda text: text.replace("<Contents>", "\n  <Contents>"),
}


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_a_page_on_which_anything_is_different_says_what_its_tree_says(difference: str) -> None:
    plain = page("".join(entry(key, "1") for key in ("a", "b", "ü")))
    document = DIFFERENCES[difference](plain)
    assert document != plain
    assert outcome(document) == as_a_tree(document)


texts = st.text(max_size=8) | st.sampled_from(["", "1", "a b", "%41+", "&lt;", "]]>", "é"])


@given(
    st.lists(st.tuples(texts, texts), max_size=5),
    st.sampled_from(sorted(STYLES)),
    st.integers(0, 2000),
    st.sampled_from(["", "<", ">", "&", "<Contents>", "</Contents>", "<!--", "\0", "\r", "x"]),
)
def test_whatever_is_on_a_page_its_tree_says_the_same(
    values: list[tuple[str, str]], style: str, place: int, put: str
) -> None:
    document = page("".join(entry(key, size, style) for key, size in values))
    place = min(place, len(document) - 60)
    document = document[:place] + put + document[place:]
    assert outcome(document) == as_a_tree(document)
