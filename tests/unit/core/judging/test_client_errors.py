"""Calls refused as their caller's mistake are judged beside the errors: both versions face the same callers."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import Evidence, at_new_weight, history_of, initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.failures import MODEL_LIMIT, ErrorKind, cause_of, kind_of
from foundry_rollouts.core.model.measurement import Counts, Measurement, Sample, Window
from foundry_rollouts.core.model.policy import Gate, GateKind, Policy
from foundry_rollouts.core.model.rollout import Phase

SOURCES = ("logs", "probe")


def judged(canary: Counts, stable: Counts, times: int = 1, policy: Policy | None = None) -> Analysis:
    """Return what is thought of so many windows of ten seconds, all alike."""
    policy = policy or a_policy(gates=(Gate(GateKind.ERROR_RATE, SOURCES),))
    rollout = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON, policy=policy)
    evidence, analysis = initial(policy), None
    for number in range(times):
        begin = NOON + timedelta(seconds=10 * number)
        window = Window(begin, begin + timedelta(seconds=10))
        analysis = judge(rollout, evidence, [Measurement("logs", window, stable, canary)], window.end)
        evidence = analysis.evidence
    assert analysis is not None
    return analysis


def refused(calls: int, client_errors: int, failures: int = 0) -> Counts:
    causes: tuple[tuple[str, int], ...] = (("HTTP 404", client_errors),) if client_errors else ()
    causes += (("HTTP 500", failures),) if failures else ()
    return Counts(calls, failures, causes=causes, client_errors=client_errors)


@pytest.mark.parametrize(
    ("status", "cause", "kind"),
    [
        (200, None, None),
        (302, None, None),
        (400, "HTTP 400", ErrorKind.CLIENT_ERROR),
        (401, None, None),
        (403, None, None),
        (404, "HTTP 404", ErrorKind.CLIENT_ERROR),
        (408, "HTTP 408", None),
        (422, "HTTP 422", ErrorKind.CLIENT_ERROR),
        (424, "HTTP 424", None),
        (429, None, None),
        (500, "HTTP 500", None),
    ],
)
def test_a_status_says_whose_fault_it_is(status: int, cause: str | None, kind: ErrorKind | None) -> None:
    assert cause_of(status) == cause
    assert kind_of(cause) is kind


def test_a_call_that_the_agents_model_refused_is_a_failure_of_its_own_kind() -> None:
    for cause in (MODEL_LIMIT, f"{MODEL_LIMIT}, insufficient_quota"):
        assert kind_of(cause) is ErrorKind.RATE_LIMITED
        assert Sample(cause).as_counts() == Counts(1, 1, causes=((cause, 1),), rate_limited=1)


def test_a_call_refused_as_the_callers_mistake_counts_beside_the_failures() -> None:
    assert Sample("HTTP 422").as_counts() == Counts(1, causes=(("HTTP 422", 1),), client_errors=1)
    assert Sample("HTTP 404 not_found").as_counts().client_errors == 1
    assert Sample("HTTP 500").as_counts() == Counts(1, 1, causes=(("HTTP 500", 1),))
    assert refused(3, 1) + refused(4, 2) == refused(7, 3)


def test_a_canary_that_answers_404_to_everybody_is_harm_and_the_sentence_says_so() -> None:
    analysis = judged(refused(5, 5), refused(45, 0), times=10)
    assert analysis.verdict is Verdict.FAIL
    assert "were refused as the caller's mistake (HTTP 404) against 0 of " in analysis.because


def test_mistakes_of_callers_on_both_versions_prove_nothing() -> None:
    analysis = judged(refused(10, 9), refused(90, 81), times=30)
    assert analysis.verdict is not Verdict.FAIL


def test_mistakes_of_callers_on_both_versions_do_not_hide_errors_of_the_canary() -> None:
    assert judged(refused(20, 7, 2), refused(80, 28), times=20).verdict is Verdict.FAIL


def test_few_client_errors_do_not_prove_a_canary_good() -> None:
    silent = judged(refused(0, 0), refused(0, 0))
    assert silent.verdict is Verdict.NO_DATA


def test_a_policy_may_leave_the_kind_out() -> None:
    policy = a_policy(gates=(Gate(GateKind.ERROR_RATE, SOURCES),), ignored_errors=(ErrorKind.CLIENT_ERROR,))
    analysis = judged(refused(5, 5), refused(45, 0), times=10, policy=policy)
    assert analysis.verdict is not Verdict.FAIL
    assert analysis.evidence.beside == ()


def test_each_weight_keeps_what_it_knows_and_begins_its_step_anew() -> None:
    evidence = judged(refused(5, 1), refused(45, 3)).evidence
    (logs, *_) = at_new_weight(evidence).beside
    assert (logs.total.canary_failures, logs.at_step.canary_calls) == (1, 0)


def test_what_is_known_of_a_version_for_its_time_as_stable_are_its_errors() -> None:
    evidence = judged(refused(5, 1, 2), refused(45, 3)).evidence
    assert [known.failures for known in history_of(evidence)] == [2]


def test_evidence_of_the_release_before_goes_on() -> None:
    policy = a_policy(gates=(Gate(GateKind.ERROR_RATE, SOURCES),))
    rollout = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON, policy=policy)
    old: Evidence = replace(initial(policy), beside=())
    window = Window(NOON, NOON + timedelta(seconds=10))
    analysis = judge(rollout, old, [Measurement("logs", window, refused(45, 0), refused(5, 5))], window.end)
    assert analysis.evidence.beside[0].total.canary_failures == 5
