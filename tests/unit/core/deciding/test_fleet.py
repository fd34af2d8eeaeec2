"""Order between agents and waves over labels: who comes before whom, and what settles it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON, a_policy
from foundry_rollouts.core.deciding.fleet import before, survey
from foundry_rollouts.core.deciding.reins import Rein
from foundry_rollouts.core.model.fleet import BadEnd, FleetFacts, Trial
from foundry_rollouts.core.model.group import Group
from foundry_rollouts.core.model.limits import Limits
from foundry_rollouts.core.model.rollout import Phase

ME = Trial("r-me", "shop", "5", NOON)
BASE = Trial("r-base", "base", "7", NOON, is_under_way=True, phase=Phase.PROGRESSING)
BACK = BadEnd("r-old", "base", "7", Phase.ROLLED_BACK)
NO_LIMITS = Limits()
RINGS = Limits(waves=(("ring-0",), ("ring-1", "ring-2"), ("ring-3",)))


def held(
    facts: FleetFacts, me: Trial = ME, limits: Limits = NO_LIMITS, after: tuple[str, ...] = ()
) -> tuple[Rein, ...]:
    return survey(facts, limits, NOON).reins(me, a_policy(name="shops", after=after))


def of_order(*trials: Trial, end: BadEnd | None = None, known: str = "base") -> list[tuple[str, str]]:
    facts = FleetFacts(trials, {end.agent: end} if end else {}, frozenset([known]))
    return [(rein.because, rein.waiting_for) for rein in held(facts, after=("base",))]


@pytest.mark.parametrize(
    ("change", "stands"),
    [
        ({}, "under way"),
        ({"phase": Phase.PAUSED}, "paused"),
        ({"is_under_way": False, "phase": Phase.PENDING}, "waiting to start"),
    ],
)
def test_an_agent_waits_while_the_one_before_has_a_rollout(change: dict[str, object], stands: str) -> None:
    assert of_order(replace(BASE, **change)) == [  # type: ignore[arg-type]
        (
            f"agent base comes before it (policy shops): its version 7 is {stands}",
            "the end of the rollout of agent base",
        )
    ]


@pytest.mark.parametrize(
    ("phase", "word"),
    [(Phase.ROLLED_BACK, "was rolled back"), (Phase.DISABLED, "disabled the endpoint"), (Phase.FAILED, "failed")],
)
def test_an_agent_waits_while_the_one_before_ended_badly(phase: Phase, word: str) -> None:
    assert of_order(end=replace(BACK, phase=phase)) == [
        (
            f"agent base comes before it (policy shops): its version 7 {word}, and nobody acknowledged that",
            "agent base: a promotion of it, or an acknowledgement",
        )
    ]


def test_a_misspelt_agent_holds_and_says_so() -> None:
    assert of_order(known="bass") == [
        (
            "agent base comes before it (policy shops), and there is no agent of that name",
            "agent base to be there, or the policy to leave it out",
        )
    ]


def test_nobody_waits_for_what_only_observes_or_for_itself_and_a_return_waits_for_nobody() -> None:
    assert of_order(replace(BASE, is_observed=True)) == []
    assert of_order() == []
    facts = FleetFacts((BASE,), {}, frozenset(["base"]))
    assert held(facts, replace(ME, agent="base", rollout="r-base"), after=("base",)) == ()
    assert held(facts, replace(ME, is_revert=True), after=("base",)) == ()
    assert held(facts, replace(ME, is_observed=True), after=("base",)) == ()


def test_plain_names_are_of_the_own_project() -> None:
    policy = a_policy(after=("base", "emea/base", "shop", "base"))
    assert before("sales/shop", policy) == ("sales/base", "emea/base")


def test_nobody_waits_for_those_that_move_in_lockstep_with_it() -> None:
    policy = a_policy(after=("base", "cart"), group=Group("checkout", ("shop", "cart")))
    assert before("sales/shop", policy) == ("sales/base",)


def in_wave(label: str, facts: FleetFacts) -> list[tuple[str, str]]:
    return [(rein.because, rein.waiting_for) for rein in held(facts, replace(ME, labels=(label,)), RINGS)]


def test_a_later_wave_waits_for_rollouts_of_all_earlier_ones() -> None:
    facts = FleetFacts((replace(BASE, labels=("ring-0",)),))
    because = "wave 1 (ring-0) comes before it: agent base, version 7 is under way"
    assert in_wave("ring-1", facts) == [(because, "wave 1 (ring-0): the end of its rollouts")]
    assert in_wave("ring-3", facts) == in_wave("ring-1", facts)
    assert in_wave("ring-0", facts) == []
    assert in_wave("payments", facts) == []


def test_a_later_wave_waits_for_what_went_wrong_in_an_earlier_one() -> None:
    facts = FleetFacts(bad_ends={"base": replace(BACK, labels=("ring-2", "payments"))})
    because = (
        "wave 2 (ring-1 or ring-2) comes before it: agent base, version 7 was rolled back, and nobody acknowledged that"
    )
    wish = "wave 2 (ring-1 or ring-2): of each agent: a promotion of it, or an acknowledgement"
    assert in_wave("ring-3", facts) == [(because, wish)]
    assert in_wave("ring-1", facts) == []


def test_a_newer_rollout_of_an_agent_is_what_is_said_of_it() -> None:
    newer = replace(BASE, labels=("ring-0",), canary="8", created_at=NOON + timedelta(hours=1))
    facts = FleetFacts((newer,), {"base": replace(BACK, labels=("ring-0",))})
    assert [because for because, _ in in_wave("ring-1", facts)] == [
        "wave 1 (ring-0) comes before it: agent base, version 8 is under way"
    ]


def test_an_agent_of_two_waves_is_in_the_earlier_one() -> None:
    facts = FleetFacts((replace(BASE, labels=("ring-3", "ring-1")),))
    assert in_wave("ring-2", facts) == []
    assert len(in_wave("ring-3", facts)) == 1
