"""The documents of the protocol, as six kinds of store write them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioobs import ProtocolError
from aioobs.s3.documents import xml

if TYPE_CHECKING:
    from aioobs.s3.documents.page import Page

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
HOSTILE = [
    "",
    "text",
    "{}",
    "<a>",
    "<a></b>",
    "<!DOCTYPE html><html></html>",
    '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "<a>&undefined;</a>",
]


def page(inner: str, version: int = 2) -> Page:
    return xml.parse_page(
        f"<ListBucketResult {NAMESPACE}>{inner}</ListBucketResult>".encode(), version=version
    )


def item(key: str = "k", size: str = "1", etag: str = "e", time: str = "") -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>{time}</LastModified><ETag>{etag}</ETag>"
        f"<Size>{size}</Size></Contents>"
    )


@pytest.mark.parametrize("document", HOSTILE)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_what_is_no_answer_of_a_store_is_refused(document: str, encoding: str) -> None:
    with pytest.raises(ProtocolError):
        xml.parse(document.encode(encoding))
    assert xml.fields(document.encode(encoding)) == {}


@pytest.mark.parametrize(
    "parse",
    [
        lambda document: xml.parse_page(document, version=2),
        xml.parse_delete_errors,
        xml.parse_names,
        xml.parse_uploads,
        xml.parse_parts,
    ],
)
def test_a_document_of_another_kind_is_refused(parse: object) -> None:
    with pytest.raises(ProtocolError, match="but a Cake"):
        parse(b"<Cake/>")  # type: ignore[operator]


def test_keys_that_are_not_encoded_stay_as_they_are() -> None:
    assert page(item("a+b%20c &amp;")).objects[0].key == "a+b%20c &"


@pytest.mark.parametrize("encoded", ["a+b%2Bc%25%0A", "a%20b%2Bc%25%0A"])
def test_encoded_keys_are_decoded_in_both_spellings_of_a_space(encoded: str) -> None:
    found = page(
        f"<EncodingType>url</EncodingType>{item(encoded)}"
        f"<CommonPrefixes><Prefix>{encoded}/</Prefix></CommonPrefixes>"
    )
    assert found.objects[0].key == "a b+c%\n"
    assert found.prefixes == ["a b+c%\n/"]


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("2026-01-02T03:04:05.678Z", 1_767_323_045_678_000_000),
        ("2026-01-02T03:04:05Z", 1_767_323_045_000_000_000),
        ("2026-01-02T03:04:05", 1_767_323_045_000_000_000),
        ("2026-01-02T04:04:05+01:00", 1_767_323_045_000_000_000),
        ("2026-01-02T03:04:05.678901234Z", 1_767_323_045_678_901_000),
        ("1969-12-31T23:59:59Z", -1_000_000_000),
        ("", 0),
    ],
)
def test_times_are_read_with_and_without_a_fraction(text: str, nanoseconds: int) -> None:
    assert page(item(time=text)).objects[0].mtime_nsec == nanoseconds


@pytest.mark.parametrize("etag", ["&quot;e&quot;", "&#34;e&#34;", '"e"', "e", ' W/"e" '])
def test_etags_lose_their_quotes(etag: str) -> None:
    assert page(item(etag=etag)).objects[0].etag == "e"


@pytest.mark.parametrize("size", ["", "-1", "x", "1.5", "¹"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(ProtocolError, match="Size"):
        page(item(size=size))


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(ProtocolError, match="'yesterday' is not a time"):
        page(item(time="yesterday"))


def test_the_last_page_has_no_next() -> None:
    objects, prefixes, following = page("")
    assert (list(objects), prefixes, following) == ([], [], "")
    assert page("<IsTruncated>false</IsTruncated><NextMarker>x</NextMarker>").next == ""


def test_the_second_version_goes_on_with_the_token_as_it_is() -> None:
    inner = (
        "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>a+b%20=</NextContinuationToken>"
    )
    assert page(inner).next == "a+b%20="


def test_the_first_version_goes_on_with_the_decoded_marker() -> None:
    inner = (
        "<EncodingType>url</EncodingType><IsTruncated>True</IsTruncated>"
        "<NextMarker>a%20b%2B</NextMarker>"
    )
    assert page(inner, 1).next == "a b+"


@pytest.mark.parametrize(
    ("objects", "prefixes", "following"),
    [(["a", "c"], ["b/"], "c"), (["a"], ["b/", "d/"], "d/"), ([], ["b/"], "b/"), (["a"], [], "a")],
)
def test_without_a_marker_the_last_name_is_where_it_goes_on(
    objects: list[str], prefixes: list[str], following: str
) -> None:
    inner = "<IsTruncated>true</IsTruncated>" + "".join(map(item, objects))
    inner += "".join(f"<CommonPrefixes><Prefix>{p}</Prefix></CommonPrefixes>" for p in prefixes)
    assert page(inner, 1).next == following


def test_a_marker_that_is_not_encoded_among_keys_that_are_is_taken_as_it_is() -> None:
    # SeaweedFS writes so; decoding it would repeat or skip keys.
    inner = (
        "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        f"<NextMarker>a%2Bb+c</NextMarker>{item('a%252Bb%2Bc')}"
    )
    assert page(inner, 1).next == "a%2Bb+c"


@pytest.mark.parametrize("version", [1, 2])
def test_a_page_that_is_cut_off_and_does_not_go_on_is_refused(version: int) -> None:
    with pytest.raises(ProtocolError, match="does not say where it goes on"):
        page("<IsTruncated>true</IsTruncated>", version)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("said", "goes_on"),
    [("true", True), (" TRUE ", True), ("1", True), ("false", False), ("0", False)],
)
def test_a_page_says_in_each_way_of_xml_whether_it_is_the_last(
    said: str, goes_on: bool, version: int
) -> None:
    name = "NextContinuationToken" if version == 2 else "NextMarker"
    document = (
        f"<ListBucketResult><IsTruncated>{said}</IsTruncated><{name}>m</{name}></ListBucketResult>"
    )
    assert xml.parse_page(document.encode(), version=version).next == ("m" if goes_on else "")
    silent = document.replace(f"<IsTruncated>{said}</IsTruncated>", "")
    assert xml.parse_page(silent.encode(), version=version).next == "m"
    odd = document.replace(said, "yes")
    with pytest.raises(ProtocolError, match="IsTruncated is 'yes'"):
        xml.parse_page(odd.encode(), version=version)


def test_spaces_may_stand_before_a_document() -> None:
    empty = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    document = f'  \n\n<?xml version="1.0" encoding="UTF-8"?>\n {empty}'
    assert xml.parse_page(document.encode(), version=2).objects.keys == []
    assert xml.good_fields(document.encode()) == {"IsTruncated": "false"}


def test_buckets_are_named() -> None:
    document = f"<ListAllMyBucketsResult {NAMESPACE}><Buckets><Bucket><Name>a</Name></Bucket>"
    document += "<Bucket><Name>b</Name></Bucket></Buckets></ListAllMyBucketsResult>"
    assert xml.parse_names(document.encode()) == ["a", "b"]


def test_errors_of_a_batch_delete_are_read() -> None:
    document = "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key>"
    document += "<Code>AccessDenied</Code><Message/></Error></DeleteResult>"
    assert xml.parse_delete_errors(document.encode()) == [
        {"Key": "b", "Code": "AccessDenied", "Message": ""}
    ]


# What XML 1.0 can hold; other keys are deleted one by one.
XML_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\r\n\x7f\x85<>&\"']")
)


@given(st.lists(XML_TEXT, max_size=5))
def test_every_key_survives_a_batch_delete(keys: list[str]) -> None:
    root = ElementTree.fromstring(xml.delete_document(keys))
    assert [element.text or "" for element in root.iterfind("Object/Key")] == keys
    assert root.findtext("Quiet") == "true"


def test_parts_are_completed_in_their_order_with_quoted_etags() -> None:
    root = ElementTree.fromstring(xml.complete_document({10: "c", 2: "b<", 1: "a"}.items()))
    found = [(e.findtext("PartNumber"), e.findtext("ETag")) for e in root]
    assert found == [("1", '"a"'), ("2", '"b<"'), ("10", '"c"')]


def test_single_quotes_and_a_byte_order_mark_do_no_harm() -> None:
    document = "\ufeff<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code> X </Code></Error>"
    assert xml.fields(document.encode()) == {"Code": "X"}
