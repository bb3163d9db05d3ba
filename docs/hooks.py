"""Take into the site what lies outside its folder: README as the first page, and the examples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"(?<=\]\()([\w./-]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are written elsewhere, or put together here."""
    for source, page in PAGES.items():
        text = LINK.sub(lambda link: place(link[1]), (ROOT / source).read_text())
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "examples.md", content=examples()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Have links that lead out of the folder lead to the pages that were added."""
    up = "../" * page.file.src_uri.count("/")

    def inside(link: re.Match[str]) -> str:
        outside = link[1].removeprefix(up)
        return up + place(outside.removeprefix("../")) if outside.startswith("../") else link[1]

    return LINK.sub(inside, markdown)


def place(path: str) -> str:
    """Return where in the site a file of the repository is."""
    if path.startswith("examples"):
        return "examples.md"
    return PAGES.get(path, path.removeprefix("docs/"))


def examples() -> str:
    """Return a page with all examples."""
    programs = sorted((ROOT / "examples").glob("*.py"))
    return (
        "# Examples\n\nEach is a program in `examples` of a checkout. It runs as it stands, on a "
        "server of its own or at a URL on the command line.\n\n"
    ) + "\n\n".join(f"## {one.name}\n\n```python\n{one.read_text()}```" for one in programs)
