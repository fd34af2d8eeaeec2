"""Every path and name on the pages for newcomers exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.repository import PACKAGE, ROOT

PAGES = ("README.md", "docs/architecture.md", "docs/contributing.md")
#: Where a path may begin.
ROOTS = (ROOT, PACKAGE, ROOT / "docs")
SUFFIXES = "py|md|toml|yaml|yml|json"
PATH = re.compile(rf"(?<![\w./:{{}}-])((?:[\w.-]+/)*[\w-]+\.(?:{SUFFIXES})|(?:[\w.-]+/)+)(?::([A-Za-z_]\w*))?(?![\w/])")
#: What a command or a folder of the reader holds.
READERS = {"policies/", "policy.yaml", "FILE.yaml"}


def mentioned(page: str) -> Iterator[tuple[str, str | None]]:
    """Yield each path in the code spans of ``page``, with the name that is said to be in it."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
    for span in re.findall(r"`([^`\n]+)`", text):
        if "://" not in span and "{" not in span:
            yield from ((match[1], match[2]) for match in PATH.finditer(span))


def found(path: str) -> Path | None:
    return next((root / path for root in ROOTS if (root / path).exists()), None)


def defines(file: Path, name: str) -> bool:
    """Return whether ``file`` defines ``name`` at its top level."""
    return bool(re.search(rf"^(async def|def|class) {name}\b|^{name}\b.*=", file.read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_every_path_and_name_exists(page: str) -> None:
    wrong = []
    for path, name in mentioned(page):
        file = found(path)
        if file is None and path not in READERS:
            wrong.append(path)
        elif file is not None and name is not None and not defines(file, name):
            wrong.append(f"{path}:{name}")
    assert wrong == []


def test_the_search_sees_paths_and_names() -> None:
    seen = list(mentioned("docs/architecture.md"))
    assert ("controller/tick.py", "Ticker") in seen
    assert ("store/", None) in seen
    assert len(seen) > 100
    assert found("core/judge.py") is None
    assert not defines(PACKAGE / "controller" / "tick.py", "Clock")
