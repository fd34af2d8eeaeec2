"""What breaks the promise breaks it as said, and a slower canary is seen."""

import pytest

from foundry_rollouts.bench.measures import depend, signals
from foundry_rollouts.bench.report import Options, chosen
from foundry_rollouts.core.model.policy import Margin


def test_failures_that_are_counted_over_and_over_break_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    tenfold = "every failure counted 10 times"
    monkeypatch.setattr(depend, "TROUBLES", [each for each in depend.TROUBLES if each.name in {"none", tenfold}])
    monkeypatch.setattr(depend, "TOLERANCES", (Margin(1.0),))
    results = depend.measure(Options(runs=20)).results
    back = {(each.effect, each.rule): each.rolled_back or 0.0 for each in results}
    assert back["none", "ours, 1x"] <= 0.05
    assert back[tenfold, "ours, 1x"] >= 0.7
    assert back[tenfold, f"ours, {depend.ONCE}"] <= 0.05
    assert back[tenfold, f"ours, {depend.DIVIDED}"] <= 0.05


def test_a_cold_start_is_forgiven_by_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depend, "TROUBLES", [each for each in depend.TROUBLES if each.is_cold][-1:])
    back = {each.rule: each.rolled_back for each in depend.measure(Options(runs=20)).results}
    assert back["ours, 1x"] == 1.0
    assert back[f"ours, {depend.WARM}"] == 0.0


def test_a_slower_canary_is_seen_and_a_shared_slowness_is_not_held_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, slower = "both 3x as slow for 3 minutes", "median +50%"
    monkeypatch.setattr(signals, "CHANGES", [each for each in signals.CHANGES if each.name in {"none", shared, slower}])
    results = chosen(signals.measure(Options(runs=20)).results, rule="ours")
    back = {each.effect: each.rolled_back or 0.0 for each in results}
    assert back["none"] <= 0.05
    assert back[shared] <= 0.1
    assert back[slower] == 1.0
