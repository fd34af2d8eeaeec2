"""Sandboxes that are opened and asked before users meet them: what is ready, what is not, and whose trouble it is."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import a_policy, a_rollout
from foundry_rollouts.core.deciding.readiness import Readiness
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import HARMLESS, ProbeConfig, Prompt, Sources
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.ports import Answer, Serving
from foundry_rollouts.signals.ready import ReadyCheck, ReadyTimings
from patience import PATIENCE
from unit.signals.session_world import Hand, HandMadeSessions, refused, until

NOW = timedelta(0)
COLD = Answer(424, "", NOW, "session_not_ready")


class Looking:
    """A check over hand-made sessions; a try follows the one before at once."""

    def __init__(self) -> None:
        self.cloud, self.clock = HandMadeSessions(), Hand()
        self.woken: list[str] = []
        self.check = ReadyCheck(self.cloud, self.clock.now, self.woken.append)
        self.rollout = a_rollout(policy=a_policy(ready_within=timedelta(milliseconds=50)))

    async def seen(self, **but: Any) -> Readiness:
        found = await self.check.check(replace(self.rollout, **but))
        assert found is not None
        return found

    async def tries(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.cloud.deleted) >= count

        await until(enough)


@pytest.fixture
async def looking() -> AsyncIterator[Looking]:
    looking = Looking()
    yield looking
    await looking.check.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("ready")]


async def test_the_first_look_tells_what_is_ready_at_once_and_gives_back_what_it_opened(looking: Looking) -> None:
    seen = await looking.seen()
    assert seen.stable is not None
    assert (seen.canary.ready_in, seen.stable.ready_in) == (NOW, NOW)
    first = dict(looking.cloud.asked[:2])
    assert set(first.values()) == {HARMLESS.input}
    await looking.tries(2)
    assert set(first) <= set(looking.cloud.deleted)
    assert all(session.startswith("probe-ready-r-1-") for session in first)


@pytest.mark.parametrize("wrong", [{"version": "1"}, {"version": "2", "serving": Serving("2", is_fallback=True)}])
async def test_a_sandbox_that_another_version_answers_for_is_our_trouble_and_no_fault_of_the_canary(
    looking: Looking, wrong: dict[str, Any]
) -> None:
    looking.cloud.answers["2"] = [replace(Answer(200, "", NOW), **wrong)]
    seen = await looking.seen()
    assert (seen.canary.ready_in, seen.canary.is_ours) == (None, True)
    assert "answered in a session of version 2" in str(seen.canary.trouble)
    assert seen.stable is not None
    assert seen.stable.ready_in is not None


@pytest.mark.parametrize(
    "answer",
    [COLD, Answer(502, "", NOW), Answer(500, "", NOW, "session_creation_failed"),
     Answer(400, "Agent version is still being provisioned", NOW, "bad_request")],
)  # fmt: skip
async def test_a_sandbox_that_is_cold_is_not_ready_and_is_looked_at_again(looking: Looking, answer: Answer) -> None:
    looking.cloud.answers["2"] = [answer]
    seen = await looking.seen()
    assert seen.canary.ready_in is None
    assert (seen.canary.is_ours, seen.canary.is_barred, seen.canary.since) == (False, False, looking.clock.time)
    assert str(answer.status) in str(seen.canary.trouble)
    looking.clock.on(7)
    looking.cloud.answers["2"] = [Answer(200, "", NOW)]
    looking.woken.clear()

    async def is_ready() -> bool:
        return (await looking.seen()).canary.ready_in is not None

    await until(is_ready)
    assert looking.woken == ["r-1"]


async def test_a_version_whose_sandboxes_are_never_ready_is_waited_for_since_the_first_try(looking: Looking) -> None:
    looking.cloud.openings["2"] = [refused(424, "session_not_ready")]
    begun = looking.clock.time
    await looking.seen()
    looking.clock.on(100)
    await looking.tries(6)
    seen = await looking.seen()
    assert (seen.canary.since, seen.canary.trouble) == (begun, "HTTP 424 session_not_ready")
    assert seen.stable is not None
    assert seen.stable.ready_in is not None


async def test_a_version_that_falls_silent_is_waited_for_from_then_on(looking: Looking) -> None:
    await looking.seen()
    looking.clock.on(100)
    looking.cloud.answers["2"] = [COLD]

    async def is_cold() -> bool:
        return (await looking.seen(step=1)).canary.ready_in is None

    await until(is_cold)
    assert (await looking.seen(step=1)).canary.since == looking.clock.time


@pytest.mark.parametrize("answer", [Answer(500, "", NOW), Answer(404, "", NOW), Answer(200, "", NOW)])
async def test_whatever_else_a_sandbox_answers_it_is_ready(looking: Looking, answer: Answer) -> None:
    looking.cloud.answers["2"] = [answer]
    assert (await looking.seen()).canary.ready_in is not None


async def test_a_sandbox_that_is_slow_to_answer_is_ready(looking: Looking) -> None:
    class LateError(CloudError, TimeoutError):
        pass

    looking.cloud.answers["2"] = [LateError("ask", Refusal(None, "timeout", "late"))]
    assert (await looking.seen()).canary.ready_in is not None


@pytest.mark.parametrize("status", [None, 429])
async def test_a_lost_network_and_throttling_are_ours(looking: Looking, status: int | None) -> None:
    looking.cloud.openings["2"] = [refused(status)]
    canary = (await looking.seen()).canary
    assert (canary.is_ours, canary.is_barred) == (True, False)


@pytest.mark.parametrize("status", [401, 403, 405, 501])
async def test_who_may_not_open_sessions_is_barred(looking: Looking, status: int) -> None:
    looking.cloud.openings["2"] = looking.cloud.openings["1"] = [refused(status)]
    canary = (await looking.seen()).canary
    assert (canary.is_ours, canary.is_barred) == (False, True)


async def test_an_endpoint_without_sessions_bars_and_a_version_that_is_not_found_does_not(looking: Looking) -> None:
    looking.cloud.openings["2"] = [refused(404, "not_found")]
    assert not (await looking.seen()).canary.is_barred
    looking.cloud.openings["1"] = [refused(404, "not_found")]
    await looking.check.release("r-1")
    assert (await looking.seen()).canary.is_barred


async def test_an_unforeseen_fault_of_ours_is_ours(looking: Looking) -> None:
    looking.cloud.answers["2"] = [None]  # type: ignore[list-item]
    canary = (await looking.seen()).canary
    assert (canary.ready_in, canary.is_ours) == (None, True)
    assert canary.trouble == "AttributeError in the service itself"


async def test_a_try_that_hangs_keeps_no_tick_waiting_and_ends(looking: Looking) -> None:
    timings = ReadyTimings(first_wait=timedelta(milliseconds=20))
    looking.check = ReadyCheck(looking.cloud, looking.clock.now, looking.woken.append, timings=timings)

    async def never(agent: str, version: str, session: str) -> Any:
        await asyncio.Event().wait()

    looking.cloud.open_session = never  # type: ignore[method-assign]
    async with asyncio.timeout(PATIENCE):
        seen = await looking.seen()
    assert (seen.canary.ready_in, seen.canary.trouble) == (None, None)
    await looking.tries(1)
    assert (await looking.seen()).canary.trouble == "no answer within 0.05 s to open it"


async def test_another_stable_version_is_looked_at_anew(looking: Looking) -> None:
    await looking.seen()
    await looking.seen(stable="3")
    assert any("-3-" in session for session, _ in looking.cloud.asked)
    assert (await looking.seen(stable=None)).stable is None


async def test_the_first_prompt_of_the_policy_is_asked_and_nothing_where_nobody_wants_a_look(looking: Looking) -> None:
    probe = ProbeConfig(prompts=(Prompt("tool", {"n": 1}),))
    policy: Any = replace(looking.rollout.policy, sources=Sources(probe=probe))
    await looking.seen(policy=policy)
    assert looking.cloud.asked[0][1] == {"n": 1}
    off: Rollout = replace(looking.rollout, policy=a_policy(ready_within=None))
    assert await looking.check.check(off) is None


async def test_what_nobody_asks_about_any_more_is_looked_at_no_more(looking: Looking) -> None:
    await looking.seen()
    looking.clock.on((ReadyTimings().unwanted_after + timedelta(seconds=1)).total_seconds())

    async def is_over() -> bool:
        return not [task for task in asyncio.all_tasks() if task.get_name().startswith("ready")]

    await until(is_over)
    assert (await looking.seen()).canary.ready_in is not None
