"""Builds the documentation as a static site into ``site/``: ``python -m tools.site [FOLDER]``.

The pages are those of the repository at their own paths, and what they link to, so that a link is right in both places.
The navigation is the list of ``docs/README.md``. A link or an anchor that leads nowhere fails the build.
"""

# ruff: noqa: T201 - it speaks to a terminal
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools.repository import ROOT, program, said

#: Where readers begin, the list of pages, and folders that hold more of them.
HOME, INDEX, FOLDERS = "README.md", "docs/README.md", ("docs", "deploy", "tests/migrations")
NEWS = "CHANGELOG.md"
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
#: What it writes for terminals.
COLOURS = re.compile(r"\x1b\[[\d;]*m")
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
#: No font and no script from another host; the names of files are those of the pages.
CONFIG = """[project]
site_name = "foundry-rollouts"
docs_dir = "pages"
site_dir = "site"
use_directory_urls = false
nav = {nav}
[project.extra]
generator = false
[project.theme]
font = false
features = ["navigation.sections", "navigation.indexes", "content.code.copy"]
"""


def pages() -> list[str]:
    """Return every page, by its path in the repository."""
    listed = said("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *FOLDERS).split("\0")
    return [HOME, NEWS, *sorted(name for name in listed if name.endswith(".md") and (ROOT / name).exists())]


def navigation() -> list[tuple[str, list[str]]]:
    """Return the sections with their pages: as ``docs/README.md`` lists them, then all others."""
    _, *parts = HEADING.split((ROOT / INDEX).read_text("utf-8"))
    sections = [("Start", [HOME, INDEX])]
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        sections.append((title, list(_pages_in(text))))
    named = {page for _, some in sections for page in some}
    return [*sections, ("More", [page for page in pages() if page not in named])]


def _pages_in(text: str) -> Iterator[str]:
    for link in dict.fromkeys(LINK.findall(text)):
        if link.endswith(".md"):
            yield str((ROOT / INDEX).parent.joinpath(link).resolve().relative_to(ROOT))


def stage(folder: Path) -> None:
    """Lay the pages, what they link to, and the configuration into ``folder``."""
    for page in pages():
        _copy(page, folder / "pages")
        for link in LINK.findall((ROOT / page).read_text("utf-8")):
            target = (ROOT / page).parent.joinpath(link).resolve()
            if "://" not in link and target.is_file():
                _copy(str(target.relative_to(ROOT)), folder / "pages")
            elif "://" not in link and target.is_dir():
                _list(target, folder / "pages" / target.relative_to(ROOT))
    nav = "[" + ", ".join(f"{{ {json.dumps(title)} = {json.dumps(some)} }}" for title, some in navigation()) + "]"
    (folder / "zensical.toml").write_text(CONFIG.format(nav=nav), "utf-8")


def _copy(name: str, folder: Path) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / name, folder / name)


def _list(source: Path, target: Path) -> None:
    """Give a folder that a page links to a page of its own, where it has none: its files."""
    target.mkdir(parents=True, exist_ok=True)
    files = [path for path in sorted(source.iterdir()) if path.is_file()]
    for path in files:
        shutil.copy(path, target / path.name)
    if not (target / HOME).exists():
        lines = [f"* [{path.name}]({path.name})" for path in files]
        (target / HOME).write_text(f"# {source.relative_to(ROOT)}\n\n" + "\n".join(lines) + "\n", "utf-8")


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build what lies in ``folder`` into its folder ``site``; every broken link is an error."""
    command = [program("zensical"), "build", "--strict"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    plain = (COLOURS.sub("", text) for text in (done.stdout, done.stderr.partition("Traceback")[0]))
    return subprocess.CompletedProcess(command, done.returncode, *plain)


def main(target: Path) -> int:
    """Build the site into ``target``; return 0 when every link leads somewhere."""
    with tempfile.TemporaryDirectory() as scratch:
        stage(Path(scratch))
        done = build(Path(scratch))
        if done.returncode:
            print(done.stdout + done.stderr, file=sys.stderr)
            return 1
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(Path(scratch, "site"), target)
    print(f"open {target}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(*sys.argv[1:2] or ["site"])))
