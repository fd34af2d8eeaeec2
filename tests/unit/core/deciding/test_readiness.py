"""A canary without a sandbox that becomes ready meets no user; where stable fares alike, that is no verdict."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.deciding.decide import Situation, decide
from foundry_rollouts.core.deciding.readiness import Readiness, Sandboxes, with_sandboxes
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.rollout import Phase

SECOND = timedelta(seconds=1)
WELL = Sandboxes(NOON, ready_in=3.6 * SECOND, ready_at=NOON + 4 * SECOND)
COLD = Sandboxes(NOON, trouble="HTTP 424 session_not_ready")
NOT_TRIED = Sandboxes(NOON)
BARRED = Sandboxes(NOON, trouble="HTTP 403", is_barred=True)
LOST = Sandboxes(NOON, trouble="no connection (ConnectError)", is_ours=True)
WISH = "a sandbox of version 2 to be ready"
VERDICT = (
    "no sandbox of version 2 was ready within 3m, stable's are ready in 4 s; the last one: HTTP 424 session_not_ready"
)


def decided(seconds: float, canary: Sandboxes, stable: Sandboxes | None = WELL, **but: Any) -> Decision:
    """Return what a pending rollout does so long after the look began."""
    now = NOON + seconds * SECOND
    rollout = a_rollout(**{"stable": "1" if stable else None, **but})
    return decide(rollout, Situation(now=now, readiness=Readiness(canary, stable)))


def test_a_canary_with_a_sandbox_that_is_ready_begins() -> None:
    assert decided(0, WELL) == Decision(Move.START, "version 2 is active; 10% of new sessions go to it")
    assert decided(0, WELL, COLD).move is Move.START
    assert decided(0, WELL, is_revert=True).move is Move.START


@pytest.mark.parametrize("seconds", [0, 100, 179])
def test_a_canary_that_is_not_ready_is_waited_for(seconds: float) -> None:
    waits = decided(seconds, COLD)
    assert waits == Decision(Move.HOLD, f"waiting for {WISH} (HTTP 424 session_not_ready)", WISH)
    assert decided(seconds, NOT_TRIED) == Decision(Move.HOLD, f"waiting for {WISH}", WISH)


@pytest.mark.parametrize("is_revert", [False, True])
def test_a_canary_that_is_never_ready_while_stable_is_fails(is_revert: bool) -> None:
    assert decided(180, COLD, is_revert=is_revert) == Decision(Move.FAIL, VERDICT)


def test_a_canary_without_a_stable_version_has_the_same_time() -> None:
    assert decided(179, COLD, None).move is Move.HOLD
    assert decided(180, NOT_TRIED, None) == Decision(Move.FAIL, "no sandbox of version 2 was ready within 3m")


@pytest.mark.parametrize(
    ("canary", "stable", "said"),
    [
        (COLD, COLD, "; none of stable version 1 is ready either (HTTP 424 session_not_ready)"),
        (COLD, NOT_TRIED, "; none of stable version 1 is ready either"),
        (LOST, WELL, ", which cannot be asked at present: no connection (ConnectError)"),
    ],
)
def test_what_is_shared_or_ours_is_waited_out_and_told(canary: Sandboxes, stable: Sandboxes, said: str) -> None:
    for seconds in (0, 100_000):
        assert decided(seconds, canary, stable) == Decision(Move.HOLD, f"waiting for {WISH}{said}", WISH)


def test_who_may_not_open_sessions_waits_his_time_and_begins_and_says_that_nobody_looked() -> None:
    held = decided(179, BARRED, BARRED)
    assert held == Decision(Move.HOLD, f"waiting for {WISH}, and sessions cannot be opened: HTTP 403", WISH)
    begun = decided(180, BARRED, BARRED)
    assert begun.move is Move.START
    assert begun.because.endswith(" (its sandboxes were not checked: sessions cannot be opened, HTTP 403)")


def test_nobody_looks_where_the_policy_does_not_want_it() -> None:
    assert decided(0, COLD, policy=a_policy(ready_within=None)).move is Move.START
    within = a_policy(ready_within=90 * SECOND)
    assert "within 1m30s, " in decided(90, COLD, policy=within).because
    assert "within 20s, " in decided(90, COLD, policy=a_policy(ready_within=20 * SECOND)).because


def test_at_any_step_a_canary_whose_sandboxes_are_never_ready_is_harm() -> None:
    rollout = a_rollout(phase=Phase.PROGRESSING, step=2, started_at=NOON, step_started_at=NOON)
    unproved = Analysis(Verdict.INSUFFICIENT, "too little", Evidence(), waiting_for="calls")
    for phase in (Phase.PROGRESSING, Phase.PAUSED):
        stands = replace(rollout, phase=phase)
        seen = with_sandboxes(unproved, stands, Readiness(COLD, WELL), NOON + 180 * SECOND)
        assert decide(stands, Situation(now=NOON, analysis=seen)) == Decision(Move.ROLL_BACK, VERDICT)


@pytest.mark.parametrize(
    "seen",
    [
        None,
        Readiness(WELL, WELL),
        Readiness(COLD, COLD),
        Readiness(COLD, None),
        Readiness(LOST, WELL),
        Readiness(BARRED, WELL),
        Readiness(replace(COLD, since=NOON + SECOND), WELL),
        # Stable was last seen ready before the canary was not.
        Readiness(COLD, replace(WELL, ready_at=NOON - SECOND)),
    ],
)
def test_at_a_step_no_other_look_says_anything(seen: Readiness | None) -> None:
    unproved = Analysis(Verdict.INSUFFICIENT, "too little", Evidence())
    assert with_sandboxes(unproved, a_rollout(step=1), seen, NOON + 180 * SECOND) is unproved


def test_harm_that_is_proved_keeps_its_own_sentence() -> None:
    proved = Analysis(Verdict.FAIL, "20 of 40 failed", Evidence())
    assert with_sandboxes(proved, a_rollout(step=1), Readiness(COLD, WELL), NOON + 180 * SECOND) is proved
