"""Whether a copy is the same as its source: `verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from aioobs.config import check_choice, check_threads
from aioobs.file import place
from aioobs.session import current_client
from aioobs.transfer.audit import Finding, Read, VerifyReport, audit

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioobs.url import Path

__all__ = ["Finding", "VerifyReport", "verify"]


async def verify(
    src_url: Path,
    dst_url: Path,
    *,
    read: Read = "local",
    threads: int = 16,
    found: Callable[[Finding], object] = lambda _: None,
) -> VerifyReport:
    """Compare a file or folder with its copy, and change nothing.

    Sizes are compared first, and then contents, as far as *read* allows:

    - ``"nothing"``: by the ETags and checksums that stores know of objects.
    - ``"local"``: local files are read as well and compared with those.
    - ``"all"``: both sides are read and compared byte by byte.

    A file of the right size of which nothing more can be found out is unchecked.  A file that only
    the copy has is extra, which is no fault.  Empty folders are not compared.

    Memory holds at most ten thousand names that seem to be on one side only; any more are looked
    up one by one.  So are all of them where a store does not list in the order of the keys.

    Args:
        src_url: A file or folder.
        dst_url: What should be a copy of it.
        read: What may be read.
        threads: How many files are compared, and requests under way, at the same time; as for
            `aioobs.file.copy_parallel`.
        found: Called in the event loop's thread with a `Finding` for each file, the same included.

    Returns:
        A `VerifyReport`, which is true if nothing is different or missing.

    Raises:
        MoxFileNotExistsException: there is nothing at *src_url*.
        ConfigError: *read* is none of these.
    """
    check_choice("read", read, get_args(Read))
    check_threads(threads)
    source, target = place(src_url), place(dst_url)
    return await audit(current_client(), source, target, read=read, threads=threads, found=found)
