"""A 200 whose body is not whole is no answer: it is tried again, and never a fact."""

import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import NOT_WHOLE, CloudError
from foundry_rollouts.foundry.client import FoundryClient
from unit.foundry.scripted import a_session, a_version, an_agent, ok, scripted

GOOD = {
    "agents.get": an_agent("a", {"1": 90, "2": 10}),
    "agents.list": {"object": "list", "data": [an_agent("a")], "has_more": False},
    "versions.get": a_version("1", id="a:1", created_at=1_780_000_000, draft=False, error=None),
    "sessions.get": a_session(),
    "sessions.list": {"data": [a_session()], "last_id": None},
}


async def _all(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


READS: dict[str, Callable[[FoundryClient], Awaitable[Any]]] = {
    "agents.get": lambda client: client.agent("a"),
    "agents.list": lambda client: _all(client.agents()),
    "versions.get": lambda client: client.version("a", "1"),
    "sessions.get": lambda client: client.api.sessions.one("a", "session-1"),
    "sessions.list": lambda client: _all(client.sessions("a")),
}


def _html(_: Any) -> httpx.Response:
    return httpx.Response(200, html="<html><h1>Please sign in</h1></html>")


def _cut(good: Any) -> httpx.Response:
    text = json.dumps(good)
    return httpx.Response(200, content=text[: len(text) // 2], headers={"content-type": "application/json"})


def _cut_zip(good: Any) -> httpx.Response:
    packed = gzip.compress(json.dumps(good).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    return httpx.Response(200, content=packed[: len(packed) // 2], headers=headers)


RUBBISH: dict[str, Callable[[Any], httpx.Response]] = {
    "HTML": _html,
    "nothing": lambda _: httpx.Response(200),
    "cut": _cut,
    "cut while packed": _cut_zip,
    "a list": lambda good: ok([good]),
    "null": lambda _: httpx.Response(200, content=b"null"),
    "an empty object": lambda _: ok({}),
    "an error inside 200": lambda _: ok({"error": {"code": "oops", "message": "later"}}),
    "nested without end": lambda _: httpx.Response(200, content=b"[" * 200_000),
    "no UTF-8": lambda _: httpx.Response(200, content=b'{"name": "\xff\xfe"}'),
}


@pytest.mark.parametrize("rubbish", RUBBISH)
@pytest.mark.parametrize("operation", READS)
async def test_an_answer_that_is_not_whole_is_an_error_of_the_call(operation: str, rubbish: str) -> None:
    client, cloud = scripted(*(RUBBISH[rubbish](GOOD[operation]) for _ in range(4)))
    with pytest.raises(CloudError, match=operation) as told:
        await READS[operation](client)
    assert told.value.refusal.code == NOT_WHOLE
    assert told.value.refusal.status is None
    assert told.value.is_ours
    assert cloud.is_over


async def test_the_sentence_says_what_came() -> None:
    client, _ = scripted(*(_html(None) for _ in range(4)))
    with pytest.raises(CloudError) as told:
        await client.agent("a")
    assert str(told.value) == "agents.get answered 200 with 'text/html' instead of agent a"


@pytest.mark.parametrize("operation", READS)
async def test_an_answer_that_is_not_whole_is_asked_for_again(operation: str) -> None:
    client, cloud = scripted(_cut(GOOD[operation]), ok(GOOD[operation]))
    assert await READS[operation](client)
    assert cloud.is_over


WRONG = [
    ("agents.get", an_agent("b"), "'b' instead of 'a'"),
    ("agents.get", a_version("1"), "'agent.version' that is no agent"),
    ("agents.get", an_agent("a", agent_endpoint=None), "without its agent_endpoint"),
    ("agents.get", an_agent("a", agent_endpoint=["@latest"]), "agent_endpoint: "),
    ("agents.get", an_agent("a", agent_endpoint={"version_selector": "1"}), "version_selector: "),
    (
        "agents.get",
        an_agent("a", agent_endpoint={"version_selector": {"version_selection_rules": {"1": 100}}}),
        "version_selection_rules: ",
    ),
    ("agents.get", an_agent("a", versions="1"), "versions: "),
    ("agents.get", an_agent("a", versions={"latest": {"version": 7}}), "versions.latest.version: "),
    ("agents.get", an_agent("a", state=True), "state: "),
    ("versions.get", a_version("2"), "'2' instead of '1'"),
    ("versions.get", a_version("1", name="b"), "'b' instead of 'a'"),
    ("versions.get", an_agent("a"), "'agent' that is no version"),
    ("versions.get", a_version("1") | {"status": ["failed"]}, "status: "),
    ("versions.get", a_version("1", error=17), "error"),
    ("versions.get", a_version("1", definition={"entry_point": 1, "code_configuration": "x"}), "code_configuration: "),
    ("sessions.get", a_session("another"), "'another' instead of 'session-1'"),
    ("sessions.get", a_session() | {"version_indicator": "1"}, "version_indicator: "),
    ("agents.list", {"data": None}, "data: "),
    ("agents.list", {"value": []}, "data: "),
    ("agents.list", {"data": ["a"]}, "data.0: "),
    ("agents.list", {"data": [{"object": "agent"}, {"name": 7}]}, "item 1"),
    ("agents.list", {"data": [{"object": "agent"}], "has_more": True}, "item 1"),
    ("agents.list", {"data": [an_agent("a", id="a"), {"object": "agent"}], "has_more": True}, "tells of more"),
    ("agents.list", {"data": [an_agent("a")], "has_more": "no"}, "has_more: "),
    ("agents.list", {"data": [an_agent("a")], "last_id": 7}, "last_id: "),
    ("agents.list", {"data": [], "has_more": True}, "tells of more"),
    ("sessions.list", {"data": [{"status": "active"}]}, "item 1"),
]


@pytest.mark.parametrize(("operation", "answer", "words"), WRONG)
async def test_another_object_and_wrong_types_are_no_answer(operation: str, answer: Any, words: str) -> None:
    client, _ = scripted(*(ok(answer) for _ in range(4)))
    with pytest.raises(CloudError) as told:
        await READS[operation](client)
    assert words in str(told.value)
    assert told.value.refusal.code == NOT_WHOLE


async def test_a_second_page_that_is_cut_makes_no_list_of_the_first() -> None:
    first = ok({"data": [an_agent("a")], "last_id": "a", "has_more": True})
    client, _ = scripted(first, *(_cut(GOOD["agents.list"]) for _ in range(4)))
    with pytest.raises(CloudError, match=r"agents\.list"):
        await _all(client.agents())


async def test_an_item_without_a_name_is_told_and_keeps_no_other_from_the_list() -> None:
    first = ok({"data": [an_agent("a"), {"object": "agent"}, an_agent("b")], "last_id": "b", "has_more": True})
    client, _ = scripted(first, ok({"data": [an_agent("c"), {"name": ["d"]}], "has_more": False}))
    found = await _all(client.agents())
    assert [(agent.name, agent.unreadable) for agent in found] == [
        ("a", None),
        ("", "item 2 of the list of agents has no name"),
        ("b", None),
        ("c", None),
        ("", "item 5 of the list of agents has no name"),
    ]


async def test_what_is_legitimately_absent_or_unknown_is_no_trouble() -> None:
    bare = {"name": "a", "agent_endpoint": {"protocols": ["responses"]}, "novelty": [{"x": 1}]}
    client, _ = scripted(ok(bare), ok({"version": "1"}), ok({"data": []}), ok({"id": "session-1", "ttl": 3}))
    assert not (await client.agent("a")).routing.is_pinned
    assert (await client.version("a", "1")).version == "1"
    assert await _all(client.agents()) == []
    assert (await client.api.sessions.one("a", "session-1")).id == "session-1"


async def test_a_change_answered_by_rubbish_may_have_been_made() -> None:
    client, _ = scripted(_html(None), ok(an_agent()))
    assert not await client.route("a", Routing.of({"1": 100}))


@pytest.mark.parametrize("body", [b"", b'{"name": "a", "deleted": true}', b"{}"])
async def test_a_deletion_may_be_confirmed_by_nothing(body: bytes) -> None:
    client, cloud = scripted(httpx.Response(200, content=body))
    await client.api.versions.delete("a", "1")
    assert cloud.is_over


@pytest.mark.parametrize("answer", [{"deleted": False}, ["ok"], {"error": {"code": "no"}}])
async def test_a_deletion_that_is_denied_is_not_done(answer: Any) -> None:
    client, _ = scripted(*(ok(answer) for _ in range(4)))
    with pytest.raises(CloudError):
        await client.api.versions.delete("a", "1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def _mutated(draw: st.DrawFn, value: Any) -> Any:
    """Replace one part of a good answer, somewhere inside it."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: _mutated(draw, value[key])}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [_mutated(draw, value[0]), *value[1:]]
    return draw(JSON)


@settings(deadline=None, max_examples=150)
@given(data=st.data(), operation=st.sampled_from(sorted(READS)))
async def test_whatever_comes_is_read_or_refused(data: st.DataObject, operation: str) -> None:
    @st.composite
    def answers(draw: st.DrawFn) -> Any:
        return _mutated(draw, GOOD[operation])

    content = json.dumps(data.draw(answers())).encode()
    client, _ = scripted(*(httpx.Response(200, content=content) for _ in range(12)))
    with contextlib.suppress(CloudError):
        await READS[operation](client)
