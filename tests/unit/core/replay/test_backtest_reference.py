"""``policy backtest --counts`` as its users call it, against the formulas written down a second time."""

import json
import random
from pathlib import Path

import pytest

from foundry_rollouts.cli.app import main
from unit.core.judging.reference_evidence import ReferenceEvidence

POLICY = """
name: any
agents: ["*"]
steps: [{weight: 10}, {weight: 50}, {weight: 100}]
judge: {tolerate: %s, bad: %s}
"""
LINES = [
    (("1.2x", "1.5x + 0.5pp"), ((1.2, 0.0), (1.5, 0.005))),
    (("1x", "1.5x + 0.5pp"), ((1.0, 0.0), (1.5, 0.005))),
    (("1.1x + 1pp", "3x + 20pp"), ((1.1, 0.01), (3.0, 0.2))),
]


def rows(seed: int) -> list[tuple[int, int, int, int, int, int]]:
    """Return an hour of uneven intervals: silences, outages that both share, a worse canary, changes of weight."""
    dice, found, seconds = random.Random(seed), [], 0
    while seconds < 3600:
        seconds += dice.choice([5, 10, 60, 130])
        weight = 10 if seconds < 1500 else 50
        canary, stable = dice.choice([0, 1, 4, 40]), dice.choice([0, 3, 9, 300])
        rate = dice.choice([0.0, 0.02, 0.4])
        failed = [
            sum(dice.random() < rate * worse for _ in range(calls)) for calls, worse in ((canary, 1.1), (stable, 1))
        ]
        found.append((seconds, weight, canary, failed[0], stable, failed[1]))
    return found


@pytest.mark.parametrize(("written", "lines"), LINES)
def test_it_equals_the_reference_to_a_millionth_row_by_row(
    written: tuple[str, str], lines: tuple[tuple[float, float], tuple[float, float]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    counts, policy = tmp_path / "counts.csv", tmp_path / "policy.yaml"
    intervals = rows(seed=LINES.index((written, lines)))
    header = "seconds,canary_weight,canary_calls,canary_failures,stable_calls,stable_failures\n"
    counts.write_text(header + "".join(",".join(map(str, row)) + "\n" for row in intervals), "utf-8")
    policy.write_text(POLICY % written, "utf-8")
    assert main(["policy", "backtest", "--policy", str(policy), "--counts", str(counts), "--output", "json"]) == 0
    judged = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    reference, before, weight = ReferenceEvidence(*lines), 0, 10
    assert len(judged) == len(intervals)
    for (seconds, at_weight, *tally), said in zip(intervals, judged, strict=True):
        if at_weight != weight:
            reference.weight_change()
        reference.interval((tally[0], tally[1], tally[2], tally[3]), seconds - before)
        before, weight = seconds, at_weight
        assert said["seconds"] == seconds
        assert said["harm_log10"] == pytest.approx(reference.harm_log10, abs=1e-6)
        assert said["safe_log10"] == pytest.approx(reference.safe_log10, abs=1e-6)
        assert said["at_most_worse"] == reference.at_most_worse(0.05)
