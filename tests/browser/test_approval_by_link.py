"""A person with a browser answers by the link of a message: what they read and press, and where they come out."""

from collections.abc import Callable
from datetime import timedelta

from playwright.sync_api import Page, expect

from browser.gallery import ABOUT, LINKS, Gallery
from builders import NOON
from foundry_rollouts.links import ApprovalLink

PATH = LINKS.to_approval(ApprovalLink("ro-order-status", 3, ABOUT, NOON + timedelta(hours=1)))


def test_what_is_pressed_is_asked_once_and_opening_alone_asks_nothing(
    gallery: Gallery, visit: Callable[..., Page]
) -> None:
    page = visit(f"{gallery.url}{PATH}")
    for said in ("Approve v28 of order-status?", ABOUT, "12 of 2 111 calls on v28 failed", "0 of 1"):
        expect(page.locator("main")).to_contain_text(said)
    page.reload()
    page.get_by_role("link", name="See the rollout").click()
    expect(page.locator("main")).not_to_contain_text("asked to approve")
    page.goto(f"{gallery.url}{PATH}")
    page.get_by_label("Reason").fill("read the answers")
    page.get_by_role("button", name="Approve v28").click()
    expect(page).to_have_url(f"{gallery.url}/rollouts/ro-order-status")
    expect(page.locator("main")).to_contain_text("asked to approve")
    expect(page.locator("main")).to_contain_text("read the answers")
