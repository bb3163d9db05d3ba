"""A body that comes in chunks, taken apart as it arrives.

What two readers could understand differently is refused, trailers too.
"""

from __future__ import annotations

import re

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

    def take(self, data: bytes) -> list[bytes]:
        """Return what is of the body in what arrives.

        Raises:
            ValueError: these are no chunks, or ones with trailers, or with more behind.
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        parts: list[bytes] = []
        position = 0
        while True:
            part = data[position : position + self._missing]
            if part:
                parts.append(part)
            self._missing -= len(part)
            position += len(part)
            if self._missing:
                return parts
            start = position + len(self._end)
            if not self._end.startswith(data[position:start]):
                raise ValueError("a chunk without an end")
            line_end = data.find(END, start)
            if line_end < 0:
                if len(data) - position > LONGEST_LINE:
                    raise ValueError("no length of a chunk")
                self._rest = data[position:]
                return parts
            found = SIZE.fullmatch(data, start, line_end)
            if found is None:
                raise ValueError("no length of a chunk")
            size, behind = int(found[1], 16), line_end + len(END)
            if not size:
                rest = data[behind:]
                if not END.startswith(rest):
                    raise ValueError("something after the last chunk")
                self.is_complete = rest == END
                self._rest = data[position:]
                return parts
            self._missing, self._end, position = size, END, behind
