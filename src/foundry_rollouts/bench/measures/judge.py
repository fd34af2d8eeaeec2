"""The published set: every measurement that docs/benchmarks.md shows."""

from foundry_rollouts.bench.measures import detect, late, rollout, safe, schedule, share, wald
from foundry_rollouts.bench.report import Options, Report

PUBLISHED = (rollout, schedule, late, detect, safe, wald, share)


def measure(options: Options) -> Report:
    """Return all of it as one report."""
    report = Report()
    for each in PUBLISHED:
        report += each.measure(options)
    return report
