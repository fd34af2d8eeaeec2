"""The stopped line in the browser: a banner that comes by itself, forms for thumbs, keys and no script at all."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.background import Background
from browser.gallery import Gallery, a_gallery
from browser.windows import PHONE, examine
from foundry_rollouts.controller.brakes import BrakeFacts
from unit.web.served import serving


@asynccontextmanager
async def a_braked_gallery(folder: Path) -> AsyncIterator[Gallery]:
    """Serve the gallery with what people stop and hold."""
    async with a_gallery(folder) as site:
        facts = BrakeFacts(site.store, site.services.metrics, timedelta(minutes=2))
        services = replace(site.services, brakes=facts)
        async with serving(services) as (url, _):
            yield Gallery(url, site.store, services)
        await facts.aclose()


@pytest.fixture
def braked(background: Background, tmp_path: Path) -> Iterator[Gallery]:
    with background.entered(a_braked_gallery(tmp_path)) as served:
        yield served


def test_whoever_has_a_page_open_sees_that_the_line_is_stopped_and_started(
    braked: Gallery, visit: Callable[..., Page]
) -> None:
    watching, rollout = visit(braked.url), visit(f"{braked.url}/rollouts/ro-support-agent")
    acting = visit(f"{braked.url}/line")
    acting.get_by_label("Reason").first.fill("incident 4711")
    acting.get_by_label("Reason").first.press("Enter")
    for page in (watching, rollout, acting):
        expect(page.get_by_role("region", name="The line is stopped")).to_contain_text(
            "stopped the line (incident 4711)"
        )
    acting.get_by_role("button", name="Start the line").focus()
    acting.keyboard.press("Enter")
    for page in (watching, rollout, acting):
        expect(page.get_by_role("region", name="The line is stopped")).to_have_count(0)


def test_a_phone_without_script_stops_holds_lets_go_and_starts(braked: Gallery, visit: Callable[..., Page]) -> None:
    page = visit(f"{braked.url}/line", width=PHONE, java_script_enabled=False)
    page.get_by_label("Reason").first.fill("incident 4711")
    page.get_by_label("For how long").first.select_option("4 hours")
    page.get_by_role("button", name="Stop the line").click()
    expect(page.get_by_role("region", name="The line is stopped")).to_contain_text("until 2026-03-02 16:00 UTC")
    page.get_by_label("Agent", exact=True).fill("support-agent")
    page.get_by_label("Version", exact=True).fill("0")
    page.get_by_label("Reason").last.fill("the fair")
    page.get_by_role("button", name="Hold the agent").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be held at version 0")


def test_the_page_and_the_banner_are_whole_and_axe_finds_nothing(braked: Gallery, visit: Callable[..., Page]) -> None:
    page = visit(f"{braked.url}/line")
    page.get_by_label("Reason").first.fill("incident 4711: " + "every region answers slowly " * 6)
    page.get_by_role("button", name="Stop the line").click()
    for name, path in (("line", "/line"), ("stopped-overview", "/"), ("stopped-rollout", "/rollouts/ro-support-agent")):
        seen = visit(f"{braked.url}{path}")
        assert seen.locator("h1").count() == 1
        examine(seen, name)
