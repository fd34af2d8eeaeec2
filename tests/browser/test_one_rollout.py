"""One rollout in a browser: it moves by itself, takes commands, and says when it has lost the connection."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.background import Background
from browser.theatre import Theatre, a_theatre
from browser.windows import PHONE, examine
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.tokens import make_token, token_for

Visit = Callable[..., Page]


@pytest.fixture
def theatre(background: Background, tmp_path: Path) -> Iterator[Theatre]:
    """Serve one rollout whose ticks the test plays."""
    with background.entered(a_theatre(tmp_path)) as served:
        yield served


def test_it_moves_by_itself_and_nothing_jumps(theatre: Theatre, background: Background, visit: Visit) -> None:
    page = visit(theatre.url)
    expect(page.locator("#verdict")).to_contain_text("v2 has not begun")
    page.fill("#reason", "half a sen")
    page.evaluate("window.kept = [...document.querySelectorAll('#reason, #b-hold, #r-line')]")

    background.run(theatre.play_until(2))

    expect(page.locator("#r-track li.now h3")).to_contain_text("Weight 50")
    expect(page).to_have_title(re.compile("^Weight 50 · support-r-1 v1 → v2"))
    expect(page.locator("#r-live")).to_contain_text("Live")
    expect(page.locator("figure[data-chart] canvas")).to_have_count(4)
    assert page.evaluate("window.kept.every((each) => each.isConnected)")
    assert page.input_value("#reason") == "half a sen"
    page.locator("#chart-evidence .plot").focus()
    expect(page.locator("#chart-evidence .readout")).not_to_contain_text("12:00:20")
    page.keyboard.press("Home")
    expect(page.locator("#chart-evidence .readout")).to_contain_text("12:00:20")


def test_a_person_approves_with_a_reason(theatre: Theatre, background: Background, visit: Visit) -> None:
    background.run(theatre.play_until(3))
    page = visit(f"{theatre.site.url}/history")
    expect(page.get_by_role("row").filter(has_text="support-r-1")).to_contain_text("waits for a person")
    page.goto(theatre.url)
    expect(page.locator("h2", has_text="Your decision")).to_be_visible()
    page.fill("input[name=why]", "checked the logs")

    page.locator("#b-approve").click()

    expect(page.locator("#asked-1")).to_contain_text("api asked to approve")
    rollout = background.run(theatre.play())
    assert rollout.weight == 100
    expect(page.locator("#r-line")).to_contain_text("api asked to approve: checked the logs")
    expect(page.locator("#asked-1")).to_have_count(0)


def test_stopping_is_one_click_and_keeps_the_reason(theatre: Theatre, background: Background, visit: Visit) -> None:
    background.run(theatre.play_until(1))
    page = visit(theatre.url, width=PHONE)
    page.fill("#reason", "too many calls fail")

    page.locator("#b-abort").click()

    expect(page.locator("#asked-1")).to_contain_text("“too many calls fail”")
    assert background.run(theatre.play()).phase is Phase.ROLLED_BACK
    expect(page.locator("#verdict")).to_contain_text("All new sessions are on v1 again. api aborted v2")
    expect(page).to_have_title(re.compile("^Aborted · support-r-1 v2"))
    page.locator("#b-acknowledge").click()
    expect(page.locator("#r-hero")).to_contain_text("api acknowledged it at")


def test_who_comes_second_is_shown_what_changed(theatre: Theatre, background: Background, visit: Visit) -> None:
    background.run(theatre.play_until(1))
    first, second = visit(theatre.url), visit()
    second.route("**/live?*", lambda route: route.fulfill(content_type="text/event-stream", body=""))
    second.goto(theatre.url)
    first.locator("#b-hold").click()
    expect(first.locator("#asked-1")).to_contain_text("asked to pause")

    second.locator("#b-abort").click()

    expect(second.locator("#r-answer")).to_contain_text("Nothing was done")
    expect(second.locator("#b-abort")).to_be_focused()
    second.keyboard.press("Enter")
    expect(second.locator("#asked-1")).to_contain_text("asked to abort")
    expect(second.locator("#r-answer")).to_be_empty()
    assert background.run(theatre.play()).phase is Phase.ROLLED_BACK


def test_a_lost_connection_is_said_with_since_when_and_found_again(
    theatre: Theatre, background: Background, visit: Visit
) -> None:
    background.run(theatre.play_until(1))
    page = visit()
    page.clock.install()
    page.goto(theatre.url)
    expect(page.locator("#r-live")).to_contain_text("Live")
    page.context.set_offline(True)

    page.clock.fast_forward(15_000)

    expect(page.locator("#r-lost")).to_contain_text("The connection to foundry-rollouts is lost.")
    expect(page.locator("#r-stale")).to_contain_text("as of 12:0")
    expect(page.locator("#r-live")).to_contain_text("Not live since")
    assert page.locator("#b-abort").is_enabled()
    page.locator("#b-abort").click()
    expect(page.locator("#r-answer")).to_contain_text("foundry-rollouts rollout abort r-1")
    page.context.set_offline(False)
    expect(page.locator("#r-lost")).to_be_hidden()
    expect(page.locator("#r-live")).to_have_attribute("data-state", "live")


def test_a_session_that_ends_while_a_page_is_open_is_said_and_nothing_is_done(
    background: Background, visit: Visit, tmp_path: Path
) -> None:
    with background.entered(a_theatre(tmp_path, is_open=False)) as theatre:
        background.run(theatre.play_until(1))
        token = token_for("on-call", Role.OPERATOR, theatre.world.time, None, id="on-call")
        secret = background.run(make_token(theatre.site.store, token)).secret
        pages = [visit(address) for address in (theatre.site.url, theatre.url, theatre.url)]
        for page in pages:
            page.get_by_label("API token").fill(secret)
            page.get_by_role("button", name="Sign in with the token").click()
        overview, rollout, other = pages
        for page in pages:
            expect(page.locator(".live")).to_have_attribute("data-state", "live")
        other.get_by_role("button", name="Sign out everywhere").click()

        for page in (overview, rollout):
            expect(page.get_by_role("alert")).to_contain_text("You are signed out: your session has ended.")
            expect(page.locator(".live")).to_contain_text("Not live since")
        rollout.fill("#reason", "too many calls fail")
        rollout.locator("#b-abort").click()
        expect(rollout.locator("#r-answer")).to_contain_text("Nothing was done: your session has ended.")
        assert rollout.input_value("#reason") == "too many calls fail"
        assert background.run(theatre.site.store.commands("r-1")) == []
        examine(rollout, "rollout-signed-out")
        rollout.get_by_role("link", name="Sign in again").click()
        rollout.get_by_label("API token").fill(secret)
        rollout.get_by_role("button", name="Sign in with the token").click()
        expect(rollout.locator(".live")).to_have_attribute("data-state", "live")
        assert rollout.url == theatre.url


def test_a_first_try_that_fails_is_tried_again(theatre: Theatre, visit: Visit) -> None:
    page = visit()
    page.clock.install()
    page.route("**/live?*", lambda route: route.fulfill(status=503, body="away"))
    page.goto(theatre.url)
    page.clock.fast_forward(13_000)
    expect(page.locator("#r-lost")).to_be_visible()

    page.unroute("**/live?*")
    page.clock.fast_forward(9_000)

    expect(page.locator("#r-live")).to_contain_text("Live")
    expect(page.locator("#r-lost")).to_be_hidden()


def test_letters_move_the_focus_and_a_dialog_asks_before_exposure_is_raised(
    theatre: Theatre, background: Background, visit: Visit
) -> None:
    background.run(theatre.play_until(1))
    page = visit(theatre.url)
    for letter, place in (("x", "#b-abort"), ("p", "#b-hold"), ("r", "#reason")):
        page.keyboard.press(letter)
        expect(page.locator(place)).to_be_focused()
    page.locator("#b-promote").click()
    dialog = page.locator("#ask-promote")
    expect(dialog).to_contain_text("weight 10 → 50")
    dialog.locator("button").click()
    assert background.run(theatre.site.store.commands("r-1")) == []
    dialog.locator("textarea").fill("it is urgent")

    dialog.locator("button").click()

    expect(dialog).to_be_hidden()
    expect(page.locator("#asked-1")).to_contain_text("asked to promote")


def test_without_script_it_is_whole_and_its_forms_are_forms(
    theatre: Theatre, background: Background, visit: Visit
) -> None:
    background.run(theatre.play_until(2))
    page = visit(theatre.url, java_script_enabled=False)
    assert page.locator("#chart-evidence tbody tr").count() > 3
    page.locator("#b-hold").click()
    expect(page.locator("#asked-1")).to_contain_text("api asked to pause")
    page.locator("#b-promote").click()
    expect(page.locator("main")).to_contain_text("Promote v2 by one step?")


def test_what_versions_write_is_text(theatre: Theatre, background: Background, visit: Visit) -> None:
    background.run(theatre.play_until(1))
    page = visit(theatre.url)
    expect(page.locator("#tail-canary li")).to_have_count(4)
    assert page.locator("#tail-canary li.error").count() == 1
    assert page.locator("#tail-canary .red").inner_text() == "removed"
    assert page.locator("#tail-canary script, #tail-canary img").count() == 0
    assert "\\x1b[31m" in page.locator("#tail-canary").inner_text()
    page.get_by_role("radio", name="Warnings, errors").check(force=True)
    assert page.locator("#tail-canary li:visible").count() == 2


@pytest.mark.parametrize("state", ["pending", "in progress", "waiting for approval", "rolled back"])
def test_each_state_is_whole_and_axe_finds_nothing(
    state: str, theatre: Theatre, background: Background, visit: Visit
) -> None:
    background.run(theatre.play(0) if state == "pending" else theatre.play_until(2))
    if state == "waiting for approval":
        background.run(theatre.play_until(3))
    elif state == "rolled back":
        theatre.users.failing = 0.4
        background.run(theatre.play(30))
    page = visit(theatre.url)
    expect(page.locator("#r-live")).to_contain_text("Live")
    if state != "pending":
        expect(page.locator("figure[data-chart] canvas")).to_have_count(4)
    examine(page, f"rollout-{state.replace(' ', '-')}")
