"""Automatic steps: the weight rises with the evidence, and no look misses more failures than the blast radius."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.deciding.automatic import level, next_weight, step_proof
from foundry_rollouts.core.deciding.decide import Situation, decide
from foundry_rollouts.core.deciding.outcome import after
from foundry_rollouts.core.forecast.expectation import Traffic
from foundry_rollouts.core.forecast.plan import plan
from foundry_rollouts.core.forecast.risks import risks_of
from foundry_rollouts.core.forecast.warnings import warnings_of
from foundry_rollouts.core.judging.analysis import Analysis, GateReading, Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.constants import LADDER
from foundry_rollouts.core.judging.evidence import Evidence, at_new_weight, initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Automatic, Gate, GateKind, Judging, Margin, Policy, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import HttpConfig, LogsConfig, OutcomesConfig, PrometheusConfig, Sources
from foundry_rollouts.errors import UsageError

LOOK = timedelta(seconds=10)
USERS = Sources(probe=None, logs=None, outcomes=OutcomesConfig())
GATES = (Gate(GateKind.ERROR_RATE, ("outcomes",)),)


def automatic(blast_radius: float = 20, soak: int = 60, **but: Any) -> Policy:
    """Return a policy with automatic steps and narrow limits that sees the calls of users and nothing else."""
    settings = Automatic(blast_radius, soak=timedelta(seconds=soak))
    plain = {"steps": settings.steps, "automatic": settings, "judge": Judging(bad=Margin(1.5, 0.005))}
    return a_policy(**(plain | {"sources": USERS, "gates": GATES} | but))


def on_trial(policy: Policy) -> Rollout:
    return a_rollout(policy=policy, phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON)


def driven(
    policy: Policy, rps: float, looks: int, fails: float = 0.0, source: str = "outcomes"
) -> list[tuple[int, Decision]]:
    """Return the weight and the decision of each look while users call ``rps`` times a second, by weight."""
    rollout, evidence, told = on_trial(policy), initial(policy), []
    for place in range(looks):
        start, now = NOON + place * LOOK, NOON + (place + 1) * LOOK
        calls = rps * LOOK.total_seconds()
        canary, before = (round(calls * rollout.weight / 100 * at) for at in (place + 1, place))
        seen = Measurement(
            source,
            Window(start, now),
            canary=Counts(calls=canary - before, failures=round((canary - before) * fails)),
            stable=Counts(calls=round(calls) - (canary - before)),
        )
        analysis = judge(rollout, evidence, (seen,), now)
        decision = decide(rollout, Situation(now, analysis, tick_interval=LOOK))
        told.append((rollout.weight, decision))
        then = after(rollout, decision, now)
        evidence = at_new_weight(analysis.evidence) if then.weight != rollout.weight else analysis.evidence
        rollout = then
        if rollout.phase.is_final:
            break
    return told


def weights(told: list[tuple[int, Decision]]) -> list[int]:
    return list(dict.fromkeys(weight for weight, _ in told))


@pytest.mark.parametrize(
    ("rps", "expected"),
    [
        (0.9, [1, 20, 50, 100]),
        (20, [1, 5, 20, 50, 100]),
        (200, [1, 5, 20, 50, 100]),
        (2000, [1, 2, 5, 50, 100]),
    ],
)
def test_a_busy_agent_begins_low_and_a_quiet_one_rises_at_once(rps: float, expected: list[int]) -> None:
    told = driven(automatic(), rps, looks=1500)
    assert weights(told) == expected
    assert told[-1][1].move is Move.PROMOTE


def test_a_dead_canary_costs_no_more_than_the_blast_radius_before_it_goes_back() -> None:
    for rps in (2, 20, 200, 1000):
        told = driven(automatic(), rps, looks=50, fails=1)
        assert told[-1][1].move is Move.ROLL_BACK, rps
        failures = sum(round(rps * LOOK.total_seconds() * weight / 100) for weight, _ in told)
        assert failures <= 1.2 * max(20, rps * LOOK.total_seconds() / 100), rps


def test_each_rise_says_what_is_known_and_what_one_look_can_miss() -> None:
    rises = [decision.because for _, decision in driven(automatic(), 200, looks=200) if decision.move is Move.ADVANCE]
    assert rises[0] == "less than 16 points worse is proved: at 5% one tick misses at most about 17 failures"
    assert all("one tick misses at most about" in because for because in rises[:-2])


def test_the_first_weight_needs_calls_of_users_and_none_of_the_canary() -> None:
    told = driven(automatic(), 0.9, looks=2)
    assert [weight for weight, _ in told] == [1, 20]
    assert told[0][1] == Decision(
        Move.ADVANCE, "nothing proved yet: at 20% one tick misses at most about 4 failures", step=5
    )


@pytest.mark.parametrize("rps", [0, 0.5])
def test_without_enough_calls_to_know_the_traffic_the_first_weight_stays(rps: float) -> None:
    told = driven(automatic(), rps, looks=1)
    assert [(weight, decision.move) for weight, decision in told] == [(1, Move.HOLD)]


def test_the_probes_own_calls_are_no_traffic_of_users() -> None:
    policy = automatic(sources=Sources(logs=None), gates=(Gate(GateKind.ERROR_RATE, ("probe",)),))
    told = driven(policy, 100, looks=3, source="probe")
    assert {weight for weight, _ in told} == {1}


def test_proof_at_any_weight_leads_to_50_where_it_soaks_and_then_to_all_traffic() -> None:
    told = driven(automatic(soak=60, judge=Judging(bad=Margin(3, 0.2))), 2000, looks=200)
    assert weights(told) == [1, 50, 100]
    assert [weight for weight, _ in told].count(50) == 6
    assert "at this step" in next(decision.because for weight, decision in told if weight == 1)


def test_what_was_proved_before_does_not_end_the_soak_of_a_canary_that_is_not_seen_any_more() -> None:
    policy = automatic(soak=60)
    rollout = replace(on_trial(policy), step=6)
    proved = replace(at_new_weight(initial(policy)), is_proved=True)
    now = NOON + timedelta(minutes=1)

    def moved(since: int, canary: tuple[int, int], stable: int) -> Decision:
        window = Window(now - timedelta(seconds=since), now)
        seen = Measurement("outcomes", window, canary=Counts(*canary), stable=Counts(calls=stable))
        return decide(rollout, Situation(now, judge(rollout, proved, (seen,), now)))

    silent = judge(rollout, proved, (), now)
    assert silent.verdict is Verdict.NO_DATA
    assert decide(rollout, Situation(now, silent)).move is Move.HOLD
    soaked = moved(60, (8, 0), 2)
    assert soaked.move is Move.ADVANCE
    assert soaked.because.startswith(
        "proved at a lower weight, and nothing speaks against it at 50%: canary 0 of 8 failed against 0 of 2 on stable"
    )
    for unwatched in (moved(59, (8, 0), 2), moved(60, (7, 0), 2), moved(60, (8, 0), 0), moved(60, (9, 3), 9)):
        assert unwatched.move is Move.HOLD


def test_a_time_in_which_nobody_watched_is_no_soak_and_tells_no_traffic() -> None:
    policy = automatic(soak=60)
    hour = NOON + timedelta(hours=1)
    gap = Measurement("outcomes", Window(NOON, hour), canary=Counts(calls=9), stable=Counts(calls=91))
    proved = replace(initial(policy), is_proved=True)
    soaking = replace(on_trial(policy), step=6)
    assert decide(soaking, Situation(hour, judge(soaking, proved, (gap,), hour))).move is Move.HOLD
    rollout = on_trial(policy)
    assert next_weight(rollout, judge(rollout, initial(policy), (gap,), hour), LOOK) is None


def test_the_busiest_time_of_the_trial_bounds_the_weight() -> None:
    policy, rollout = automatic(), on_trial(automatic())
    busy = Measurement("outcomes", Window(NOON, NOON + LOOK), canary=Counts(calls=20), stable=Counts(calls=1980))
    weak = Measurement("outcomes", Window(NOON + LOOK, NOON + 2 * LOOK), canary=Counts(calls=1), stable=Counts(calls=9))
    quiet = judge(rollout, initial(policy), (weak,), NOON + 2 * LOOK)
    assert getattr(next_weight(rollout, quiet, LOOK), "step", None) == 5
    both = judge(
        rollout, at_new_weight(judge(rollout, initial(policy), (busy,), NOON + LOOK).evidence), (weak,), NOON + 2 * LOOK
    )
    found = next_weight(rollout, both, LOOK)
    assert found is None or found.step < 5


def test_proof_of_a_lower_weight_is_remembered() -> None:
    policy = automatic(judge=Judging(bad=Margin(3, 0.2)))
    rollout, now = on_trial(policy), NOON + LOOK
    seen = Measurement("outcomes", Window(NOON, now), canary=Counts(calls=50), stable=Counts(calls=50))
    analysis = judge(rollout, initial(policy), (seen,), now)
    assert analysis.verdict is Verdict.PASS
    assert at_new_weight(analysis.evidence).is_proved
    assert not initial(policy).is_proved


def quiet_after_a_start() -> tuple[Rollout, Analysis]:
    policy = automatic()
    rollout, now = on_trial(policy), NOON + LOOK
    seen = Measurement("outcomes", Window(NOON, now), canary=Counts(calls=1), stable=Counts(calls=99))
    return rollout, judge(rollout, initial(policy), (seen,), now)


def test_whatever_speaks_against_the_canary_keeps_the_weight() -> None:
    rollout, analysis = quiet_after_a_start()
    assert next_weight(rollout, analysis, LOOK)
    doubted = replace(analysis.gates[0], harm_log=0.001)
    assert next_weight(rollout, replace(analysis, gates=(doubted,)), LOOK) is None
    ignored = replace(doubted, is_dry_run=True)
    assert next_weight(rollout, replace(analysis, gates=(*analysis.gates, ignored)), LOOK)
    assert next_weight(rollout, replace(analysis, verdict=Verdict.FAIL), LOOK) is None


@pytest.mark.parametrize("verdict", [Verdict.STALE, Verdict.SOURCE_ERROR])
def test_a_silence_of_ours_keeps_the_weight(verdict: Verdict) -> None:
    rollout, analysis = quiet_after_a_start()
    (reading,) = analysis.gates
    assert next_weight(rollout, replace(analysis, gates=(replace(reading, verdict=verdict),)), LOOK) is None
    # A gate that saw nothing at all speaks louder than one that is stale: no gate is hidden by another.
    both = (replace(reading, verdict=verdict), replace(reading, gate="log-errors", verdict=Verdict.NO_DATA))
    assert next_weight(rollout, replace(analysis, verdict=Verdict.NO_DATA, gates=both), LOOK) is None


def test_a_canary_that_was_not_seen_at_this_weight_rises_no_further() -> None:
    rollout, analysis = quiet_after_a_start()
    known = replace(analysis.gates[0], at_most_worse=0.02)
    unseen = replace(analysis, verdict=Verdict.NO_DATA, gates=(replace(known, verdict=Verdict.NO_DATA),))
    assert next_weight(rollout, unseen, LOOK) is None
    assert next_weight(rollout, replace(analysis, gates=(known,)), LOOK)


def test_only_the_first_weight_rises_before_the_canary_was_seen() -> None:
    rollout, analysis = quiet_after_a_start()
    unseen = replace(analysis.gates[0], verdict=Verdict.NO_DATA, at_most_worse=None)
    silent = replace(analysis, verdict=Verdict.NO_DATA, gates=(unseen,))
    assert next_weight(rollout, silent, LOOK)
    assert next_weight(replace(rollout, step=2), silent, LOOK) is None


@pytest.mark.parametrize("verdict", [Verdict.INSUFFICIENT, Verdict.NO_DATA, Verdict.STALE, Verdict.SOURCE_ERROR])
def test_a_value_that_does_not_lie_within_its_bounds_keeps_the_weight(verdict: Verdict) -> None:
    rollout, analysis = quiet_after_a_start()
    gate = Gate(GateKind.VALUE, ("http",), bounds=Bounds("score", min=0.8))
    plan_of_http = HttpConfig("http://h", "/calls", "/failures", values=(("score", "/score"),))
    policy = replace(rollout.policy, gates=(*GATES, gate), sources=replace(USERS, http=plan_of_http))
    of_value = GateReading("value:score", verdict, "so")
    outside = replace(analysis, gates=(*analysis.gates, of_value))
    within = replace(analysis, gates=(*analysis.gates, replace(of_value, verdict=Verdict.PASS)))
    assert next_weight(replace(rollout, policy=policy), outside, LOOK) is None
    assert next_weight(replace(rollout, policy=policy), within, LOOK)
    proved = replace(analysis.evidence.tracks[0], watched=60.0, at_step=Tally(99, 0, 99, 0))
    evidence = replace(analysis.evidence, tracks=(proved,), is_proved=True)
    soaking = replace(rollout, policy=policy, step=6)
    assert step_proof(soaking, replace(outside, evidence=evidence)) is None
    assert step_proof(soaking, replace(within, evidence=evidence))


def test_every_gate_that_counts_failures_must_know_how_much_worse_the_canary_is() -> None:
    rollout, analysis = quiet_after_a_start()
    (reading,) = analysis.gates
    knows, less, learns = (replace(reading, at_most_worse=worse) for worse in (0.02, 0.64, None))
    of_logs = replace(learns, gate=GateKind.LOG_ERRORS.value)
    of_latency = replace(learns, gate=GateKind.LATENCY.value)
    step = {
        name: next_weight(rollout, replace(analysis, gates=gates), timedelta(seconds=100))
        for name, gates in {
            "one": (knows,),
            "the worst": (knows, replace(less, gate=GateKind.LOG_ERRORS.value)),
            "none": (knows, of_logs),
            "latency": (knows, of_latency),
        }.items()
    }
    assert {name: higher.step if higher else None for name, higher in step.items()} == {
        "one": 6, "the worst": 2, "none": None, "latency": 6,
    }  # fmt: skip


def test_counts_that_arrive_late_count_as_a_longer_look() -> None:
    late = Sources(probe=None, logs=None, prometheus=PrometheusConfig("http://h", "c", "f", delay=timedelta(minutes=5)))
    policy = automatic(sources=late, gates=(Gate(GateKind.ERROR_RATE, ("prometheus",)),))
    rollout, now = on_trial(policy), NOON + LOOK
    seen = Measurement("prometheus", Window(NOON, now), canary=Counts(calls=1), stable=Counts(calls=99))
    assert next_weight(rollout, judge(rollout, initial(policy), (seen,), now), LOOK) is None
    troubled = replace(seen, source="outcomes", trouble="HTTP 429")
    prompt = on_trial(automatic())
    assert next_weight(prompt, judge(prompt, initial(prompt.policy), (troubled,), now), LOOK) is None


def test_traffic_counts_only_the_time_in_which_the_source_could_count() -> None:
    policy = automatic()
    rollout = on_trial(policy)
    mute = Measurement("outcomes", Window(NOON, NOON + 9 * LOOK), trouble="HTTP 503")
    seen = Measurement(
        "outcomes", Window(NOON + 9 * LOOK, NOON + 10 * LOOK), canary=Counts(calls=1), stable=Counts(calls=99)
    )
    now = NOON + 10 * LOOK
    found = next_weight(rollout, judge(rollout, initial(policy), (mute, seen), now), LOOK)
    assert found == next_weight(*quiet_after_a_start(), LOOK)


def test_steps_of_a_list_never_skip() -> None:
    rollout, analysis = quiet_after_a_start()
    listed = replace(rollout, policy=replace(rollout.policy, automatic=None))
    assert next_weight(listed, analysis, LOOK) is None


@given(
    blast_radius=st.floats(1, 1e6),
    calls=st.floats(1e-3, 1e9),
    worse=st.sampled_from([None, *LADDER]),
)
def test_no_look_misses_more_than_the_blast_radius(blast_radius: float, calls: float, worse: float | None) -> None:
    weight = level(blast_radius, calls, worse)
    assert weight == 1 or calls * (worse or 1) * weight / 100 <= blast_radius * (1 + 1e-9)
    assert weight <= (20 if worse is None else 50)
    higher = [each for each in (2, 5, 10, 20, 50) if each > weight and (worse is not None or each <= 20)]
    assert all(calls * (worse or 1) * each / 100 > blast_radius * (1 - 1e-9) for each in higher)


@given(
    ticks=st.lists(
        st.tuples(st.integers(0, 5000), st.sampled_from([None, "HTTP 401", "HTTP 429", "no answer within 10 s"])),
        max_size=30,
    )
)
def test_a_canary_that_is_never_seen_never_gets_beyond_the_first_weight(ticks: Any) -> None:
    rollout, evidence = on_trial(automatic(blast_radius=1e6)), initial(automatic())
    for place, (calls, trouble) in enumerate(ticks):
        now = NOON + (place + 1) * LOOK
        counts = Counts() if trouble else Counts(calls=calls)
        seen = Measurement("outcomes", Window(now - LOOK, now), stable=counts, trouble=trouble)
        analysis = judge(rollout, evidence, (seen,), now)
        then = after(rollout, decide(rollout, Situation(now, analysis, tick_interval=LOOK)), now)
        evidence = at_new_weight(analysis.evidence) if then.weight != rollout.weight else analysis.evidence
        rollout = then
    assert rollout.weight <= 20


def test_automatic_steps_are_refused_where_they_make_no_sense() -> None:
    with pytest.raises(UsageError, match="leave the list out"):
        a_policy(automatic=Automatic())
    with pytest.raises(UsageError, match="blast radius of 0 failures"):
        Automatic(blast_radius=0)
    with pytest.raises(UsageError, match="max is shorter than soak"):
        Automatic(soak=timedelta(minutes=5), max=timedelta(minutes=4))
    steps = Automatic(soak=timedelta(minutes=3), bake=timedelta(hours=1), max=timedelta(minutes=4)).steps
    assert steps[0] == WeightStep(1, max=timedelta(minutes=4))
    assert steps[-2:] == (
        WeightStep(50, timedelta(minutes=3), timedelta(minutes=4)),
        WeightStep(100, timedelta(hours=1)),
    )


@pytest.mark.parametrize("rps", [0.9, 20, 200])
def test_the_plan_takes_the_weights_that_a_rollout_takes(rps: float) -> None:
    policy = automatic()
    expected = [step.weight for step in plan(policy, Traffic(rps, 0.001)).steps]
    assert expected == weights(driven(policy, rps, looks=1500))


def test_a_policy_that_cannot_know_the_traffic_is_told() -> None:
    probe = automatic(sources=Sources(logs=None), gates=(Gate(GateKind.ERROR_RATE, ("probe",)),))
    logs = automatic(sources=Sources(), gates=(Gate(GateKind.ERROR_RATE, ("probe", "logs")),))

    def told(policy: Policy, rps: float) -> list[str]:
        found, known = warnings_of(plan(policy, Traffic(rps, 0.001))), set(risks_of(policy))
        return [warning.sentence for warning in found if warning.step == 1 and warning not in known]

    (unseen,) = told(probe, 2)
    assert unseen == (
        "no source sees the calls of users, so that the weight stays at 1% until it is proved: ask a source that "
        "counts all calls, as outcomes or prometheus"
    )
    (busy,) = told(logs, 10.1)
    assert busy == (
        "the logs follow 50 sessions of each version, which are too few to know 10.1 rps by: a tick may miss more than "
        "the blast radius; ask a source that counts all calls, as outcomes or prometheus"
    )
    assert (told(logs, 10), told(automatic(), 200), told(replace(probe, automatic=None), 2)) == ([], [], [])
    both = automatic(
        sources=replace(USERS, logs=LogsConfig()), gates=(Gate(GateKind.ERROR_RATE, ("logs", "outcomes")),)
    )
    assert told(both, 200) == []


def test_the_plan_of_an_agent_without_calls_of_users_waits_for_proof_at_the_first_weight() -> None:
    policy = automatic(sources=Sources(logs=None), gates=(Gate(GateKind.ERROR_RATE, ("probe",)),))
    found = plan(policy, Traffic(20, 0.01))
    assert [step.weight for step in found.steps] == [1, 50, 100]
    assert found.steps[0].lasts == found.steps[0].proof
    never = plan(automatic(), Traffic(0, 0.01))
    assert [(step.weight, step.lasts) for step in never.steps] == [(1, None), (50, None), (100, None)]
    assert never.until_promoted is None


def test_evidence_without_that_field_was_not_proved() -> None:
    assert not Evidence().is_proved
