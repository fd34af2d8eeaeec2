"""How soon the cloud is sent the way back: of one canary that fails, and of many that fail in the same second."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from math import inf

from foundry_rollouts.cli.scale.cloud import STABLE
from foundry_rollouts.cli.scale.crowd import PROOF, Crowd, as_reports, failing, good
from foundry_rollouts.cli.scale.figures import Reaction, Storm, percentile
from foundry_rollouts.cli.scale.stage import Service, Stage
from foundry_rollouts.clock import now
from foundry_rollouts.errors import RolloutsError

#: How long is waited for the way back of one canary, and of all of a storm.
ONE_LIMIT, STORM_LIMIT = 60.0, 180.0
POLLED = 0.1
AHEAD = 2.0  #: Seconds that the second of a storm is ahead at least, beside what the writing takes.
BATCH = 300  #: Outcomes in one report: the most that the API takes.


async def reactions(stage: Stage, service: Service, crowd: Crowd, victims: Sequence[str], every: float) -> Reaction:
    """Let one canary after the other fail, and return how long each took from the report until the PATCH."""
    begun = (await stage.ask_cloud())["total"]
    in_progress, sent = len(crowd.living), {}
    for agent in victims:
        sent[agent] = time.monotonic()
        await _report(stage, service, as_reports(failing(agent, now())))
        await asyncio.sleep(max(0.0, sent[agent] + every * (0.5 + crowd.dice.random()) - time.monotonic()))
    back = await _backs(stage, begun, set(victims), ONE_LIMIT)
    crowd.leave(victims)
    took = [back[agent] - sent[agent] for agent in victims if agent in back]
    return Reaction(in_progress, percentile(took, 50), percentile(took, 99), len(victims), len(victims) - len(took))


async def storm(stage: Stage, services: Sequence[Service], crowd: Crowd) -> Storm:
    """Let every canary fail in the same second; the last call of each is reported through the API, which wakes it.

    The calls before it are written down ahead, as received in that very second: no tick can count them sooner.
    """
    victims, begun = tuple(crowd.living), (await stage.ask_cloud())["total"]
    ahead = AHEAD + 2 * await _time_to_write(crowd, len(victims) * (2 * PROOF - 1))
    at, start = now() + timedelta(seconds=ahead), time.monotonic() + ahead
    calls = {agent: failing(agent, at) for agent in victims}
    await crowd.report([call for agent in victims for call in calls[agent][1:]])
    await asyncio.sleep(max(0.0, start - time.monotonic()))
    last = as_reports(calls[agent][0] for agent in victims)
    batches = [last[place : place + BATCH] for place in range(0, len(last), BATCH)]
    for round_ in range(0, len(batches), 4):
        await asyncio.gather(*(_report(stage, services[0], batch) for batch in batches[round_ : round_ + 4]))
    back = await _backs(stage, begun, set(victims), STORM_LIMIT)
    crowd.leave(victims)
    took = [moment - start for moment in back.values()]
    missing = len(victims) - len(took)
    return Storm(len(victims), min(took, default=inf), inf if missing else max(took, default=inf), missing)


async def _time_to_write(crowd: Crowd, calls: int) -> float:
    """Return how many seconds it takes to write so many calls down, by one batch of an agent that nobody watches."""
    began = time.monotonic()
    await crowd.report([good("nobody", STABLE, now()) for _ in range(BATCH)])
    return (time.monotonic() - began) * calls / BATCH


async def _report(stage: Stage, service: Service, outcomes: list[dict[str, object]]) -> None:
    answer = await stage.http.post(f"{service.address}/api/v1/outcomes", json={"outcomes": outcomes})
    if answer.status_code != 200:
        raise RolloutsError(f"the service answered a report of outcomes with {answer.status_code}: {answer.text[:200]}")


async def _backs(stage: Stage, since: int, wanted: set[str], limit: float) -> dict[str, float]:
    """Return when each of ``wanted`` was sent the way back, by the machine's clock, as far as they were in time."""
    end, back = time.monotonic() + limit, dict[str, float]()
    while len(back) < len(wanted) and time.monotonic() < end:
        report = await stage.ask_cloud(since=since)
        for at, agent, canary in report["routed"]:
            if canary == 0 and agent in wanted:
                back.setdefault(agent, at)
        since = report["total"]
        await asyncio.sleep(POLLED)
    return back
