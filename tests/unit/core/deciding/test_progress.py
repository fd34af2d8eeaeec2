"""What keeps a rollout where it is, and what it says meanwhile."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.deciding.progress import on_no_evidence, progress
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.policy import Automatic, OnNoEvidence
from foundry_rollouts.core.model.rollout import Phase, Rollout

TICK = timedelta(seconds=10)
SOON = NOON + TICK


def under_way(step: int = 2, **but: Any) -> Rollout:
    plain = {"phase": Phase.PROGRESSING, "step": step, "started_at": NOON, "step_started_at": NOON}
    return a_rollout(**(plain | but))


def saying(verdict: Verdict, **but: Any) -> Analysis:
    return Analysis(verdict, "so", Evidence(), **but)


def test_shared_trouble_is_waited_for_until_the_deadline_and_then_a_person_is_asked() -> None:
    ill = saying(Verdict.SHARED_TROUBLE)
    rollout = under_way(trouble_since=NOON)
    deadline = rollout.policy.deadline
    waits = Decision(Move.HOLD, "so", "both versions to recover")
    assert progress(rollout, ill, NOON + deadline - TICK, TICK) == waits
    asked = f"so; that is so for {deadline}, and who resumes takes it for normal"
    assert progress(rollout, ill, NOON + deadline, TICK) == Decision(Move.PAUSE, asked)
    assert progress(replace(rollout, trouble_since=None), ill, NOON + deadline, TICK) == waits


def test_a_split_that_is_ignored_is_waited_for() -> None:
    waits = Decision(Move.HOLD, "so", "new sessions to follow the weight")
    assert progress(under_way(), saying(Verdict.SPLIT_IGNORED), SOON, TICK) == waits


@pytest.mark.parametrize(("missing", "waits_for"), [("40 calls", "40 calls"), (None, "the calls under way")])
def test_calls_that_are_under_way_are_waited_for(missing: str | None, waits_for: str) -> None:
    analysis = saying(Verdict.PASS, longest_call=TICK * 2, waiting_for=missing)
    said = "calls of this step are still under way. so"
    assert progress(under_way(), analysis, SOON, TICK) == Decision(Move.HOLD, said, waits_for)


def test_automatic_weights_go_on_without_proof_below_50_and_hold_there() -> None:
    automatic = Automatic(20)
    policy = a_policy(steps=automatic.steps, automatic=automatic, on_no_evidence=OnNoEvidence.HOLD)
    weights = [step.weight for step in automatic.steps]
    not_gross = saying(Verdict.INSUFFICIENT, is_not_gross=True)
    moves = [on_no_evidence(under_way(place, policy=policy), not_gross).move for place in (1, weights.index(50) + 1)]
    assert moves == [Move.ADVANCE, Move.HOLD]
    listed = under_way(1, policy=a_policy(on_no_evidence=OnNoEvidence.HOLD))
    assert on_no_evidence(listed, not_gross).move is Move.HOLD
