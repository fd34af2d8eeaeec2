"""A canary that dies when it has everything, and a model that is away for both versions: users' calls tell of them."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from foundry_rollouts import clock
from foundry_rollouts.errors import CloudError
from town import AGENT, Town

SWITCH = Path(__file__).with_name("switch")
#: Callers report how their calls went, and nobody else watches.
POLICY = """
name: support
agents: ["support-*"]
steps: [{weight: 50, min: 2s}, {weight: 100, min: LAST}]
judge: {bad: 3x + 20pp}
sources: {outcomes: {}}
gates: [error-rate: {max: 20%}]
"""
USERS, CALLS, PAUSE, AFTER_FAILURE, LIMIT = 12, 3, 0.5, 3.0, timedelta(seconds=60)
#: Sessions are what is counted, a busy machine opens few of them, and calls that failed before make proof longer.
PROOF = 200.0


@dataclass
class Users:
    """People who open a session, ask a few questions in it, and leave; they report how each call went."""

    town: Town
    calls: Counter[str] = field(default_factory=Counter)  #: By version.
    failures: Counter[str] = field(default_factory=Counter)
    number: Iterator[int] = field(default_factory=itertools.count)

    async def go_on(self) -> None:
        while True:
            try:
                await self.visit()
            except CloudError:
                await asyncio.sleep(PAUSE)

    async def visit(self) -> None:
        session = await self.town.cloud.api.sessions.create(AGENT)
        for _ in range(CALLS):
            at = clock.now()
            answer = await self.town.cloud.ask(AGENT, session.id, "hello", LIMIT)
            is_fine = answer.status < 400
            self.calls[session.version] += 1
            self.failures[session.version] += not is_fine
            report = {"id": f"call-{next(self.number)}", "agent": AGENT, "version": session.version}
            report |= {"at": at.isoformat(), "session": session.id}
            await self.town.api("/api/v1/outcomes", {"outcomes": [{**report, "ok": is_fine}]})
            await asyncio.sleep(PAUSE)
            if not is_fine:  # Who is let down leaves, and comes back later.
                await asyncio.sleep(AFTER_FAILURE)
                break
        await self.town.cloud.delete_session(AGENT, session.id)


@asynccontextmanager
async def users_of(town: Town) -> AsyncIterator[Users]:
    users = Users(town)
    tasks = [asyncio.create_task(users.go_on()) for _ in range(USERS)]
    try:
        yield users
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def two_versions(town: Town, broken: str, policy: str) -> None:
    """Create a stable version, start the controller, and put another on trial; ``broken`` breaks the second."""
    await town.source(SWITCH, broken=str(town.folder / "broken-for-both"))
    await town.control(policy)
    await town.until_pinned("1")
    await town.source(SWITCH, broken=str(town.folder / broken), release=2)


async def test_a_canary_that_dies_at_100_goes_back_to_50_and_then_for_good(town: Town) -> None:
    await two_versions(town, "broken", POLICY.replace("LAST", "10m"))
    async with users_of(town) as users:
        await town.until_step(2)
        had = users.failures["2"]
        (town.folder / "broken").touch()
        await town.until_phase("rolled_back")
        failed = users.failures["2"] - had
    kinds = await town.kinds()
    assert kinds[-2:] == ["stepped_back", "rolled_back"]
    told = next(event for event in await town.history() if event["kind"] == "rollout.stepped_back")
    assert told["weights"] == {"1": 50, "2": 50}
    assert told["because"].startswith("stepped back to 50% because canary ")
    assert await town.weights() == {"1": 100}
    assert 0 < failed <= 400


async def test_a_model_that_is_away_for_both_holds_the_step_and_the_release_goes_on_afterwards(town: Town) -> None:
    policy = POLICY.replace("min: 2s", "min: 45s").replace("LAST", "2s")
    await two_versions(town, "broken-for-both", policy)
    outage = town.folder / "broken-for-both"
    async with users_of(town) as users:
        await town.until_step(1)
        heard = users.calls["1"]

        async def is_known() -> bool:
            return users.calls["1"] >= heard + 150

        await town.until(is_known)
        outage.touch()

        async def is_held() -> bool:
            rollout = await town.rollout()
            return rollout is not None and rollout["verdict"] == "shared-trouble"

        await town.until(is_held)
        for _ in range(3):
            await asyncio.sleep(1)
            assert await is_held()
        outage.unlink()
        await town.until_phase("promoted", patience=PROOF)
    reasons = [event["because"] for event in await town.history() if event["kind"] == "rollout.held"]
    shared = [because for because in reasons if because.startswith("shared trouble: stable itself fails more than ")]
    assert len(shared) == 1, reasons
    assert "rolled_back" not in await town.kinds()
