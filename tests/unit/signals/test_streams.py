"""Who may have how many log streams: one budget for all, by need, early steps first."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry_rollouts.signals.streams import Demand, Streams, shared
from unit.signals.session_world import Hand

DEMANDS = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.builds(Demand, st.integers(1, 4), st.tuples(st.integers(1, 12), st.integers(1, 12))),
)
BUDGETS = st.integers(0, 150)


def taken(demand: Demand, allowed: int) -> int:
    return sum(min(number, allowed) for number in demand.sessions)


@given(DEMANDS, BUDGETS)
def test_all_together_take_no_more_than_there_is_and_leave_nothing_that_anybody_could_use(
    demands: dict[str, Demand], budget: int
) -> None:
    allowed = shared(demands, budget)
    assert allowed.keys() == demands.keys()
    used = sum(taken(demands[name], allowed[name]) for name in demands)
    assert used <= budget
    if any(allowed[name] < demands[name].most for name in demands):
        assert budget - used < 2  # One more session of each version takes two streams.
    else:
        assert used == sum(each.streams for each in demands.values())


@given(DEMANDS, BUDGETS)
def test_nobody_has_two_more_than_whoever_wants_more_and_an_early_step_never_has_less(
    demands: dict[str, Demand], budget: int
) -> None:
    allowed = shared(demands, budget)
    for one, wants in demands.items():
        for other, others in demands.items():
            assert allowed[one] >= min(wants.most, allowed[other] - 1)
            if wants.step < others.step:
                assert allowed[one] >= min(wants.most, allowed[other])


@given(DEMANDS, BUDGETS)
def test_with_a_larger_budget_nobody_gets_less(demands: dict[str, Demand], budget: int) -> None:
    less, more = shared(demands, budget), shared(demands, budget + 1)
    assert all(more[name] >= less[name] for name in demands)


@given(DEMANDS)
def test_two_streams_for_each_rollout_leave_none_without_sight(demands: dict[str, Demand]) -> None:
    assert all(allowed >= 1 for allowed in shared(demands, 2 * len(demands)).values())


def test_a_canary_of_few_sessions_is_seen_whole_before_others_are_seen_at_all_depth() -> None:
    demands = {"late": Demand(3, (20, 20)), "early": Demand(1, (20, 2))}
    assert shared(demands, 20) == {"late": 6, "early": 6}
    assert shared(demands, 22) == {"late": 6, "early": 7}
    assert shared(demands, 3) == {"late": 0, "early": 1}


@pytest.fixture
def hand() -> Hand:
    return Hand()


def streams_of(hand: Hand, most: int, **demands: Demand) -> Streams:
    streams = Streams(hand.now, most)
    for name, demand in demands.items():
        streams.want(name, demand)
    return streams


def test_where_there_is_enough_for_all_only_the_policy_limits(hand: Hand) -> None:
    streams = streams_of(hand, 8, one=Demand(1, (2, 2)), two=Demand(1, (2, 2)))
    assert (streams.allowed("one", 50), streams.wanted) == (50, 8)
    assert streams.sight("one") is streams.blindness("one") is None


def test_what_is_short_is_said_in_numbers(hand: Hand) -> None:
    streams = streams_of(hand, 2000, **{f"r-{number}": Demand(1, (20, 5)) for number in range(300)})
    assert streams.allowed("r-0", 50) == 4
    assert streams.allowed("r-0", 3) == 3
    because = "2 000 streams are shared by 300 rollouts"
    assert streams.sight("r-0") == f"logs: at most 4 of 20 sessions of each version are followed: {because}"
    assert streams.allowed("r-299", 50) == 3
    streams = streams_of(hand, 2, early=Demand(1, (1, 1)), late=Demand(2, (1, 1)))
    assert streams.blindness("late") == "no session is followed: 2 streams are shared by 2 rollouts"
    assert streams.sight("late") is streams.sight("early") is streams.blindness("early") is None


def test_the_budget_is_shared_once_a_second_and_who_came_since_waits_for_it(hand: Hand) -> None:
    streams = streams_of(hand, 4, one=Demand(1, (4, 4)))
    assert streams.allowed("one", 50) == 2
    streams.want("two", Demand(1, (4, 4)))
    hand.on(0.9)
    assert streams.allowed("one", 50) == 2
    assert (streams.take("two"), streams.take("one")) == (False, True)
    assert streams.sight("two") is streams.blindness("two") is None
    hand.on(0.1)
    assert (streams.allowed("one", 50), streams.allowed("two", 50)) == (1, 1)
    assert streams.take("two")
    streams.want("two", Demand(1, (1, 1)))
    hand.on(-3600)  # A clock that was set back.
    assert streams.allowed("one", 50) == 1
    streams.forget("two")
    hand.on(1)
    assert (streams.allowed("one", 50), streams.wanted) == (2, 8)


def test_no_more_streams_are_open_than_there_may_be_whatever_is_allowed(hand: Hand) -> None:
    streams = streams_of(hand, 3, one=Demand())
    assert [streams.take("one") for _ in range(4)] == [True, True, True, False]
    streams.give_back()
    assert streams.take("one")
    assert streams.open == 3


def test_what_leaves_is_wanted_no_more(hand: Hand) -> None:
    streams = streams_of(hand, 4, one=Demand(1, (4, 4)), two=Demand(2, (1, 3)))
    streams.want("one", replace(Demand(), step=2))
    assert streams.wanted == 6
    streams.forget("two")
    streams.forget("two")
    assert (streams.wanted, streams.is_enough) == (2, True)
