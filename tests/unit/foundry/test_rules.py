"""Rules of any kind the cloud may send: read whole, or said to be unreadable with the rule's name."""

from typing import Any

import pytest

from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.errors import UnreadableError
from foundry_rollouts.foundry.settings import lost, settings_of
from foundry_rollouts.foundry.wire import agent_details, version_seen
from unit.foundry.scripted import a_version, an_agent, ok, refused, scripted


def a_rule(percentage: Any = 100, version: Any = "1", **but: Any) -> dict[str, Any]:
    return {"type": "FixedRatio", "agent_version": version, "traffic_percentage": percentage, **but}


def an_agent_with(rules: Any, name: str = "a") -> dict[str, Any]:
    return an_agent(name, agent_endpoint={"version_selector": {"version_selection_rules": rules}})


FOREIGN = {"type": "HeaderMatch", "agent_version": "2", "header": "x-beta"}
NO_NUMBER = "it is no whole number from 0 to 100"


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ([FOREIGN, a_rule()], "rule 1 of 2 is of the type 'HeaderMatch', and FixedRatio is the only one known here"),
        ([a_rule(), {**FOREIGN, "traffic_percentage": 0}], "rule 2 of 2 is of the type 'HeaderMatch'"),
        ([{"agent_version": "1", "traffic_percentage": 100}], "rule 1 of 1 has no type"),
        ([a_rule(type=None)], "rule 1 of 1 has no type"),
        ([a_rule("100.0")], f"rule 1 of 1 gives version '1' the percentage '100.0': {NO_NUMBER}"),
        ([a_rule("100")], "the percentage '100'"),
        ([a_rule(12.5), a_rule(87.5, "2")], "the percentage 12.5"),
        ([a_rule(True)], "the percentage True"),
        ([a_rule(None)], "the percentage None"),
        ([a_rule(-1), a_rule(101, "2")], "the percentage -1"),
        ([a_rule(150)], "the percentage 150"),
        ([{"type": "FixedRatio", "agent_version": "1"}], "the percentage none"),
        ([a_rule(60), a_rule(30, "2")], "the percentages of its 2 rules add up to 90, not to 100"),
        ([a_rule(), a_rule(100, "2")], "add up to 200"),
        ([], "the percentages of its 0 rules add up to 0, not to 100"),
        ([a_rule(50), a_rule(50)], "rule 2 of 2 names version '1' a second time"),
        (["@latest"], "rule 1 of 1 is '@latest' and no object"),
        ([None], "rule 1 of 1 is None and no object"),
        ("@latest", "its rules are '@latest' and no list"),
        ({"1": 100}, "its rules are {'1': 100} and no list"),
        ([a_rule(version=None)], "names the version None, which is no text"),
        ([a_rule(version=1)], "names the version 1, which is no text"),
        ([a_rule(version="")], "names the version ''"),
        ([a_rule(type="\x1b[31m" + "x" * 200)], "rule 1 of 1 is of the type '"),
    ],
)
def test_rules_that_are_not_known_make_the_agent_unreadable_and_say_why(rules: Any, why: str) -> None:
    seen = agent_details(an_agent_with(rules)).seen
    assert seen.unreadable is not None
    assert why in seen.unreadable
    assert "\x1b" not in seen.unreadable
    assert len(seen.unreadable) < 200
    assert seen.routing.weights == ()
    with pytest.raises(UnreadableError, match="the routing of agent a cannot be read"):
        seen.routing_read()


def test_rules_that_are_known_are_read_whole() -> None:
    rules = [a_rule(20, LATEST), a_rule(80.0), a_rule(0, "3")]
    seen = agent_details(an_agent_with(rules)).seen
    assert (seen.unreadable, seen.routing) == (None, Routing.of({LATEST: 20, "1": 80}))


async def test_one_agent_that_cannot_be_read_does_not_keep_the_others() -> None:
    listed = [an_agent_with([FOREIGN], "a"), an_agent("b", agent_endpoint=None), an_agent("c", {"1": 100})]
    client, cloud = scripted(ok({"data": listed, "has_more": False}), refused(500, message="no"))
    cloud._steps.extend(refused(500, message="no") for _ in range(9))
    seen = [agent async for agent in client.agents()]
    assert [(agent.name, agent.unreadable is None) for agent in seen] == [("a", False), ("b", False), ("c", True)]
    assert "HTTP 500" in (seen[1].unreadable or "")


async def test_an_agent_that_goes_while_it_is_listed_is_left_out() -> None:
    client, _ = scripted(ok({"data": [an_agent("b", agent_endpoint=None), an_agent("c")]}), refused(404))
    assert [agent.name async for agent in client.agents()] == ["c"]


def test_protocols_are_read_in_both_dialects() -> None:
    new, old = (
        {key: [{"protocol": name}]}
        for key, name in (("protocol_versions", "activity"), ("container_protocol_versions", "activity_protocol"))
    )
    for definition in (new, old):
        assert version_seen(a_version(definition=definition)).protocols == ("activity",)
    for nothing in ({}, {"protocol_versions": [{"version": "1"}]}, {"protocol_versions": None}):
        assert version_seen(a_version(definition=nothing)).protocols is None


BEFORE = {
    "version_selector": {"version_selection_rules": [a_rule()]},
    "protocols": ["responses", "invocations"],
    "protocol_configuration": {"responses": {}, "activity": {"enable_m365_public_endpoint": True}},
    "authorization_schemes": [{"type": "Entra"}, {"type": "BotServiceRbac"}],
    "novelty": 7,
}


@pytest.mark.parametrize(
    ("change", "patch"),
    [
        ({}, {}),
        ({"version_selector": None, "came": {"x": 1}}, {}),
        ({"protocols": ["responses", "mcp"]}, {"protocols": ["responses", "invocations", "mcp"]}),
        ({"authorization_schemes": None}, {"authorization_schemes": BEFORE["authorization_schemes"]}),
        (
            {"protocol_configuration": {"responses": {}, "mcp": {}}},
            {"protocol_configuration": {"activity": {"enable_m365_public_endpoint": True}}},
        ),
        (
            {"protocol_configuration": {"responses": {}, "activity": {"enable_m365_public_endpoint": False}}},
            {"protocol_configuration": {"activity": {"enable_m365_public_endpoint": True}}},
        ),
        ({"novelty": 8}, {"novelty": 7}),
    ],
)
def test_what_an_endpoint_lost_is_found_and_what_came_is_left(change: dict[str, Any], patch: dict[str, Any]) -> None:
    assert lost(settings_of(BEFORE), settings_of(BEFORE | change)) == patch
    assert lost("", settings_of(BEFORE)) == {}


async def test_what_was_lost_is_put_back_with_the_weights_and_read_back() -> None:
    schemes = [{"type": "Entra"}]
    endpoint = {**an_agent(rules={"1": 100})["agent_endpoint"], "authorization_schemes": schemes}
    client, cloud = scripted(ok({}), ok(an_agent(agent_endpoint=endpoint)))
    told = await client.put_back("a", Routing.of({"1": 100}), settings_of(endpoint), "{}")
    assert told == (("authorization_schemes",), ())
    assert cloud.lines == ["PATCH /agents/a", "GET /agents/a"]
    assert cloud.body(0)["agent_endpoint"]["authorization_schemes"] == schemes
    assert cloud.body(0)["agent_endpoint"]["version_selector"]["version_selection_rules"] == [a_rule()]
