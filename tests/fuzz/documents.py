"""Documents: whatever a store sends as XML is read, or refused as what it is."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from hypothesis import strategies as st

from aioobs.errors import ObsError
from aioobs.s3.documents import xml

PARSERS = (
    partial(xml.parse_page, version=1),
    partial(xml.parse_page, version=2),
    xml.parse_delete_errors,
    xml.parse_names,
    xml.parse_upload_id,
    xml.parse_uploads,
    xml.parse_parts,
)
ROOTS = [
    "ListBucketResult", "DeleteResult", "ListAllMyBucketsResult", "InitiateMultipartUploadResult",
    "ListMultipartUploadsResult", "ListPartsResult", "Error", "html",
]  # fmt: skip
TAGS = [
    "Contents", "Key", "Size", "ETag", "LastModified", "IsTruncated", "NextMarker", "EncodingType",
    "NextContinuationToken", "CommonPrefixes", "Prefix", "Error", "Code", "Buckets", "Bucket",
    "Name", "UploadId", "Upload", "Initiated", "Part", "PartNumber", "NextPartNumberMarker",
    "NextKeyMarker", "NextUploadIdMarker", "a:b", "x",
]  # fmt: skip
TEXTS = [
    "", "1", "true", "url", "-1", "9" * 30, "٥", "a%2Fb+c", "%", "%zz", "%ff",
    "2026-01-02T03:04:05Z",
    "0000-00-00", "&amp;", "&#0;", "&#xD800;", "&#x10FFFF;", "&x;", "<!-- x -->", "<?x y?>", "]]>",
    "<![CDATA[<Key>]]>", "<!DOCTYPE a>", "\0", "\ufffe", "\x85", "<", ">", "/", "&quot;e&quot;",
]  # fmt: skip


def check(data: bytes) -> None:
    """Check one document."""
    for parse in PARSERS:
        with suppress(ObsError):  # a good one may tell of an error
            parse(data)
    assert all(isinstance(value, str) for value in xml.fields(data).values())
    xml.root_name(data)


def element(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda tag, texts: f"<{tag}>{''.join(texts)}</{tag}>",
        st.sampled_from(TAGS),
        st.lists(inner, max_size=4),
    )


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Draw a document that is a store's, or nearly."""
    inner = draw(st.lists(st.recursive(st.sampled_from(TEXTS), element, max_leaves=12), max_size=5))
    root = draw(st.sampled_from(ROOTS))
    start = draw(st.sampled_from(["", '<?xml version="1.0" encoding="UTF-8"?>', "\ufeff", "\n"]))
    space = draw(st.sampled_from(["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', " a"]))
    text = f"{start}<{root}{space}>{''.join(inner)}</{root}>"
    document = text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "utf-7"])))
    return document[: draw(st.sampled_from([len(document)] * 9 + [len(document) // 2]))]


inputs = documents() | st.binary(max_size=60)
"""A document."""
