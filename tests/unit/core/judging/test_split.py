"""The share of new sessions against the weight: each number of the bets, and of the sentence."""

import math

import pytest

from foundry_rollouts.core.judging.split import MOST_WON, Split


def test_before_any_session_nothing_is_known_and_claims_have_their_parts() -> None:
    split = Split("logs")
    assert [math.exp(part) for part in split.below] == pytest.approx([0.9, 0.1])
    assert [math.exp(part) for part in split.above] == pytest.approx([1 / 3] * 3)
    assert not split.is_ignored
    assert split.after(0, 0, 10) == split
    assert split.after(3, 4, 0) == split.after(3, 4, 100) == split
    assert split.after(3, 4, 1) != split
    assert split.after(3, 4, 99) != split


@pytest.mark.parametrize(("canary", "stable"), [(1, 0), (0, 1)])
def test_one_session_is_counted_and_bet_on(canary: int, stable: int) -> None:
    split = Split("logs").after(canary, stable, 20)
    assert (split.canary, split.stable) == (canary, stable)
    claims = 2e-5, 0.1, 0.4, 0.6, 0.9999
    won = [claim / 0.2 if canary else (1 - claim) / 0.8 for claim in claims]
    parts = 0.9, 0.1, 1 / 3, 1 / 3, 1 / 3
    expected = [part * factor for part, factor in zip(parts, won, strict=True)]
    assert [math.exp(part) for part in (*split.below, *split.above)] == pytest.approx(expected)


def test_sessions_add_up_over_intervals() -> None:
    split = Split("logs").after(3, 30, 10).after(2, 14, 10)
    once = Split("logs").after(5, 44, 10)
    assert (split.canary, split.stable) == (5, 44)
    assert split.below == pytest.approx(once.below)
    assert split.above == pytest.approx(once.above)


def test_it_is_reported_at_a_hundred_to_one_exactly() -> None:
    enough, little = (math.log(100),), (math.log(99.99),)
    assert Split("logs", below=enough).is_ignored
    assert Split("logs", above=enough).is_ignored
    assert not Split("logs", below=little, above=little).is_ignored


def test_no_claim_wins_more_than_it_needs() -> None:
    assert max(Split("logs").after(0, 5000, 10).below) == MOST_WON == math.log(100) + 2


def test_the_sentence_has_both_shares() -> None:
    assert (
        Split("logs")
        .after(18, 2, 10)
        .sentence(10)
        .startswith("of 20 new sessions 18 went to the canary (90%), where its weight is 10%, seen by logs: ")
    )
    assert Split("outcomes").sentence(50).startswith("of 0 new sessions 0 went to the canary (0%), where")
