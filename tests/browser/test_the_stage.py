"""The harness itself: the whole service over a local Foundry, and windows that report what goes wrong in them."""

from collections.abc import Callable

from playwright.sync_api import Browser, Page, expect

from browser.gallery import Gallery
from browser.stage import Real
from browser.windows import Windows, objections


def test_the_whole_service_shows_its_agent(stage: Real, visit: Callable[..., Page]) -> None:
    """Its endpoint was pinned to its first version: it needs nobody, so it is one of the quiet ones at once."""
    page = visit(stage.url)

    row = page.get_by_role("region", name="Quiet").get_by_role("row").filter(has_text="support-agent")
    expect(row.get_by_role("cell", name="v1", exact=True)).to_be_visible()
    expect(row.get_by_role("cell", name="support", exact=True)).to_be_visible()
    expect(page.locator("#o-lead")).to_contain_text("No agent needs a person.")


def test_a_window_reports_a_foreign_request_a_broken_policy_and_a_script_that_fails(
    chromium: Browser, gallery: Gallery
) -> None:
    windows = Windows(chromium)
    page = windows.open(gallery.url)
    page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://elsewhere.example/x.png'}))")
    page.evaluate("setTimeout(() => { throw new Error('broken') })")
    page.wait_for_timeout(100)

    troubles = windows.close()

    assert any("img-src" in each for each in troubles)
    assert any("broken" in each for each in troubles)


def test_axe_is_heard(gallery: Gallery, visit: Callable[..., Page]) -> None:
    page = visit(gallery.url)
    page.evaluate(
        "document.querySelector('h1').after(Object.assign(document.createElement('img'), {src: '/static/icon.svg'}))"
    )

    assert any(each.startswith("image-alt") for each in objections(page))
