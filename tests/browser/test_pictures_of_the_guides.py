"""The pictures in the guides and in the README, taken of the pages as they are.

``DOCS_IMAGES=docs/images .venv/bin/pytest tests/browser/test_pictures_of_the_guides.py`` takes them anew.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from browser.background import Background
from browser.gallery import Gallery
from browser.theatre import Theatre, a_theatre
from browser.windows import PICTURES
from tools.repository import ROOT

IMAGES = ROOT / "docs" / "images"
FOLDER = Path(os.environ.get("DOCS_IMAGES") or PICTURES / "docs").absolute()
WIDTH = 1200


@pytest.fixture(scope="module")
def theatre(background: Background, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    with background.entered(a_theatre(tmp_path_factory.mktemp("theatre"))) as playing:
        yield playing


def take(page: Page, name: str, height: int) -> None:
    """Take the upper part of a page, which says what it is about."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
    assert path.stat().st_size > 10_000, f"{name} is empty"


def test_a_rollout_at_fifty_percent(background: Background, theatre: Theatre, visit: Callable[..., Page]) -> None:
    background.run(theatre.play_until(2))
    background.run(theatre.play(3))
    page = visit(theatre.url, WIDTH)
    assert page.locator("h1").count() == 1
    take(page, "rollout", 664)


@pytest.mark.parametrize(("name", "path", "height"), [("overview", "/", 487), ("policies", "/policies", 592)])
def test_the_pages_of_the_site(name: str, path: str, height: int, gallery: Gallery, visit: Callable[..., Page]) -> None:
    page = visit(f"{gallery.url}{path}", WIDTH)
    assert page.locator("h1").count() == 1
    take(page, name, height)


def test_every_picture_that_a_page_shows_is_there_and_small() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = {
        (page.parent / found).resolve()
        for page in pages
        for found in re.findall(r"!\[[^\]]+\]\((\S+?\.png)\)", page.read_text("utf-8"))
    }
    assert shown == set(IMAGES.glob("*.png"))
    assert [path.name for path in shown if path.stat().st_size > 300_000] == []
