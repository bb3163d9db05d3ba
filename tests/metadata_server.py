"""A metadata service that gives temporary credentials, as Huawei's and Amazon's do."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN_PATH = "/meta-data/latest/api/token"
KEY_PATH = "/openstack/latest/securitykey"
IMDS_PATH = "/latest/meta-data/iam/security-credentials/"

Answer = tuple[int, str]


class MetadataServer:
    """A metadata service: answers by method and path, and a record of what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[], Answer]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("content-length", 0))
                self.rfile.read(length)
                asked = f"{self.command} {self.path}"
                headers = {name.lower(): value for name, value in self.headers.items()}
                service.requests.append((asked, headers))
                answer = service.answers.get(asked, (404, "not here"))
                status, body = answer() if callable(answer) else answer
                self.send_response(status)
                if status == 302:
                    self.send_header("location", body)
                self.send_header("content-length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            do_PUT = do_GET  # noqa: N815 - http.server's name

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *args: object) -> None:
                """Say nothing of clients that went away."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def count(self, asked: str) -> int:
        return sum(request == asked for request, _ in self.requests)

    def give(self, name: str, seconds: float) -> None:
        """Answer with credentials that are good for some time."""
        self.answers[f"GET {KEY_PATH}"] = (200, security_key(name, seconds))


def utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + seconds))


def security_key(name: str, seconds: float) -> str:
    return json.dumps(
        {
            "credential": {
                "access": name,
                "secret": f"secret-of-{name}",
                "securitytoken": f"token-of-{name}",
                "expires_at": utc(seconds) + ".000000Z",
            }
        }
    )


def amazon_key(name: str) -> str:
    return json.dumps(
        {
            "Code": "Success",
            "AccessKeyId": name,
            "SecretAccessKey": f"secret-of-{name}",
            "Token": f"token-of-{name}",
            "Expiration": utc(6 * 3600) + "Z",
        }
    )
