"""The XML documents of the protocol, parsed and written."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus

from aioobs.errors import ErrorResponse, ProtocolError, error_for
from aioobs.s3.documents.dates import nanoseconds
from aioobs.s3.documents.entries import Columns, read_entries
from aioobs.s3.documents.page import Objects, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from xml.etree import ElementTree

__all__ = [
    "ObjectVersion",
    "complete_document",
    "delete_document",
    "fields",
    "good_fields",
    "next_token",
    "parse_delete_errors",
    "parse_names",
    "parse_page",
    "parse_parts",
    "parse_tags",
    "parse_upload_id",
    "parse_uploads",
    "parse_versions",
    "root_name",
    "tags_document",
    "unquote_etag",
]


LONGEST_NUMBER = 19  # digits; no store has more than 10^19 bytes
NEXT_TOKEN = b"<NextContinuationToken>"
LONGEST_TOKEN = 8192
TRUTH = {"true": True, "1": True, "false": False, "0": False, "": False}
MOST_TAGS = 1 << 18  # ten times what the longest answer has; its tree takes some 35 MB

Following = tuple[tuple[str, str], ...]
"""What to add to a query for the next page; empty after the last one."""


class Upload(NamedTuple):
    """A multipart upload that is neither completed nor aborted."""

    key: str
    upload_id: str
    initiated_nsec: int


class UploadedPart(NamedTuple):
    """A part of an upload as the store has it."""

    number: int
    size: int
    etag: str


class ObjectVersion(NamedTuple):
    """A version of an object, or the mark that it was deleted, which has neither size nor ETag."""

    key: str
    version_id: str
    is_latest: bool
    is_delete_marker: bool
    size: int
    etag: str
    mtime_nsec: int


def parse(document: bytes) -> ElementTree.Element:
    """Return the root of a document, without name spaces.

    Raises:
        ProtocolError: it is not XML, or it declares entities, which no store does, or it has too
            many elements.
    """
    from xml.etree import ElementTree

    if b"\0" in document or b"<!DOCTYPE" in document or b"<!ENTITY" in document:
        raise ProtocolError("the answer is a web page or the like; is this an S3 endpoint?")
    if document.count(b"<") > MOST_TAGS:
        raise ProtocolError(f"the answer has more than {MOST_TAGS} tags, which no store's has")
    try:
        # Some send spaces while they work, and so before all else.
        root = ElementTree.fromstring(document.lstrip())  # noqa: S314 - no entities, see above
    except (ElementTree.ParseError, LookupError, ValueError) as exc:  # two of them: its encoding
        start = document[:80].decode("utf-8", "replace")
        raise ProtocolError(
            f"the answer is not XML ({exc}); is this an S3 endpoint? It begins {start!r}"
        ) from exc
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def good(document: bytes, *kinds: str) -> ElementTree.Element:
    """Return the root of the document of an answer with the status 200, of a kind if any is given.

    Raises:
        ObsError: it is an error all the same.
        ProtocolError: it is not XML as a store writes it, or of another kind.
    """
    root = parse(document)
    if root.tag == "Error":
        found = texts(root)
        code, message, request_id = (
            found.get(name, "") for name in ("Code", "Message", "RequestId")
        )
        resp = ErrorResponse(200, "OK", code, message, request_id, details=found)
        raise error_for("", "", resp)
    if kinds and root.tag not in kinds:
        raise ProtocolError(
            f"the answer is no {kinds[0]} but a {root.tag}; is this an S3 endpoint?"
        )
    return root


def texts(root: ElementTree.Element) -> dict[str, str]:
    """Return the texts of the root's children by name."""
    return {child.tag: (child.text or "").strip() for child in root}


def root_name(document: bytes) -> str:
    """Return the name of the document's root, or "" if it is not XML."""
    try:
        return parse(document).tag
    except ProtocolError:
        return ""


def fields(document: bytes) -> dict[str, str]:
    """Return the texts of the root's children by name; empty if the document is not XML."""
    try:
        root = parse(document)
    except ProtocolError:
        return {}
    return texts(root)


def good_fields(document: bytes) -> dict[str, str]:
    """Return what the document of an answer with the status 200 says.

    Raises:
        ObsError: it is an error all the same.
    """
    return texts(good(document))


