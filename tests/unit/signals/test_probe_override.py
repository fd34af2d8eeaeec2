"""Versions asked for by a header of the probe's call: what counts, what is told, and when it is tried again."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import NOON
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import Expectation, Prompt
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import Answer, Serving
from foundry_rollouts.signals.obedience import NO_SESSION, PAUSES, Obedient, Objection, objection_of
from foundry_rollouts.signals.own_sessions import PREFIX, SKEW, OwnSessions
from foundry_rollouts.signals.probe import ProbeSource
from foundry_rollouts.signals.probe_target import CALLS_PER_SESSION, ProbeTimings
from unit.signals.probing import BROKEN, Probing, a_probed
from unit.signals.session_world import (
    WELL,
    Hand,
    HandMadeSessions,
    a_session,
    refused,
    seen_by,
    until,
    until_calls,
)

PAUSE = PAUSES.pause(1).total_seconds()


async def note(probing: Probing, rollout: Rollout) -> str | None:
    return (await seen_by(probing.source, rollout))["probe"].note


def by_number(probing: Probing) -> set[bool]:
    """Return whether sessions were opened by number, by a header, or both."""
    return {session.startswith(PREFIX) for session, _ in probing.cloud.asked}


async def test_an_endpoint_that_obeys_is_found_out_once_and_its_sessions_are_used_as_often_as_others(
    probing: Probing,
) -> None:
    probing.cloud.overriding = "obeys"
    stable, canary = await until_calls(probing.source, a_probed(), "probe", CALLS_PER_SESSION + 2)
    assert (stable.failures, canary.failures, by_number(probing)) == (0, 0, {False})
    # Two to find out, and two once those sessions were used often enough.
    assert [version for version, _ in probing.cloud.wishes] == ["1", "2", "1", "2"]
    assert sum(count for _, count in canary.latencies) == canary.calls - 1  # what opened a sandbox says nothing of time
    await probing.source.release("r-1")
    assert set(probing.cloud.deleted) == {session for session, _ in probing.cloud.asked}


async def test_a_second_rollout_of_an_endpoint_need_not_find_out_and_one_of_an_agent_made_again_must(
    probing: Probing,
) -> None:
    rollout = a_probed()
    for each, wishes in ((rollout, 2), (replace(rollout, id="r-2"), 2), (replace(rollout, id="r-3", incarnation=2), 4)):
        await until_calls(probing.source, each, "probe", 1)
        await probing.source.release(each.id)
        assert len(probing.cloud.wishes) == wishes


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("absent", None),
        ("ignores", "version 1 served"),
        ("falls-back", "the service fell back to version 1"),
    ],
)
async def test_an_endpoint_that_does_not_obey_is_asked_by_number_and_again_later(
    probing: Probing, mode: str, told: str | None
) -> None:
    probing.cloud.overriding = mode
    probing.cloud.answers["2"] = [BROKEN]
    rollout = a_probed()
    stable, canary = await until_calls(probing.source, rollout, "probe", 3)
    assert (stable.failures, canary.failures) == (0, canary.calls)
    said = await note(probing, rollout)
    assert (told is None) is (said is None)
    assert (told or "") in (said or "")
    assert len(probing.cloud.wishes) == 2
    probing.cloud.overriding = "obeys"
    probing.clock.on(PAUSE)

    async def is_by_header() -> bool:
        return probing.cloud.asked[-1][0].startswith("opened-")

    await until(is_by_header)


async def test_what_opens_a_session_is_no_evidence_where_it_does_not_say_whose_it_is(probing: Probing) -> None:
    probing.cloud.overriding = "obeys"
    late = LateError("responses.create", refused(None, "timeout").refusal)
    rollout = a_probed()
    await until_calls(probing.source, rollout, "probe", 1)
    probing.cloud.answers["2"] = [BROKEN, late, WELL]
    _, canary = await until_calls(probing.source, rollout, "probe", 8)
    assert (canary.failures, await note(probing, rollout)) == (1, None)
    # After the call without an answer, sessions are opened by number.
    assert {each.startswith(PREFIX) for each, _ in probing.cloud.asked if each.split("-")[-2] == "2"} == {True, False}


async def test_a_canary_that_hangs_at_the_start_of_its_sessions_loses_one_call_to_the_header_and_no_more(
    probing: Probing,
) -> None:
    probing.cloud.overriding = "obeys"
    late = LateError("responses.create", refused(None, "timeout").refusal)
    rollout = a_probed()
    await until_calls(probing.source, rollout, "probe", 1)
    probing.cloud.answers["2"] = [BROKEN, *(each for _ in range(4) for each in (late, WELL, BROKEN)), WELL]
    _, canary = await until_calls(probing.source, rollout, "probe", 24)
    assert canary.failures == 1 + 4 * 2 - 1
    assert [version for version, _ in probing.cloud.wishes].count("2") == 2


async def test_a_canary_that_hangs_keeps_the_first_pair_waiting_for_a_moment_only() -> None:
    hand, cloud = Hand(), HandMadeSessions(overriding="obeys", is_mute={"2"})
    quick = timedelta(milliseconds=20)
    source = ProbeSource(cloud, hand.now, timings=ProbeTimings(self_test_limit=quick, network_grace=quick))
    await seen_by(source, a_probed())

    async def is_by_number() -> bool:
        return any(each.startswith(PREFIX) and each.split("-")[-2] == "2" for each, _ in cloud.asked)

    await until(is_by_number)
    await source.close()


class LateError(CloudError, TimeoutError):
    @property
    def is_ours(self) -> bool:
        return False


async def test_a_canary_that_fails_its_first_call_in_each_session_is_counted(probing: Probing) -> None:
    probing.cloud.overriding = "obeys"
    probing.cloud.answers["2"] = [BROKEN]
    _, canary = await until_calls(probing.source, a_probed(), "probe", 3)
    assert canary.causes == (("HTTP 500 server_error", canary.calls),)
    assert by_number(probing) == {False}


async def test_a_time_limit_of_a_prompt_is_not_for_the_call_that_opens_a_sandbox(probing: Probing) -> None:
    probing.cloud.overriding = "obeys"
    prompt = Prompt("p", "?", Expectation(max_time=timedelta(milliseconds=10)))
    probing.cloud.answers["2"] = [replace(WELL, latency=timedelta(milliseconds=15))]
    rollout = a_probed(prompts=(prompt,))
    _, canary = await until_calls(probing.source, rollout, "probe", 4)
    assert {cause for cause, _ in canary.causes} == {"slower than 0.01 s"}
    assert canary.failures < canary.calls  # Those that opened a session are well.


async def test_an_answer_in_a_session_that_is_another_versions_counts_for_none_and_the_session_is_left(
    probing: Probing,
) -> None:
    rollout = a_probed()
    await until_calls(probing.source, rollout, "probe", 2)
    before = (await seen_by(probing.source, rollout))["probe"]
    for wrong in (replace(BROKEN, version="1"), replace(WELL, serving=Serving("2", is_fallback=True))):
        probing.cloud.answers["2"] = [wrong]
        asked = len(probing.cloud.asked)
        await probing.asked(asked + 8)
        sessions = [each for each, _ in probing.cloud.asked[asked + 2 :] if each.split("-")[-2] == "2"]
        assert len(set(sessions)) == len(sessions)
        after = (await seen_by(probing.source, rollout))["probe"]
        assert "version 2 was asked, in a session of its own, and" in str(after.trouble)
        assert after.stable.failures == after.canary.failures == 0
        assert after.canary.calls <= before.canary.calls + 1


async def test_a_probe_that_ends_while_the_cloud_opens_a_session_gives_that_back(probing: Probing) -> None:
    begun, opened = asyncio.Event(), asyncio.Event()

    async def ask_version(
        agent: str, version: str, question: Any, timeout: timedelta, *, stream: bool = False
    ) -> Answer:
        begun.set()
        await opened.wait()
        return replace(WELL, session=f"opened-{version}-1", serving=Serving(version))

    probing.cloud.ask_version = ask_version  # type: ignore[method-assign]
    await seen_by(probing.source, a_probed())
    await begun.wait()
    released = asyncio.create_task(probing.source.release("r-1"))
    await asyncio.sleep(0)
    opened.set()
    await released
    assert set(probing.cloud.deleted) == {"opened-1-1", "opened-2-1"}


def test_an_objection_is_told_by_the_answer_or_is_silence() -> None:
    told = replace(WELL, session="s", serving=Serving("2"))
    assert objection_of(told, "2") is None
    assert objection_of(replace(told, status=500), "2") is None
    assert objection_of(told, "1") == Objection("version 2 served", is_told=True)
    assert objection_of(replace(told, session=None), "2") == Objection(NO_SESSION, is_told=True)
    assert objection_of(replace(told, serving=Serving()), "2") == Objection(
        "the answer does not say which version served"
    )
    assert objection_of(replace(BROKEN, session="s"), "2") == Objection("HTTP 500 does not say which version served")


def test_an_endpoint_is_noted_once_for_each_cause_and_asked_again_ever_later() -> None:
    hand, endpoint = Hand(), ("a", 1)
    obedient = Obedient(hand.now)
    fell_back, silent = Objection("the service fell back", is_told=True), Objection("nothing")
    assert obedient.is_due(endpoint)
    assert [obedient.learn(endpoint, each) for each in (silent, silent, fell_back, fell_back)] == [
        False,
        False,
        True,
        False,
    ]
    assert not obedient.is_due(endpoint)
    hand.on(PAUSES.pause(4).total_seconds() - 1)
    assert not obedient.is_due(endpoint)
    hand.on(1)
    assert obedient.is_due(endpoint)
    assert not obedient.learn(endpoint, None)
    assert (obedient.includes(endpoint), obedient.is_due(endpoint)) == (True, False)
    assert obedient.learn(endpoint, silent)  # It did say so before.
    # An endpoint that ignores the wish obeys by the luck of the draw: that makes nobody ask it more often.
    hand.on(PAUSES.pause(5).total_seconds() - 1)
    assert not obedient.is_due(endpoint)
    assert not obedient.includes(("a", 2))


async def test_a_session_is_ours_once_the_answer_names_it_and_may_be_until_then() -> None:
    hand, cloud = Hand(), HandMadeSessions(overriding="obeys")
    own = OwnSessions.over(cloud, hand.now)
    assert OwnSessions.over(own, hand.now) is own
    users = a_session("users-4711", "2")

    def may_be(at: datetime) -> bool:
        return own.may_include("support-agent", replace(users, created_at=at))

    answered = asyncio.Event()

    async def ask(agent: str, session: str, question: Any, timeout: timedelta, *, stream: bool = False) -> Answer:
        await answered.wait()
        return WELL

    cloud.ask = ask  # type: ignore[method-assign]
    asking = asyncio.create_task(own.ask_version("support-agent", "2", "?", timedelta(seconds=1)))
    await asyncio.sleep(0)
    assert (may_be(NOON), may_be(NOON - 2 * SKEW), may_be(NOON + timedelta(minutes=1))) == (True, False, True)
    assert not own.may_include("other-agent", users)
    answered.set()
    session = str((await asking).session)
    assert (own.includes("support-agent", session), own.includes("other-agent", session)) == (True, False)
    assert not may_be(NOON)
    assert own.includes("support-agent", f"{PREFIX}r-1-x-2-1")


async def test_after_a_call_without_an_answer_what_began_meanwhile_may_be_ours_for_good() -> None:
    hand, cloud = Hand(), HandMadeSessions(overriding="obeys", answers={"2": [refused(None, "timeout")]})
    own = OwnSessions(cloud, hand.now)
    with pytest.raises(CloudError):
        await own.ask_version("a", "2", "?", timedelta(seconds=1))
    hand.on(3600)
    assert own.may_include("a", a_session("users-4711", "1"))
    assert not own.may_include("a", replace(a_session("users-4711", "1"), created_at=NOON + 2 * SKEW))
