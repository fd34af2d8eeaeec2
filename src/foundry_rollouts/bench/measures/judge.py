"""The published set: every measurement that docs/benchmarks.md shows."""

from foundry_rollouts.bench.measures import rollout
from foundry_rollouts.bench.report import Report, Wish

PUBLISHED = (rollout,)


def measure(wish: Wish) -> Report:
    """Return all of it as one report."""
    report = Report()
    for each in PUBLISHED:
        report += each.measure(wish)
    return report
