"""The documentation as a site: every page is in it, every link leads somewhere, and nothing comes from another host."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tools import site
from tools.repository import ROOT

#: What a browser fetches by itself.
FETCHED = re.compile(r"<(?:script|link|img|iframe|source|video)\b[^>]*?\b(?:src|href)=\"([^\"]+)\"")
#: What readers follow.
FOLLOWED = re.compile(r"<a\b[^>]*?\bhref=\"([^\"]+)\"")
#: Marks on which the theme would fetch a program from another host.
LAZY = re.compile(r"class=\"[^\"]*\b(mermaid|glightbox|pyodide)\b")


def test_the_site_holds_every_page_and_asks_no_other_host(tmp_path: Path) -> None:
    site.stage(tmp_path)
    done = site.build(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    built = tmp_path / "site"
    pages = sorted(built.rglob("*.html"))
    texts = {page: page.read_text("utf-8") for page in pages}
    assert {str(page.relative_to(built)) for page in pages} >= {html_of(page) for page in site.pages()}
    assert [
        (page.name, found) for page, text in texts.items() for found in FETCHED.findall(text) if is_foreign(found)
    ] == []
    assert [page.name for page, text in texts.items() if LAZY.search(text)] == []
    missing = [
        f"{page.relative_to(built)}: {link}"
        for page, text in texts.items()
        for link in FOLLOWED.findall(text) + FETCHED.findall(text)
        if not leads_somewhere(page, link)
    ]
    assert missing == []


def html_of(page: str) -> str:
    """Return where the site has a page of the repository."""
    return re.sub(r"README\.html$", "index.html", page.removesuffix(".md") + ".html")


def is_foreign(link: str) -> bool:
    return "://" in link or link.startswith("//")


def leads_somewhere(page: Path, link: str) -> bool:
    path = unquote(link.partition("#")[0])
    # The page of errors has addresses from the root.
    target = page.parent / path
    is_there = target.is_file() or (target / "index.html").is_file()
    return not path or path == "/" or ":" in path or page.name == "404.html" or is_there


def test_the_navigation_holds_every_page_once() -> None:
    shown = [page for _, pages in site.navigation() for page in pages]
    assert sorted(shown) == sorted(site.pages())
    assert [title for title, _ in site.navigation()] == ["Start", "Begin", "How to", "Reference", "Background", "More"]


def test_the_list_of_pages_names_every_page_of_the_folder() -> None:
    named = {page for title, pages in site.navigation() if title != "More" for page in pages}
    ours = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert ours - named == set()


@pytest.mark.parametrize("link", ["gone.md", "index.md#gone"])
def test_a_link_that_leads_nowhere_fails_the_build(link: str, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.md").write_text(f"# Home\n\n[there]({link})\n", "utf-8")
    (tmp_path / "zensical.toml").write_text(site.CONFIG.format(nav='[{ "Home" = "index.md" }]'), "utf-8")
    done = site.build(tmp_path)
    assert done.returncode != 0
    assert "does not exist" in done.stdout + done.stderr
