"""Room on a disk that is taken before it is written to.

A file system that has to look for room write by write takes longer: on ext4, half as long again.
"""

from __future__ import annotations

import os
import struct
import sys
from contextlib import suppress

__all__ = ["preallocate"]

WORTH = 1 << 20  # bytes; what takes less gains less than the call takes
SPACE_RESV = "hhqqiI4i"  # as <linux/falloc.h> has it: whence, start, length
# What fallocate(2) does and Python does not have: os.posix_fallocate, where a file system cannot
# do that, writes to every block instead.  It is FS_IOC_RESVSP64, which leaves the size as it is.
RESERVE = 1 << 30 | struct.calcsize(SPACE_RESV) << 16 | ord("X") << 8 | 42


def preallocate(descriptor: int, offset: int, size: int) -> None:
    """Have the file system take room for a range of a file that is about to be written.

    Nothing happens where it cannot, or where that gains nothing: in memory, over a network, and
    where it would keep btrfs from compressing.  A full disk is found by writing to it.
    """
    if sys.platform != "linux" or size < WORTH:
        return
    import fcntl

    with suppress(OSError):
        if os.major(os.fstat(descriptor).st_dev):  # a block device
            request = struct.pack(SPACE_RESV, 0, os.SEEK_SET, offset, size, 0, 0, 0, 0, 0, 0)
            fcntl.ioctl(descriptor, RESERVE, request)
