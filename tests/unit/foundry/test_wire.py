"""The cloud's shapes, in both dialects and with anything missing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import UsageError
from foundry_rollouts.foundry.definition import Code, Definition, definition_json, definition_seen, rewritten
from foundry_rollouts.foundry.wire import agent_details, routing_patch, session_request, session_seen, version_seen
from foundry_rollouts.ports import SessionStatus, VersionStatus
from unit.foundry.scripted import an_agent

OLD = {
    "kind": "hosted",
    "cpu": "1",
    "memory": "2Gi",
    "image": "reg.example/app:1",
    "container_protocol_versions": [{"protocol": "activity_protocol", "version": "v1"}],
}
NEW = {
    "kind": "hosted",
    "cpu": "1",
    "memory": "2Gi",
    "container_configuration": {"image": "reg.example/app:1"},
    "protocol_versions": [{"protocol": "activity", "version": "v1"}],
}


def test_both_dialects_of_a_definition_are_one_definition() -> None:
    assert definition_seen(OLD) == definition_seen(NEW)
    assert rewritten(OLD) == NEW == definition_json(definition_seen(OLD))


def test_rewriting_keeps_what_is_not_known_and_drops_what_is_read_only() -> None:
    seen = {
        "kind": "hosted",
        "code_configuration": {"runtime": "python_3_13", "content_hash": "abc"},
        "novelty": {"x": [1]},
        "tools": None,
    }
    assert rewritten(seen) == {
        "kind": "hosted",
        "code_configuration": {"runtime": "python_3_13"},
        "novelty": {"x": [1]},
    }


WORDS = st.text("abcXYZ019._:/-", min_size=1, max_size=12)
DEFINITIONS = st.builds(
    lambda image, code, **rest: Definition(image=image if code is None else None, code=code, **rest),
    image=WORDS,
    code=st.none() | st.builds(Code, WORDS, st.lists(WORDS, min_size=1).map(tuple), st.booleans()),
    cpu=WORDS,
    memory=WORDS,
    protocols=st.dictionaries(st.sampled_from(["responses", "invocations", "a2a"]), WORDS, min_size=1),
    environment=st.dictionaries(st.from_regex(r"[B-E][A-Z0-9_]{0,8}", fullmatch=True), WORDS),
    idle_timeout=st.none() | st.integers(120, 14_400).map(lambda seconds: timedelta(seconds=seconds)),
)


@settings(deadline=None)
@given(DEFINITIONS)
def test_a_definition_is_read_as_it_was_written(definition: Definition) -> None:
    assert definition_seen(definition_json(definition)) == definition


WEIGHTS = st.lists(st.integers(1, 99), max_size=4, unique=True).map(
    lambda cuts: [b - a for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), 100], strict=True)]
)


def merged(target: Any, patch: Any) -> Any:
    """Apply a merge patch, after RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


JSON = st.recursive(st.booleans() | st.text(max_size=3), lambda inner: st.dictionaries(WORDS, inner, max_size=3))


@settings(deadline=None)
@given(WEIGHTS, st.dictionaries(WORDS, JSON, max_size=4), st.dictionaries(WORDS, JSON, max_size=4))
def test_routing_leaves_the_rest_of_the_endpoint_alone(
    weights: list[int], endpoint: dict[str, Any], agent: dict[str, Any]
) -> None:
    routing = Routing.of({str(number): weight for number, weight in enumerate(weights, 1)})
    before = an_agent("a", {"9": 100}) | agent
    before["agent_endpoint"] = before["agent_endpoint"] | endpoint
    after = merged(before, routing_patch(routing))
    assert agent_details(after).seen.routing == routing
    for json in (before, after):
        json["agent_endpoint"] = {k: v for k, v in json["agent_endpoint"].items() if k != "version_selector"}
    assert after == before


@settings(deadline=None)
@given(JSON)
def test_nothing_that_an_agent_may_be_breaks_the_reader(json: Any) -> None:
    whole = json if isinstance(json, dict) else {"versions": json, "agent_endpoint": json, "state": json}
    agent_details(whole)
    version_seen(whole)
    session_seen(whole)


def test_the_protocols_of_an_endpoint_are_read_in_both_dialects() -> None:
    old, new = an_agent(), an_agent()
    old["agent_endpoint"]["protocols"] = ["responses", "a2a"]
    new["agent_endpoint"]["protocol_configuration"] = {"responses": {}, "a2a": {}}
    assert agent_details(old).protocols == agent_details(new).protocols == ("responses", "a2a")


def test_an_endpoint_that_nobody_configured_follows_the_latest() -> None:
    assert not agent_details({"name": "a"}).seen.routing.is_pinned


@pytest.mark.parametrize(
    ("word", "status"),
    [("active", VersionStatus.ACTIVE), ("Active", VersionStatus.ACTIVE), ("idle", VersionStatus.ACTIVE)]
    + [(str(status), status) for status in VersionStatus]
    + [("", VersionStatus.UNKNOWN), ("pondering", VersionStatus.UNKNOWN)],
)
def test_every_status_is_read(word: str, status: VersionStatus) -> None:
    assert version_seen({"version": "1", "status": word}).status is status


@pytest.mark.parametrize("value", [1_780_000_000, "1780000000", "2026-05-28T20:26:40Z", "2026-05-28T22:26:40+02:00"])
def test_times_are_read_as_seconds_or_as_text(value: Any) -> None:
    assert version_seen({"created_at": value}).created_at == datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, "soon", {}, 1e300, float("nan")])
def test_a_time_that_cannot_be_read_is_none(value: Any) -> None:
    assert version_seen({"created_at": value}).created_at is None


@pytest.mark.parametrize(
    ("word", "status", "is_live", "is_over"),
    [
        ("creating", SessionStatus.CREATING, True, False),
        ("ACTIVE", SessionStatus.ACTIVE, True, False),
        ("Running", SessionStatus.RUNNING, True, False),
        ("updating", SessionStatus.UPDATING, True, False),
        ("idle", SessionStatus.IDLE, False, False),
        ("failed", SessionStatus.FAILED, False, True),
        ("deleting", SessionStatus.DELETING, False, True),
        ("deleted", SessionStatus.DELETED, False, True),
        ("expired", SessionStatus.EXPIRED, False, True),
        ("hibernating", SessionStatus.UNKNOWN, True, False),
        (None, SessionStatus.UNKNOWN, True, False),
    ],
)
def test_whether_a_session_lives_is_read_once_for_all(
    word: str | None, status: SessionStatus, is_live: bool, is_over: bool
) -> None:
    seen = session_seen({"agent_session_id": "s-1", "status": word}).status
    assert (seen, seen.is_live, seen.is_over) == (status, is_live, is_over)


def test_a_session_is_asked_for_by_number_only() -> None:
    assert session_request(None, None) == {}
    with pytest.raises(UsageError, match="by its number"):
        session_request("@latest", None)


def test_a_version_tells_the_hash_of_its_code_where_it_has_one() -> None:
    told = {"version": "1", "definition": {"kind": "hosted", "code_configuration": {"content_hash": "AB12"}}}
    assert version_seen(told).content == "AB12"
    assert version_seen({"version": "1", "definition": OLD}).content is None
