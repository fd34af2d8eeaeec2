"""Calls of the probe that count on neither version, and those of a version that warms up."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from foundry_rollouts.core.model.sources import Expectation, Prompt
from foundry_rollouts.ports import Answer, SessionSeen
from foundry_rollouts.ports.outcomes import STARTUP_BUDGET
from foundry_rollouts.signals.limits import FAILURES
from foundry_rollouts.signals.probe_target import ProbeTimings
from unit.signals.probing import COLD, Probing, a_probed
from unit.signals.session_world import (
    WELL,
    a_response,
    refused,
    seen_by,
    until,
    until_calls,
)


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_refusal_of_our_own_call_counts_on_neither_version(probing: Probing, status: int) -> None:
    probing.cloud.answers["2"] = [Answer(status, "", timedelta(0), "denied")]
    rollout = a_probed()
    assert f"HTTP {status}" in await probing.trouble(rollout)
    await probing.asked(6)
    measurement = (await seen_by(probing.source, rollout))["probe"]
    assert (measurement.stable.calls, measurement.canary.calls) == (0, 0)


async def test_an_answer_that_cannot_be_checked_counts_on_neither_version(probing: Probing) -> None:
    elsewhere = Expectation(schema={"$ref": "http://127.0.0.1:1/schema"})
    rollout = a_probed(prompts=(Prompt("natural", "hi", elsewhere),))
    assert await probing.trouble(rollout) == (
        "prompt natural cannot be checked: a $ref leads to another document, and none is ever fetched: copy it into the"
        " schema"
    )
    measurement = (await seen_by(probing.source, rollout))["probe"]
    assert (measurement.stable.calls, measurement.canary.calls) == (0, 0)


async def test_a_lost_network_counts_on_neither_version_and_is_forgotten_when_it_is_back(probing: Probing) -> None:
    probing.cloud.openings = {"1": [refused(None)], "2": [refused(None)]}
    rollout = a_probed()
    assert "no answer" in await probing.trouble(rollout)
    probing.cloud.openings.clear()
    stable, canary = await until_calls(probing.source, rollout, "probe", 2)
    assert (stable.failures, canary.failures) == (0, 0)
    assert (await seen_by(probing.source, rollout))["probe"].trouble is None


async def test_a_cloud_that_refuses_us_again_and_again_is_left_alone_for_a_while(probing: Probing) -> None:
    probing.cloud.answers["1"] = probing.cloud.answers["2"] = [Answer(429, "", timedelta(0), "too_many_requests")]
    rollout = a_probed()
    await probing.trouble(rollout)
    await probing.asked(2 * FAILURES)

    async def rests() -> bool:
        return "; asked again in 5 s" in str((await seen_by(probing.source, rollout))["probe"].trouble)

    await until(rests)
    assert len(probing.cloud.asked) == 2 * FAILURES
    probing.cloud.answers.clear()
    probing.clock.on(5)
    _, canary = await until_calls(probing.source, rollout, "probe", 1)
    assert canary.failures == 0


async def test_a_session_that_does_not_open_in_time_is_our_trouble(probing: Probing) -> None:
    probing.timed(ProbeTimings(opening_limit=timedelta(milliseconds=20), network_grace=timedelta(0)))

    async def never(agent: str, version: str, session: str) -> SessionSeen:
        await asyncio.Event().wait()
        raise AssertionError

    probing.cloud.open_session = never  # type: ignore[method-assign]
    assert await probing.trouble(a_probed()) == "no answer within 0.02 s"


async def test_an_unforeseen_fault_of_ours_is_told_and_the_probe_goes_on(probing: Probing) -> None:
    within = Expectation(max_time=timedelta(seconds=3))
    rollout = a_probed(prompts=(Prompt("p", "?", within),))
    probing.cloud.answers["1"] = [Answer(200, a_response(), "soon")]  # type: ignore[arg-type]
    assert await probing.trouble(rollout) == "the probe cannot ask: TypeError"
    probing.cloud.answers["1"] = [WELL]
    _, canary = await until_calls(probing.source, rollout, "probe", 1)
    assert canary.failures == 0


@pytest.mark.parametrize("status", [424, 408, 502, 504])
async def test_a_version_that_warms_up_is_not_failing_yet(probing: Probing, status: int) -> None:
    cold = Answer(status, "", timedelta(seconds=1))
    probing.cloud.answers["2"] = [cold, cold, cold, WELL]
    stable, canary = await until_calls(probing.source, a_probed(), "probe", 2)
    assert (stable.failures, canary.failures) == (0, 0)
    assert stable.calls == canary.calls


async def test_a_session_that_is_cold_when_it_is_opened_has_the_same_allowance(probing: Probing) -> None:
    probing.cloud.openings["2"] = [refused(424, "session_not_ready")]
    rollout = a_probed()
    await seen_by(probing.source, rollout)
    await probing.asked(5)
    assert (await seen_by(probing.source, rollout))["probe"].canary.calls == 0


async def test_a_version_that_is_not_warm_within_its_budget_fails(probing: Probing) -> None:
    probing.cloud.answers["2"] = [COLD]
    rollout = a_probed()
    await seen_by(probing.source, rollout)
    await probing.asked(8)
    assert (await seen_by(probing.source, rollout))["probe"].canary.calls == 0
    probing.clock.on(STARTUP_BUDGET.total_seconds() - 1)
    asked = len(probing.cloud.asked)
    await probing.asked(asked + 6)
    assert (await seen_by(probing.source, rollout))["probe"].canary.calls == 0
    probing.clock.on(1)
    stable, canary = await until_calls(probing.source, rollout, "probe", 3)
    assert canary.failures == canary.calls
    assert canary.causes[0][0] == "HTTP 424 session_not_ready"
    assert stable.failures == 0


async def test_the_budget_begins_anew_after_a_good_answer(probing: Probing) -> None:
    probing.cloud.answers["2"] = [COLD, WELL, COLD]
    rollout = a_probed()
    await seen_by(probing.source, rollout)
    await probing.asked(8)
    probing.clock.on(STARTUP_BUDGET.total_seconds() - 1)
    asked = len(probing.cloud.asked)
    await probing.asked(asked + 4)
    assert (await seen_by(probing.source, rollout))["probe"].canary.failures == 0


async def test_an_answer_that_does_not_come_in_time_is_the_versions_failure(probing: Probing) -> None:
    probing.timed(ProbeTimings(network_grace=timedelta(0)))
    prompt = Prompt("p", "?", Expectation(max_time=timedelta(milliseconds=20)))

    async def ask(agent: str, session: str, question: Any, timeout: timedelta, *, stream: bool = False) -> Answer:
        if session.split("-")[-2] == "2":
            await asyncio.Event().wait()
        return WELL

    probing.cloud.ask = ask  # type: ignore[method-assign]
    _, canary = await until_calls(probing.source, a_probed(prompts=(prompt,)), "probe", 1)
    assert canary.causes == (("no answer within 0.02 s", canary.calls),)
