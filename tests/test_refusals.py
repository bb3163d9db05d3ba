"""What a store's refusal teaches: a redirect, a region, a clock, newer credentials."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import datetime
from email.utils import formatdate

import pytest
from faulty import (
    Answer,
    FaultyServer,
    Received,
    answer,
    connect,
    error_document,
    refusal,
    stored,
)

from aioobs import (
    AccessDenied,
    Client,
    Config,
    ObsError,
    ResponseError,
)

pytestmark = pytest.mark.usefixtures("both_transports")

GOOD = answer(etag='"1"')


class TestRedirects:
    """To where credentials may go and to where they may not."""

    async def test_a_redirect_within_the_store_is_followed_and_signed_for_its_region(self) -> None:
        def serve(received: Received) -> Answer:
            if received.headers["host"] == "b-1.obs.cn-east-3.myhuaweicloud.com":
                return GOOD
            return refusal(
                307,
                "TemporaryRedirect",
                location="http://b-1.obs.cn-east-3.myhuaweicloud.com/k",
                x_amz_bucket_region="cn-east-3",
            )

        with FaultyServer(always=serve) as server:
            endpoint = "http://obs.cn-north-4.myhuaweicloud.com"
            async with connect(endpoint, proxy=server.endpoint) as client:
                assert await client.put_object("b-1", "k", b"content") == "1"
                assert await client.put_object("b-1", "k2", b"") == "1"
        first, second, third = server.requests
        assert "/cn-north-4/s3/" in first.headers["authorization"]
        assert "/cn-east-3/s3/" in second.headers["authorization"]
        assert second.body == b"content"
        assert third.target == "http://b-1.obs.cn-east-3.myhuaweicloud.com/k2"

    async def test_a_redirect_names_the_region_alone(self) -> None:
        moved = answer(301, x_amz_bucket_region="eu-west-1")
        with FaultyServer(moved, always=stored(b"1")) as server:
            endpoint = "http://s3.us-west-2.amazonaws.com"
            async with connect(endpoint, proxy=server.endpoint) as client:
                assert (await client.head_object("b-1", "k")).size == 1
        assert server.requests[1].target == "http://b-1.s3.eu-west-1.amazonaws.com/k"
        assert "/eu-west-1/s3/" in server.requests[1].headers["authorization"]

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_a_redirect_to_a_stranger_is_refused_and_the_stranger_hears_nothing(
        self, status: int
    ) -> None:
        with FaultyServer(always=GOOD) as stranger:
            away = answer(status, location=f"{stranger.endpoint}/b/k")
            with FaultyServer(always=away) as server:
                async with connect(server.endpoint) as client:
                    with pytest.raises(
                        ResponseError, match=r"putContent s3://b/k: .*redirects to .*endpoint"
                    ):
                        await client.put_object("b", "k", b"secret content")
        assert not stranger.requests
        assert stranger.connections == 0
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "origin",
        [
            "http://b-1.obs.cn-east-3.myhuaweicloud.com.evil.test",
            "http://evilmyhuaweicloud.com",
            "http://b-1.obs.cn-east-3.myhuaweicloud.com:8080",
            "http://user@b-1.obs.cn-east-3.myhuaweicloud.com",
            "http://evil.test/.obs.cn-east-3.myhuaweicloud.com",
            "ftp://b-1.obs.cn-east-3.myhuaweicloud.com",
            "//evil.test",
            "http://[b-1.obs.cn-east-3.myhuaweicloud.com",
            "http://b-1.obs.cn-east-3.myhuaweicloud.com:99999",
        ],
    )
    async def test_no_name_that_looks_like_the_store_is_enough(self, origin: str) -> None:
        with FaultyServer(always=answer(307, location=f"{origin}/k")) as server:
            endpoint = "http://obs.cn-north-4.myhuaweicloud.com"
            async with connect(endpoint, proxy=server.endpoint) as client:
                with pytest.raises(ResponseError, match="putContent s3://b-1/k: "):
                    await client.put_object("b-1", "k", b"")
        targets = {request.target for request in server.requests}
        assert targets == {"http://b-1.obs.cn-north-4.myhuaweicloud.com/k"}

    async def test_an_endpoint_that_is_no_host_is_not_followed(self) -> None:
        away = refusal(301, "PermanentRedirect", "<Endpoint>[b-1.s3</Endpoint>")
        with FaultyServer(always=away) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ResponseError, match=r"redirects to http://\[b-1.s3, which"):
                    await client.put_object("b-1", "k", b"")
        assert len(server.requests) == 1

    async def test_a_redirect_loop_ends(self) -> None:
        def bounce(received: Received) -> Answer:
            there = "cn-east-3" if "cn-north-4" in received.headers["host"] else "cn-north-4"
            return answer(307, location=f"http://b-1.obs.{there}.myhuaweicloud.com/k")

        with FaultyServer(always=bounce) as server:
            endpoint = "http://obs.cn-north-4.myhuaweicloud.com"
            async with connect(endpoint, proxy=server.endpoint) as client:
                with pytest.raises(ResponseError, match="307"):
                    await client.put_object("b-1", "k", b"")
        assert len(server.requests) <= 10

    async def test_a_redirect_that_says_nothing_is_an_error(self) -> None:
        with FaultyServer(always=answer(301)) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ResponseError, match="301"):
                    await client.put_object("b", "k", b"")
        assert len(server.requests) == 1

    async def test_a_redirect_on_the_same_host_is_followed(self) -> None:
        with FaultyServer() as server:
            server_script = [answer(307, location=f"{server.endpoint}/b/k"), GOOD]
            server.extend(*server_script)
            async with connect(server.endpoint) as client:
                assert await client.put_object("b", "k", b"x") == "1"


class TestLessons:
    """What a refusal teaches is applied once, without a wait."""

    async def test_the_region_of_a_malformed_authorization_is_learned(self) -> None:
        wrong = refusal(400, "AuthorizationHeaderMalformed", "<Region>moon-1</Region>")
        with FaultyServer(wrong, always=GOOD) as server:
            async with connect(server.endpoint, attempts=1) as client:
                await client.put_object("b", "k", b"")
                await client.put_object("b", "k", b"")
        scopes = [request.headers["authorization"].split("/")[2] for request in server.requests]
        assert scopes == ["us-east-1", "moon-1", "moon-1"]

    async def test_the_region_is_learned_from_a_head_which_has_no_body(self) -> None:
        wrong = answer(400, x_amz_bucket_region="moon-1")
        with FaultyServer(wrong, always=stored(b"1")) as server:
            async with connect(server.endpoint, attempts=1) as client:
                assert (await client.head_object("b", "k")).size == 1
        assert "/moon-1/" in server.requests[1].headers["authorization"]

    async def test_a_store_that_insists_on_another_region_ends(self) -> None:
        wrong = refusal(400, "AuthorizationHeaderMalformed", "<Region>moon-1</Region>")
        with FaultyServer(always=wrong) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ResponseError, match="AuthorizationHeaderMalformed"):
                    await client.put_object("b", "k", b"")
        assert len(server.requests) == 2

    async def test_the_clock_of_the_store_is_learned(self) -> None:
        date = formatdate(time.time() + 7200, usegmt=True)
        with FaultyServer(
            refusal(403, "RequestTimeTooSkewed", date=date), always=answer(etag="1")
        ) as server:
            async with connect(server.endpoint, attempts=1) as client:
                await client.put_object("b", "k", b"")
                await client.put_object("b", "k", b"")
        hours = [int(request.headers["x-amz-date"][9:11]) for request in server.requests]
        assert (hours[1] - hours[0]) % 24 == 2
        assert (hours[2] - hours[0]) % 24 == 2

    async def test_the_clock_of_the_store_is_learned_from_a_head_which_has_no_body(self) -> None:
        date = formatdate(time.time() + 7200, usegmt=True)
        with FaultyServer(answer(403, date=date), always=stored(b"1")) as server:
            async with connect(server.endpoint, attempts=1) as client:
                assert (await client.head_object("b", "k")).size == 1

    @pytest.mark.parametrize("code", ["RequestTimeTooSkewed", ""])
    async def test_what_was_signed_before_another_learned_the_clock_is_asked_again(
        self, code: str
    ) -> None:
        ahead, together = 7200, threading.Barrier(2)

        def store(received: Received) -> Answer:
            signed = datetime.strptime(received.headers["x-amz-date"], "%Y%m%dT%H%M%S%z")
            if abs(time.time() + ahead - signed.timestamp()) < 900:
                return stored(b"1")(received)
            together.wait(10)
            date = formatdate(time.time() + ahead, usegmt=True)
            return answer(403, error_document(code) if code else "", date=date)

        with FaultyServer(always=store) as server:
            async with connect(server.endpoint) as client:
                reads = (client.get_object("b", key) for key in "kl")
                assert await asyncio.gather(*reads) == [b"1", b"1"]

    async def test_a_skew_that_stays_is_an_error_about_the_clock(self) -> None:
        date = formatdate(time.time() + 7200, usegmt=True)
        with FaultyServer(always=refusal(403, "RequestTimeTooSkewed", date=date)) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(AccessDenied, match=r"RequestTimeTooSkewed.*clock"):
                    await client.put_object("b", "k", b"")
        assert len(server.requests) == 2

    async def test_expired_credentials_are_looked_up_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ACCESS_KEY_ID", "first-key")
        monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")
        monkeypatch.setenv("SECURITY_TOKEN", "test-token")

        def expired(received: Received) -> Answer:
            monkeypatch.setenv("ACCESS_KEY_ID", "second-key")
            return refusal(400, "ExpiredToken")

        with FaultyServer(expired, always=GOOD) as server:
            async with Client(Config(endpoint=server.endpoint, attempts=1)) as client:
                await client.put_object("b", "k", b"")
        first, second = (request.headers["authorization"] for request in server.requests)
        assert "Credential=first-key/" in first
        assert "Credential=second-key/" in second

    @pytest.mark.parametrize("status", [400, 401, 403])
    async def test_a_head_that_is_refused_without_a_word_may_have_expired_credentials(
        self, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        monkeypatch.setenv("ACCESS_KEY_ID", "first-key")
        monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")

        def store(received: Received) -> Answer:
            monkeypatch.setenv("ACCESS_KEY_ID", "second-key")
            first = "first-key" in received.headers["authorization"]
            return answer(status) if first else stored(b"1")(received)

        with FaultyServer(always=store) as server:
            async with Client(Config(endpoint=server.endpoint)) as client:
                heads = (client.head_object("b", key) for key in "kl")
                assert [info.size for info in await asyncio.gather(*heads)] == [1, 1]

    async def test_heads_that_may_not_be_seen_are_not_asked_for_twice_each(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ACCESS_KEY_ID", "test-access-key")
        monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")
        monkeypatch.setattr("aioobs.s3.access.TOGETHER", 0.0)
        with FaultyServer(always=answer(403)) as server:
            async with Client(Config(endpoint=server.endpoint)) as client:
                for key in "klm":
                    with pytest.raises(AccessDenied):
                        await client.head_object("b", key)
        assert [request.path for request in server.requests] == ["/b/k", "/b/k", "/b/l", "/b/m"]

    async def test_a_token_that_was_given_and_expired_is_an_error_at_once(self) -> None:
        with FaultyServer(always=refusal(400, "ExpiredToken")) as server:
            async with connect(server.endpoint, security_token="test-token") as client:
                with pytest.raises(ObsError, match="temporary credentials have expired"):
                    await client.put_object("b", "k", b"")
        assert len(server.requests) == 1
