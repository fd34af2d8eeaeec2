"""A rollback goes first: the budget is used up, the cloud throttles everything, and it goes through at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
import pytest

from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.agents import Agents
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.http import Transport, TransportOptions
from foundry_rollouts.foundry.priority import MANY, PriorityQueue, PriorityTimings, budget_of
from foundry_rollouts.foundry.retry import DEFAULT
from foundry_rollouts.ports.priority import Priority, at_priority
from patience import PATIENCE
from unit.foundry.scripted import ENDPOINT, a_session, an_agent, ok, refused, scripted

STABLE = Routing.of({"1": 100})


@dataclass
class Throttling:
    """A cloud that answers so many calls in each tenth of a second, and asks all others to come back in a minute."""

    per_span: int = 2
    seen: Counter[tuple[str, int]] = field(default_factory=Counter)
    _spans: Counter[int] = field(default_factory=Counter)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        span = int(asyncio.get_running_loop().time() * 10)
        self._spans[span] += 1
        answer = refused(429, "rate_limit_exceeded", retry_after="60")
        if self._spans[span] <= self.per_span:
            answer = ok({"data": [a_session()]} if request.url.path.endswith("sessions") else an_agent())
        self.seen[request.method, answer.status_code] += 1
        return answer

    async def until_refused(self, times: int) -> None:
        while self.seen["GET", 429] < times:  # noqa: ASYNC110 - nobody rings a bell here
            await asyncio.sleep(0.01)


@asynccontextmanager
async def a_busy_client(cloud: Throttling) -> AsyncIterator[FoundryClient]:
    """Yield a client whose sources and discovery ask without end, more than the cloud allows."""
    client = FoundryClient(ENDPOINT, FixedToken(), wire=httpx.MockTransport(cloud))

    async def ask(calls: int) -> None:
        while True:
            with suppress(CloudError):
                if calls % 2:
                    await client.agent("a")
                else:
                    _ = [session async for session in client.sessions("a")]
            await asyncio.sleep(0.002)

    asking = [asyncio.create_task(ask(number)) for number in range(20)]
    try:
        await cloud.until_refused(100)
        yield client
    finally:
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await client.aclose()


async def test_a_rollback_goes_through_at_once_where_every_budget_is_used_up() -> None:
    cloud = Throttling()
    async with a_busy_client(cloud) as client:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with at_priority(Priority.ROLLBACK):
            await client.route("a", STABLE)
            await client.agent("a")
            await client.disable("a")
        assert loop.time() - began < 60  # the cloud asked for a minute
        await cloud.until_refused(cloud.seen["GET", 429] + 20)  # the others wait no more


async def test_what_is_not_urgent_is_refused_at_once_where_the_cloud_asks_for_more_than_the_budget() -> None:
    client, cloud = scripted(refused(429, retry_after="60"), retries=DEFAULT)
    with pytest.raises(CloudError):
        await client.route("a", STABLE)
    assert cloud.is_over


async def test_an_urgent_call_is_tried_again_soon_whatever_the_cloud_asks() -> None:
    client, cloud = scripted(refused(429, retry_after="60"), refused(429), ok(an_agent()), retries=DEFAULT)
    began = asyncio.get_running_loop().time()
    with at_priority(Priority.ROLLBACK):
        await client.route("a", STABLE)
    assert cloud.is_over
    assert asyncio.get_running_loop().time() - began < 60


async def test_a_brief_look_does_not_wait_for_a_pause_that_the_cloud_asks_for() -> None:
    client, cloud = scripted(refused(429, retry_after="6"), retries=DEFAULT)
    with at_priority(Priority.INTERACTIVE), pytest.raises(CloudError):
        await client.agent("a")
    assert cloud.is_over


async def test_a_brief_look_into_a_black_hole_is_over_soon() -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    timings = PriorityTimings(brief_limit=timedelta(milliseconds=30))
    options = TransportOptions(wire=httpx.MockTransport(never), priorities=timings)
    agents = Agents(Transport(ENDPOINT, FixedToken(), options))
    async with asyncio.timeout(PATIENCE):
        with at_priority(Priority.INTERACTIVE), pytest.raises(CloudError) as told:
            await agents.one("a")
    assert told.value.refusal.code == "timeout"


async def test_others_give_way_only_while_an_urgent_call_is_throttled() -> None:
    throttled = CloudError("agents.route", (await anything_refused(429)).refusal)
    others = PriorityQueue(PriorityTimings(yield_limit=timedelta(hours=1)))
    with others.of(Priority.ROLLBACK) as first:
        await asyncio.wait_for(others.yield_to_urgent(), PATIENCE)
        first.refused(CloudError("agents.route", (await anything_refused(503)).refusal))
        await asyncio.wait_for(others.yield_to_urgent(), PATIENCE)
        first.refused(throttled)
        first.refused(throttled)
        waiting = asyncio.create_task(others.yield_to_urgent())
        await asyncio.sleep(0)
        assert not waiting.done()
        await asyncio.wait_for(first.turn(), PATIENCE)
    await asyncio.wait_for(waiting, PATIENCE)
    with others.of(Priority.USUAL) as usual:
        usual.refused(throttled)
        await asyncio.wait_for(others.yield_to_urgent(), PATIENCE)
    impatient = PriorityQueue(PriorityTimings(yield_limit=timedelta(milliseconds=10)))
    with impatient.of(Priority.ROLLBACK) as stuck:
        stuck.refused(throttled)
        await asyncio.wait_for(
            impatient.yield_to_urgent(), PATIENCE
        )  # an urgent call that is stuck stops nobody for good


async def test_many_canaries_that_fail_in_the_same_second_are_all_rolled_back_before_anything_else_is_asked() -> None:
    order: list[str] = []

    async def cloud(request: httpx.Request) -> httpx.Response:
        for _ in range(20 if request.method == "PATCH" else 0):  # a change takes longer than a read
            await asyncio.sleep(0)
        order.append(request.method)
        return ok(an_agent()) if request.method == "PATCH" else ok({"data": [a_session()]})

    client = FoundryClient(ENDPOINT, FixedToken(), wire=httpx.MockTransport(cloud))

    async def roll_back() -> None:
        with at_priority(Priority.ROLLBACK):
            await client.route("a", STABLE)

    async def list_sessions() -> None:
        _ = [session async for session in client.sessions("a")]

    # Rollbacks are asked for first, and take several turns of the loop; what was asked for meanwhile waits.
    back = [asyncio.create_task(roll_back()) for _ in range(200)]
    await asyncio.sleep(0)
    await asyncio.gather(*back, *(list_sessions() for _ in range(200)))
    assert order.count("GET") == 200
    assert order.index("GET") >= 200 - MANY


async def test_a_decision_does_not_wait_for_the_rollbacks_of_others() -> None:
    queue = PriorityQueue(PriorityTimings(yield_limit=timedelta(hours=1)))
    with ExitStack() as under_way:
        for _ in range(MANY - 1):
            under_way.enter_context(queue.of(Priority.ROLLBACK))
        usual, read = queue.of(Priority.USUAL), queue.of(Priority.INTERACTIVE)
        asks, decides = under_way.enter_context(usual), under_way.enter_context(read)
        await asyncio.wait_for(asks.turn(), PATIENCE)
        with queue.of(Priority.ROLLBACK) as last:
            waiting = asyncio.create_task(asks.turn())
            await asyncio.sleep(0)
            assert not waiting.done()
            await asyncio.wait_for(decides.turn(), PATIENCE)
            await asyncio.wait_for(last.turn(), PATIENCE)
        await asyncio.wait_for(waiting, PATIENCE)


async def anything_refused(status: int) -> CloudError:
    client, _ = scripted(*[refused(status)] * 4)
    with pytest.raises(CloudError) as told:
        await client.agent("a")
    return told.value


def test_what_is_usual_is_as_patient_as_before() -> None:
    assert budget_of(Priority.USUAL, DEFAULT) == DEFAULT


def test_urgency_ends_with_its_block() -> None:
    with at_priority(Priority.ROLLBACK), at_priority(Priority.INTERACTIVE):
        pass
    assert budget_of(Priority.USUAL, DEFAULT).obeys is None
