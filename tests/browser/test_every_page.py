"""Each page at both widths, light and dark: nothing is cut off, axe objects to nothing, nothing leaves the host."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page

from browser.gallery import ABOUT, LINKS, Gallery
from browser.windows import examine
from builders import NOON
from foundry_rollouts.links import ApprovalLink

PAGES = {
    "overview": "/",
    "overview-filtered": "/?q=standard&show=moving",
    "history": "/history",
    "history-filtered": "/history?phase=rolled_back&words=calls&since=2026-03-01",
    "policies": "/policies?name=support&rps=5.2&fails=0.8",
    "audit": "/audit",
    "rollout": "/rollouts/ro-support-agent",
    "approval": LINKS.to_approval(ApprovalLink("ro-order-status", 3, ABOUT, NOON + timedelta(hours=1))),
    "approval-over": LINKS.to_approval(ApprovalLink("ro-order-status", 2, ABOUT, NOON + timedelta(hours=1))),
    "not-found": "/rollouts/none",
    "sign-in": "/sign-in?next=/rollouts/ro-support-agent",
}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_whole_and_axe_finds_nothing(name: str, gallery: Gallery, visit: Callable[..., Page]) -> None:
    page = visit(f"{gallery.url}{PAGES[name]}")

    assert page.locator("h1").count() == 1
    examine(page, name)
