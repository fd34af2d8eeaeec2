"""How often all agents are read, what is said of limits that nobody meets, and rollouts that were just created."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
import structlog

from builders import NOON, a_policy, a_rollout
from fakes import FakePolicies
from foundry_rollouts.controller.fleet import AllAgents
from foundry_rollouts.core.model.effects import Mode
from foundry_rollouts.core.model.fleet import FleetFacts, FleetQuestion, Trial
from foundry_rollouts.core.model.limits import Limits
from foundry_rollouts.policies.limits import LimitsInForce

POLICY = a_policy(agents=("*",), labels=("payments",), after=("base",))
LATER = NOON + timedelta(minutes=1)


@dataclass
class Counting:
    """Answers each question with the same facts, after some time, and remembers what was asked."""

    facts: FleetFacts = field(default_factory=FleetFacts)
    takes: float = 0.0
    time: float = 0.0
    asked: list[FleetQuestion] = field(default_factory=list)

    async def fleet(self, asked: FleetQuestion) -> FleetFacts:
        self.asked.append(asked)
        self.time += self.takes
        return self.facts


def all_agents(store: Counting, limits: Limits, *policies: object) -> AllAgents:
    given = FakePolicies(policies or (POLICY,))  # type: ignore[arg-type]
    return AllAgents(store, given, LimitsInForce(limits), lambda: store.time)


async def test_one_read_serves_all_for_a_second_and_a_slow_one_for_longer() -> None:
    store = Counting()
    fleet = all_agents(store, Limits(project=1))
    for number in range(50):
        await fleet.reins(a_rollout(id=f"r-{number}"), POLICY, LATER)
    assert [each.agents for each in store.asked] == [("base",)]
    for store.time, reads in ((0.9, 1), (1.1, 2)):
        await fleet.reins(a_rollout(), POLICY, LATER)
        assert len(store.asked) == reads
    store.takes = 0.5
    for store.time, reads in ((3, 3), (12, 3), (14, 4)):
        await fleet.reins(a_rollout(), POLICY, LATER)
        assert len(store.asked) == reads


@pytest.mark.parametrize(
    ("policy", "but"),
    [
        (a_policy(), {}),
        (a_policy(labels=("other", "ring-0")), {}),
        (POLICY, {"step": 1}),
        (POLICY, {"is_revert": True}),
        (POLICY, {"policy": a_policy(mode=Mode.OBSERVE)}),
    ],
)
async def test_nothing_is_read_where_nothing_could_hold(policy: object, but: dict[str, object]) -> None:
    store = Counting()
    fleet = all_agents(store, Limits(labels=(("payments", 1),), waves=(("ring-0",), ("ring-1",))))
    rollout = a_rollout(**but)
    assert await fleet.reins(rollout, policy, LATER) == ()  # type: ignore[arg-type]
    assert fleet.admission(rollout, policy, LATER) is None  # type: ignore[arg-type]
    assert store.asked == []


async def test_an_agent_that_was_never_asked_for_is_read_at_once() -> None:
    store = Counting(FleetFacts(known=frozenset({"sales/base"})))
    fleet = all_agents(store, Limits())
    for agent in ("sales/shop", "emea/shop"):
        await fleet.reins(a_rollout(agent=agent), POLICY, LATER)
    assert [each.agents for each in store.asked] == [("sales/base",), ("emea/base", "sales/base")]


async def test_labels_are_those_of_the_policy_in_force_and_of_the_rollouts_own_where_none_is() -> None:
    trials = (
        Trial("r-8", "support-a", "2", NOON, is_under_way=True),
        Trial("r-9", "gone-a", "2", NOON, is_under_way=True, labels=("payments",)),
    )
    fleet = all_agents(Counting(FleetFacts(trials)), Limits(labels=(("payments", 2),)), a_policy(labels=("payments",)))
    (rein,) = await fleet.reins(a_rollout(), a_policy(labels=("payments",)), LATER)
    assert "2 of 2 rollouts are under way (support-a, gone-a)" in rein.because
    fleet.policies = FakePolicies((a_policy(labels=("other",)),))
    fleet._good_until = 0
    assert await fleet.reins(a_rollout(), a_policy(labels=("payments",)), LATER) == ()


async def test_a_rollout_that_comes_after_others_waits_until_what_was_found_with_it_is_known() -> None:
    store = Counting(FleetFacts(known=frozenset({"base"})))
    fleet = all_agents(store, Limits(waves=(("ring-0",), ("ring-1",))))
    later = a_policy(labels=("ring-1",))
    for policy, kind in ((POLICY, "order"), (later, "wave")):
        (rein,) = await fleet.reins(a_rollout(), policy, NOON + timedelta(seconds=2))
        assert rein.kind.value == kind
        assert rein.because.startswith("it was created a moment ago, and the agents that come before it may get")
    assert await fleet.reins(a_rollout(), replace(later, labels=("ring-0",)), NOON) == ()
    store.time += 2
    assert await fleet.reins(a_rollout(), POLICY, NOON + timedelta(seconds=3)) == ()
    assert await fleet.reins(a_rollout(), later, NOON + timedelta(seconds=3)) == ()


async def test_a_label_that_no_policy_gives_is_logged_once() -> None:
    store = Counting()
    limits = LimitsInForce(Limits(labels=(("payment", 1),)), problems=("limits.toml: broken",))
    fleet = AllAgents(store, FakePolicies((POLICY,)), limits, lambda: store.time)
    with structlog.testing.capture_logs() as logs:
        for store.time in (0, 1, 2, 3):
            await fleet.reins(a_rollout(), a_policy(), LATER)
    assert [(each["event"], each["because"]) for each in logs] == [
        ("limits.problem", "limits.toml: broken"),
        ("limits.problem", "label payment: no policy gives it to an agent"),
    ]
