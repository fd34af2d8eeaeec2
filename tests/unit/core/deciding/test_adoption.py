"""Which version is stable where weights are found that no rollout of ours set."""

import pytest

from builders import a_rollout
from foundry_rollouts.core.deciding.adoption import adopted, at_first_sight, heaviest
from foundry_rollouts.core.model.effects import OnAdoption
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import LATEST, Routing


@pytest.mark.parametrize(
    ("found", "served", "stable", "kept"),
    [
        ({LATEST: 100}, "2", "2", {"2": 100}),
        ({"1": 100}, None, "1", {"1": 100}),
        ({LATEST: 20, "1": 80}, "2", "1", {"1": 80, "2": 20}),
        ({LATEST: 80, "1": 20}, "2", "1", {"1": 20, "2": 80}),
        ({LATEST: 20, "2": 80}, "2", "2", {"2": 100}),
        ({LATEST: 20, "1": 80}, None, "1", {"1": 100}),
        ({LATEST: 40, "3": 30, "2": 30}, "4", "2", {"2": 30, "3": 30, "4": 40}),
        ({"1": 60, "2": 40}, None, "1", {"1": 60, "2": 40}),
        ({"10": 50, "9": 50}, None, "9", {"10": 50, "9": 50}),
    ],
)
def test_at_first_sight_stable_is_the_heaviest_version_that_is_named_and_no_other_gets_more_than_it_had(
    found: dict[str, int], served: str | None, stable: str, kept: dict[str, int]
) -> None:
    adoption = at_first_sight(Routing.of(found), served, OnAdoption.KEEP)
    assert adoption is not None
    assert (adoption.stable, dict(adoption.target.weights)) == (stable, kept)
    assert adoption.target.is_pinned
    assert adoption.is_kept is (len(kept) > 1)
    brought = at_first_sight(Routing.of(found), served, OnAdoption.STABLE)
    assert brought is not None
    assert dict(brought.target.weights) == {stable: 100}


def test_an_endpoint_that_nothing_serves_is_not_adopted() -> None:
    assert at_first_sight(Routing.of({LATEST: 100}), None, OnAdoption.KEEP) is None
    assert at_first_sight(Routing(()), "1", OnAdoption.KEEP) is None


def test_what_another_hand_left_is_told_with_its_weights() -> None:
    kept = at_first_sight(Routing.of({LATEST: 20, "1": 80}), "2", OnAdoption.KEEP)
    assert kept is not None
    assert kept.because == (
        "version 1 is the stable version from now on: the endpoint served version 1 at 80%, version @latest at 20%, "
        "and no other version is named; the endpoint no longer follows @latest, which served version 2; the weights "
        "stay until a rollout begins. Nothing of ours tried version 2"
    )
    brought = at_first_sight(Routing.of({"1": 50, "2": 25, "3": 25}), None, OnAdoption.STABLE)
    assert brought is not None
    assert brought.because == (
        "version 1 is the stable version from now on: the endpoint served version 1 at 50%, version 2 at 25%, "
        "version 3 at 25%, and it is the heaviest of those named; all new sessions go to it, none to versions 2, 3, as "
        "on-adoption says"
    )


def test_among_equals_the_present_stable_one_is_adopted_else_one_that_stood_a_trial_else_the_older() -> None:
    equal = {"2": 33, "10": 33, "3": 34}
    assert heaviest(equal) == "3"
    thirds = {"2": 40, "10": 40, "3": 20}
    assert heaviest(thirds) == "2"
    assert heaviest(thirds, present="10") == "10"
    assert heaviest(thirds, present="3", stood=("10", "2")) == "10"
    assert heaviest({"v-b": 50, "7": 50}) == "7"


def test_latest_itself_is_never_adopted() -> None:
    assert adopted(Routing.of({LATEST: 100}), "1", ()) is None
    assert adopted(Routing.of({LATEST: 60, "3": 40}), "1", ()) == "3"
    trials = [a_rollout(canary="5", phase=Phase.ROLLED_BACK), a_rollout(canary="4", phase=Phase.PROMOTED)]
    assert adopted(Routing.of({"4": 50, "5": 50}), "1", trials) == "4"
