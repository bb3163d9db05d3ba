"""Programs that have to do the same to objects as to local files."""

from __future__ import annotations

from pathlib import Path
from reprlib import Repr
from typing import TYPE_CHECKING, Any, NamedTuple

import aioobs.sync as mox

if TYPE_CHECKING:
    from collections.abc import Callable


class Folder(NamedTuple):
    """A place for files: a local folder where `open` opens them, or a bucket where `File` does."""

    path: str

    @property
    def is_local(self) -> bool:
        """Whether the files are local ones."""
        return "://" not in self.path

    def open(self, name: str, mode: str = "r", **options: Any) -> Any:
        """Open a file; text is UTF-8 in both places unless *options* say otherwise."""
        if not self.is_local:
            return mox.file.File(f"{self.path}/{name}", mode, **options)
        if "b" not in mode:
            options.setdefault("encoding", "utf-8")
        return open(f"{self.path}/{name}", mode, **options)

    def content(self, name: str) -> bytes:
        """Return the bytes of a file, by other means than those that are tried."""
        if self.is_local:
            return Path(self.path, name).read_bytes()
        return mox.file.read(f"{self.path}/{name}", binary=True)

    def put(self, name: str, content: bytes) -> None:
        """Make a file, by other means than those that are tried."""
        if self.is_local:
            Path(self.path, name).write_bytes(content)
        else:
            mox.file.write(f"{self.path}/{name}", content, binary=True)


def alike(program: Callable[[Folder], object]) -> Callable[[Path, str], None]:
    """Make a test of *program*: it has to return for objects what it returns for local files."""

    def test(tmp_path: Path, obs_bucket: str) -> None:
        expected = program(Folder(str(tmp_path)))
        assert expected is not None, "the program shows nothing"
        found = program(Folder(obs_bucket.replace("s3://", "obs://")))
        assert found == expected, f"{brief(found)}, not {brief(expected)}"

    return test


def brief(value: object) -> str:
    """Show what a program returned, without all of its bytes."""
    short = Repr()
    short.maxlist = short.maxtuple = short.maxdict = 30
    short.maxstring = short.maxother = 60
    return short.repr(value)
