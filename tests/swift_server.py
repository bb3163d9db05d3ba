"""OpenStack Swift with its S3 API, all of it in this one process: python swift_server.py PORT …

It is the strictest of the servers that pip can install: it wants the right region, MD5s where S3
wants them, and refuses what it does not know instead of ignoring it.  Its data go into the working
directory.  One port is for clients, the other three are for its parts.
"""

from __future__ import annotations

import os
import sys
import threading
from array import array
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

KEY, SECRET = "test:tester", "test-secret-key"
PORTS = 4


def obstacle(folder: Path) -> str:
    """Return why Swift cannot keep its data in *folder*; "": it can."""
    if find_spec("swift") is None:
        return "Swift is not installed: its wheels are for Linux"
    try:
        os.setxattr(folder, "user.aioobs", b"")
    except OSError as error:
        return f"Swift needs extended attributes in {folder}: {error}"
    return ""


class Memory:
    """What a proxy keeps in memcached, in a dictionary: nothing here changes behind its back."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def get(self, key: str, **_: Any) -> Any:
        return self._kept.get(key)

    def set(self, key: str, value: Any, **_: Any) -> None:
        self._kept[key] = value

    def delete(self, key: str, **_: Any) -> None:
        self._kept.pop(key, None)

    def incr(self, key: str, delta: int = 1, **_: Any) -> int:
        self._kept[key] = self._kept.get(key, 0) + delta
        return int(self._kept[key])


def serve(client_port: int, *ports: int) -> None:
    """Serve until the standard input ends."""
    from swift.common import utils

    utils.eventlet_monkey_patch()
    import eventlet
    from eventlet import wsgi
    from swift.common.http_protocol import SwiftHttpProtocol
    from swift.common.utils import config as names

    for module in (utils, names):
        module.HASH_PATH_SUFFIX, module.HASH_PATH_PREFIX = b"test", b""
    make_rings(ports)

    from swift.account.server import app_factory as accounts
    from swift.container.server import app_factory as containers
    from swift.obj.server import app_factory as objects

    here = os.getcwd()
    conf = {"devices": here, "mount_check": "false", "swift_dir": here, "log_address": "/nowhere"}
    os.makedirs("disk", exist_ok=True)
    places = dict(zip(ports, (accounts, containers, objects), strict=True))
    apps = [(port, factory(conf)) for port, factory in places.items()]
    apps.append((client_port, proxy(conf)))
    serving = [
        eventlet.spawn(
            wsgi.server,
            eventlet.listen(("127.0.0.1", port), backlog=512),
            app,
            protocol=SwiftHttpProtocol,
            capitalize_response_headers=False,
            log_output=False,
            max_size=1024,
        )
        for port, app in apps
    ]
    serving[-1].wait()


def make_rings(ports: tuple[int, ...]) -> None:
    """Say that everything has one copy, on the only disk."""
    from swift.common.ring import RingData

    for name, port in zip(("account", "container", "object"), ports, strict=True):
        device = {
            "id": 0,
            "region": 1,
            "zone": 1,
            "ip": "127.0.0.1",
            "port": port,
            "device": "disk",
            "weight": 1.0,
        }
        RingData([array("H", [0])], [device], 32).save(f"{name}.ring.gz")


def proxy(conf: dict[str, str]) -> Any:
    """Return what clients speak to."""
    from swift.common.middleware import (
        catch_errors,
        copy,
        dlo,
        gatekeeper,
        listing_formats,
        slo,
        symlink,
        tempauth,
        versioned_writes,
    )
    from swift.common.middleware.s3api import s3api
    from swift.proxy.server import app_factory

    file = {"__file__": os.devnull, "__name__": "proxy-server"}  # where it looks for policies
    app = app_factory(conf | file, account_autocreate="true", allow_account_management="true")
    for module, options in (
        (symlink, {}),
        (versioned_writes, {"allow_object_versioning": "true"}),
        (dlo, {}),
        (slo, {}),
        (copy, {}),
        (tempauth, {"user_test_tester": f"{SECRET} .admin"}),
        (s3api, {}),
        (listing_formats, {}),
        (gatekeeper, {}),
        (catch_errors, {}),
    ):
        app = module.filter_factory(conf, **options)(app)
    memory = Memory()

    def remembering(environ: dict[str, Any], start_response: Any) -> Any:
        environ["swift.cache"] = memory
        return app(environ, start_response)

    return remembering


def end_with_parent() -> None:
    os.read(0, 1)
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    serve(*map(int, sys.argv[1:]))
