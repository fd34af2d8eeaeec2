"""The page of one rollout, in words: each state says what is so, why, what it waits for, and what may be done."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from fakes import stand
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.policy import OnNoEvidence, WeightStep
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.operations.log_tail import Running
from foundry_rollouts.operations.page.page import PageOfRollout, page_of_rollout
from foundry_rollouts.operations.page.words import odds, percent, span, ticking
from foundry_rollouts.operations.replayed import Replays
from foundry_rollouts.store.store import SqlStore
from small_world import SmallWorld

MINUTE = timedelta(minutes=1)


async def after(store: SqlStore, ticks: int = 40, **but: Any) -> PageOfRollout:
    """Return the page after so many real ticks."""
    world = SmallWorld(lambda _: store, **but)
    await world.begin()
    await world.run(ticks)
    return await page_of_rollout(store, Replays(), "r-1", world.time)


async def standing(store: SqlStore, **but: Any) -> PageOfRollout:
    """Return the page of a rollout of which nothing was measured."""
    await stand(store, a_rollout(**{"started_at": NOON, "step_started_at": NOON, "step": 1, **but}))
    return await page_of_rollout(store, Replays(), "r-1", NOON + 10 * MINUTE)


async def test_a_rollback_answers_whether_users_are_safe_why_how_bad_and_what_is_left(store: SqlStore) -> None:
    page = await after(store, bad_from=50)
    assert page.headline.startswith("All new sessions are on v1 again. v2 began to fail at weight 50")
    assert (page.badge.word, page.badge.tone, page.title) == ("Rolled back", "bad", "Rolled back · support-r-1 v2")
    facts = {fact.name: fact.value for fact in page.facts}
    assert facts["Harm"] == "about 18 calls failed"
    assert facts["From the first harm to the way back"] == "10\u202fs"
    assert facts["Could it be chance?"] == "under 1 in 10\u202f000"
    assert facts["Without the rollback"] == "about 108 calls a minute"
    assert page.next_steps[0].title == "If you were paged: you may stop here"
    assert "18 of 18 failures say the same: HTTP 500; never on v1." in [step.text for step in page.next_steps]
    assert [(each.cause, each.calls, each.on_stable) for each in page.failures] == [("HTTP 500", 18, 0)]
    assert [step.state for step in page.steps] == ["done", "back", "never"]
    assert [control.verb for control in page.controls] == ["retry"]
    (gate,) = page.gates
    assert (gate.verdict, gate.canary, gate.canary_counts, gate.against) == (
        "fail",
        "60\u202f%",
        "18 of 30",
        "over 10\u202f000 : 1",
    )
    assert page.why_figures_differ.startswith("The sentence above counts since the rollout began")
    assert "The gates count since weight 50 began" in page.why_figures_differ


@pytest.mark.parametrize(
    ("running", "title"),
    [
        (None, "Open sessions stay"),
        (Running({"2": 1, "1": 4}), "1 session still runs on v2"),
        (Running({"2": 52}), "52 sessions still run on v2"),
        (Running({"2": 52}, is_whole=False), "At least 52 sessions still run on v2"),
        (Running({"1": 100}, is_whole=False), "Open sessions stay"),
        (Running({"1": 4}), "No session runs on v2 now"),
    ],
)
async def test_after_a_rollback_it_says_how_many_sessions_still_run_on_the_canary(
    store: SqlStore, running: Running | None, title: str
) -> None:
    await stand(store, a_rollout(phase=Phase.ROLLED_BACK, step=2, started_at=NOON, ended_at=NOON))
    page = await page_of_rollout(store, Replays(), "r-1", NOON, running)
    assert page.next_steps[1].title == title
    assert page.next_steps[1].command == "foundry-rollouts agent sessions list support-agent --version 2"


async def test_a_promotion_says_how_to_go_back(store: SqlStore) -> None:
    page = await after(store)
    assert page.headline == "v2 is the stable version. All new sessions go to it."
    assert page.next_steps[-1].command == "foundry-rollouts rollout start --agent support-r-1 --version 1"
    assert [step.text for step in page.steps][:1] == ["proved in 10\u202fs, evidence 460 : 1"]
    assert (page.waits, page.controls, page.leap) == ((), (), None)
    assert page.why_figures_differ == ""


async def test_charts_hold_the_points_that_the_judge_saw(store: SqlStore) -> None:
    page = await after(store, bad_from=50)
    evidence, weights, rate = page.charts
    assert [row.cells[1].text for row in evidence.rows] == ["none", "none", "over 10\u202f000 : 1"][
        -len(evidence.rows) :
    ]
    assert evidence.low < -4 < 0 < evidence.high
    assert [cell.text for row in weights.rows for cell in row.cells[:1]][-1] == "0"
    last = rate.rows[-1].cells
    assert (last[1].text, last[5].text) == ("30\u202f%", "18 of 60")
    assert last[3].value is not None
    assert last[3].high is not None
    assert last[3].value < 0.3 < last[3].high
    assert [mark.text for mark in rate.marks] == ["weight 10", "weight 50", "rolled back"]


async def test_the_history_begins_with_the_newest_and_has_the_numbers_behind_each_decision(store: SqlStore) -> None:
    page = await after(store, bad_from=50)
    assert [line.title for line in page.timeline] == [
        "Rolled back",
        "Advanced to weight 50",
        "Started at weight 10",
        "Created",
    ]
    (numbers,) = page.timeline[0].numbers
    assert (numbers.canary, numbers.stable, numbers.verdict) == ("18 of 30", "0 of 30", "fail")


async def test_what_it_waits_for_is_a_list_with_what_there_is_and_what_comes_then(store: SqlStore) -> None:
    page = await after(store, ticks=4, policy=a_policy())
    evidence, bake, then = page.waits
    assert (evidence.kind, evidence.is_now, bake.kind, then.have) == ("evidence", True, "bake", "then")
    assert evidence.have.endswith("needs 20 : 1")
    assert bake.text == "weight 10 lasts at least 1\u202fmin, until 12:01:10"
    assert page.otherwise == "Not proved by 12:10:10: it holds there. It never goes on without proof."
    assert [control.verb for control in page.controls] == ["pause", "abort", "promote"]
    assert page.leap is not None
    assert page.leap.effect == "More new sessions go to v2 now: weight 10 → 50."
    assert page.leap.left_out[-1] == "30\u202fs of bake time"


STEPS = (WeightStep(10, min=MINUTE), ApprovalStep(), WeightStep(100))


async def test_an_approval_is_a_decision_and_says_what_it_leads_to(store: SqlStore) -> None:
    page = await standing(store, phase=Phase.PROGRESSING, step=2, policy=a_policy(steps=STEPS))
    assert page.headline == "v2 got as far as weight 10. A person decides whether all users get it."
    assert page.badge.word == "Waits for approval"
    assert [control.label for control in page.controls][:1] == ["Approve v2 for everyone"]
    assert page.steps[1].state == "wait"


@pytest.mark.parametrize(
    ("but", "said"),
    [
        (
            {"phase": Phase.PENDING, "step": 0, "started_at": None},
            "v2 has not begun. v1 keeps all users until it does.",
        ),
        (
            {"phase": Phase.PROGRESSING, "verdict": "no-data"},
            "Nothing was seen of v2 at weight 10 yet, so it stays there.",
        ),
        ({"phase": Phase.PROGRESSING}, "v2 has just reached weight 10, and has to earn its proof there."),
        ({"phase": Phase.PROGRESSING, "verdict": "source-error"}, "That is not held against v2."),
        ({"phase": Phase.PROGRESSING, "verdict": "shared-trouble"}, "v1 fails more than before, too."),
        ({"phase": Phase.PROGRESSING, "step": 3, "verdict": "pass"}, "All new sessions go to v2. It bakes"),
        (
            {"phase": Phase.PAUSED, "paused_at": NOON},
            "It paused by itself. v2 stays at weight 10 until a person resumes it.",
        ),
        ({"phase": Phase.ROLLED_BACK, "ended_at": NOON, "ended_by": "on-call"}, "on-call aborted v2"),
        ({"phase": Phase.DISABLED, "ended_at": NOON}, "The endpoint is closed."),
        ({"phase": Phase.FAILED, "ended_at": NOON}, "v2 never became ready."),
    ],
)
async def test_each_state_has_a_first_sentence(store: SqlStore, but: dict[str, Any], said: str) -> None:
    assert said in (await standing(store, **but)).headline


async def test_what_was_asked_stands_there_until_a_tick_obeys(store: SqlStore) -> None:
    rollout = await stand(store, a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON))
    await store.accept(Command("c-1", "r-1", Verb.PAUSE, rollout.generation, NOON, "on-call", "too many calls"))
    page = await page_of_rollout(store, Replays(), "r-1", NOON)
    (asked,) = page.asked
    assert asked.startswith("on-call asked to pause at 12:00:00, “too many calls”. It waits for the next tick")


async def test_a_step_without_proof_says_what_the_policy_does_then(store: SqlStore) -> None:
    policy = replace(a_policy(), on_no_evidence=OnNoEvidence.ROLLBACK)
    page = await standing(store, phase=Phase.PROGRESSING, policy=policy)
    assert page.otherwise == "Not proved by 12:10:00: it goes back to v1."


async def test_an_unknown_rollout_has_no_page(store: SqlStore) -> None:
    with pytest.raises(NotFoundError):
        await page_of_rollout(store, Replays(), "r-0", NOON)


def test_numbers_are_written_as_people_read_them() -> None:
    assert [odds(log) for log in (-1.0, 0.0, 2.2, 3.05, 20.0)] == [
        "none",
        "none",
        "9.0 : 1",
        "21 : 1",
        "over 10\u202f000 : 1",
    ]
    assert [percent(rate) for rate in (None, 0.0, 0.004, 0.1, 0.384)] == [
        "not seen",
        "0\u202f%",
        "0.4\u202f%",
        "10\u202f%",
        "38\u202f%",
    ]
    assert [span(seconds) for seconds in (5, 60, 295, 6647, 97200)] == [
        "5\u202fs",
        "1\u202fmin",
        "4\u202fmin 55\u202fs",
        "1\u202fh 50\u202fmin",
        "1\u202fd 3\u202fh",
    ]
    assert [ticking(seconds) for seconds in (5, 65, 3660)] == [
        "5\u202fs",
        "1\u202fmin 05\u202fs",
        "1\u202fh 01\u202fmin",
    ]
