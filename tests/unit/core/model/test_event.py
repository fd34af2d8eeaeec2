"""Events: the same fact has the same id, and the same fields, whoever records it."""

from dataclasses import replace
from datetime import timedelta

from builders import NOON, a_rollout
from foundry_rollouts.core.model.event import HELD, number_at, of_agent, of_creation, of_rollout
from foundry_rollouts.core.model.routing import Routing


def test_the_creation_by_a_person_and_by_discovery_differ_in_the_author_only() -> None:
    found = of_creation(a_rollout(author=None, event_count=1))
    asked = of_creation(a_rollout(author="kim", event_count=1))
    assert asked == replace(found, author="kim")
    assert (found.id, found.step, found.weights) == ("r-1:1", None, {"1": 100})


def test_the_next_event_of_a_rollout_has_the_next_number_and_its_step() -> None:
    rollout = a_rollout(step=2, event_count=4)
    event = of_rollout(rollout, HELD, "so", NOON)
    assert (event.id, event.step, event.rollout) == ("r-1:5", 2, "r-1")
    assert of_rollout(rollout, HELD, "so", NOON, "refused:403").id == "r-1:refused:403"


def test_a_fact_about_an_agent_is_the_same_by_its_kind_and_what_tells_it_apart() -> None:
    event = of_agent("a", "agent.pinned", "so", NOON, number_at(NOON)).showing(Routing.of({"1": 100}))
    again = of_agent("a", "agent.pinned", "so", NOON + timedelta(seconds=1), number_at(NOON))
    assert event.id == again.id
    assert event.weights == {"1": 100}
    assert again.showing(None).weights is None
