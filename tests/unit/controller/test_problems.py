"""Agents that a person should see to are shown by name: those that a listing shows so, and no others."""

from foundry_rollouts.controller.problems import show_problems
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.ports import AgentKnown
from foundry_rollouts.telemetry import Metrics
from small_world import SmallWorld

WELL = AgentKnown("well", stable="1", policy="everyone", routing=Routing.of({"1": 100}))
LOOSE = AgentKnown("loose", stable="1", policy="everyone", routing=Routing.of({LATEST: 100}))
DRIFTED = AgentKnown("drifted", stable="1", policy="everyone", routing=Routing.of({"1": 60, "2": 40}))
FREE = AgentKnown("free", stable="1", routing=Routing.of({LATEST: 100}))
NEW = AgentKnown("new", policy="everyone")


def shown(metrics: Metrics) -> set[tuple[str, str]]:
    family = next(each for each in metrics.registry.collect() if each.name == "foundry_rollouts_agent_problem")
    return {(sample.labels["agent"], sample.labels["problem"]) for sample in family.samples}


async def test_each_problem_is_shown_by_the_agents_name_until_it_is_over(world: SmallWorld) -> None:
    metrics, store = Metrics("any"), world.open_as("here")
    await show_problems(metrics, store, [WELL, LOOSE, DRIFTED, FREE, NEW], {"sick": "why"}, nameless=2)
    found = {("loose", "unpinned"), ("drifted", "drifted"), ("free", "ungoverned"), ("sick", "unreadable")}
    assert shown(metrics) == found
    assert metrics.registry.get_sample_value("foundry_rollouts_agents_unreadable") == 3
    await show_problems(metrics, store, [WELL], {}, nameless=0)
    assert shown(metrics) == set()


async def test_an_agent_that_cannot_be_read_is_neither_unpinned_nor_drifted(world: SmallWorld) -> None:
    metrics, store = Metrics("any"), world.open_as("here")
    await show_problems(metrics, store, [LOOSE, DRIFTED], {"loose": "why", "drifted": "why"}, nameless=0)
    assert shown(metrics) == {("loose", "unreadable"), ("drifted", "unreadable")}


async def test_weights_that_a_rollout_of_ours_divides_are_no_drift(world: SmallWorld) -> None:
    metrics, store = Metrics("any"), world.open_as("here")
    await world.begin()
    rollout = await world.run(1)
    assert rollout.step == 1
    divided = AgentKnown(rollout.agent, stable="1", policy="everyone", routing=Routing.of({"1": 90, "2": 10}))
    await show_problems(metrics, store, [divided, DRIFTED], {}, nameless=0)
    assert shown(metrics) == {("drifted", "drifted")}
