"""What an interval moves: each bet by its own line, its cluster, and what the interval is good for."""

import math
from dataclasses import replace

import pytest

from builders import NOON
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import Hypotheses, Use, begin, observed, reweighted
from foundry_rollouts.core.judging.constants import STRICT, WARM_PART
from foundry_rollouts.core.judging.estimate import StableEstimate
from foundry_rollouts.core.judging.one_armed import Guard, begin_floor, observed_floor
from foundry_rollouts.core.judging.stakes import Interval, Stakes, Terms, bet, restaked
from foundry_rollouts.core.model.policy import Margin
from unit.core.judging.made_evidence import proving

TEN = Tally(10, 2, 90, 1)
BETS = Hypotheses(Margin(1.2), Margin(2.0, 0.02), 3.0)


def an_interval(tally: Tally = TEN, **but: bool) -> Interval:
    return Interval(NOON, 10.0, (tally,), **but)


@pytest.mark.parametrize(("first", "then"), [(True, False), (False, True), (True, True), (False, False)])
def test_an_interval_that_goes_on_was_in_trouble_where_any_part_was(first: bool, then: bool) -> None:
    later = replace(an_interval(Tally(1, 0, 2, 0), is_troubled=then), seconds=2.0)
    both = an_interval(is_troubled=first, is_part=True).going_on(later)
    assert both.is_troubled is (first or then)
    assert (both.seconds, both.tallies) == (12.0, (Tally(11, 2, 92, 1),))


def test_what_an_interval_is_good_for() -> None:
    assert an_interval().use is Use.ALL
    assert not an_interval().is_part
    assert an_interval(is_troubled=True).use is Use.TROUBLED
    assert an_interval(is_warm=True, is_troubled=True).use is Use.NONE


@pytest.mark.parametrize("is_troubled", [False, True])
def test_each_process_is_moved_by_its_own_line_and_the_cluster(is_troubled: bool) -> None:
    before = Stakes((begin(),), begin(), begin_floor())
    after = bet(before, Terms(BETS, max=0.1), an_interval(is_troubled=is_troubled))
    use = Use.TROUBLED if is_troubled else Use.ALL
    assert after.processes == (observed(begin(), BETS, TEN, 10.0, use),)
    assert after.strict == observed(begin(), Hypotheses(STRICT, BETS.bad, 3.0), TEN, 10.0, use)
    assert after.ceiling == observed_floor(begin_floor(), 0.1, TEN, 10.0, 3.0)
    assert (after.guard, after.pot) == (None, None)


def test_no_ceiling_is_broken_by_a_canary_that_warms_up() -> None:
    after = bet(Stakes((begin(),), begin(), begin_floor()), Terms(BETS, max=0.1), an_interval(is_warm=True))
    assert after.ceiling == begin_floor()


@pytest.mark.parametrize(("calm", "past"), [(None, 0.1), (0.02, 0.02), (0.5, 0.1)])
def test_the_guard_goes_by_the_calm_rate_where_it_is_lower(calm: float | None, past: float) -> None:
    known = replace(begin(), guess=StableEstimate(calls=950.0, failures=99.5))
    terms = Terms(BETS, has_all_traffic=True, calm=calm)
    after = bet(Stakes((known,)), terms, an_interval())
    expected = Guard(past, is_known=True).after(TEN, 10.0, is_warm=False, cluster=3.0)
    assert after.guard == expected
    unknown = bet(Stakes((begin(),)), terms, an_interval()).guard
    assert unknown is not None
    assert not unknown.is_known
    assert bet(after, replace(terms, calm=0.3), an_interval()).guard == expected.after(
        TEN, 10.0, is_warm=False, cluster=3.0
    )


def test_the_pot_is_a_tenth_of_the_evidence_and_bets_only_while_it_may() -> None:
    seen = StableEstimate(calls=100.0, failures=20.0)
    stakes = Stakes((replace(proving(1), guess=seen),), pot=proving(2))
    assert stakes.harm_log == pytest.approx(math.log((1 - WARM_PART) * 10 + WARM_PART * 100))
    line = Hypotheses(Margin(1.0, 0.25), BETS.bad, 3.0)
    warm = bet(stakes, Terms(BETS), an_interval(is_warm=True))
    assert warm.pot == observed(replace(proving(2), guess=seen), line, TEN, 10.0)
    calm = replace(stakes, pot=proving(-1))
    assert bet(calm, Terms(BETS), an_interval()).pot == calm.pot
    assert bet(stakes, Terms(BETS), an_interval()).pot != stakes.pot


def test_a_step_begins_with_stakes_of_its_own() -> None:
    anew = restaked(Stakes((proving(1, 2),), proving(1, 2), begin_floor(), proving(1), Guard(0.1)))
    assert anew.guard is None
    assert anew.pot == reweighted(proving(1))
    assert anew.ceiling == begin_floor()
    assert anew.processes[0].safe_log == pytest.approx(0)
    assert restaked(Stakes((proving(),))) == Stakes(restaked(Stakes((proving(),))).processes)
