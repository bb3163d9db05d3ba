"""The configuration from the environment: one that can be used, or an error of the configuration.

An input has lines, each one a variable with its value.
"""

from __future__ import annotations

import pickle
from contextlib import suppress
from dataclasses import replace

from hypothesis import strategies as st

from aioobs.config import REGIONS, SWITCHES, VARIABLES, Config
from aioobs.errors import ConfigError


def check(data: bytes) -> None:
    """Check one environment."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    environ = dict(line.split("=", 1) for line in lines if "=" in line)
    try:
        config = Config.from_env(environ)
    except ConfigError as error:
        refusal = str(error)
    else:
        check_config(config, environ)
        return
    hidden = data.count(b"test-password") == data.count(b"test-password@")
    if hidden and not any("test-password" in environ.get(name, "") for name in SHOWN):
        assert "test-password" not in refusal


def check_config(config: Config, environ: dict[str, str]) -> None:
    assert pickle.loads(pickle.dumps(config)) == config
    assert "test-password" not in repr(replace(config, region="", verify=True))
    assert Config.from_env(environ) == config
    with suppress(ConfigError):
        scheme, host = config.origin.split("://")
        assert scheme in ("http", "https")
        assert host
        assert config.host
        assert config.signing_region
        assert isinstance(config.is_public_cloud, bool)


SHOWN = (*SWITCHES, "AIOOBS_TRANSPORT", *REGIONS)
VALUES = [
    "", " ", "0", "1", "yes", "no", "maybe", "store.test", "https://store.test",
    "http://store.test:9000",
    "store.test:0", "store.test:99999", "ftp://store.test", "https://", "//", ":", "[::1]",
    "http://[::1]:9",
    "http://[::1", "[x]", "user:test-password@store.test", "http://user:test-password@p.test:8080",
    "http://p.test", "socks5://p.test", "eu-west-1", "é", "store.test\r\nX: y",
    "http://st\u2100re.test",
    "obs.cn-north-4.myhuaweicloud.com", "123", "8M", "-1", "9" * 5000, "\u0665", "lean", "session",
    "*", ".test",
    "%", "http://%", "store.test/", "store.test?x", "store.test#x", "a,b", "eu west", "..", "x/y",
]  # fmt: skip
inputs = st.lists(
    st.builds(
        lambda name, value: f"{name}={value}", st.sampled_from(VARIABLES), st.sampled_from(VALUES)
    ),
    max_size=5,
).map(lambda lines: "\n".join(lines).encode()) | st.builds(
    lambda name, value: name.encode() + b"=" + value,
    st.sampled_from(VARIABLES),
    st.binary(max_size=12),
)
"""An environment."""
