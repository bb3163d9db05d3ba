"""The client of the process: what is set, what the environment says, and which of them wins."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faulty import Answer, FaultyServer, Received, stored

from aioobs import ConfigError
from aioobs.file import set_auth

if TYPE_CHECKING:
    from aioobs import Config
    from aioobs.session import Session

ROOT = Path(__file__).parents[1]


def config_of(session: Session) -> Config:
    return session.client().config


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"server": "store.test"}, "origin", "https://store.test"),
        ({"server": "store.test", "is_secure": False}, "origin", "http://store.test"),
        ({"server": "store.test", "is_secure": 0}, "origin", "http://store.test"),
        ({"server": "store.test", "port": 9000}, "origin", "https://store.test:9000"),
        ({"server": "http://store.test", "port": 9000}, "origin", "http://store.test:9000"),
        ({"server": "store.test:1", "port": 9000}, "origin", "https://store.test:1"),
        ({"server": "http://[::1]", "port": 9000}, "origin", "http://[::1]:9000"),
        ({"ssl_verify": False}, "verify", False),
        ({"ssl_verify": 0}, "verify", False),
        ({"ssl_verify": 1}, "verify", True),
        ({"ssl_verify": "/ca.pem"}, "verify", "/ca.pem"),
        ({"long_conn_mode": False}, "keep_alive", False),
        ({"path_style": True}, "addressing", "path"),
        ({"path_style": False}, "addressing", "virtual"),
        ({"retry": 3}, "attempts", 3),
        ({"retry_wait": 0.5}, "retry_wait", 0.5),
        ({"client_timeout": 5}, "idle_timeout", 5),
        ({"list_max_keys": 10}, "page_size", 10),
        ({"timeout_config": {"getObject": 5}}, "timeouts", {"getObject": 5}),
        ({"region": "moon-1"}, "signing_region", "moon-1"),
        ({"signature": "obs"}, "signature", "obs"),
        ({"anonymous": True}, "anonymous", True),
        ({"ak": "test-access-key", "sk": "test-secret-key"}, "access_key", "test-access-key"),
    ],
)
def test_what_is_set_is_in_the_configuration(
    session: Session, given: dict[str, Any], name: str, value: object
) -> None:
    set_auth(**given)
    assert getattr(config_of(session), name) == value


def test_what_is_not_set_stays(session: Session) -> None:
    set_auth(server="store.test", ak="test-access-key", sk="test-secret-key", security_token="t")
    set_auth(retry=3, timeout_config={"getObject": 5})
    set_auth(timeout_config={"headBucket": 6}, negotiation=True, obs_client_log=False)
    config = config_of(session)
    assert (config.endpoint, config.attempts, config.security_token) == ("store.test", 3, "t")
    assert config.timeouts == {"getObject": 5, "headBucket": 6}


def test_new_keys_have_no_former_token(session: Session) -> None:
    set_auth(ak="first-key", sk="test-secret-key", security_token="first-token")
    set_auth(ak="second-key", sk="test-secret-key")
    assert config_of(session).security_token == ""


def test_new_keys_are_used_where_requests_went_unsigned(session: Session) -> None:
    set_auth(anonymous=True)
    set_auth(ak="test-access-key", sk="test-secret-key")
    assert not config_of(session).anonymous


def test_a_new_server_does_not_get_the_port_of_the_former(session: Session) -> None:
    set_auth(server="first.test", port=9000)
    set_auth(server="second.test")
    assert config_of(session).origin == "https://second.test"


def test_the_order_of_settings_does_not_matter(session: Session) -> None:
    set_auth(port=9000, server="store.test")
    set_auth(is_secure=False)
    assert config_of(session).origin == "http://store.test:9000"


def test_what_is_set_goes_before_the_environment(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_ENDPOINT", "environment.test")
    assert config_of(session).endpoint == "environment.test"
    set_auth(server="set.test")
    assert config_of(session).endpoint == "set.test"
    monkeypatch.setenv("S3_REGION", "moon-1")
    assert (config_of(session).endpoint, config_of(session).region) == ("set.test", "moon-1")


@pytest.mark.parametrize(
    ("switch", "given", "origin"),
    [
        ("0", {"server": "https://set.test"}, "https://set.test"),
        ("1", {"server": "http://set.test"}, "http://set.test"),
        ("0", {"server": "https://set.test", "is_secure": False}, "http://set.test"),
        ("0", {"server": "https://set.test", "port": 9000}, "https://set.test:9000"),
        ("0", {"server": "set.test"}, "http://set.test"),
        ("0", {"port": 9000}, "http://environment.test:9000"),
        ("0", {"retry": 3}, "http://environment.test"),
    ],
)
def test_a_scheme_that_is_set_goes_before_the_switch_in_the_environment(
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    switch: str,
    given: dict[str, Any],
    origin: str,
) -> None:
    monkeypatch.setenv("S3_ENDPOINT", "https://environment.test")
    monkeypatch.setenv("S3_USE_HTTPS", switch)
    set_auth(**given)
    assert config_of(session).origin == origin


def test_a_changed_environment_makes_a_new_client_and_the_same_one_does_not(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_ENDPOINT", "first.test")
    client = session.client()
    assert session.client() is client
    monkeypatch.setenv("S3_ENDPOINT", "second.test")
    assert config_of(session).endpoint == "second.test"
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    assert config_of(session).proxy == "http://proxy.test:3128"


def test_a_server_that_is_set_is_reached_through_the_proxy_of_the_environment(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    set_auth(server="store.test")
    assert config_of(session).proxy == "http://proxy.test:3128"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"server": "ftp://store.test"}, "ftp://store.test"),
        ({"server": "store.test", "port": 70000}, "port=70000"),
        ({"server": "store.test", "port": "9000"}, "port='9000'"),
        ({"port": 9000}, "endpoint"),
        ({"retry": 0}, "retry|attempts"),
        ({"signature": "v9"}, "signature='v9'"),
        ({"timeout_config": {"readObject": 1}}, "'readObject'; valid are"),
        ({"ak": "test-access-key"}, "secret"),
    ],
)
def test_a_setting_that_makes_no_sense_changes_nothing(
    session: Session, given: dict[str, Any], words: str
) -> None:
    set_auth(region="moon-1")
    with pytest.raises(ConfigError, match=words):
        set_auth(**given)
    assert config_of(session).region == "moon-1"
    assert config_of(session).endpoint == ""
    assert config_of(session).timeouts == {}


async def test_calls_under_way_end_as_they_began(session: Session) -> None:
    arrived = threading.Event()
    release = threading.Event()

    def wait(received: Received) -> Answer:
        arrived.set()
        release.wait(5)
        return stored(b"first")(received)

    with (
        FaultyServer(always=wait) as first,
        FaultyServer(always=stored(b"second")) as second,
    ):
        set_auth("test-access-key", "test-secret-key", first.endpoint)
        reading = asyncio.create_task(session.client().get_object("b", "k"))
        await asyncio.to_thread(arrived.wait)
        set_auth(server=second.endpoint)
        assert await session.client().get_object("b", "k") == b"second"
        release.set()
        assert await reading == b"first"
        await session.client().aclose()


def test_a_child_can_set_what_a_thread_of_the_parent_was_setting() -> None:
    program = """
import os, threading, aioobs.session as module
held, done = threading.Event(), threading.Event()
def hold():
    with module.session._lock:
        held.set()
        done.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
pid = os.fork()
if not pid:
    module.set_auth(server="store.test")
    os._exit(0)
status = os.waitpid(pid, 0)[1]
done.set()
thread.join()
raise SystemExit(status)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=20,
        check=False,
    )
    assert done.returncode == 0


def test_threads_share_one_client(session: Session) -> None:
    clients = set()
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        clients.add(session.client())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(clients) == 1
