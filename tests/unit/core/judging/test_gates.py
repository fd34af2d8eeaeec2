"""Gates among each other: who weighs how much, who decides sooner, and who only looks on."""

import pytest

from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.constants import CRITICAL
from foundry_rollouts.core.judging.evidence import strata
from foundry_rollouts.core.judging.harm import part_of
from foundry_rollouts.core.judging.logarithms import as_log10
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.policy import Gate, GateKind
from foundry_rollouts.errors import UsageError
from unit.core.judging.test_judge import a_progressing, judged, measured

ERRORS = Gate(GateKind.ERROR_RATE, ("probe", "logs"))
LINES = Gate(GateKind.LOG_ERRORS, ("logs",))


def with_lines(second: int, calls: int, lines: int) -> Measurement:
    """Return a measurement of logs in which so many canary calls wrote an error and none failed."""
    return measured(second, (calls, 0), (calls, 0), "logs", log_errors=lines)


def ticks_until_failure(*gates: Gate) -> int:
    """Count the ticks until error lines of the canary are answered."""
    ticks: list[list[Measurement]] = []
    while judged(a_progressing(gates=gates), *ticks).verdict is not Verdict.FAIL:
        ticks.append([with_lines(len(ticks), 4, 2)])
        assert len(ticks) < 60
    return len(ticks)


def test_a_critical_gate_decides_sooner_and_the_parts_still_sum_to_one() -> None:
    critical = Gate(GateKind.LOG_ERRORS, ("logs",), is_critical=True)
    assert ticks_until_failure(ERRORS, critical) < ticks_until_failure(ERRORS, LINES)
    policy = a_progressing(gates=(ERRORS, critical)).policy
    parts = [part_of(policy, gate) for gate in policy.gates]
    assert sum(parts) == pytest.approx(1)
    assert parts[1] / parts[0] == pytest.approx(CRITICAL * 0.15 / 0.6)


def test_a_dry_run_is_judged_and_shown_and_decides_nothing() -> None:
    dry = Gate(GateKind.LOG_ERRORS, ("logs",), is_dry_run=True)
    ticks = [[with_lines(second, 4, 4)] for second in range(40)]
    analysis = judged(a_progressing(gates=(ERRORS, dry)), *ticks)
    assert analysis.verdict is not Verdict.FAIL
    assert analysis.on_failure is None
    errors, lines = analysis.gates
    assert (errors.is_dry_run, lines.is_dry_run) == (False, True)
    assert lines.verdict is Verdict.FAIL
    assert lines.because.startswith("dry run: canary 160 of 160 wrote an error line")
    assert "log-errors" not in (analysis.waiting_for or "")


def test_a_silent_dry_run_holds_nobody_up() -> None:
    dry = Gate(GateKind.ERROR_RATE, ("probe",), is_dry_run=True)
    ticks = [[with_lines(second, 30, 0)] for second in range(10)]
    analysis = judged(a_progressing(gates=(LINES, dry)), *ticks)
    assert analysis.verdict is Verdict.PASS
    assert analysis.gates[1].verdict is Verdict.NO_DATA


def test_a_dry_run_takes_no_part_of_the_evidence_from_the_others() -> None:
    dry = Gate(GateKind.LOG_ERRORS, ("logs",), is_dry_run=True)
    alone, beside = a_progressing(gates=(ERRORS,)), a_progressing(gates=(ERRORS, dry))
    assert part_of(beside.policy, ERRORS) == part_of(alone.policy, ERRORS) == 1
    assert part_of(beside.policy, dry) == 0


def test_sources_count_as_the_gate_weighs_them() -> None:
    weighed = Gate(GateKind.ERROR_RATE, ("probe", "logs"), weights=(1.0, 3.0))
    policy = a_progressing(gates=(weighed,)).policy
    assert dict(strata(policy, weighed)) == pytest.approx({"probe": 0.25, "logs": 0.75})


def test_a_source_that_weighs_more_proves_harm_sooner() -> None:
    def harm(gate: Gate) -> float:
        ticks = [[measured(second, (4, 2)), measured(second, (4, 0), source="logs")] for second in range(8)]
        analysis: Analysis = judged(a_progressing(gates=(gate,)), *ticks)
        return as_log10(analysis.gates[0].harm_log)

    probe, logs = ((3.0, 1.0), (1.0, 3.0))
    assert harm(Gate(GateKind.ERROR_RATE, ("probe", "logs"), weights=probe)) > harm(
        Gate(GateKind.ERROR_RATE, ("probe", "logs"), weights=logs)
    )


@pytest.mark.parametrize(
    ("gates", "sentence"),
    [
        ((Gate(GateKind.ERROR_RATE, ("probe",), is_dry_run=True),), "every gate is a dry run"),
        ((Gate(GateKind.ERROR_RATE, ("probe", "logs"), weights=(1.0,)),), "give each of its sources a weight"),
        ((Gate(GateKind.ERROR_RATE, ("probe",), weights=(0.0,)),), "give each of its sources a weight"),
        ((Gate(GateKind.LOG_ERRORS, ("probe",)),), "log-errors asks probe, which cannot tell it"),
    ],
)
def test_gates_that_make_no_sense_are_refused(gates: tuple[Gate, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        a_progressing(gates=gates)
