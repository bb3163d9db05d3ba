"""Credentials from every source, their renewal, and what is said when there are none."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from metadata_server import (
    IMDS_PATH,
    KEY_PATH,
    TOKEN_PATH,
    Answer,
    MetadataServer,
    amazon_key,
    security_key,
)

from aioobs.errors import ConfigError
from aioobs.s3.auth import credential_services
from aioobs.s3.auth import credentials as module
from aioobs.s3.auth.credentials import CredentialChain
from aioobs.s3.auth.signing import Credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@pytest.fixture
def service() -> Iterator[MetadataServer]:
    with MetadataServer() as metadata:
        yield metadata


@pytest.fixture
def every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each get look at the sources, without a pause."""
    monkeypatch.setattr(module, "CHECK_INTERVAL", 0.0)
    monkeypatch.setattr(module, "REFRESH_PAUSE", 0.0)


def local_chain(environ: Mapping[str, str]) -> CredentialChain:
    return CredentialChain(environ=environ, metadata=False)


def ecs_chain(service: MetadataServer) -> CredentialChain:
    return CredentialChain(environ={}, ecs_endpoint=service.url)


async def access_key(chain: CredentialChain) -> str | None:
    found = await chain.get()
    return None if found is None else found.access_key


def ini(name: str, profile: str = "default") -> str:
    return f"[{profile}]\naws_access_key_id = {name}\naws_secret_access_key = secret-of-{name}\n"


# --- given ones and the environment


async def test_given_credentials_come_before_all_others() -> None:
    given = Credentials("given", "secret")
    chain = CredentialChain(
        given, environ={"ACCESS_KEY_ID": "environment", "SECRET_ACCESS_KEY": "secret"}
    )
    assert await chain.get() is given
    chain.expire()
    assert await chain.get() is given


async def test_given_credentials_that_have_expired_are_an_error() -> None:
    chain = CredentialChain(Credentials("given", "hidden-secret", "hidden-token", 1.0))
    with pytest.raises(ConfigError, match="configuration expired at 1970-01-01") as caught:
        await chain.get()
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "token_name"),
    [
        (("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"), "SECURITY_TOKEN"),
        (("OBS_ACCESS_KEY_ID", "OBS_SECRET_ACCESS_KEY"), "OBS_SECURITY_TOKEN"),
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "AWS_SESSION_TOKEN"),
    ],
)
async def test_the_environment_is_read(names: tuple[str, str], token_name: str) -> None:
    environ = {names[0]: " key\n", names[1]: "secret\n"}
    assert await local_chain(environ).get() == Credentials("key", "secret")
    environ[token_name] = "token"
    assert await local_chain(environ).get() == Credentials("key", "secret", "token")


async def test_the_names_of_moxing_come_before_those_of_obs_and_aws() -> None:
    environ = {
        f"{cloud}{name}": f"{cloud}value"
        for cloud in ("", "OBS_", "AWS_")
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
    }
    assert await access_key(local_chain(environ)) == "value"
    environ["ACCESS_KEY_ID"] = environ["SECRET_ACCESS_KEY"] = ""
    assert await access_key(local_chain(environ)) == "OBS_value"
    del environ["OBS_ACCESS_KEY_ID"], environ["OBS_SECRET_ACCESS_KEY"]
    assert await access_key(local_chain(environ)) == "AWS_value"


