"""Which weight the evidence allows, number by number."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.deciding.automatic import WeightIncrease, is_quiet, level, next_weight, step_proof
from foundry_rollouts.core.forecast.automatic import weight_increases
from foundry_rollouts.core.forecast.expectation import Traffic, ladder_gains, proof_seconds
from foundry_rollouts.core.judging.analysis import Analysis, GateReading, Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import takes
from foundry_rollouts.core.judging.constants import EVEN, LADDER
from foundry_rollouts.core.judging.evidence import Evidence, strata
from foundry_rollouts.core.judging.track import at_most
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.policy import Automatic, Gate, GateKind, Judging, Margin, Policy, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import OutcomesConfig, PrometheusConfig, Sources
from unit.core.judging.made_evidence import a_track

LOOK = timedelta(seconds=10)
USERS = Sources(probe=None, outcomes=OutcomesConfig(), prometheus=PrometheusConfig("http://p", "c", "f"))
SETTINGS = Automatic(20)


def a_climbing(step: int = 1, **but: Any) -> Rollout:
    gates = (Gate(GateKind.ERROR_RATE, ("outcomes",)),)
    narrow = Judging(bad=Margin(1.5, 0.005))
    plain = {"steps": SETTINGS.steps, "automatic": SETTINGS, "sources": USERS, "gates": gates, "judge": narrow}
    return a_rollout(phase=Phase.PROGRESSING, step=step, started_at=NOON, policy=a_policy(**(plain | but)))


def users(calls: int, seconds: float = 10.0, stratum: str = "outcomes", **but: Any) -> Any:
    """Return what one stratum saw of users at this step, one call in ten on the canary."""
    tally = Tally(calls // 10, 0, calls - calls // 10, 0)
    return a_track(stratum=stratum, at_step=tally, watched=seconds, **but)


def analysed(*tracks: Any, worse: float | None = None, verdict: Verdict = Verdict.INSUFFICIENT, **but: Any) -> Analysis:
    reading = GateReading("error-rate", verdict, "so", at_most_worse=worse)
    return Analysis(verdict, "it is so", Evidence(tracks), (reading,), **but)


@pytest.mark.parametrize(
    ("calls", "worse", "weight"),
    [
        (10, None, 20),
        (99, None, 20),
        (100, None, 20),
        (101, None, 10),
        (400, None, 5),
        (2000, None, 1),
        (1e9, None, 1),
        (40, 1.0, 50),
        (41, 1.0, 20),
        (1000, 0.16, 10),
        (10, 0.64, 50),
    ],
)
def test_the_highest_weight_is_where_one_look_misses_just_the_blast_radius(
    calls: float, worse: float | None, weight: int
) -> None:
    assert level(20, calls, worse) == weight


def test_rather_too_many_calls_are_expected_than_too_few() -> None:
    assert [at_most(calls) for calls in (0, 4, 100)] == [3, 11, 123]


def test_the_sentence_counts_the_failures_that_a_look_can_miss() -> None:
    known = next_weight(a_climbing(), analysed(users(400), worse=0.32), LOOK)
    assert known == WeightIncrease(
        4, "less than 32 points worse is proved: at 10% one tick misses at most about 15 failures"
    )
    unknown = next_weight(a_climbing(), analysed(users(100)), LOOK)
    assert unknown == WeightIncrease(4, "nothing proved yet: at 10% one tick misses at most about 13 failures")
    proved = next_weight(a_climbing(), analysed(users(400), verdict=Verdict.PASS), LOOK)
    assert proved == WeightIncrease(6, "it is so")


def test_a_weight_that_is_reached_already_is_no_rise() -> None:
    assert next_weight(a_climbing(4), analysed(users(100)), LOOK) is None
    assert next_weight(a_climbing(3), analysed(users(100)), LOOK) is not None
    assert next_weight(a_climbing(6), analysed(users(100), verdict=Verdict.PASS), LOOK) is None


def found(*tracks: Any, look: timedelta = LOOK) -> str:
    """Return what one look misses at most at the weight that comes next."""
    risen = next_weight(a_climbing(), analysed(*tracks), look)
    return risen.because.split("nothing proved yet: ")[1] if risen else "nothing"


@pytest.mark.parametrize(
    ("tracks", "told"),
    [
        ((users(8),), "at 20% one tick misses at most about 4 failures"),
        ((users(7),), "nothing"),
        ((users(80, 0.0),), "nothing"),
        ((users(8, 1.0),), "at 10% one tick misses at most about 17 failures"),
        ((users(400, 40.0),), "at 10% one tick misses at most about 12 failures"),
        ((users(80), users(100, stratum="logs")), "at 10% one tick misses at most about 13 failures"),
        ((users(100), users(80, stratum="logs")), "at 10% one tick misses at most about 13 failures"),
        ((users(100, stratum="probe"),), "nothing"),
        ((users(100, stratum="logs/probe"),), "nothing"),
        ((users(100, trouble="HTTP 503"),), "nothing"),
        ((users(20, stratum="prometheus"),), "at 10% one tick misses at most about 18 failures"),
    ],
)
def test_the_traffic_of_users_is_what_one_look_sees_of_it(tracks: Any, told: str) -> None:
    assert found(*tracks) == told


def test_a_longer_look_sees_more() -> None:
    assert found(users(50), look=2 * LOOK) == "at 10% one tick misses at most about 14 failures"


@pytest.mark.parametrize(
    ("step", "verdict", "is_proved", "proved"),
    [
        (6, Verdict.INSUFFICIENT, True, True),
        (6, Verdict.INSUFFICIENT, False, False),
        (6, Verdict.STALE, True, False),
        (6, Verdict.NO_DATA, True, False),
        (5, Verdict.INSUFFICIENT, True, False),
        (7, Verdict.INSUFFICIENT, True, False),
        (5, Verdict.PASS, False, True),
    ],
)
def test_a_soak_goes_by_the_proof_that_led_to_it(step: int, verdict: Verdict, is_proved: bool, proved: bool) -> None:
    soaked = a_track(stratum="outcomes", at_step=Tally(8, 0, 1, 0), watched=SETTINGS.soak.total_seconds())
    analysis = replace(analysed(verdict=verdict), evidence=Evidence((soaked,), (), is_proved))
    assert (step_proof(a_climbing(step), analysis) is not None) is proved


def test_a_listed_step_of_half_the_traffic_earns_its_own_proof() -> None:
    told = PrometheusConfig("http://p", "c", "f", values=(("cost", "q"),))
    value = Gate(GateKind.VALUE, ("prometheus",), bounds=Bounds("cost", max=1))
    sources = replace(USERS, prometheus=told)
    for gate, verdict in ((OUTCOMES, Verdict.INSUFFICIENT), (value, Verdict.PASS)):
        steps = (WeightStep(50), WeightStep(100))
        listed = a_climbing(1, automatic=None, steps=steps, gates=(gate,), sources=sources)
        reading = GateReading(gate.name, verdict, "so")
        before = replace(analysed(), gates=(reading,), evidence=Evidence((), (), is_proved=True))
        assert step_proof(listed, before) is None


def test_every_gate_that_decides_soaks_in_one_of_its_strata() -> None:
    long, short = ({"at_step": Tally(8, 0, 1, 0), "watched": soaked} for soaked in (300.0, 299.0))
    errors, lines = OUTCOMES, Gate(GateKind.LOG_ERRORS, ("outcomes",))
    for gates, tracks, has_soaked in (
        ((errors,), (a_track(**long), a_track(**short)), True),
        ((errors,), (a_track(**short), a_track(**short)), False),
        ((errors, lines), (a_track(**long), a_track(**short, gate="log-errors")), False),
        ((errors, lines), (a_track(**short), a_track(**long, gate="log-errors")), False),
        ((errors, lines), (a_track(**long), a_track(**long, gate="log-errors")), True),
        ((errors, replace(lines, is_dry_run=True)), (a_track(**long), a_track(**short, gate="log-errors")), True),
    ):
        analysis = replace(analysed(), evidence=Evidence(tracks, (), is_proved=True))
        assert (step_proof(a_climbing(6, gates=gates), analysis) is not None) is has_soaked


def test_a_gate_that_is_proved_anew_while_another_is_not_is_no_hindrance_to_the_soak() -> None:
    soaked = a_track(at_step=Tally(8, 0, 1, 0), watched=300.0)
    analysis = replace(analysed(), evidence=Evidence((soaked,), (), is_proved=True))
    again = replace(analysis.gates[0], verdict=Verdict.PASS)
    assert step_proof(a_climbing(6), replace(analysis, gates=(again, *analysis.gates))) is not None


def test_evidence_of_harm_ends_the_quiet() -> None:
    analysis = analysed()
    for harm, quiet in ((EVEN, True), (1e-6, False)):
        assert is_quiet(replace(analysis, gates=(replace(analysis.gates[0], harm_log=harm),))) is quiet


def planned(rps: float, **but: Any) -> list[tuple[int, float]]:
    policy: Policy = a_climbing(**but).policy
    return [(weight, round(seconds, 1)) for weight, seconds in weight_increases(policy, SETTINGS, Traffic(rps, 0.01))]


def test_harm_is_no_quiet_on_whichever_gate_and_of_whatever_kind() -> None:
    assert not is_quiet(analysed(verdict=Verdict.FAIL))
    calm, harmed = analysed().gates[0], replace(analysed().gates[0], harm_log=1.0)
    for gates in ((calm, harmed), (harmed, calm)):
        assert not is_quiet(replace(analysed(), gates=gates))


def test_the_first_weight_lasts_until_its_traffic_is_known() -> None:
    assert planned(0.1)[0] == (1, 80.0)
    assert planned(0.7)[0] == (1, 11.4)
    assert planned(2)[0] == (1, 10.0)


def test_without_traffic_only_proof_could_lead_on() -> None:
    assert planned(0) == [(1, math.inf)]
    probing: dict[str, Any] = {"sources": Sources(), "gates": (Gate(GateKind.ERROR_RATE, ("probe",)),)}
    policy = a_climbing(**probing).policy
    proof = proof_seconds(policy, policy.gates[0], 1, Traffic(5, 0.01))
    assert planned(5, **probing) == [(1, round(proof, 1)), (50, 0.0)]


def of_one_gate(rps: float, gate: Gate, lag: float = 0.0) -> list[tuple[int, float]]:
    """Climb as the formulas say where there is one gate."""
    policy, traffic, told = a_climbing(gates=(gate,)).policy, Traffic(rps, 0.01), []
    calls = at_most(10 * rps) * (1 + lag / 10)
    won = [[0.0] * len(LADDER) for _ in strata(policy, gate)]
    weight = level(20, calls, None)
    if weight > 1:
        told.append((1, max(8 / rps, 10.0)))
    while weight < 50:
        streams = ladder_gains(policy, gate, weight, traffic)
        known = [
            min(takes(goal - had[at], gains[at]) for had, (goal, gains) in zip(won, streams, strict=True))
            for at in range(len(LADDER))
        ]
        proof = proof_seconds(policy, gate, weight, traffic)
        rises = [at for at, margin in zip(known, LADDER, strict=True) if level(20, calls, margin) > weight]
        lasts = max(min([proof, *rises]), 10.0)
        told.append((weight, round(lasts, 1)))
        if proof <= lasts:
            return [*told, (50, 0.0)]
        for had, (_, gains) in zip(won, streams, strict=True):
            had[:] = [before + gain * lasts for before, gain in zip(had, gains, strict=True)]
        weight = max(level(20, calls, margin) for at, margin in zip(known, LADDER, strict=True) if at <= lasts)
    return [*told, (50, round(proof_seconds(policy, gate, 50, traffic), 1))]


OUTCOMES = Gate(GateKind.ERROR_RATE, ("outcomes",))
LATE = Gate(GateKind.ERROR_RATE, ("prometheus",))
OFTEN_LATE = Gate(GateKind.ERROR_RATE, ("outcomes", "prometheus"))
SHARED = Gate(GateKind.ERROR_RATE, ("outcomes", "logs"), weights=(1.0, 3.0))


@pytest.mark.parametrize("rps", [0.1, 2, 20, 200, 2000, 20_000])
@pytest.mark.parametrize(("gate", "lag"), [(OUTCOMES, 0.0), (LATE, 45.0), (OFTEN_LATE, 45.0), (SHARED, 0.0)])
def test_the_plan_climbs_as_the_formulas_say(rps: float, gate: Gate, lag: float) -> None:
    assert planned(rps, gates=(gate,)) == of_one_gate(rps, gate, lag)


def test_a_source_that_is_late_looks_longer() -> None:
    assert [weight for weight, _ in planned(200, gates=(LATE,))] != [weight for weight, _ in planned(200)]


def test_the_gate_that_knows_least_sets_the_pace_and_gates_that_count_no_failures_do_not() -> None:
    lines = Gate(GateKind.LOG_ERRORS, ("outcomes", "logs"))
    slower, bare = planned(200, gates=(lines,)), planned(200)
    assert planned(200, gates=(OUTCOMES, lines))[:-1] == planned(200, gates=(lines, OUTCOMES))[:-1] == slower[:-1]
    assert slower[:-1] != bare[:-1]
    for source in ("outcomes", "logs"):
        latency = Gate(GateKind.LATENCY, (source,))
        assert planned(200, gates=(OUTCOMES, latency))[:-1] == bare[:-1]
    assert planned(200, gates=(OUTCOMES, replace(lines, is_dry_run=True))) == bare


def test_a_number_within_bounds_belongs_to_the_proof_of_a_climb() -> None:
    told = PrometheusConfig("http://p", "c", "f", values=(("cost", "q"),))
    value = Gate(GateKind.VALUE, ("prometheus",), bounds=Bounds("cost", max=1, windows=100))
    climbing = planned(200, gates=(OUTCOMES, value), sources=replace(USERS, prometheus=told))
    assert climbing[-1] == (50, 3015.0)


def test_without_a_gate_that_counts_failures_only_proof_leads_on() -> None:
    latency = Gate(GateKind.LATENCY, ("outcomes",))
    proof = proof_seconds(a_climbing(gates=(latency,)).policy, latency, 1, Traffic(200, 0.01))
    assert planned(200, gates=(latency,)) == [(1, round(proof, 1)), (50, 0.0)]
    of_latency = replace(analysed(users(400)).gates[0], gate="latency", at_most_worse=0.02)
    risen = next_weight(a_climbing(), replace(analysed(users(400)), gates=(of_latency,)), LOOK)
    assert risen is not None
    assert risen.because.startswith("nothing proved yet")


def test_traffic_of_next_to_nothing_never_leads_on() -> None:
    assert planned(1e-10) == [(1, 8e10), (20, math.inf)]