def parse_page(document: bytes, *, version: int) -> Page:
    """Return the page that the answer to a listing holds.

    Raises:
        ProtocolError: it is not such an answer.
    """
    columns, document = entries_of(document)
    root = good(document, "ListBucketResult")
    plain = text(root, "EncodingType").lower() != "url"
    decode = str if plain else unquoted
    objects = listed(columns or columns_of(root), decode)
    prefixes = [decode(text(item, "Prefix")) for item in root.iterfind("CommonPrefixes")]
    following = ""
    marker = text(root, "NextContinuationToken" if version == 2 else "NextMarker")
    if is_truncated(root, marker):
        following = marker
        if version == 1:
            following = next_marker(marker, decode, objects, prefixes)
        if not following:
            raise ProtocolError("a listing is cut off but does not say where it goes on")
    return Page(objects, prefixes, following)


def next_token(document: bytes) -> str:
    """Return where the next page begins, found at a glance on a page of version 2; "": unknown.

    It may be wrong: only `parse_page` knows.
    """
    start = document.find(NEXT_TOKEN) + len(NEXT_TOKEN)
    if start < len(NEXT_TOKEN):
        return ""
    token = document[start : start + LONGEST_TOKEN].partition(b"<")[0]
    return "" if b"&" in token else token.decode("utf-8", "replace")


def columns_of(root: ElementTree.Element) -> Columns:
    """Return what varies in the entries of a page, read from its tree."""
    items = root.findall("Contents")
    return Columns(
        [text(item, "Key") for item in items],
        [text(item, "LastModified") for item in items],
        [unquote_etag(text(item, "ETag")) for item in items],
        [str(number(item, "Size")) for item in items],
    )


def listed(columns: Columns, decode: Callable[[str], str]) -> Objects:
    """Return the objects in the columns of a page; no loop here runs in Python."""
    keys = columns.keys
    together = "".join(keys)
    if "%" in together or "+" in together:
        keys = [*map(decode, keys)]
    moments = {time: nanoseconds(time) for time in set(columns.times)}
    return Objects(keys, columns.sizes, columns.etags, columns.times, moments)


def unquoted(key: str) -> str:
    return unquote_plus(key) if "%" in key or "+" in key else key


def entries_of(document: bytes) -> tuple[Columns | None, bytes]:
    """Return what can be read from a page without a tree, and the rest of it."""
    found = None
    if b"encoding" not in document[:80] or b"utf-8" in document[:80].lower():
        with suppress(UnicodeDecodeError):
            found = read_entries(document.decode())
    return (found[0], found[1].encode()) if found else (None, document)


def next_marker(
    marker: str, decode: Callable[[str], str], objects: Objects, prefixes: Sequence[str]
) -> str:
    """Return where a listing of version 1 goes on: at its marker, or after the greatest name."""
    names = [*objects.keys[-1:], *prefixes[-1:]]
    if not marker:
        return max(names, default="")
    return marker if marker in names else decode(marker)  # some stores encode all but the marker


def parse_delete_errors(document: bytes) -> list[dict[str, str]]:
    """Return key, code and message of each object that a batch could not delete."""
    root = good(document, "DeleteResult", "DeleteObjectsResult", "DeleteObjectsOutput")
    return [{child.tag: child.text or "" for child in item} for item in root.iterfind("Error")]


def parse_names(document: bytes) -> list[str]:
    """Return the names of the buckets that the answer lists."""
    root = good(document, "ListAllMyBucketsResult")
    return [text(item, "Name") for item in root.iterfind("Buckets/Bucket")]


def parse_tags(document: bytes) -> dict[str, str]:
    """Return the tags that the answer lists."""
    root = good(document, "Tagging")
    return {text(item, "Key"): text(item, "Value") for item in root.iterfind("TagSet/Tag")}


def parse_upload_id(document: bytes) -> str:
    """Return the id of an upload that was begun."""
    found = text(good(document), "UploadId")  # stores name the root differently
    if not found:
        raise ProtocolError("the answer has no UploadId")
    return found


def parse_uploads(document: bytes) -> tuple[list[Upload], Following]:
    """Return the uploads that are under way, and how to ask for the next ones."""
    root = good(document, "ListMultipartUploadsResult")
    decode = unquote_plus if text(root, "EncodingType").lower() == "url" else str
    uploads = [
        Upload(
            decode(text(item, "Key")), text(item, "UploadId"), nanoseconds(text(item, "Initiated"))
        )
        for item in root.iterfind("Upload")
    ]
    key, upload_id = decode(text(root, "NextKeyMarker")), text(root, "NextUploadIdMarker")
    following = {"key-marker": key, "upload-id-marker": upload_id}
    return uploads, followed_by(root, following)