@pytest.mark.usefixtures("every_time")
async def test_a_change_of_the_environment_is_seen() -> None:
    environ = {"ACCESS_KEY_ID": "first", "SECRET_ACCESS_KEY": "secret"}
    chain = local_chain(environ)
    assert await access_key(chain) == "first"
    environ["ACCESS_KEY_ID"] = "second"
    assert await access_key(chain) == "second"
    environ.clear()
    assert await access_key(chain) is None


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"),
        ("SECRET_ACCESS_KEY", "ACCESS_KEY_ID"),
        ("OBS_SECRET_ACCESS_KEY", "OBS_ACCESS_KEY_ID"),
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ],
)
async def test_a_half_in_the_environment_is_an_error_that_names_the_other(
    there: str, missing: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        await local_chain({there: "hidden-value"}).get()
    assert str(caught.value) == f"{there} is set in the environment, but {missing} is not"


async def test_fresh_credentials_are_returned_without_a_suspension(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(ini("file"))
    chain = local_chain({"CREDENTIAL_PROFILES_FILE": str(path)})
    found = await chain.get()
    with pytest.raises(StopIteration) as stop:
        chain.get().send(None)
    assert stop.value.value is found


# --- files


async def test_files_are_read_in_their_order(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    files = {"injected": tmp_path / "a", "aws": tmp_path / "b", "home": home / ".aws/credentials"}
    for name, path in files.items():
        path.write_text(ini(name))
    environ = {
        "HOME": str(home),
        "CREDENTIAL_PROFILES_FILE": str(files["injected"]),
        "AWS_SHARED_CREDENTIALS_FILE": str(files["aws"]),
    }
    assert await access_key(local_chain(environ)) == "injected"
    files["injected"].unlink()
    assert await access_key(local_chain(environ)) == "aws"
    # As with Amazon's own tools, the variable stands for the file in the home directory.
    files["aws"].unlink()
    assert await access_key(local_chain(environ)) is None
    del environ["AWS_SHARED_CREDENTIALS_FILE"]
    assert await access_key(local_chain(environ)) == "home"


async def test_an_ini_file_has_profiles_tokens_and_percent_signs(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(
        "\ufeff# comment\n[default]\naws_access_key_id=one\naws_secret_access_key = a%b%%(c)s\n"
        "[other]\naws_access_key_id=two\naws_secret_access_key=s=;#x\naws_session_token=t/+=\n"
        "x_security_token_expires = 2100-01-01T00:00:00+00:00\n",
        encoding="utf-8",
    )
    environ = {"AWS_SHARED_CREDENTIALS_FILE": str(path)}
    assert await local_chain(environ).get() == Credentials("one", "a%b%%(c)s")
    environ["AWS_PROFILE"] = "other"
    assert await local_chain(environ).get() == Credentials("two", "s=;#x", "t/+=", 4102444800.0)


async def test_a_profile_that_assumes_a_role_is_not_taken_for_its_source(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(ini("file") + "role_arn = arn:aws:iam::1:role/x\n")
    chain = local_chain({"AWS_SHARED_CREDENTIALS_FILE": str(path)})
    assert await chain.get() is None
    assert any("assumes a role" in reason for reason in chain.tried)


@pytest.mark.parametrize(
    "fields",
    [
        {"access": "a", "secret": "s", "securitytoken": "t", "expires_at": "2100-01-01T00:00:00Z"},
        {"access_key": "a", "secret_key": "s", "security_token": "t", "expiration": 4102444800},
        {"ak": "a", "sk": "s", "token": "t", "expires": "4102444800"},
        {
            "AccessKeyId": "a",
            "SecretAccessKey": "s",
            "SessionToken": "t",
            "Expiration": "2100-01-01T00:00:00.000000Z",
        },
        {
            "credential": {
                "access": "a",
                "secret": "s",
                "securitytoken": "t",
                "expires_at": "2100-01-01T00:00:00.000000",
            }
        },
        {
            "default": {
                "aws_access_key_id": "a",
                "aws_secret_access_key": "s",
                "aws_session_token": "t",
                "expires-at": "2100-01-01T01:00:00+01:00",
            }
        },
    ],
)
async def test_json_is_understood_in_many_spellings(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    path = tmp_path / "credentials"
    path.write_text("\n " + json.dumps(fields))
    chain = local_chain({"CREDENTIAL_PROFILES_FILE": str(path)})
    assert await chain.get() == Credentials("a", "s", "t", 4102444800.0)


@pytest.mark.usefixtures("every_time")
async def test_a_file_is_read_again_when_it_is_replaced_or_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(ini("first"))
    chain = local_chain({"CREDENTIAL_PROFILES_FILE": str(path)})
    first = await chain.get()
    assert await chain.get() is first
    new = tmp_path / "new"
    new.write_text(ini("other"))
    new.replace(path)
    assert await access_key(chain) == "other"
    path.write_text(json.dumps({"ak": "rewritten", "sk": "secret"}))
    assert await access_key(chain) == "rewritten"


@pytest.mark.usefixtures("every_time")
@pytest.mark.parametrize(
    "text", [None, "", "{", '{"ak": "half"}', "no section", "[other]\n", "[default]\nak = half\n"]
)
async def test_a_file_that_is_just_being_written_changes_nothing(
    tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "credentials"
    path.write_text(ini("file"))
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "credentials").write_text(ini("somebody-else"))
    chain = local_chain({"CREDENTIAL_PROFILES_FILE": str(path), "HOME": str(home)})
    assert await access_key(chain) == "file"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    assert await access_key(chain) == "file"
    path.write_text(ini("new"))
    assert await access_key(chain) == "new"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aws_secret_access_key = hidden-secret\n", "neither an INI file nor JSON"),
        ("[default]\nhidden-secret\n", "neither an INI file nor JSON"),
        ('{"secret": "hidden-secret"', "begins like JSON, but is not"),
        ('{"secret": "hidden-secret"}', "has a secret key, but no access key"),
        ('{"access": "key"}', "has an access key, but no secret key"),
        (
            '{"ak": "key", "sk": "hidden-secret", "expires": "hidden-time"}',
            "has an end of its credentials that is no time",
        ),
        (
            '{"ak": "key", "sk": "hidden-secret", "expires": "1970-01-02"}',
            "expired at 1970-01-02 00:00:00 UTC, and there are no newer ones",
        ),
    ],
)
async def test_a_bad_file_is_an_error_that_tells_no_secrets(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "credentials"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        await local_chain({"CREDENTIAL_PROFILES_FILE": str(path)}).get()
    assert str(path) in str(caught.value)
    assert "hidden" not in "".join(traceback.format_exception(caught.value))


async def test_without_any_credentials_every_source_says_why(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    environ = {
        "CREDENTIAL_PROFILES_FILE": str(tmp_path / "empty"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "missing"),
    }
    chain = local_chain(environ)
    assert await chain.get() is None
    assert chain.tried == (
        "environment: none of ACCESS_KEY_ID, OBS_ACCESS_KEY_ID, AWS_ACCESS_KEY_ID is set",
        f"{tmp_path / 'empty'}: no profile default",
        f"{tmp_path / 'missing'}: No such file or directory",
        "metadata services: switched off",
    )


# --- the metadata service of Huawei ECS


async def test_ecs_is_asked_for_a_token_first(service: MetadataServer) -> None:
    service.answers[f"PUT {TOKEN_PATH}"] = (200, "metadata-token")
    service.give("agency", 3600)
    found = await ecs_chain(service).get()
    assert found is not None
    assert (found.access_key, found.secret_key) == ("agency", "secret-of-agency")
    assert found.token == "token-of-agency"
    assert found.expires == pytest.approx(time.time() + 3600, abs=5)
    (first, first_headers), (second, second_headers) = service.requests
    assert (first, second) == (f"PUT {TOKEN_PATH}", f"GET {KEY_PATH}")
    assert first_headers["x-securitykey-token-ttl-seconds"] == "21600"
    assert second_headers["x-securitykey-token"] == "metadata-token"


@pytest.mark.parametrize("answer", [(404, "x"), (405, "x"), (200, ""), (200, "a\x01b")])
async def test_ecs_of_the_first_version_is_asked_without_a_token(
    service: MetadataServer, answer: Answer
) -> None:
    service.answers[f"PUT {TOKEN_PATH}"] = answer
    service.give("agency", 3600)
    assert await access_key(ecs_chain(service)) == "agency"
    assert "x-securitykey-token" not in service.requests[-1][1]


@pytest.mark.parametrize(
    "answer",
    [
        (200, "<html>hidden</html>"),
        (200, "[]"),
        (200, "{}"),
        (200, '{"credential": null}'),
        (200, '{"credential": {"access": "a", "secret": "hidden"}}'),
        (302, "http://127.0.0.1:9/hidden"),
        (403, "hidden"),
    ],
)
async def test_ecs_that_answers_something_else_has_nothing(
    service: MetadataServer, answer: Answer
) -> None:
    service.answers[f"GET {KEY_PATH}"] = answer
    chain = ecs_chain(service)
    assert await chain.get() is None
    assert "Huawei ECS" in chain.tried[-1]
    assert "hidden" not in repr(chain.tried)


async def test_ecs_is_asked_twice_when_it_fails(service: MetadataServer) -> None:
    answers = iter([(503, "busy"), (200, security_key("agency", 3600))])
    service.answers[f"GET {KEY_PATH}"] = lambda: next(answers)
    assert await access_key(ecs_chain(service)) == "agency"


async def test_ecs_is_not_asked_through_a_proxy(
    service: MetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    service.give("agency", 3600)
    assert await access_key(ecs_chain(service)) == "agency"


async def test_an_ecs_that_never_answers_is_given_up(
    service: MetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credential_services, "READ_TIMEOUT", 0.1)
    release = threading.Event()

    def wait() -> Answer:
        release.wait()
        return 404, ""

    service.answers[f"PUT {TOKEN_PATH}"] = wait
    chain = ecs_chain(service)
    try:
        assert await chain.get() is None
    finally:
        release.set()
    assert chain.tried[-1].endswith("no answer (TimeoutError)")
    assert service.count(f"PUT {TOKEN_PATH}") == 2


async def test_that_there_is_nothing_is_remembered_for_a_while(
    service: MetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = ecs_chain(service)
    assert await chain.get() is None
    asked = len(service.requests)
    service.give("agency", 3600)
    assert await chain.get() is None
    assert len(service.requests) == asked
    monkeypatch.setattr(module, "ABSENT_PAUSE", 0.0)
    other = ecs_chain(service)
    service.answers.clear()
    assert await other.get() is None
    service.give("agency", 3600)
    assert await access_key(other) == "agency"


async def test_metadata_services_can_be_switched_off(service: MetadataServer) -> None:
    service.give("agency", 3600)
    environ = {"AWS_EC2_METADATA_DISABLED": "True"}
    assert await CredentialChain(environ=environ, ecs_endpoint=service.url).get() is None
    chain = CredentialChain(environ={}, metadata=False, ecs_endpoint=service.url)
    assert await chain.get() is None
    assert service.requests == []


# --- renewal


@pytest.mark.usefixtures("every_time")
async def test_credentials_near_their_end_are_used_while_one_thread_renews_them(
    service: MetadataServer,
) -> None:
    service.give("old", 300)
    chain = ecs_chain(service)
    old = await chain.get()
    asked, release = threading.Event(), threading.Event()

    def answer() -> Answer:
        asked.set()
        release.wait()
        return 200, security_key("new", 3600)

    service.answers[f"GET {KEY_PATH}"] = answer
    assert {await chain.get() for _ in range(50)} == {old}
    assert await asyncio.to_thread(asked.wait, 5)
    assert {await chain.get() for _ in range(50)} == {old}
    assert service.count(f"GET {KEY_PATH}") == 2
    release.set()
    while await chain.get() is old:
        await asyncio.sleep(0)
    assert {await access_key(chain) for _ in range(50)} == {"new"}
    assert service.count(f"GET {KEY_PATH}") == 2


async def test_fresh_credentials_are_not_renewed(
    service: MetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_INTERVAL", 0.0)
    service.give("agency", 3600)
    chain = ecs_chain(service)
    for _ in range(20):
        await chain.get()
    assert service.count(f"GET {KEY_PATH}") == 1


async def test_a_service_that_gives_the_same_again_is_left_in_peace(
    service: MetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_INTERVAL", 0.0)
    service.give("agency", 300)
    chain = ecs_chain(service)
    asked = threading.Event()
    await chain.get()

    def answer() -> Answer:
        asked.set()
        return 200, security_key("agency", 300)

    service.answers[f"GET {KEY_PATH}"] = answer
    await chain.get()
    assert await asyncio.to_thread(asked.wait, 5)
    for _ in range(50):
        await asyncio.to_thread(asyncio.run, chain.get())
    assert service.count(f"GET {KEY_PATH}") == 2


@pytest.mark.usefixtures("every_time")
@pytest.mark.parametrize("answer", [(500, "hidden"), (200, "hidden"), (404, "hidden")])
async def test_a_renewal_that_fails_keeps_what_is_still_good(
    service: MetadataServer, answer: Answer
) -> None:
    service.give("agency", 300)
    chain = ecs_chain(service)
    assert await access_key(chain) == "agency"
    service.answers[f"GET {KEY_PATH}"] = answer
    while service.count(f"GET {KEY_PATH}") < 4:
        assert await access_key(chain) == "agency"
        await asyncio.sleep(0)
    service.give("new", 3600)
    chain.expire()
    assert await access_key(chain) == "new"


@pytest.mark.usefixtures("every_time")
async def test_expired_credentials_are_renewed_or_an_error(
    service: MetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.give("agency", 3600)
    chain = ecs_chain(service)
    assert await access_key(chain) == "agency"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 4000)
    service.answers[f"GET {KEY_PATH}"] = (404, "")
    with pytest.raises(ConfigError, match=r"Huawei ECS expired at .* no newer ones") as caught:
        await chain.get()
    assert "of-agency" not in "".join(traceback.format_exception(caught.value))
    service.give("new", 3600)
    assert await access_key(chain) == "new"


async def test_refused_credentials_are_looked_for_once_by_all_who_used_them(
    service: MetadataServer,
) -> None:
    service.give("old", 3600)
    chain = ecs_chain(service)
    old = await chain.get()
    service.give("new", 3600)
    for _ in range(20):
        chain.expire(old)
        assert await access_key(chain) == "new"
    assert service.count(f"GET {KEY_PATH}") == 2
    chain.expire()
    assert await access_key(chain) == "new"
    assert service.count(f"GET {KEY_PATH}") == 3


@pytest.mark.usefixtures("every_time")
async def test_a_search_older_than_a_refusal_is_not_believed(service: MetadataServer) -> None:
    service.give("old", 300)
    chain = ecs_chain(service)
    assert await access_key(chain) == "old"
    asked, release = threading.Event(), threading.Event()

    def answer() -> Answer:
        asked.set()
        release.wait()
        return 200, security_key("old", 300)

    service.answers[f"GET {KEY_PATH}"] = answer
    assert await access_key(chain) == "old"
    assert await asyncio.to_thread(asked.wait, 5)
    chain.expire()
    service.give("new", 3600)
    assert await access_key(chain) == "new"
    release.set()
    for _ in range(20):
        assert await asyncio.to_thread(asyncio.run, access_key(chain)) == "new"


async def test_many_who_wait_lead_to_one_search(service: MetadataServer) -> None:
    service.give("agency", 3600)
    chain = ecs_chain(service)
    assert set(await asyncio.gather(*[access_key(chain) for _ in range(100)])) == {"agency"}
    assert service.count(f"GET {KEY_PATH}") == 1


def test_threads_with_event_loops_of_their_own_share_one_search(service: MetadataServer) -> None:
    together = threading.Barrier(8)
    release = threading.Event()

    def answer() -> Answer:
        release.wait()
        return 200, security_key("agency", 3600)

    service.answers[f"GET {KEY_PATH}"] = answer
    chain = ecs_chain(service)

    async def work() -> str | None:
        task = asyncio.create_task(access_key(chain))
        await asyncio.sleep(0)
        together.wait()
        release.set()
        return await task

    with ThreadPoolExecutor(8) as pool:
        results = [pool.submit(asyncio.run, work()) for _ in range(8)]
        assert {result.result() for result in results} == {"agency"}
    assert service.count(f"GET {KEY_PATH}") == 1
    assert asyncio.run(access_key(chain)) == "agency"


async def test_who_stops_waiting_does_not_stop_the_others(service: MetadataServer) -> None:
    asked, release = threading.Event(), threading.Event()

    def answer() -> Answer:
        asked.set()
        release.wait()
        return 200, security_key("agency", 3600)

    service.answers[f"GET {KEY_PATH}"] = answer
    chain = ecs_chain(service)
    impatient = asyncio.create_task(chain.get())
    patient = asyncio.create_task(access_key(chain))
    assert await asyncio.to_thread(asked.wait, 5)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    release.set()
    assert await patient == "agency"


def run(source: str, *arguments: str) -> str:
    """Run Python in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", source, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.stderr == ""
    return result.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_during_a_search_makes_its_own(service: MetadataServer) -> None:
    asked, first, second = threading.Event(), threading.Event(), threading.Event()
    gates = iter([first, second])

    def answer() -> Answer:
        gate = next(gates)
        asked.set()
        if gate is second:
            first.set()
        gate.wait()
        return 200, security_key("agency", 3600)

    # The parent's search ends only after the child's has begun.
    second.set()
    service.answers[f"GET {KEY_PATH}"] = answer
    source = """
import asyncio, os, sys, threading
from aioobs.s3.auth.credentials import CredentialChain
chain = CredentialChain(environ={}, ecs_endpoint=sys.argv[1])
async def main():
    task = asyncio.create_task(chain.get())
    await asyncio.sleep(0)
    input()
    child = os.fork()
    if child == 0:
        def work():
            os.write(1, asyncio.run(chain.get()).access_key.encode() + b"\\n")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        os._exit(0)
    os.write(1, (await task).access_key.encode() + b"\\n")
    os.waitpid(child, 0)
asyncio.run(main())
"""
    command = [sys.executable, "-c", source, service.url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert asked.wait(20)
        output, _ = process.communicate("go\n", timeout=20)
    assert output == "agency\nagency\n"
    assert service.count(f"GET {KEY_PATH}") == 2


def test_a_search_works_at_the_exit_of_the_interpreter(service: MetadataServer) -> None:
    service.give("agency", 3600)
    source = """
import asyncio, atexit, sys
from aioobs.s3.auth.credentials import CredentialChain
chain = CredentialChain(environ={}, ecs_endpoint=sys.argv[1])
atexit.register(lambda: print(asyncio.run(chain.get()).access_key))
"""
    assert run(source, service.url) == "agency\n"


def test_a_search_that_goes_on_does_not_delay_the_exit(service: MetadataServer) -> None:
    release = threading.Event()

    def answer() -> Answer:
        release.wait()
        return 404, ""

    service.answers[f"PUT {TOKEN_PATH}"] = answer
    source = """
import asyncio, sys
from aioobs.s3.auth import credential_services
from aioobs.s3.auth.credentials import CredentialChain
credential_services.READ_TIMEOUT = 60
chain = CredentialChain(environ={}, ecs_endpoint=sys.argv[1])
async def main():
    try:
        await asyncio.wait_for(chain.get(), 0.1)
    except TimeoutError:
        print("done")
asyncio.run(main())
"""
    try:
        assert run(source, service.url) == "done\n"
    finally:
        release.set()


def test_the_import_loads_nothing_heavy() -> None:
    source = """
import sys, threading
import aioobs.s3.auth.signing
print("asyncio" in sys.modules)
import aioobs.s3.auth.credentials
print(sorted({"anyio", "aiohttp", "botocore", "http.client", "json"} & set(sys.modules)))
print(threading.active_count())
"""
    before = "import sys, types; sys.modules['aioobs'] = package = types.ModuleType('aioobs')\n"
    import aioobs

    before += f"package.__path__ = {list(aioobs.__path__)!r}\n"
    assert run(before + source) == "False\n[]\n1\n"


# --- what botocore finds


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: MetadataServer) -> MetadataServer:
    """Let botocore see this service alone; Huawei's is switched off by the missing path."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED", raising=False)
    return service


async def test_the_instance_metadata_of_amazon_is_found(aws: MetadataServer) -> None:
    aws.answers["PUT /latest/api/token"] = (200, "imds-token")
    aws.answers[f"GET {IMDS_PATH}"] = (200, "role")
    aws.answers[f"GET {IMDS_PATH}role"] = (200, amazon_key("instance"))
    found = await CredentialChain(ecs_endpoint=aws.url).get()
    assert found is not None
    assert (found.access_key, found.secret_key) == ("instance", "secret-of-instance")
    assert found.token == "token-of-instance"
    assert found.expires == pytest.approx(time.time() + 6 * 3600, abs=5)
    assert aws.requests[-1][1]["x-aws-ec2-metadata-token"] == "imds-token"


async def test_no_instance_is_asked_when_the_services_are_switched_off(
    aws: MetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    chain = CredentialChain(ecs_endpoint=aws.url)
    assert await chain.get() is None
    assert chain.tried[-1] == "AWS: botocore found nothing"
    assert aws.requests == []


async def test_a_container_asks_amazon_before_huawei(
    aws: MetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{aws.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token")
    aws.answers["GET /container"] = (200, amazon_key("container"))
    aws.give("agency", 3600)
    assert await access_key(CredentialChain(ecs_endpoint=aws.url)) == "container"
    ((asked, headers),) = aws.requests
    assert (asked, headers["authorization"]) == ("GET /container", "container-token")


async def test_what_a_profile_of_the_configuration_says_is_botocores_affair(
    aws: MetadataServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = {"Version": 1, "AccessKeyId": "process", "SecretAccessKey": "secret"}
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    (tmp_path / "config").write_text(
        f"[profile work]\ncredential_process = cat {tmp_path}/answer.json\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert await CredentialChain(ecs_endpoint=aws.url).get() == Credentials("process", "secret")
    assert aws.requests == []


async def test_a_profile_that_does_not_exist_is_named(
    aws: MetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "missing-profile")
    chain = CredentialChain(ecs_endpoint=aws.url)
    assert await chain.get() is None
    assert any("missing-profile" in reason for reason in chain.tried)


async def test_amazon_is_not_asked_at_the_address_where_huawei_did_not_answer(
    aws: MetadataServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = f"http://127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setattr(module, "ECS_ENDPOINT", nobody)
    # The variable would tell that Amazon's address is another one; the file tells botocore alone.
    monkeypatch.delenv("AWS_EC2_METADATA_SERVICE_ENDPOINT")
    (tmp_path / "config").write_text(f"[default]\nec2_metadata_service_endpoint = {aws.url}\n")
    chain = CredentialChain(ecs_endpoint=nobody)
    assert await chain.get() is None
    assert chain.tried[-2].endswith("no answer (ConnectionRefusedError)")
    assert chain.tried[-1] == "AWS: botocore found nothing"
    assert aws.requests == []
