"""Temporary credentials from metadata services: Huawei's, and those that botocore knows."""

from __future__ import annotations

import time

from aioobs.s3.auth.credential_files import Found, NothingFound, from_fields
from aioobs.s3.auth.signing import Credentials

__all__ = ["ECS_ENDPOINT", "NoAnswer", "from_botocore", "from_ecs"]

CONNECT_TIMEOUT = 1.0  # seconds
READ_TIMEOUT = 3.0
ATTEMPTS = 2

ECS = "the metadata service of Huawei ECS"
ECS_ENDPOINT = "http://169.254.169.254"
ECS_TOKEN_SECONDS = "21600"
ECS_LARGEST_ANSWER = 1 << 16


class NoAnswer(NothingFound):
    """Nobody is there to ask."""


def from_ecs(endpoint: str, *, enabled: bool) -> Found:
    """Ask for the temporary credentials of a server's agency, as the SDK of OBS does."""
    import http.client
    import json

    if not enabled:
        raise NothingFound(f"{ECS}: switched off by AWS_EC2_METADATA_DISABLED")
    reason: Exception = NothingFound()
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(0.1)
        try:
            status, answer = ecs_security_key(endpoint)
        except (OSError, http.client.HTTPException) as error:
            reason = NoAnswer(f"{ECS}: no answer ({type(error).__name__})")
            continue
        if status == 200:
            break
        reason = NothingFound(f"{ECS}: answer {status}")
        if status < 500:
            raise reason
    else:
        raise reason
    try:
        fields = json.loads(answer)["credential"]
        credentials = from_fields(fields, ECS)
    except (ValueError, KeyError, TypeError, AttributeError):
        credentials = None
    if credentials is None or not credentials.token or not credentials.expires:
        raise NothingFound(f"{ECS}: an answer that has no credentials")
    return Found(credentials, ECS, "service")


def ecs_security_key(endpoint: str) -> tuple[int, bytes]:
    seconds = {"X-securitykey-Token-Ttl-Seconds": ECS_TOKEN_SECONDS}
    status, answer = ask(endpoint, "PUT", "/meta-data/latest/api/token", seconds)
    token = answer.decode("ascii", "replace").strip() if status == 200 else ""
    if status not in (200, 404, 405):
        return status, b""
    # Servers of the first version of the service have no tokens.
    headers = {"X-securitykey-Token": token} if token.isascii() and token.isprintable() else {}
    return ask(endpoint, "GET", "/openstack/latest/securitykey", headers if token else {})


def ask(endpoint: str, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    # Unlike urllib it knows no proxies, follows no redirects, and has two timeouts.
    connection = HTTPConnection(urlsplit(endpoint).netloc, timeout=CONNECT_TIMEOUT)
    try:
        connection.connect()
        connection.sock.settimeout(READ_TIMEOUT)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(ECS_LARGEST_ANSWER)
    finally:
        connection.close()


def from_botocore(*, instance: bool) -> Found:
    """Ask botocore for what needs a service: roles, SSO, containers, and instances of EC2."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.session import Session
    except ImportError:
        raise NothingFound("AWS: botocore is not installed") from None
    try:
        resolver = Session().get_component("credential_provider")
        for method in ("env", "shared-credentials-file", *(() if instance else ("iam-role",))):
            resolver.remove(method)
        credentials = resolver.load_credentials()
        if credentials is None:
            raise NothingFound("AWS: botocore found nothing")
        frozen = credentials.get_frozen_credentials()
    except (BotoCoreError, ClientError) as error:
        raise NothingFound(f"AWS: {error}") from error
    except (OSError, RuntimeError, ValueError, KeyError) as error:  # botocore lets them through
        raise NothingFound(f"AWS: botocore failed with {type(error).__name__}") from error
    # Nothing public tells the end.
    end = getattr(credentials, "_expiry_time", None)
    expires = end.timestamp() if end is not None else None
    plain = Credentials(frozen.access_key, frozen.secret_key, frozen.token, expires)
    return Found(plain, f"AWS ({credentials.method})", "service")
