"""How an expert cuts a big file where a client leaves that to its user."""

from __future__ import annotations

PART = 8 << 20
BIG = 2 * PART
"""From this size on, a file moves in parts."""
