"""No sequence of silences, troubles and weights ever passes, whatever the gates and whoever is silent."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.deciding.decide import Situation, decide
from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.judging.evidence import at_new_weight, initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.decision import Move
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind, Judging, Margin, OnNoEvidence, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import HttpConfig, OutcomesConfig, Sources

PLAN = HttpConfig("http://h/{version}", "/calls", "/failures", values=(("cost", "/cost"),))
SOURCES = Sources(outcomes=OutcomesConfig(), http=PLAN)
GATES = (
    Gate(GateKind.ERROR_RATE, ("probe", "logs", "outcomes", "http"), max=0.2, weights=(1, 2, 3, 4)),
    Gate(GateKind.LATENCY, ("probe", "outcomes"), is_critical=True),
    Gate(GateKind.LOG_ERRORS, ("logs",), is_dry_run=True),
    Gate(GateKind.VALUE, ("http",), bounds=Bounds("cost", max=5, windows=1)),
)
STRATA = ("probe", "logs", "logs/probe", "outcomes", "http")

#: A tick: which strata answer, how many calls on stable, what troubles them, whether the weight changes.
TICKS = st.lists(
    st.tuples(
        st.sets(st.sampled_from(STRATA)),
        st.integers(0, 500),
        st.sampled_from([None, "HTTP 401", "HTTP 429", "cannot be reached (ConnectError)"]),
        st.booleans(),
        st.integers(1, 400),
    ),
    max_size=25,
)


def a_silent(gates: tuple[Gate, ...], on_no_evidence: OnNoEvidence) -> Rollout:
    policy = a_policy(
        sources=SOURCES,
        gates=gates,
        judge=Judging(bad=Margin(1000, 0.9)),
        steps=(WeightStep(10, max=timedelta(seconds=1)), WeightStep(100)),
        on_no_evidence=on_no_evidence,
    )
    return a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON, policy=policy)


@given(
    ticks=TICKS,
    gates=st.sets(st.sampled_from(GATES), min_size=1).filter(lambda some: not all(g.is_dry_run for g in some)),
    on_no_evidence=st.sampled_from(OnNoEvidence),
)
def test_silence_never_moves_a_rollout_forward(
    ticks: list[tuple[set[str], int, str | None, bool, int]], gates: set[Gate], on_no_evidence: OnNoEvidence
) -> None:
    rollout = a_silent(tuple(sorted(gates, key=lambda gate: gate.name)), on_no_evidence)
    evidence, now = initial(rollout.policy), NOON
    for strata, calls, trouble, is_new_weight, seconds in ticks:
        window = Window(now, now + timedelta(seconds=seconds))
        now = window.end
        stable = Counts(calls=calls, latencies=((40, calls),) if calls else (), values=(("cost", 1.0),))
        measurements = [Measurement(stratum, window, stable=stable, trouble=trouble) for stratum in sorted(strata)]
        analysis = judge(rollout, evidence, measurements, now)
        assert analysis.verdict not in {Verdict.PASS, Verdict.FAIL}
        assert not analysis.is_not_gross
        decision = decide(rollout, Situation(now, analysis))
        assert decision.move not in {Move.ADVANCE, Move.PROMOTE}
        evidence = at_new_weight(analysis.evidence) if is_new_weight else analysis.evidence
        rollout = replace(rollout, step_started_at=now) if is_new_weight else rollout
