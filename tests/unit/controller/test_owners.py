"""Who owns an agent: shares that are fair, and moves that are as few as can be."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry_rollouts.controller.owners import Owners, owner_of

AGENTS = [f"agent-{number}" for number in range(6000)]
NAMES = st.lists(st.text(min_size=1, max_size=200), min_size=1, max_size=8, unique=True)


@pytest.mark.parametrize("names", [["a-1", "b-1"], ["pod-0", "pod-1", "pod-2"], ["x" * 200, "ü", "\ud800"]])
def test_shares_are_within_a_tenth_of_fair(names: list[str]) -> None:
    shares = Counter(owner_of(agent, names) for agent in AGENTS)
    fair = len(AGENTS) / len(names)
    assert all(abs(shares[name] - fair) < fair / 10 for name in names)


@given(NAMES, st.text(min_size=1), st.text())
def test_who_joins_takes_its_share_and_nothing_else_moves(names: list[str], joining: str, agent: str) -> None:
    before, after = owner_of(agent, names), owner_of(agent, {*names, joining})
    assert after in {before, joining}
    assert before in names


@given(NAMES, st.text())
def test_who_leaves_loses_its_share_to_the_others_and_nothing_else_moves(names: list[str], agent: str) -> None:
    owner = owner_of(agent, names)
    for leaving in names:
        left = owner_of(agent, set(names) - {leaving})
        assert left != leaving
        assert owner in {leaving, left}


@given(NAMES, st.text())
def test_all_agree_who_owns_an_agent_whatever_the_order(names: list[str], agent: str) -> None:
    assert owner_of(agent, names) == owner_of(agent, list(reversed(names)))
    own = [name for name in names if Owners(name, frozenset(names)).is_ours(agent)]
    assert own == [owner_of(agent, names)]


def test_the_newcomer_gets_its_fair_share_of_many() -> None:
    taken = sum(owner_of(agent, ["one", "two", "three"]) == "three" for agent in AGENTS)
    assert abs(taken - len(AGENTS) / 3) < len(AGENTS) / 30


def test_nobody_owns_an_agent_without_replicas_and_everybody_may_try() -> None:
    assert owner_of("agent", ()) is None
    assert Owners("one").is_ours("agent")
    assert not Owners("one").is_known


def test_who_let_a_lease_run_out_owns_the_agent_no_more() -> None:
    owners = {name: Owners(name, frozenset({"one", "two", "three"})) for name in ("one", "two", "three")}
    for agent in AGENTS[:100]:
        dead = owner_of(agent, owners)
        assert sum(each.is_ours(agent, dead) for each in owners.values()) == 1
        assert dead is not None
        assert not owners[dead].is_ours(agent, dead)
        assert Owners("one", frozenset({"one"})).is_ours(agent, "one")
        assert owners[dead].is_ours(agent, "a stranger")
