"""Pages of listings: read by a pattern they say what they say as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

from hypothesis import strategies as st

from aioobs.errors import ObsError
from aioobs.s3.documents import xml

if TYPE_CHECKING:
    from aioobs.s3.documents.page import Page

TEXTS = ["", "1", "a b", "%41+", "&lt;", "]]>", "é", "\x85", "\u2028", "\r\n", "\t", "&#13;", "07"]
ENTRY = (
    "<Contents><Key>{}</Key><LastModified>2026-01-02T03:04:05Z</LastModified>"
    "<ETag>&quot;{}&quot;</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
PAGE = (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>false</IsTruncated>'
    "{}</ListBucketResult>"
)
PUT = [
    "", "<", ">", "&", "<Contents>", "</Contents>", "<Contents/>", "<!--", "-->", "\0", "\r", "x",
    "0",
    "<Key>x</Key>", "<![CDATA[", "]]>", "<?x?>", " ", "\n", ' a="1"', "+", "T", "\ufeff", "\x1f",
]  # fmt: skip


def outcome(document: bytes) -> Page | type[ObsError]:
    try:
        return xml.parse_page(document, version=2)
    except ObsError as error:
        return type(error)


def check(data: bytes) -> None:
    """Check one page."""
    with patch.object(xml, "read_entries", lambda _: None):
        as_a_tree = outcome(data)
    assert outcome(data) == as_a_tree


@st.composite
def pages(draw: st.DrawFn) -> bytes:
    """Draw a page on which something may be different."""
    texts = st.sampled_from(TEXTS) | st.text(max_size=4)
    values = draw(
        st.lists(st.tuples(texts, texts, st.sampled_from(["1", "20", *TEXTS])), max_size=4)
    )
    page = PAGE.format("".join(ENTRY.format(*each) for each in values))
    for _ in range(draw(st.integers(0, 2))):
        at, dropped = draw(st.integers(0, len(page))), draw(st.sampled_from([0, 0, 1, 5, 10]))
        page = page[:at] + draw(st.sampled_from(PUT)) + page[at + dropped :]
    return page.encode("utf-8", "surrogatepass")


inputs = pages()
"""A page."""