def parse_parts(document: bytes) -> tuple[list[UploadedPart], Following]:
    """Return the parts that the store has of an upload, and how to ask for the next ones."""
    root = good(document, "ListPartsResult", "ListPartsResponse")  # moto's name
    parts = [
        UploadedPart(
            number(item, "PartNumber"), number(item, "Size"), unquote_etag(text(item, "ETag"))
        )
        for item in root.iterfind("Part")
    ]
    following = {"part-number-marker": text(root, "NextPartNumberMarker")}
    return parts, followed_by(root, following)


def parse_versions(document: bytes) -> tuple[list[ObjectVersion], Following]:
    """Return a page of versions, and how to ask for the next one."""
    root = good(document, "ListVersionsResult")
    decode = unquote_plus if text(root, "EncodingType").lower() == "url" else str
    found = [
        ObjectVersion(
            decode(text(item, "Key")),
            text(item, "VersionId"),
            text(item, "IsLatest").lower() == "true",
            item.tag == "DeleteMarker",
            number(item, "Size") if item.tag == "Version" else 0,
            unquote_etag(text(item, "ETag")),
            nanoseconds(text(item, "LastModified")),
        )
        for item in root
        if item.tag in ("Version", "DeleteMarker")
    ]
    key, version_id = decode(text(root, "NextKeyMarker")), text(root, "NextVersionIdMarker")
    return found, followed_by(root, {"key-marker": key, "version-id-marker": version_id})


def followed_by(root: ElementTree.Element, markers: dict[str, str]) -> Following:
    """Return the query for the next page of a listing; nothing after the last one."""
    if not is_truncated(root, *markers.values()):
        return ()
    if not any(markers.values()):
        raise ProtocolError("a listing is cut off but does not say where it goes on")
    return tuple((name, value) for name, value in markers.items() if value)


def is_truncated(root: ElementTree.Element, *markers: str) -> bool:
    """Tell whether a listing goes on; where it does not say so, whether it says at what marker.

    Raises:
        ProtocolError: it says something else.
    """
    said = text(root, "IsTruncated").strip().lower()
    if said not in TRUTH:
        raise ProtocolError(f"IsTruncated is {said!r}, neither true nor false")
    return any(markers) if not said else TRUTH[said]


def complete_document(etags: Iterable[tuple[int, str]]) -> bytes:
    """Return the document that lists the parts of a finished upload by number."""
    parts = "".join(
        f'<Part><PartNumber>{number}</PartNumber><ETag>"{escape(etag)}"</ETag></Part>'
        for number, etag in sorted(etags)
    )
    return f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()


def delete_document(keys: Iterable[str]) -> bytes:
    """Return the document that names the objects of a batch delete."""
    objects = "".join(f"<Object><Key>{''.join(escaped(key))}</Key></Object>" for key in keys)
    return f"<Delete><Quiet>true</Quiet>{objects}</Delete>".encode()


def tags_document(tags: Mapping[str, str]) -> bytes:
    """Return the document that has all tags of an object."""
    items = "".join(
        f"<Tag><Key>{''.join(escaped(key))}</Key><Value>{''.join(escaped(value))}</Value></Tag>"
        for key, value in tags.items()
    )
    return f"<Tagging><TagSet>{items}</TagSet></Tagging>".encode()


def escaped(key: str) -> Iterator[str]:
    """Yield the key for use in XML, where line breaks would be normalised."""
    for letter in escape(key):
        yield f"&#{ord(letter)};" if letter in "\r\n\t" else letter


def escape(text: str) -> str:
    """Return text as it stands between tags."""
    # xml.sax.saxutils has the same, and takes the whole of urllib.request to import.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def region_document(region: str, *, native: bool) -> bytes:
    """Return the document that says where a bucket is to be, in S3's words or the *native* ones."""
    name = "Location" if native else "LocationConstraint"
    place = f"<{name}>{escape(region)}</{name}>"
    return f"<CreateBucketConfiguration>{place}</CreateBucketConfiguration>".encode()


def unquote_etag(text: str) -> str:
    """Return an ETag without the quotes that some stores put around it and others do not."""
    return text.strip().removeprefix("W/").strip('"')


def text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(name) or ""


def number(element: ElementTree.Element, name: str) -> int:
    value = text(element, name)
    if not value.isascii() or not value.isdigit() or len(value) > LONGEST_NUMBER:
        raise ProtocolError(f"{name} is {value!r}, not a number")
    return int(value)
