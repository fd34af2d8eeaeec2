"""Numbers that must lie within bounds: so many windows in a row decide, and silence never passes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.judging.analysis import Analysis, GateReading, Verdict
from foundry_rollouts.core.judging.constants import STALE_AFTER
from foundry_rollouts.core.judging.evidence import Evidence, at_new_weight, initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind, OnFailure
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import HttpConfig, PrometheusConfig, Sources
from foundry_rollouts.errors import UsageError

PLAN = HttpConfig("http://h/{version}", "/calls", "/failures", values=(("cost", "/cost"),))
SECOND = timedelta(seconds=1)


def a_watching(*gates: Gate) -> Rollout:
    policy = a_policy(sources=Sources(probe=None, logs=None, http=PLAN), gates=gates)
    return a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON, policy=policy)


def a_value(**bounds: Any) -> Gate:
    return Gate(GateKind.VALUE, ("http",), bounds=Bounds("cost", **bounds))


def told(second: int, canary: float | None, stable: float | None = 1.0, trouble: str | None = None) -> Measurement:
    def counts(number: float | None) -> Counts:
        return Counts(values=(("cost", number),) if number is not None else ())

    start = NOON + second * SECOND
    return Measurement("http", Window(start, start + SECOND), counts(stable), counts(canary), trouble)


def judged(rollout: Rollout, *numbers: Any, evidence: Evidence | None = None, late: timedelta = SECOND) -> Analysis:
    evidence = evidence or initial(rollout.policy)
    measurements = [
        told(second, *(each if isinstance(each, tuple) else (each,))) for second, each in enumerate(numbers)
    ]
    return judge(rollout, evidence, measurements, NOON + len(numbers) * SECOND + late)


@pytest.mark.parametrize(
    ("bounds", "number", "flaw"),
    [
        ({"max": 5}, 7.25, "7.25 is above 5"),
        ({"min": 2}, 1, "1 is below 2"),
        ({"at_most": 1.5}, 3.2, "3.2 is above 1.5x stable's 2"),
        ({"at_least": 0.5}, 0.9, "0.9 is below 0.5x stable's 2"),
        ({"min": 1, "max": 5, "at_least": 0.5, "at_most": 2}, 4, None),
    ],
)
def test_a_number_out_of_bounds_so_many_windows_in_a_row_is_harm(
    bounds: dict[str, float], number: float, flaw: str | None
) -> None:
    analysis = judged(a_watching(a_value(**bounds)), *[(number, 2.0)] * 3)
    if flaw is None:
        assert analysis.verdict is Verdict.PASS
        assert analysis.because == "value:cost: 4 lies within its bounds, 3 windows in a row"
    else:
        assert analysis.verdict is Verdict.FAIL
        assert analysis.because == f"value:cost: {flaw}, 3 windows in a row, seen by http"


def test_one_good_window_begins_the_count_anew() -> None:
    gate = a_value(max=5)
    assert judged(a_watching(gate), 9, 9, 1, 9, 9).verdict is Verdict.INSUFFICIENT
    assert judged(a_watching(gate), 1, 1, 9, 1, 1).verdict is Verdict.INSUFFICIENT
    assert judged(a_watching(gate), 9, 9, 1, 9, 9).because == (
        "value:cost: 0 of 3 windows in a row lie within its bounds; the last, 9 is above 5"
    )
    assert judged(a_watching(a_value(max=5, windows=1)), 9).verdict is Verdict.FAIL


def test_each_step_earns_its_own_windows() -> None:
    rollout = a_watching(a_value(max=5))
    evidence = at_new_weight(judged(rollout, 1, 1, 1).evidence)
    assert judged(rollout, evidence=evidence).verdict is Verdict.NO_DATA
    assert judged(rollout, 1, 1, evidence=evidence).verdict is Verdict.INSUFFICIENT


def test_silence_is_never_a_pass() -> None:
    rollout = a_watching(a_value(max=5))
    assert judged(rollout).verdict is Verdict.NO_DATA
    assert judged(rollout, None, None, None).verdict is Verdict.NO_DATA
    late = STALE_AFTER + PLAN.every + PLAN.delay
    assert judged(rollout, 1, 1, 1, late=late).verdict is Verdict.PASS
    assert judged(rollout, 1, 1, 1, late=late + SECOND).verdict is Verdict.STALE


def test_a_source_in_trouble_is_our_trouble() -> None:
    analysis = judged(a_watching(a_value(max=5)), (None, None, "HTTP 503"))
    assert analysis.verdict is Verdict.SOURCE_ERROR
    assert analysis.because == "value:cost: http cannot be read: HTTP 503"


def test_beside_stable_nothing_is_said_while_stable_is_silent() -> None:
    assert judged(a_watching(a_value(at_most=1.5)), *[(9.0, None)] * 5).verdict is Verdict.NO_DATA


def test_where_stable_falls_silent_its_last_number_counts_at_a_later_step_too() -> None:
    rollout = a_watching(a_value(at_most=1.5))
    evidence = at_new_weight(judged(rollout, (9.0, 2.0)).evidence)
    analysis = judged(rollout, *[(2.5, None)] * 3, evidence=evidence)
    assert (analysis.verdict, analysis.gates[0].stable_value) == (Verdict.PASS, 2.0)
    analysis = judged(rollout, *[(3.5, None)] * 3, evidence=evidence)
    assert analysis.because == "value:cost: 3.5 is above 1.5x stable's 2, 3 windows in a row, seen by http"


def test_a_value_has_its_own_answer_to_harm_and_takes_no_part_of_the_evidence() -> None:
    gate = Gate(GateKind.VALUE, ("http",), on_failure=OnFailure.PAUSE, bounds=Bounds("cost", max=5))
    errors = Gate(GateKind.ERROR_RATE, ("http",))
    analysis = judged(a_watching(errors, gate), 9, 9, 9)
    assert (analysis.verdict, analysis.on_failure) == (Verdict.FAIL, OnFailure.PAUSE)
    assert [reading.gate for reading in analysis.gates] == ["error-rate", "value:cost"]
    assert analysis.gates[1].canary_value == 9
    assert analysis.gates[1].threshold == 5


def test_a_dry_run_only_shows() -> None:
    dry = Gate(GateKind.VALUE, ("http",), is_dry_run=True, bounds=Bounds("cost", max=5))
    analysis = judged(a_watching(Gate(GateKind.ERROR_RATE, ("http",)), dry), 9, 9, 9)
    assert analysis.verdict is Verdict.NO_DATA
    assert analysis.gates[1].verdict is Verdict.FAIL
    assert analysis.gates[1].because.startswith("dry run: value:cost: 9 is above 5")


def test_an_absolute_bound_needs_no_number_of_stable() -> None:
    analysis = judged(a_watching(a_value(max=5)), *[(9.0, None)] * 3)
    assert (analysis.verdict, analysis.gates[0].stable_value) == (Verdict.FAIL, None)


def test_a_pass_says_that_nothing_gross_is_wrong_and_all_else_leaves_it_open() -> None:
    rollout = a_watching(a_value(max=5))
    assert judged(rollout, 1, 1, 1).gates[0].at_most_worse == 0.0
    assert judged(rollout, 1, 1, 1).is_not_gross
    assert judged(rollout, 1, 1).gates[0].at_most_worse is None
    assert not judged(rollout, 1, 1).is_not_gross
    reading = judged(rollout, 1, 1, 1).gates[0]
    assert (reading.harm_log, reading.safe_log) == (0.0, 0.0)


def test_a_reading_decides_unless_it_is_a_dry_run() -> None:
    assert GateReading("error-rate", Verdict.PASS, "why").is_dry_run is False


TWO = Sources(
    probe=None, logs=None, http=PLAN, prometheus=PrometheusConfig("http://p", "c", "f", values=(("cost", "q"),))
)
BY_TWO = Gate(GateKind.VALUE, ("http", "prometheus"), bounds=Bounds("cost", max=5))


def judged_by_two(http: Any, prometheus: Any, late: timedelta = SECOND) -> Analysis:
    """Judge numbers of two sources, the longer list to its end; None is a silent window, a text says why."""
    policy = a_policy(sources=TWO, gates=(BY_TWO,))
    rollout = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON, policy=policy)
    seen = [
        replace(told(second, None if isinstance(number, str) else number), source=source, trouble=trouble)
        for source, numbers in (("http", http), ("prometheus", prometheus))
        for second, number in enumerate(numbers)
        for trouble in [number if isinstance(number, str) else None]
    ]
    return judge(rollout, initial(policy), seen, NOON + max(len(http), len(prometheus)) * SECOND + late)


def test_each_source_has_to_see_it_well_and_any_may_see_harm() -> None:
    well, harm = (1.0, 1.0, 1.0), (9.0, 9.0, 9.0)
    assert judged_by_two(well, well).verdict is Verdict.PASS
    for one, other in ((well, (1.0, 1.0)), ((1.0, 1.0), well)):
        assert judged_by_two(one, other).because == "value:cost: 2 of 3 windows in a row lie within its bounds"
    for one, other, who in ((harm, well, "http"), (well, harm, "prometheus")):
        because = judged_by_two(one, other).because
        assert because == f"value:cost: 9 is above 5, 3 windows in a row, seen by {who}"


def test_the_source_that_keeps_the_others_waiting_is_named() -> None:
    well = (1.0, 1.0, 1.0)
    for one, other, who in ((well, (), "prometheus"), ((), well, "http")):
        analysis = judged_by_two(one, other)
        assert (analysis.verdict, analysis.because) == (
            Verdict.STALE,
            f"value:cost: no number for a while ({who}); what was seen is too old to decide on",
        )
    broken = ("HTTP 503",)
    for because, who in (
        (judged_by_two(well, broken).because, "prometheus"),
        (judged_by_two(broken, well).because, "http"),
    ):
        assert because == f"value:cost: {who} cannot be read: HTTP 503"
    assert judged_by_two((), ()).because == "value:cost: no number seen at this step yet (http)"


def test_the_source_that_decides_speaks_whatever_the_others_saw() -> None:
    failed = judged_by_two((9.0,), (9.0, 9.0, 9.0)).because
    assert failed == "value:cost: 9 is above 5, 3 windows in a row, seen by prometheus"
    assert judged_by_two((1.0, "HTTP 503"), ()).because == "value:cost: http cannot be read: HTTP 503"
    stale = judged_by_two((1.0, 1.0, 1.0), (1.0,), late=STALE_AFTER + 40 * SECOND)
    assert stale.because == "value:cost: no number for a while (http); what was seen is too old to decide on"


def test_all_sources_that_fell_silent_are_too_old_to_decide_on() -> None:
    analysis = judged_by_two((1.0, 1.0, 1.0), (1.0, 1.0), late=10 * STALE_AFTER)
    assert (analysis.verdict, analysis.gates[0].canary_value) == (Verdict.STALE, 1.0)
    assert "(http)" in analysis.because  # the other one is late by its nature


@pytest.mark.parametrize(
    ("bounds", "sentence"),
    [
        ({}, "has no bound"),
        ({"min": 3, "max": 2}, "min lies above max"),
        ({"at_least": 3, "at_most": 2}, "at-least lies above at-most"),
        ({"max": 1, "windows": 0}, "at least one window"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(bounds: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Bounds("cost", **bounds)


def test_gates_and_bounds_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(UsageError, match="a value has bounds, and nothing else has"):
        a_watching(Gate(GateKind.VALUE, ("http",)))
    with pytest.raises(UsageError, match="http tells no value price"):
        a_watching(Gate(GateKind.VALUE, ("http",), bounds=Bounds("price", max=1)))
    two = (a_value(max=5), a_value(min=1))
    with pytest.raises(UsageError, match="two gates of one kind"):
        a_watching(*two)


def test_at_100_a_policy_of_numbers_alone_has_nothing_to_guard_with() -> None:
    rollout = replace(a_watching(a_value(max=5)), step=3)
    assert judged(rollout, 1, 1).guarded is None
