"""The fenced blocks of a page, as a reader copies them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SHELL = "sh"


@dataclass(frozen=True, slots=True)
class Fence:
    """One block, the heading it stands under, and which of its language it is there."""

    heading: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        """Name it, for a report."""
        return f"{self.heading}, {self.number}" if self.number > 1 else self.heading


def fences(page: Path) -> Iterator[Fence]:
    """Yield every fenced block of a page, in order."""
    text = page.read_text("utf-8")
    seen: dict[tuple[str, str], int] = {}
    for found in _FENCE.finditer(text):
        *_, heading = _HEADING.findall(_FENCE.sub("", text[: found.start()])) or [""]
        kind = (heading, found["language"])
        seen[kind] = seen.get(kind, 0) + 1
        yield Fence(heading, seen[kind], found["language"], found["text"])
