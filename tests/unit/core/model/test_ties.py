"""Policies that name the same agents equally are found from their globs."""

from fnmatch import fnmatchcase
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_policy
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.ties import MOST, names_of_both, ties


def policies(*agents: tuple[str, ...]) -> list[Policy]:
    return [a_policy(name=f"p{place}", agents=globs) for place, globs in enumerate(agents)]


@pytest.mark.parametrize(
    ("one", "other", "agent"),
    [
        ("support-*", "*-support", "support-support"),
        ("eu-*", "*-eu", "eu-eu"),
        ("*ab*", "a*b", "ab"),
        ("a?", "?b", "ab"),
        ("team-[ab]*", "team-[bc]*", "team-b"),
        ("x[!a]*", "x[!b]*", "xc"),
        ("*", "?*", "a"),
    ],
)
def test_two_globs_that_are_equally_exact_tie_on_an_agent_that_is_named(one: str, other: str, agent: str) -> None:
    (tie,) = ties(policies((one,), (other,)))
    assert (tie.first.name, tie.second.name, tie.glob) == ("p0", "p1", other)
    assert fnmatchcase(tie.agent, one)
    assert fnmatchcase(tie.agent, other)
    assert len(tie.agent) <= len(agent)
    assert tie.because.startswith(f"agents such as '{tie.agent}' are named by policies p0 and p1 equally:")


@pytest.mark.parametrize(
    "agents",
    [
        (("support-*",), ("support-eu-*",)),
        (("*",), ("support-*",)),
        (("*-eu",), ("*-us",)),
        (("a[12]*",), ("a[34]*",)),
        (("support-eu",), ("support-??",)),
        (("a*", "*b"), ("c",)),
        (("a?",), ("b?",)),
    ],
)
def test_globs_of_which_one_is_more_exact_or_that_match_nothing_together_do_not_tie(
    agents: tuple[tuple[str, ...], ...],
) -> None:
    assert ties(policies(*agents)) == ()


def test_agents_that_a_third_policy_names_more_exactly_are_no_tie() -> None:
    assert ties(policies(("a?",), ("?b",), ("ab",))) == ()
    (tie,) = ties(policies(("a*",), ("*b",), ("ab",)))
    assert tie.agent != "ab"
    assert ties(policies(("a*",), ("*b",), ("a*b",))) == ()


@given(st.text("ab*?", min_size=1, max_size=5), st.text("ab*?", min_size=1, max_size=5))
def test_every_name_is_matched_by_both(one: str, other: str) -> None:
    names = list(names_of_both(one, other))
    assert all(fnmatchcase(name, one) and fnmatchcase(name, other) for name in names)
    short = [a + b + c + d for a in "ab" for b in ("a", "b", "") for c in ("a", "b", "") for d in ("a", "b", "")]
    if any(fnmatchcase(name, one) and fnmatchcase(name, other) for name in short):
        assert names


def test_a_thousand_policies_are_looked_through_with_little_of_the_processor() -> None:
    apart = policies(*((f"team-{number:04}-*", f"*-{number:04}-x") for number in range(1000)))
    alike = policies(*((f"*{number:04}*",) for number in range(1000)))
    before = thread_time()
    assert len(ties(alike)) == MOST
    ties(apart)
    assert thread_time() - before < 20
