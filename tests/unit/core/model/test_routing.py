"""The traffic that a rollout calls for, phase by phase."""

import pytest

from builders import a_policy, a_rollout
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import LATEST, Routing, is_way_back, routing_of, routings_of

STABLE, CANARY, HALF = Routing.of({"1": 100}), Routing.of({"2": 100}), Routing.of({"1": 50, "2": 50})


@pytest.mark.parametrize(
    ("phase", "routing"),
    [
        (Phase.PENDING, STABLE),
        (Phase.PROGRESSING, HALF),
        (Phase.PAUSED, HALF),
        (Phase.PROMOTED, CANARY),
        (Phase.ROLLED_BACK, STABLE),
        (Phase.DISABLED, Routing.of({"1": 100}, is_open=False)),
        (Phase.SUPERSEDED, STABLE),
        (Phase.FAILED, STABLE),
    ],
)
def test_each_phase_calls_for_its_own_routing(phase: Phase, routing: Routing) -> None:
    assert routing_of(a_rollout(phase=phase, step=2)) == routing


@pytest.mark.parametrize("phase", Phase)
def test_without_a_stable_version_all_goes_to_the_canary(phase: Phase) -> None:
    closed = Routing.of({"2": 100}, is_open=False)
    expected = closed if phase is Phase.DISABLED else CANARY
    assert routing_of(a_rollout(phase=phase, step=1, stable=None)) == expected


def test_the_plan_may_have_asked_for_each_of_its_weights_and_for_none() -> None:
    steps = (WeightStep(10), ApprovalStep(), WeightStep(100))
    assert routings_of(a_rollout(policy=a_policy(steps=steps))) == (STABLE, Routing.of({"1": 90, "2": 10}), CANARY)
    assert routings_of(a_rollout(stable=None)) == (CANARY,)


def test_versions_at_zero_are_no_part_of_a_routing_and_the_order_is_none() -> None:
    assert Routing.of({"2": 30, "1": 70, "3": 0}) == Routing((("1", 70), ("2", 30)))
    assert Routing.of({"1": 100}).weight("2") == 0
    assert Routing.of({"1": 70, "2": 30}).weight("2") == 30


def test_a_routing_is_pinned_when_every_version_is_named() -> None:
    assert LATEST == "@latest"
    assert STABLE.is_pinned
    assert not Routing.of({"1": 50, "@latest": 50}).is_pinned


def test_a_routing_is_told_in_words() -> None:
    assert str(Routing.of({"2": 30, "1": 70})) == "version 1 at 70%, version 2 at 30%"
    assert str(Routing.of({}, is_open=False)) == "no version (endpoint disabled)"


@pytest.mark.parametrize(
    ("seen", "is_back"),
    [
        ({"1": 100}, True),
        ({"1": 99, "3": 1}, False),
        ({"0": 100}, True),
        ({"2": 100}, False),
        ({"1": 50, "2": 50}, False),
    ],
)
def test_what_leaves_a_canary_nothing_is_a_way_back_unless_it_serves_what_failed(
    seen: dict[str, int], is_back: bool
) -> None:
    trials = (a_rollout(canary="3", phase=Phase.PROGRESSING), a_rollout(canary="2", phase=Phase.ROLLED_BACK))
    assert is_way_back(trials, "3", Routing.of(seen)) is is_back


def test_the_newest_trial_says_whether_a_version_is_a_way_back() -> None:
    failed, good = (a_rollout(canary="2", phase=phase) for phase in (Phase.ROLLED_BACK, Phase.PROMOTED))
    assert is_way_back((good, failed), "3", CANARY)
    assert not is_way_back((failed, good), "3", CANARY)
    assert is_way_back((a_rollout(canary="3", stable="2"), failed), "3", CANARY)
    assert is_way_back((a_rollout(canary="2"), good), "3", CANARY)
