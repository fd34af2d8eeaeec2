"""What people do on the pages: sign in, find an agent, see a row change, read by keyboard, without script, on paper."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from browser.background import Background
from browser.gallery import SHOWN, Gallery, a_site, put, rollout_of, seen
from browser.windows import PHONE, PICTURES, examine
from builders import NOON
from fakes import record
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.event import of_rollout
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.operations.tokens import make_token, token_for
from foundry_rollouts.ports import AgentKnown, Record

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def guarded(background: Background, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """Serve an empty project to those who sign in only."""
    with background.entered(a_site(tmp_path_factory.mktemp("guarded"), is_open=False)) as site:
        yield site


@pytest.fixture
def secret(background: Background, guarded: Gallery, request: pytest.FixtureRequest) -> str:
    name = request.node.name[:60]
    made = background.run(make_token(guarded.store, token_for("on-call", Role.OPERATOR, NOON, None, id=name)))
    return made.secret


def sign_in(page: Page, secret: str) -> None:
    page.get_by_label("API token").fill(secret)
    page.get_by_role("button", name="Sign in with the token").click()


def test_signing_in_leads_back_to_the_page_and_signing_out_ends_it(guarded: Gallery, visit: Visit, secret: str) -> None:
    page = visit(f"{guarded.url}/history?phase=failed")
    examine(page, "sign-in-asked")
    page.set_viewport_size({"width": 1440, "height": 900})
    sign_in(page, "frt_wrong")
    expect(page.get_by_role("alert")).to_contain_text("not known here")
    sign_in(page, secret)
    assert page.url == f"{guarded.url}/history?phase=failed"
    expect(page.get_by_text("on-call · operator")).to_be_visible()
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert page.evaluate("document.cookie") == ""

    page.get_by_role("button", name="Sign out", exact=True).click()

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(guarded.url)
    assert page.url.startswith(f"{guarded.url}/sign-in")


def test_signing_out_everywhere_ends_the_other_browser_too(guarded: Gallery, visit: Visit, secret: str) -> None:
    here, there = visit(guarded.url), visit(guarded.url)
    sign_in(here, secret)
    sign_in(there, secret)

    here.get_by_role("button", name="Sign out everywhere").click()

    there.reload()
    assert "/sign-in" in there.url


def test_a_newcomer_is_shown_the_way(guarded: Gallery, visit: Visit, secret: str) -> None:
    page = visit(guarded.url)
    sign_in(page, secret)

    expect(page.get_by_text("No agents yet.")).to_be_visible()
    examine(page, "empty")


def test_the_filter_finds_agents_by_name_version_and_policy(gallery: Gallery, visit: Visit) -> None:
    page = visit(gallery.url)
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    for words, found in (("returns", "returns-agent"), ("v28", "order-status"), ("cautious", "refund-agent")):
        page.get_by_role("searchbox").fill(words)
        page.keyboard.press("Enter")
        expect(page.get_by_text(found, exact=True).first).to_be_visible()
        expect(page.get_by_text("faq-agent", exact=True)).to_have_count(0)

    page.get_by_role("searchbox").fill("nothing like it <b>")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No agent fits “nothing like it <b>”.")).to_be_visible()


def test_a_row_changes_in_its_place_and_says_when_it_belongs_elsewhere(
    background: Background, visit: Visit, tmp_path: Path
) -> None:
    shown = next(each for each in SHOWN if each.name == "booking-agent")
    with background.entered(a_site(tmp_path, check_every=timedelta(milliseconds=50))) as site:
        background.run(site.store.see_agents([seen(shown)], NOON))
        background.run(put(site.store, shown))
        page = visit(site.url)
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        row = page.get_by_role("listitem").filter(has_text="booking-agent")
        expect(row).to_contain_text("weight 10")
        row.get_by_role("button", name="Abort").focus()

        moved = replace(rollout_of(shown), step=2, event_count=3, generation=2, because="proved at 10")
        event = of_rollout(moved, "rollout.advanced", "proved at 10", NOON)
        background.run(record(site.store, shown.name, Record(event=event, rollout=moved, due_at=NOON)))
        expect(row).to_contain_text("Step 2 of 4, weight 50")
        expect(row.get_by_role("button", name="Abort")).to_be_focused()

        waits = replace(moved, step=3, event_count=4, generation=3)
        event = of_rollout(waits, "rollout.advanced", "waits for approval", NOON)
        background.run(record(site.store, shown.name, Record(event=event, rollout=waits, due_at=NOON)))
        expect(row).to_contain_text("Waits for approval")
        expect(page.get_by_text("1 agent belongs elsewhere now.")).to_be_visible()
        expect(page).to_have_title("1 to check · Agents · foundry-rollouts")


def test_a_page_that_is_older_than_its_stream_keeps_its_rows_where_they_are(
    background: Background, visit: Visit, tmp_path: Path
) -> None:
    """An agent that was pinned after the page was drawn is quiet for the stream, and in a list on the page."""
    new, other = AgentKnown("new-agent", latest="1", routing=Routing.of({LATEST: 100})), AgentKnown("other-agent")
    with background.entered(a_site(tmp_path, check_every=timedelta(milliseconds=50))) as site:
        background.run(site.store.see_agents([new, other], NOON))
        page = visit()
        page.route("**/live?*", lambda route: route.fulfill(content_type="text/event-stream", body=""))
        page.goto(site.url)
        item = page.get_by_role("listitem").filter(has_text="new-agent")
        expect(item).to_contain_text("Not pinned")
        background.run(record(site.store, "new-agent", Record(stable="1")))
        pinned = replace(new, routing=Routing.of({"1": 100}))
        late = AgentKnown("late-agent", latest="1", routing=Routing.of({LATEST: 100}))
        background.run(site.store.see_agents([pinned, other, late], NOON + timedelta(seconds=1)))

        page.unroute("**/live?*")

        expect(item).to_contain_text("Its endpoint names v1, and no rollout is under way.")
        expect(page.get_by_role("list").get_by_role("row")).to_have_count(0)
        expect(page.locator("#o-lead")).to_contain_text("1 agent needs a person. 0 rollouts are moving, 2 agents are")
        expect(page.get_by_role("radio", name="Quiet 2")).to_be_attached()
        expect(page.get_by_text("2 agents belong elsewhere now.")).to_be_visible()
        page.get_by_role("link", name="Sort again").click()
        expect(page.get_by_role("row").filter(has_text="new-agent")).to_be_visible()
        expect(page.get_by_role("listitem").filter(has_text="late-agent")).to_contain_text("Not pinned")


def test_a_page_lives_however_late_its_scripts_come(gallery: Gallery, visit: Visit) -> None:
    page = visit()

    def late(route: Route) -> None:
        page.wait_for_timeout(700)
        route.continue_()

    page.route("**/hx-sse*", late)
    page.goto(gallery.url)

    expect(page.get_by_text("Live", exact=True)).to_be_visible()


def test_names_that_others_chose_are_text(background: Background, visit: Visit, tmp_path: Path) -> None:
    names = ["<img src=x onerror=alert(1)>", "../../etc/passwd", "a\x1b[31mred", "'\"><script>alert(1)</script>"]
    with background.entered(a_site(tmp_path)) as site:
        known = [AgentKnown(name, latest="1", policy="<b>p</b>") for name in names]
        background.run(site.store.see_agents(known, NOON))
        page = visit(site.url)

        for name in ("<img src=x onerror=alert(1)>", "../../etc/passwd", "a\\x1b[31mred"):
            expect(page.get_by_text(name, exact=True)).to_be_visible()
        assert page.locator("main img, main script, main b b").count() == 0
        for path in ("/rollouts/..%2f..%2fetc%2fpasswd", "/static/..%2f..%2frender.py", "/static/%2e%2e/%2e%2e/app.py"):
            assert page.request.get(f"{site.url}{path}").status == 404


def test_without_script_each_page_is_complete(gallery: Gallery, visit: Visit) -> None:
    page = visit(gallery.url, java_script_enabled=False)
    expect(page.locator("#o-live")).to_have_text("As of 12:00:00 UTC")
    page.get_by_label("Filter by agent, version or policy").fill("returns")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("link", name="returns-agent", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="faq-agent", exact=True)).to_have_count(0)


def test_on_paper_the_content_is_there_and_what_is_pressed_is_not(gallery: Gallery, visit: Visit) -> None:
    page = visit(f"{gallery.url}/history")
    page.emulate_media(media="print")

    expect(page.get_by_role("table")).to_be_visible()
    expect(page.get_by_role("button", name="Filter")).to_be_hidden()
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / "history-print.png", full_page=True)


def test_a_theme_that_was_chosen_stays(gallery: Gallery, visit: Visit) -> None:
    page = visit(gallery.url, width=PHONE)
    page.get_by_role("button", name="Light or dark").click()
    page.goto(f"{gallery.url}/policies")

    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
