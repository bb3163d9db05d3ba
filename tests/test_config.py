"""The configuration: explicit, from the environment, and refused when it makes no sense."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest

from aioobs import Config, ConfigError
from aioobs.config import TIMEOUTS


@pytest.mark.parametrize(
    ("endpoint", "secure", "origin"),
    [
        ("store.test", None, "https://store.test"),
        ("store.test:9000", None, "https://store.test:9000"),
        ("store.test", False, "http://store.test"),
        ("https://store.test/", None, "https://store.test"),
        ("http://store.test:9000", None, "http://store.test:9000"),
        ("http://store.test", True, "https://store.test"),
        ("https://store.test", False, "http://store.test"),
        ("HTTP://Store.Test", None, "http://store.test"),
        ("localhost:9000", False, "http://localhost:9000"),
        ("127.0.0.1", False, "http://127.0.0.1"),
        ("http://[::1]:9000", None, "http://[::1]:9000"),
    ],
)
def test_an_endpoint_is_a_host_a_host_with_a_port_or_a_url(
    endpoint: str, secure: bool | None, origin: str
) -> None:
    assert Config(endpoint=endpoint, secure=secure).origin == origin


@pytest.mark.parametrize(
    "endpoint",
    [
        "ftp://store.test",
        "s3://bucket",
        "https://",
        "https://store.test/path",
        "https://store.test?x=1",
        "store.test:port",
        "store.test:99999",
        "store.test:0",
        "store test",
        "user:test-password@store.test",
        "http://[::1",
        "http://st\u2100re.test",
        "store.test\r\nX: y",
        ":9000",
        "/",
    ],
)
def test_what_is_no_endpoint_is_refused_by_its_name(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="endpoint") as caught:
        _ = Config(endpoint=endpoint).origin
    assert "https://host[:port] or host[:port]" in str(caught.value)
    assert "test-password" not in str(caught.value)


def test_without_an_endpoint_the_error_says_how_to_set_one() -> None:
    with pytest.raises(ConfigError, match=r"S3_ENDPOINT, .*set_auth\(server=.*Config\(endpoint="):
        _ = Config().origin


@pytest.mark.parametrize(
    ("endpoint", "cloud", "region"),
    [
        ("obs.cn-north-4.myhuaweicloud.com", True, "cn-north-4"),
        ("obs.eu-west-101.myhuaweicloud.eu", True, "eu-west-101"),
        ("obs.eu-de.otc.t-systems.com", True, "eu-de"),
        ("s3.eu-central-1.amazonaws.com", True, "eu-central-1"),
        ("s3.dualstack.eu-central-1.amazonaws.com", True, "eu-central-1"),
        ("oss-cn-hangzhou.aliyuncs.com", True, "cn-hangzhou"),
        ("cos.ap-beijing.myqcloud.com", True, "ap-beijing"),
        ("minio.company.test", False, "us-east-1"),
        ("obs.cn-north-4.myhuaweicloud.com.evil.test", False, "us-east-1"),
        ("10.0.0.1:9000", False, "us-east-1"),
    ],
)
def test_the_endpoint_tells_cloud_and_region(endpoint: str, cloud: bool, region: str) -> None:
    config = Config(endpoint=endpoint)
    assert (config.is_public_cloud, config.signing_region) == (cloud, region)
    assert Config(endpoint=endpoint, region="moon-1").signing_region == "moon-1"


def test_a_region_alone_means_amazon() -> None:
    assert Config(region="eu-west-1").origin == "https://s3.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"addressing": "cname"}, "addressing='cname' is not one of 'auto', 'virtual', 'path'"),
        ({"signature": "v3"}, "signature='v3' is not one of 'v4', 'v2', 'obs'"),
        ({"payload_signing": "md5"}, "payload_signing='md5' is not one of"),
        ({"transport": "carrier pigeon"}, "transport='carrier pigeon' is not one of"),
        ({"list_version": 3}, "list_version=3 is not one of 0, 1, 2"),
        ({"attempts": 0}, "attempts=0"),
        ({"attempts": "three"}, "attempts='three'"),
        ({"attempts": 2.5}, "attempts=2.5"),
        ({"connections": -1}, "connections=-1"),
        ({"page_size": 0}, "page_size=0"),
        ({"part_size": 0}, "part_size=0"),
        ({"connect_timeout": 0}, "connect_timeout=0"),
        ({"idle_timeout": -1}, "idle_timeout=-1"),
        ({"idle_timeout": "60"}, "idle_timeout='60'"),
        ({"idle_timeout": float("nan")}, "idle_timeout=nan"),
        ({"retry_wait": -0.1}, "retry_wait"),
        ({"retry_wait": "x"}, "retry_wait"),
        ({"bytes_in_flight": 0}, "bytes_in_flight=0"),
        ({"timeouts": {"getobject": 1}}, "unknown operation 'getobject'; valid are .*getObject"),
        ({"timeouts": {"getObject": 0}}, "timeout of getObject is 0; it is seconds, or None"),
        ({"timeouts": {"getObject": float("nan")}}, "timeout of getObject is nan"),
        ({"timeouts": {"getObject": "1"}}, "timeout of getObject is '1'"),
        ({"access_key": "test-access-key"}, "access_key and secret_key, or ak and sk, are given"),
        ({"secret_key": "test-secret-key"}, "access_key and secret_key, or ak and sk, are given"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_its_name(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Config(**options)
    assert "test-secret-key" not in str(caught.value)


def test_timeouts_are_those_of_the_table_unless_given() -> None:
    config = Config(timeouts={"getObject": 5, "listObjects": None})
    assert config.timeout("getObject") == 5
    assert config.timeout("listObjects") is None
    assert config.timeout("headBucket") == TIMEOUTS["headBucket"]


def test_the_timeouts_that_moxing_documents_are_the_defaults() -> None:
    documented = {
        "completeMultipartUpload": 300,
        "copyPart": None,
        "copyObject": None,
        "deleteObject": 300,
        "getObject": None,
        "getObjectMetadata": 30,
        "initiateMultipartUpload": 60,
        "listObjects": 300,
        "putContent": None,
        "putFile": None,
        "putObject": None,
        "uploadPart": None,
    }
    assert {name: Config().timeout(name) for name in documented} == documented


def test_no_secret_is_in_the_text_of_a_config() -> None:
    config = Config(
        access_key="test-access-key",
        secret_key="test-secret-key",
        security_token="test-token",
        proxy="http://user:test-password@proxy.test",
    )
    for secret in ("test-secret-key", "test-token", "test-password"):
        assert secret not in repr(config) + str(config)


@pytest.mark.usefixtures("lean")  # or else there is another default
def test_the_text_of_a_config_says_what_was_chosen() -> None:
    config = Config(endpoint="store.test", attempts=3, secret_key="b", access_key="a")
    assert repr(config) == "Config(endpoint='store.test', access_key='a', attempts=3)"
    assert repr(Config(timeouts={"getObject": 5})) == "Config(timeouts={'getObject': 5})"
    assert repr(Config()) == "Config()"


def test_a_config_is_a_value() -> None:
    config = Config(endpoint="store.test", timeouts={"getObject": 5})
    _ = config.origin
    assert pickle.loads(pickle.dumps(config)) == config
    assert dataclasses.replace(config, endpoint="other.test").origin == "https://other.test"
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.endpoint = "x"  # type: ignore[misc]


class TestEnvironment:
    """What variables say."""

    @pytest.mark.parametrize(
        ("environ", "origin"),
        [
            ({"S3_ENDPOINT": "a.test"}, "https://a.test"),
            ({"OBS_ENDPOINT": "b.test", "AWS_ENDPOINT_URL": "http://c.test"}, "https://b.test"),
            ({"S3_ENDPOINT": " ", "AWS_ENDPOINT_URL_S3": "http://c.test"}, "http://c.test"),
            ({"S3_ENDPOINT": "a.test", "S3_USE_HTTPS": "0"}, "http://a.test"),
            ({"S3_ENDPOINT": "http://a.test", "S3_USE_HTTPS": "yes"}, "https://a.test"),
            ({"AWS_REGION": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com"),
        ],
    )
    def test_the_first_variable_that_names_an_endpoint_counts(
        self, environ: dict[str, str], origin: str
    ) -> None:
        assert Config.from_env(environ).origin == origin

    def test_the_environment_of_the_process_is_the_default(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("S3_ENDPOINT", "a.test")
        assert Config.from_env().origin == "https://a.test"

    @pytest.mark.parametrize(
        ("environ", "verify"),
        [
            ({}, True),
            ({"S3_VERIFY_SSL": "1"}, True),
            ({"S3_VERIFY_SSL": "0"}, False),
            ({"S3_VERIFY_SSL": "False", "S3_CA_BUNDLE": "/ca"}, False),
            ({"AWS_CA_BUNDLE": "/aws", "REQUESTS_CA_BUNDLE": "/requests"}, "/aws"),
            ({"S3_CA_BUNDLE": "/own", "AWS_CA_BUNDLE": "/aws"}, "/own"),
        ],
    )
    def test_the_first_variable_that_names_authorities_counts_unless_verification_is_off(
        self, environ: dict[str, str], verify: bool | str
    ) -> None:
        assert Config.from_env(environ).verify == verify

    @pytest.mark.parametrize(
        ("environ", "proxy"),
        [
            ({}, None),
            ({"https_proxy": "http://p.test"}, "http://p.test"),
            ({"HTTPS_PROXY": "http://p.test"}, "http://p.test"),
            ({"http_proxy": "http://p.test"}, None),
            ({"all_proxy": "http://p.test"}, "http://p.test"),
            ({"https_proxy": "http://p.test", "no_proxy": "store.test"}, None),
            ({"https_proxy": "http://p.test", "no_proxy": ".test"}, None),
            ({"https_proxy": "http://p.test", "no_proxy": "other.test"}, "http://p.test"),
            ({"https_proxy": "http://p.test", "no_proxy": "*"}, None),
        ],
    )
    def test_the_proxy_is_that_for_the_scheme_unless_the_host_needs_none(
        self, environ: dict[str, str], proxy: str | None
    ) -> None:
        assert Config.from_env({"S3_ENDPOINT": "store.test", **environ}).proxy == proxy

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("S3_USE_HTTPS", "maybe"),
            ("S3_VERIFY_SSL", "2"),
            ("AIOOBS_TRANSPORT", "pigeon"),
            ("MOX_FILE_LARGE_FILE_PART_SIZE", "8M"),
            ("MOX_FILE_LARGE_FILE_PART_SIZE", "0"),
            ("MOX_FILE_LARGE_FILE_PART_SIZE", "-1"),
            ("MOX_FILE_LARGE_FILE_PART_SIZE", "¹"),
        ],
    )
    def test_a_value_that_makes_no_sense_is_refused_by_its_name(self, name: str, text: str) -> None:
        with pytest.raises(ConfigError, match=f"{name}='{text}'"):
            Config.from_env({name: text})

    @pytest.mark.parametrize("name", ["lean", "session", "SESSION"])
    def test_the_transport_is_named_in_any_case(self, name: str) -> None:
        assert Config.from_env({"AIOOBS_TRANSPORT": name}).transport == name.lower()

    def test_the_size_of_parts_is_that_of_moxing(self) -> None:
        assert Config.from_env({"MOX_FILE_LARGE_FILE_PART_SIZE": "123"}).part_size == 123

    def test_credentials_are_not_read_before_they_are_needed(self) -> None:
        environ = {"ACCESS_KEY_ID": "test-access-key", "SECRET_ACCESS_KEY": "test-secret-key"}
        assert Config.from_env(environ) == Config()
