"""Signatures, against botocore, the examples that AWS publishes, and the algorithm of OBS."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import pickle
import threading
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from unittest import mock
from urllib.parse import parse_qsl, quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioobs.config import Config
from aioobs.errors import ConfigError
from aioobs.s3.access import Access
from aioobs.s3.auth.signing import (
    UNSIGNED_PAYLOAD,
    Anonymous,
    Credentials,
    Signer,
    Target,
    encode_query,
    quote_path,
)
from aioobs.s3.auth.signing_v2 import SigOBS, SigV2
from aioobs.s3.auth.signing_v4 import SigV4
from aioobs.s3.request import Request

if TYPE_CHECKING:
    from botocore.auth import BaseSigner
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as BotocoreCredentials

EMPTY = hashlib.sha256(b"").hexdigest()
NOW = 1_700_000_000.25
PLAIN = Credentials("test-access-key", "test-secret-key")
TEMPORARY = Credentials("test-access-key", "test-secret-key", "test/token+with=signs")

# The key of Amazon's documentation, with which its published signatures are made.
EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
EXAMPLE_HOST = "examplebucket.s3.amazonaws.com"
EXAMPLE_NOW = datetime.datetime(2013, 5, 24, tzinfo=datetime.UTC).timestamp()

SURROGATES: tuple[Literal["Cs"]] = ("Cs",)
odd_keys = st.one_of(
    st.sampled_from(
        [
            "a b",
            "a+b",
            "100%",
            "a//b",
            "/lead",
            "../up",
            "./x",
            "~tilde",
            "é/ü",
            "漢字",
            "😀",
            "a=b&c",
        ]
    ),
    st.text(st.characters(exclude_categories=SURROGATES), min_size=1, max_size=20),
)
values = st.text(st.characters(exclude_categories=SURROGATES), max_size=12)
queries = st.dictionaries(
    st.one_of(
        st.sampled_from(["prefix", "uploadId", "partNumber", "a-b", "a", "versionId", "x-id"]),
        st.text(st.characters(exclude_categories=SURROGATES), min_size=1, max_size=6),
    ),
    values,
    max_size=4,
)
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
headers_v4 = st.dictionaries(
    st.sampled_from(
        ["content-md5", "content-type", "range", "x-amz-acl", "x-amz-meta-a", "x-amz-meta-a-b"]
    ),
    header_values,
    max_size=4,
)
credentials = st.sampled_from([PLAIN, TEMPORARY])
clocks = st.floats(min_value=0, max_value=4_000_000_000)
methods = st.sampled_from(["GET", "PUT", "HEAD", "POST", "DELETE"])


class Signed(NamedTuple):
    """What is signed, by whom and when."""

    target: Target
    headers: dict[str, str]
    credentials: Credentials
    now: float


def target_of(method: str, key: str, query: str, host: str = "127.0.0.1:9000") -> Target:
    path = f"/bucket/{quote_path(key)}"
    return Target(method, host, path, query, path)


def requests(
    queries: st.SearchStrategy[dict[str, str]], headers: st.SearchStrategy[dict[str, str]]
) -> st.SearchStrategy[Signed]:
    """Return requests of any method, for any key, with such queries and headers."""
    encoded = queries.map(lambda query: encode_query(query.items()))
    targets = st.builds(target_of, methods, odd_keys, encoded)
    return st.builds(Signed, targets, headers, credentials, clocks)


def botocore_request(
    target: Target, headers: dict[str, str], auth_path: str | None = None
) -> AWSRequest:
    from botocore.awsrequest import AWSRequest

    url = f"https://{target.host}{target.path}" + (f"?{target.query}" if target.query else "")
    return AWSRequest(
        target.method, url, headers={"host": target.host, **headers}, auth_path=auth_path
    )


def botocore_signed(
    auth: BaseSigner, target: Target, headers: dict[str, str], now: float
) -> AWSRequest:
    moment = datetime.datetime.fromtimestamp(int(now), datetime.UTC)
    request = botocore_request(target, headers)
    with (
        mock.patch("botocore.auth.get_current_datetime", return_value=moment),
        mock.patch("botocore.auth.formatdate", lambda usegmt: formatdate(int(now), usegmt=usegmt)),
        mock.patch("time.time", return_value=now),
    ):
        auth.add_auth(request)
    return request


def signed_by(signer: Signer, *request: Any) -> dict[str, str]:
    """Return the headers that are sent, by their names."""
    lines = signer.sign(*request)
    return dict(line.split(": ", 1) for line in lines.removesuffix("\r\n").split("\r\n") if line)


def botocore_credentials(credentials: Credentials) -> BotocoreCredentials:
    from botocore.credentials import Credentials as BotocoreCredentials

    return BotocoreCredentials(credentials.access_key, credentials.secret_key, credentials.token)


@settings(max_examples=200, deadline=None)
@given(requests(queries, headers_v4))
def test_v4_headers_are_those_of_botocore(signed: Signed) -> None:
    from botocore.auth import S3SigV4Auth

    target, headers, credentials, now = signed
    auth = S3SigV4Auth(botocore_credentials(credentials), "s3", "cn-north-4")
    theirs = botocore_signed(auth, target, headers, now)
    ours = signed_by(SigV4("cn-north-4"), target, headers, EMPTY, credentials, now)
    assert ours == {
        name.lower(): value for name, value in theirs.headers.items() if name.lower() != "host"
    }


@settings(max_examples=200, deadline=None)
@given(requests(queries, headers_v4), st.integers(1, 604_800))
def test_v4_urls_are_those_of_botocore(signed: Signed, expires: int) -> None:
    from botocore.auth import S3SigV4QueryAuth

    target, headers, credentials, now = signed
    auth = S3SigV4QueryAuth(botocore_credentials(credentials), "s3", "cn-north-4", expires)
    theirs = str(botocore_signed(auth, target, headers, now).url).partition("?")[2]
    ours = SigV4("cn-north-4").presign(target, headers, expires, credentials, now)
    assert sorted(ours.split("&")) == sorted(theirs.split("&"))


# Names that OBS signs and S3 does not, and values that are empty, are the subject of tests below.
queries_v2 = st.dictionaries(
    st.sampled_from(
        ["acl", "uploadId", "partNumber", "prefix", "list-type", "response-content-type"]
    ),
    values.filter(bool),
    max_size=4,
)
headers_v2 = st.dictionaries(
    st.sampled_from(
        ["content-md5", "content-type", "range", "x-amz-acl", "x-amz-meta-b", "x-amz-meta-a"]
    ),
    header_values,
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(requests(queries_v2, headers_v2))
def test_v2_headers_are_those_of_botocore(signed: Signed) -> None:
    from botocore.auth import HmacV1Auth

    target, headers, credentials, now = signed
    theirs = botocore_signed(HmacV1Auth(botocore_credentials(credentials)), target, headers, now)
    ours = signed_by(SigV2(), target, headers, UNSIGNED_PAYLOAD, credentials, now)
    assert ours == {
        name.lower(): value for name, value in theirs.headers.items() if name.lower() != "host"
    }


@settings(max_examples=200, deadline=None)
@given(requests(queries_v2, headers_v2), st.integers(1, 10**8))
def test_v2_urls_are_those_of_botocore(signed: Signed, expires: int) -> None:
    from botocore.auth import HmacV1QueryAuth

    target, headers, credentials, now = signed
    auth = HmacV1QueryAuth(botocore_credentials(credentials), expires)
    theirs = str(botocore_signed(auth, target, headers, now).url).partition("?")[2]
    ours = SigV2().presign(target, headers, expires, credentials, now)
    # botocore repeats the given headers as parameters.
    sent = {*map(tuple, parse_qsl(theirs, keep_blank_values=True))} - {*headers.items()}
    assert set(parse_qsl(ours, keep_blank_values=True)) >= sent
    assert ours.startswith(target.query)
    assert len(ours.split("&")) == len(theirs.split("&")) - len(
        [name for name in headers if name != "range"]
    )


def test_v2_signs_the_bucket_of_a_virtual_host() -> None:
    from botocore.auth import HmacV1Auth

    target = Target("GET", "bucket.s3.example.com", "/a%20b", "acl", "/bucket/a%20b")
    request = botocore_request(target, {}, auth_path=target.resource)
    with mock.patch("botocore.auth.formatdate", lambda usegmt: formatdate(NOW, usegmt=usegmt)):
        HmacV1Auth(botocore_credentials(PLAIN)).add_auth(request)
    ours = signed_by(SigV2(), target, {}, UNSIGNED_PAYLOAD, PLAIN, NOW)
    assert ours["authorization"] == request.headers["Authorization"]


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "payload", "signature"),
    [
        (
            "GET",
            "/test.txt",
            "",
            {"range": "bytes=0-9"},
            EMPTY,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test%24file.text",
            "",
            {
                "date": "Fri, 24 May 2013 00:00:00 GMT",
                "x-amz-storage-class": "REDUCED_REDUNDANCY",
            },
            hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/",
            "lifecycle",
            {},
            EMPTY,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/",
            "max-keys=2&prefix=J",
            {},
            EMPTY,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["get object", "put object", "get bucket lifecycle", "list objects"],
)
def test_v4_gives_the_signatures_that_aws_publishes(
    method: str, path: str, query: str, headers: dict[str, str], payload: str, signature: str
) -> None:
    target = Target(method, EXAMPLE_HOST, path, query, f"/examplebucket{path}")
    signed = signed_by(SigV4("us-east-1"), target, headers, payload, EXAMPLE, EXAMPLE_NOW)
    assert signed["authorization"].endswith(f"Signature={signature}")
    assert signed["x-amz-date"] == "20130524T000000Z"


def test_v4_gives_the_url_that_aws_publishes() -> None:
    target = Target("GET", EXAMPLE_HOST, "/test.txt", "", "/examplebucket/test.txt")
    assert SigV4("us-east-1").presign(target, {}, 86400, EXAMPLE, EXAMPLE_NOW) == (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_v2_signs_the_text_that_aws_publishes() -> None:
    target = Target(
        "GET",
        "awsexamplebucket1.us-west-1.s3.amazonaws.com",
        "/photos/puppy.jpg",
        "",
        "/awsexamplebucket1/photos/puppy.jpg",
    )
    text = "GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/awsexamplebucket1/photos/puppy.jpg"
    assert hmac_sha1(EXAMPLE.secret_key, text) == "qgk2+6Sv9/oM7G3qLEjTH1a1l1g="
    now = datetime.datetime(2007, 3, 27, 19, 36, 42, tzinfo=datetime.UTC).timestamp()
    signed = signed_by(SigV2(), target, {}, EMPTY, EXAMPLE, now)
    # The form of the date is free; ours is the one of HTTP.
    assert signed["date"] == "Tue, 27 Mar 2007 19:36:42 GMT"
    assert signed["authorization"] == "AWS AKIAIOSFODNN7EXAMPLE:" + hmac_sha1(
        EXAMPLE.secret_key, text.replace("+0000", "GMT")
    )


def hmac_sha1(secret: str, text: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), "sha1").digest()).decode()


def test_obs_signs_as_its_documentation_says() -> None:
    target = Target(
        "PUT", "bucket.obs.cn-north-4.example.com", "/object.txt", "acl", "/bucket/object.txt"
    )
    headers = {
        "content-type": "text/plain",
        "content-md5": "1B2M2Y8AsgTpgAmY7PhCfg==",
        "content-length": "913",
        "x-amz-acl": "public-read",
        "x-obs-meta-key1": " value ",
    }
    signed = signed_by(SigOBS(), target, headers, UNSIGNED_PAYLOAD, TEMPORARY, NOW)
    assert signed == {
        "content-type": "text/plain",
        "content-md5": "1B2M2Y8AsgTpgAmY7PhCfg==",
        "content-length": "913",
        "x-obs-acl": "public-read",
        "x-obs-meta-key1": " value ",
        "x-obs-security-token": "test/token+with=signs",
        "date": "Tue, 14 Nov 2023 22:13:20 GMT",
        "authorization": "OBS test-access-key:"
        + hmac_sha1(
            "test-secret-key",
            "PUT\n1B2M2Y8AsgTpgAmY7PhCfg==\ntext/plain\nTue, 14 Nov 2023 22:13:20 GMT\n"
            "x-obs-acl:public-read\nx-obs-meta-key1:value\n"
            "x-obs-security-token:test/token+with=signs\n/bucket/object.txt?acl",
        ),
    }


def test_obs_signs_its_own_subresources_and_decodes_their_values() -> None:
    query = encode_query(
        [("name", "/a b/ü"), ("rename", None), ("prefix", "x"), ("x-obs-limit", "1"), ("acl", "")]
    )
    target = Target("POST", "h", "/k%20y", query, "/bucket/k%20y")
    signed = signed_by(SigOBS(), target, {}, UNSIGNED_PAYLOAD, PLAIN, NOW)
    assert signed["authorization"] == "OBS test-access-key:" + hmac_sha1(
        "test-secret-key",
        "POST\n\n\nTue, 14 Nov 2023 22:13:20 GMT\n"
        "/bucket/k%20y?acl&name=/a b/ü&rename&x-obs-limit=1",
    )


@pytest.mark.parametrize(
    "name",
    """
    append position uploads uploadId partNumber delete rename name modify truncate length versionId
    versions location policy torrent tagging restore cors lifecycle logging notification website
    storageClass response-content-type x-obs-security-token x-image-process
    """.split(),  # noqa: SIM905 - a table
)
def test_obs_signs_the_subresource(name: str) -> None:
    with_it = Target("GET", "h", "/k", f"{name}=1", "/b/k")
    without = with_it._replace(query="")
    signer = SigOBS()
    assert (
        signed_by(signer, with_it, {}, UNSIGNED_PAYLOAD, PLAIN, NOW)["authorization"]
        != signed_by(signer, without, {}, UNSIGNED_PAYLOAD, PLAIN, NOW)["authorization"]
    )


@pytest.mark.parametrize("name", ["prefix", "marker", "delimiter", "max-keys", "list-type"])
@pytest.mark.parametrize("signer", [SigOBS(), SigV2()])
def test_parameters_of_a_listing_are_not_signed(signer: Signer, name: str) -> None:
    listing = Target("GET", "h", "/", f"{name}=1", "/b/")
    assert signed_by(signer, listing, {}, UNSIGNED_PAYLOAD, PLAIN, NOW) == signed_by(
        signer, listing._replace(query=""), {}, UNSIGNED_PAYLOAD, PLAIN, NOW
    )


def test_obs_url_carries_the_token_as_a_signed_parameter() -> None:
    target = Target("GET", "h", "/k", "versionId=v%201", "/bucket/k")
    query = SigOBS().presign(target, {"x-amz-acl": "private"}, 600, TEMPORARY, NOW)
    end = int(NOW) + 600
    signature = hmac_sha1(
        "test-secret-key",
        f"GET\n\n\n{end}\nx-obs-acl:private\n"
        "/bucket/k?versionId=v 1&x-obs-security-token=test/token+with=signs",
    )
    assert query == (
        "versionId=v%201&x-obs-security-token=test%2Ftoken%2Bwith%3Dsigns"
        f"&AccessKeyId=test-access-key&Expires={end}&Signature={quote(signature, safe='')}"
    )


def test_v4_leaves_headers_that_a_proxy_may_change_unsigned() -> None:
    headers = {"if-match": '"e"', "user-agent": "u", "connection": "close", "content-length": "5"}
    target = target_of("GET", "k", "")
    signed = signed_by(SigV4("r"), target, headers, UNSIGNED_PAYLOAD, PLAIN, NOW)
    plain = signed_by(SigV4("r"), target, {}, UNSIGNED_PAYLOAD, PLAIN, NOW)
    assert signed == {**headers, **plain}


async def test_a_signed_request_shows_no_secret_in_a_traceback() -> None:
    config = Config("http://h", access_key="key", secret_key="secret", security_token="token")
    signed = await Access(config).signed(Request("getObject", "GET", "bucket", "a"))
    assert {"authorization", "x-amz-security-token"} <= signed.headers.keys()
    assert repr(signed) == "<SignedRequest GET http://h/bucket/a>"


@pytest.mark.parametrize("signer", [SigV4("r"), SigV2(), SigOBS()])
def test_given_headers_are_not_changed(signer: Signer) -> None:
    headers = {"x-amz-acl": "private", "range": "bytes=0-1"}
    signed_by(signer, target_of("GET", "k", ""), headers, EMPTY, TEMPORARY, NOW)
    assert headers == {"x-amz-acl": "private", "range": "bytes=0-1"}


def test_anonymous_adds_nothing() -> None:
    target = target_of("GET", "k", "versionId=1")
    assert signed_by(Anonymous(), target, {"range": "r"}, EMPTY, None, NOW) == {"range": "r"}
    assert Anonymous().presign(target, {}, 60, None, NOW) == "versionId=1"


@pytest.mark.parametrize("expires", [0, -1, 604_801])
def test_v4_refuses_an_end_that_no_store_accepts(expires: int) -> None:
    with pytest.raises(ConfigError, match=f"1 to 604800 seconds, not for {expires}"):
        SigV4("r").presign(target_of("GET", "k", ""), {}, expires, PLAIN, NOW)


@pytest.mark.parametrize("signer", [SigV2(), SigOBS()])
def test_v2_and_obs_refuse_an_end_in_the_past_and_take_one_far_away(signer: Signer) -> None:
    target = target_of("GET", "k", "")
    with pytest.raises(ConfigError, match="at least 1 second, not for 0"):
        signer.presign(target, {}, 0, PLAIN, NOW)
    assert f"Expires={int(NOW) + 10**8}" in signer.presign(target, {}, 10**8, PLAIN, NOW)


def test_v4_follows_a_change_of_second_day_and_secret() -> None:
    target = target_of("GET", "k", "")
    other = Credentials("test-access-key", "test-other-key")
    signer = SigV4("r")
    for credentials, now in [
        (PLAIN, NOW),
        (PLAIN, NOW + 1),
        (PLAIN, NOW + 86400),
        (other, NOW + 86400),
        (PLAIN, NOW + 86400),
        (PLAIN, NOW),
    ]:
        fresh = signed_by(SigV4("r"), target, {}, EMPTY, credentials, now)
        assert signed_by(signer, target, {}, EMPTY, credentials, now) == fresh


def test_v4_never_mixes_the_keys_of_two_secrets_in_threads() -> None:
    target = target_of("GET", "k", "")
    signer = SigV4("r")
    mixed = threading.Event()
    start = threading.Barrier(4)

    def work(credentials: Credentials, first: int) -> None:
        seconds = range(first, first + 3)
        expected = {
            second: signed_by(SigV4("r"), target, {}, EMPTY, credentials, second)
            for second in seconds
        }
        start.wait()
        for _ in range(1000):
            for second in seconds:
                if signed_by(signer, target, {}, EMPTY, credentials, second) != expected[second]:
                    mixed.set()

    threads = [
        threading.Thread(
            target=work, args=(Credentials(f"test-key-{n}", f"test-secret-{n % 2}"), 86400 * n)
        )
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not mixed.is_set()


@given(odd_keys)
def test_a_quoted_path_means_the_key_and_is_pure_ascii(key: str) -> None:
    quoted = quote_path(key)
    assert unquote(quoted) == key
    assert quoted.isascii()
    assert set(quoted) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/%"
    )
    assert quoted.count("/") == key.count("/")


def test_a_query_is_sorted_by_name_and_has_no_plus() -> None:
    pairs = [("a-b", "1"), ("uploads", None), ("a", "x y+z"), ("B", ""), ("~", "/é")]
    assert encode_query(pairs) == "B=&a=x%20y%2Bz&a-b=1&uploads&~=%2F%C3%A9"
    assert encode_query([]) == ""


def test_credentials_hide_their_secrets_and_survive_a_pickle() -> None:
    credentials = Credentials("test-access-key", "test-secret-key", "test-token", 5.0)
    assert repr(credentials) == "Credentials(access_key='test-access-key', expires=5.0)"
    assert pickle.loads(pickle.dumps(credentials)) == credentials
