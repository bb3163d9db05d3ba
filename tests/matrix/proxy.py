"""A proxy before a real store, which goes wrong as it is told."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from faulty import Answer, FaultyServer

if TYPE_CHECKING:
    import ssl

    from faulty import Received, Store

    from matrix.faults import Fault

__all__ = ["SCHEDULES", "Proxy", "Tampering", "serve"]

SCHEDULES = ("first", "seventh", "random", "once", "always")
"""Which requests meet a fault: the first one, every seventh, some by chance, each once, or all."""
SLOW = 0.3  # seconds
UPLOAD_ID = re.compile(rb"<UploadId>(.*?)</UploadId>")


@dataclass
class Tampering:
    """What goes wrong for the requests of one operation, and what was seen of them."""

    fault: Fault
    schedule: str
    seed: str
    requests: list[Received] = field(default_factory=list)
    times: int = 0
    """How often it has gone wrong."""
    longest: float = 0.0
    """The most seconds that the store itself took for a request."""
    unknown: set[str] = field(default_factory=set)
    """Uploads of which the client was not told."""
    given_up: set[str] = field(default_factory=set)
    """Uploads that the client asked to abort, and was not heard."""

    @property
    def was_slow(self) -> bool:
        """Whether the store took so long for a request that the client may have given it up."""
        return self.longest >= SLOW

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._chance = random.Random(self.seed)
        self._seen = 0
        self._met: Counter[tuple[str, str, str]] = Counter()

    def is_due(self, received: Received) -> bool:
        """Tell whether it goes wrong this time, for a request that can."""
        wanted = received.headers.get("range", "")
        # Who reads on where an answer broke off asks for the same again, as far as that goes.
        part = wanted.rpartition("-")[2] if self.schedule == "once" else wanted
        request = received.method, received.target, part
        with self._lock:
            self._seen += 1
            due = {
                "first": self._seen == 1,
                "seventh": self._seen % 7 == 0,
                "random": self._chance.random() < 0.3,
                "once": not self._met[request],
                "always": True,
            }[self.schedule]
            if self.schedule != "always" and self._met[request] >= self.fault.in_a_row:
                due = False
            self._met[request] += due
            self.times += due
        return due


class Proxy:
    """Tampers with the requests that mention a folder, for each folder in its own way.

    The answer to a request of none of them is a failure of the test.
    """

    def __init__(self, store: Store, access_key: str, secret_key: str) -> None:
        self.folders: dict[str, Tampering] = {}
        self._store = store
        self._signer = S3SigV4Auth(Credentials(access_key, secret_key), "s3", "us-east-1")

    def of(self, received: Received) -> Tampering:
        """Return what is done to a request."""
        text = unquote(received.target) + unquote(received.headers.get("x-amz-copy-source", ""))
        text += received.body[:4000].decode(errors="ignore") if "?delete" in text else ""
        for folder, tampering in list(self.folders.items()):  # which another trial may add to
            if re.search(rf"(?<![\w-]){re.escape(folder)}/", text):
                return tampering
        raise AssertionError(f"{received.method} {received.target} belongs to nobody")

    def at_head(self, received: Received) -> Answer | None:
        """Answer before the body of a request is there, if that is what goes wrong."""
        if "?delete" in received.target:  # whose it is stands in the body
            return None
        tampering = self.of(received)
        fault = tampering.fault
        if not (fault.early and fault.concerns(received) and tampering.is_due(received)):
            return None
        tampering.requests.append(received)
        return fault.spoil(received, Answer())

    def __call__(self, received: Received) -> Answer:
        """Answer a request."""
        tampering = self.of(received)
        tampering.requests.append(received)
        fault = tampering.fault
        if fault.early or not fault.concerns(received):
            return self._carried_out(tampering, received)
        if fault.asks is not None and tampering.is_due(received):
            good = self._carried_out(tampering, self._signed(fault.asks(received)))
            return fault.spoil(received, good) or good
        if not fault.carried_out:
            due = fault.asks is None and tampering.is_due(received)
            bad = fault.spoil(received, Answer()) if due else None
            if bad is None:
                return self._carried_out(tampering, received)
            self._note(tampering, received, b"")
            return bad
        if fault.late and tampering.is_due(received):
            with self._store.busy():
                time.sleep(fault.late)
                good = self._store(received)
            self._note(tampering, received, good.message)
            return fault.spoil(received, good) or good
        good = self._carried_out(tampering, received)
        if fault.late:
            return good
        spoilt = fault.spoil(received, good)
        if spoilt is None or not tampering.is_due(received):
            return good
        self._note(tampering, received, good.message)
        return spoilt

    def _carried_out(self, tampering: Tampering, received: Received) -> Answer:
        begun = time.monotonic()
        good = self._store(received)
        tampering.longest = max(tampering.longest, time.monotonic() - begun)
        return good

    def settle(self) -> None:
        """Wait until the store has nothing to do."""
        self._store.settle()

    def _note(self, tampering: Tampering, received: Received, message: bytes) -> None:
        """Remember what the client cannot know, or could not do."""
        if received.method == "POST" and "uploads" in received.query:
            tampering.unknown.update(found.decode() for found in UPLOAD_ID.findall(message))
        elif received.method == "DELETE" and "uploadId" in received.query:
            tampering.given_up.add(received.query["uploadId"])

    def _signed(self, received: Received) -> Received:
        host = received.headers["host"]
        kept = {
            name: text
            for name, text in received.headers.items()
            if name not in ("authorization", "x-amz-date", "x-amz-content-sha256")
        }
        request = AWSRequest(received.method, f"http://{host}{received.target}", kept)
        self._signer.add_auth(request)
        headers = {name.lower(): text for name, text in request.headers.items()}
        return replace(received, headers=headers)


def serve(proxy: Proxy, tls: ssl.SSLContext | None = None) -> FaultyServer:
    """Return a server for the proxy."""
    return FaultyServer(always=proxy, at_head=proxy.at_head, tls=tls)
