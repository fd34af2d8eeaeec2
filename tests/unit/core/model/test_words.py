"""The words of the core are kept for good: in policies, in the history, in answers of the API."""

from datetime import timedelta
from enum import StrEnum

import pytest

from builders import NOON
from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.effects import OnDrift, SessionsOnRollback
from foundry_rollouts.core.model.new_versions import OnNewVersion
from foundry_rollouts.core.model.policy import GateKind, OnFailure, OnNoEvidence, Trigger
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.sources import SOURCES
from foundry_rollouts.core.replay.recorded import BacktestOutcome

WORDS: dict[type[StrEnum], str] = {
    Phase: "pending progressing paused promoted rolled_back disabled superseded failed observed aborted",
    Verdict: "pass fail shared-trouble split-ignored insufficient no-data stale source-error",
    Verb: "abort pause resume promote approve",
    Trigger: "new-version manual",
    GateKind: "error-rate latency log-errors value",
    OnFailure: "rollback hold pause disable",
    OnNoEvidence: "hold pause rollback advance-if-not-gross",
    OnDrift: "pause restore adopt",
    OnNewVersion: "queue supersede",
    SessionsOnRollback: "keep stop",
    BacktestOutcome: "promoted rolled_back disabled paused stepped_back waiting advanced unknown",
}


@pytest.mark.parametrize("kind", WORDS, ids=lambda kind: kind.__name__)
def test_a_word_stays_what_it_was(kind: type[StrEnum]) -> None:
    assert " ".join(kind) == WORDS[kind]


def test_each_move_is_recorded_in_the_past_tense() -> None:
    assert {str(move): move.event for move in Move} == {
        "hold": None,
        "start": "rollout.started",
        "advance": "rollout.advanced",
        "promote": "rollout.promoted",
        "rollback": "rollout.rolled_back",
        "disable": "rollout.disabled",
        "step-back": "rollout.stepped_back",
        "pause": "rollout.paused",
        "resume": "rollout.resumed",
        "restore": "rollout.restored",
        "supersede": "rollout.superseded",
        "fail": "rollout.failed",
        "abort": "rollout.aborted",
        "decline": "rollout.declined",
        "approve": "rollout.approved",
        "void": "rollout.approval_voided",
    }


def test_a_move_ends_moves_traffic_and_retreats_as_its_word_says() -> None:
    assert {move for move in Move if move.ends_in} == {
        Move.PROMOTE,
        Move.ROLL_BACK,
        Move.DISABLE,
        Move.SUPERSEDE,
        Move.FAIL,
        Move.ABORT,
    }
    assert {move for move in Move if move.is_retreat} == {Move.ROLL_BACK, Move.DISABLE, Move.SUPERSEDE, Move.FAIL}
    idle = {Move.HOLD, Move.PAUSE, Move.SUPERSEDE, Move.ABORT, Move.DECLINE, Move.APPROVE, Move.VOID}
    assert {move for move in Move if not move.moves_traffic} == idle
    assert Decision(Move.SUPERSEDE, "a newer one", goes_back=True).moves_traffic


def test_the_sources_are_called_as_in_a_policy() -> None:
    assert SOURCES == ("probe", "logs", "outcomes", "prometheus", "http", "application-insights")


def test_an_abort_is_obeyed_before_all_else_and_an_approval_last() -> None:
    assert [verb.urgency for verb in (Verb.ABORT, Verb.PAUSE, Verb.RESUME, Verb.PROMOTE, Verb.APPROVE)] == list(
        range(5)
    )


def test_a_command_says_who_asked_for_what_and_why() -> None:
    command = Command("c-1", "r-1", Verb.PAUSE, 3, NOON + timedelta(minutes=1), "ann")
    assert command.because == "ann asked to pause"
    why = Command("c-1", "r-1", Verb.ABORT, 3, NOON, "ann", "the queue fills up")
    assert why.because == "ann asked to abort: the queue fills up"
