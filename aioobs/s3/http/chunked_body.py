"""A body that comes in chunks, taken apart as it arrives.

What two readers could understand differently is refused, trailers too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ChunkedBody"]

SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[0-9A-Za-z-]{1,40}(?:=[0-9A-Za-z-]{1,100})?)?")
LONGEST_LINE = 256
END = b"\r\n"


class ChunkedBody:
    """What comes behind a head that announces chunks."""

    __slots__ = ("_end", "_missing", "_rest", "is_complete")

    def __init__(self) -> None:
        self.is_complete: bool = False
        """Whether the last chunk has come."""
        self._missing = 0  # bytes of the present chunk
        self._end = b""  # of that chunk, which stands before the size of the next one
        self._rest = b""  # a piece of that

    def take(self, data: bytes) -> bytes:
        """Return what is of the body in what arrives.

        Raises:
            ValueError: these are no chunks, or ones with trailers, or with more behind.
        """
        return b"".join(self._pieces(self._rest + data if self._rest else data))

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        position, self._rest = 0, b""
        while True:
            piece = data[position : position + self._missing]
            yield piece
            position += len(piece)
            self._missing -= len(piece)
            if self._missing:
                return
            start = position + len(self._end)
            if not self._end.startswith(data[position:start]):
                raise ValueError("a chunk without an end")
            line_end = data.find(END, start)
            if line_end < 0:
                if len(data) - position > LONGEST_LINE:
                    raise ValueError("no length of a chunk")
                break
            found = SIZE.fullmatch(data, start, line_end)
            if found is None:
                raise ValueError("no length of a chunk")
            size, behind = int(found[1], 16), line_end + len(END)
            if not size:
                if not END.startswith(data[behind:]):
                    raise ValueError("something after the last chunk")
                self.is_complete = data[behind:] == END
                break
            self._missing, self._end, position = size, END, behind
        self._rest = data[position:]
