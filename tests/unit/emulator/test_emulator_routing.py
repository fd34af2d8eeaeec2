"""Endpoint configuration: merge patches, the rules they may set, the draw of a version."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry_emulator.errors import FoundryError
from foundry_emulator.records import AgentKey, AgentRecord, Identity, RoutingChange, Rule
from foundry_emulator.routing import default_endpoint, drawn, merge, patched_endpoint, rules_of, served_rules

JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


def rules(*shares: tuple[str, int]) -> dict[str, Any]:
    listed = [{"type": "FixedRatio", "agent_version": name, "traffic_percentage": share} for name, share in shares]
    return {"version_selector": {"version_selection_rules": listed}}


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_applied_twice_is_applied_once(target: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge(target, patch)
    assert merge(once, patch) == once


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_touches_only_what_it_names(target: dict[str, Any], patch: dict[str, Any]) -> None:
    merged = merge(target, patch)
    assert {name: merged[name] for name in target if name not in patch} == {
        name: value for name, value in target.items() if name not in patch
    }
    assert not [name for name, value in patch.items() if value is None and name in merged]


def test_rules_are_replaced_whole_and_null_brings_the_default_back() -> None:
    split = patched_endpoint(default_endpoint([]), rules(("1", 90), ("2", 10)))
    assert rules_of(patched_endpoint(split, rules(("2", 100)))) == (Rule("2", 100),)
    assert rules_of(patched_endpoint(split, {"version_selector": None})) == (Rule("@latest", 100),)
    assert rules_of(patched_endpoint(split, {"protocol_configuration": {"mcp": {}}})) == rules_of(split)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=5))
def test_shares_are_accepted_exactly_when_they_total_a_hundred(shares: list[int]) -> None:
    patch = rules(*((str(number), share) for number, share in enumerate(shares)))
    if sum(shares) == 100:
        assert [rule.percentage for rule in rules_of(patched_endpoint(default_endpoint([]), patch))] == shares
    else:
        with pytest.raises(FoundryError, match="traffic percentages must total 100"):
            patched_endpoint(default_endpoint([]), patch)


def test_a2a_needs_the_responses_protocol() -> None:
    with pytest.raises(FoundryError) as caught:
        patched_endpoint(default_endpoint([]), {"protocol_configuration": {"a2a": {}, "responses": None}})
    assert caught.value.code == "endpoint-protocol-not-enabled"


def test_versions_are_drawn_as_often_as_they_weigh_and_never_at_zero() -> None:
    split = (Rule("1", 70), Rule("2", 30), Rule("3", 0))
    chance = random.Random(4)
    found = [drawn(split, chance, ignores_weights=False) for _ in range(10_000)]
    assert 6_800 < found.count("1") < 7_200
    assert "3" not in found
    assert drawn(split, chance, ignores_weights=True) == "1"


def test_a_change_of_routing_is_served_when_its_time_has_come() -> None:
    first, second = RoutingChange(0, (Rule("1", 100),)), RoutingChange(10, (Rule("2", 100),))
    nobody = Identity("p", "c")
    agent = AgentRecord(AgentKey("p", "a"), "g", 0, nobody, nobody, "b", default_endpoint([]), served=(first, second))
    assert served_rules(agent, 9.9) == first.rules
    assert served_rules(agent, 10) == second.rules
