"""What breaks the promise breaks it as said, and a slower canary is seen."""

from foundry_rollouts.bench.measures import depend, signals
from foundry_rollouts.bench.report import Wish, chosen


def test_failures_that_are_counted_over_and_over_break_the_promise_and_nothing_else_does() -> None:
    results = depend.measure(Wish(runs=20)).results
    back = {each.effect: each.rolled_back or 0.0 for each in chosen(results, rule="ours, 1x", traffic=20.0)}
    assert back["none"] <= 0.05
    assert back["every failure counted 10 times"] >= 0.7


def test_a_slower_canary_is_seen_and_a_shared_slowness_is_not_held_against_it() -> None:
    results = chosen(signals.measure(Wish(runs=20)).results, rule="ours")
    back = {each.effect: each.rolled_back or 0.0 for each in results}
    assert back["none"] <= 0.05
    assert back["both 3x as slow for 3 minutes"] <= 0.1
    assert back["median +50%"] == 1.0
