"""Moments of one rollout that a page is opened for: each is whole, and axe finds nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.background import Background
from browser.gallery import Gallery
from browser.theatre import Theatre, a_theatre
from browser.windows import PICTURES, examine, objections
from foundry_rollouts.core.model.rollout import Phase

Visit = Callable[..., Page]


@pytest.fixture
def theatre(background: Background, tmp_path: Path) -> Iterator[Theatre]:
    """Serve one rollout whose ticks the test plays."""
    with background.entered(a_theatre(tmp_path)) as served:
        yield served


def drawn(page: Page) -> Page:
    expect(page.locator("#r-live")).to_contain_text("Live")
    expect(page.locator("figure[data-chart] canvas")).to_have_count(4)
    return page


def test_stopped_by_keyboard_alone(theatre: Theatre, background: Background, visit: Visit) -> None:
    background.run(theatre.play_until(2))
    page = visit(theatre.site.url)
    page.keyboard.press("/")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText.startsWith('Pause')"):
            break
    page.keyboard.press("Enter")

    expect(page.locator("#asked-1")).to_contain_text("asked to pause")
    assert background.run(theatre.play()).phase is Phase.PAUSED
    expect(page.locator("#r-head .state")).to_contain_text("Paused")
    examine(drawn(page), "rollout-paused")


def test_promoted(theatre: Theatre, background: Background, visit: Visit) -> None:
    background.run(theatre.play_until(3))
    page = visit(theatre.url)
    page.locator("#b-approve").click()
    expect(page.locator("#asked-1")).to_contain_text("asked to approve")
    background.run(theatre.play(40))

    expect(page.locator("#r-head .state")).to_contain_text("Promoted")
    expect(page.locator("#r-gates tbody tr").first).to_contain_text("not compared")
    expect(page.locator("#r-answer")).to_be_hidden()
    examine(drawn(page), "rollout-promoted")


def test_the_dialog_before_exposure_is_raised(theatre: Theatre, background: Background, visit: Visit) -> None:
    background.run(theatre.play_until(1))
    page = visit(theatre.url)
    page.locator("#b-promote").click()
    expect(page.locator("#ask-promote")).to_be_visible()
    examine(page, "rollout-promote-dialog")


def test_without_a_connection(theatre: Theatre, background: Background, visit: Visit) -> None:
    background.run(theatre.play_until(2))
    background.run(theatre.play(3))
    page = visit()
    page.clock.install()
    page.goto(theatre.url)
    drawn(page)
    page.context.set_offline(True)
    page.clock.fast_forward(15_000)
    expect(page.locator("#r-lost")).to_be_visible()
    examine(page, "rollout-connection-lost")


def test_on_paper(theatre: Theatre, background: Background, visit: Visit) -> None:
    background.run(theatre.play_until(2))
    background.run(theatre.play(3))
    page = drawn(visit(theatre.url))
    page.emulate_media(media="print")

    expect(page.locator("#b-abort")).to_be_hidden()
    expect(page.locator("#verdict")).to_be_visible()
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / "rollout-print.png", full_page=True)


def test_the_row_of_a_rollout_under_way_says_how_long_still(
    theatre: Theatre, background: Background, visit: Visit
) -> None:
    background.run(theatre.play_until(2))
    background.run(theatre.play(2))
    page = visit(theatre.site.url)

    row = page.get_by_role("listitem").filter(has_text="Step 2 of 4, weight 50")
    expect(row).to_contain_text("Evidence")
    expect(row.get_by_role("img", name="of what advances")).to_be_visible()
    expect(row).to_contain_text("left of 2\u202fmin")
    examine(page, "overview-moving")


def test_with_colours_of_the_system(gallery: Gallery, visit: Visit) -> None:
    page = visit(gallery.url, forced_colors="active")

    assert objections(page) == []
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / "overview-forced-colours.png", full_page=True)
