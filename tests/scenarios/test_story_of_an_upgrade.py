"""A rolling upgrade with real processes: the release before goes on while the next one upgrades its database.

The releases before are out of archives (``tests/migrations/releases``), and the one under test goes on beside one that
comes next and has a migration more. Every canary is judged while replicas of both are at work and hand rollouts over
to each other.
"""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from databases import a_postgresql_database, a_postgresql_server
from patience import PATIENCE
from releases import OLDER, Release, earlier, following, present
from storm.processes import Running
from storm.scene import POLICY, Plan, Scene, a_scene_on
from storm.verdict import judge

#: Two agents meet their canary before the upgrade, ten after it, two before the old release goes. Whoever sees a new
#: version first takes its rollout, which is chance: ten that come one by one are enough for both to have some.
PLAN = Plan(good=9, bad=5, lease_seconds=15)
#: Both look for new versions at least this often.
APART = 1.5
#: So many agents are raced for; then the older release stands still for so long, less than its leases last.
RACES, STILL = 5, 5.0
ENDINGS = {"promoted", "rolled_back"}
#: What an upgrade may make others wait: half a second by its own rule, the rest is a busy machine's.
LONGEST_WAIT = 10.0
#: Words of the log that a rolling upgrade has no excuse for.
TROUBLE = {"tick.failed", "tick.crashed", "job.failed", "job.crashed", "database.lost", "lease.not_released"}
#: Waits of the service's own connections for locks, as the server sees them.
WAITS = """
    SELECT coalesce(extract(epoch FROM max(clock_timestamp() - state_change)), 0)::float FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query NOT LIKE '%pg_advisory%'
"""


@dataclass(slots=True)
class Watch:
    """How long anybody waited for a lock, looked at all the time."""

    longest: float = 0.0
    looks: int = 0

    @asynccontextmanager
    async def over(self, url: str) -> AsyncIterator[None]:
        looking = asyncio.create_task(self._look(url))
        try:
            yield
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking

    async def _look(self, url: str) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            while True:
                ((waited,),) = await (await connection.execute(WAITS)).fetchall()
                self.longest, self.looks = max(self.longest, waited), self.looks + 1
                await asyncio.sleep(0.01)


@dataclass(slots=True)
class Story:
    """Two releases on one database, and what they do."""

    scene: Scene
    old: Release
    new: Release
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=PATIENCE))

    async def deploy(self, agents: Sequence[str]) -> None:
        for agent in agents:
            rate = 0.95 if PLAN.endings[agent] == "rolled_back" else 0
            await self.scene.deploy(agent, f"emulator://echo?error_rate={rate}&latency_ms=1")

    async def deploy_until_held(self, agents: Sequence[str], replica: Running, other: Running) -> None:
        """Give one agent after the other its canary until ``replica`` has a rollout in hand, then all the others.

        Whoever is quicker has it; after some races that ``other`` won, it stands still for a moment.
        """
        for place, agent in enumerate(agents):
            is_race = place < RACES
            if not is_race:
                other.process.send_signal(signal.SIGSTOP)
            try:
                await self.deploy([agent])
                is_held = await self.soon_holds(replica, APART if is_race else STILL)
            finally:
                other.process.send_signal(signal.SIGCONT)
            if is_held:
                await self.deploy(agents[place + 1 :])
                return

    async def soon_holds(self, replica: Running, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if await self.holds_some(replica):
                return True
            await asyncio.sleep(0.1)
        return False

    async def upgrade(self, release: Release) -> str:
        process = await release.upgrade(self.scene.database_url, self.scene.folder)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode().strip()

    async def rollouts(self, replica: Running) -> dict[str, dict[str, Any]]:
        answer = await self.http.get(f"{replica.address}/api/v1/rollouts?limit=100")
        return {each["agent"]: each for each in answer.raise_for_status().json()["items"]}

    async def histories(self, replica: Running) -> dict[str, list[Any]]:
        """Return every history as ``replica`` reads it."""
        told = {}
        for agent, rollout in (await self.rollouts(replica)).items():
            answer = await self.http.get(f"{replica.address}/api/v1/rollouts/{rollout['id']}/events")
            told[agent] = [
                (each["id"], each["kind"], each["because"]) for each in answer.raise_for_status().json()["items"]
            ]
        return told

    async def database(self, replica: Running) -> dict[str, Any]:
        """Return what ``/readyz`` says of the database."""
        conditions = (await self.http.get(f"{replica.address}/readyz")).json()["conditions"]
        return next(each for each in conditions if each["name"] == "database")

    async def holders(self) -> dict[str, set[str]]:
        """Return which agents each replica has in its hands."""
        holders: dict[str, set[str]] = {}
        async with await psycopg.AsyncConnection.connect(self.scene.database_url) as connection:
            rows = await connection.execute("SELECT replica, agent FROM leases WHERE until > now()")
            async for replica, agent in rows:
                holders.setdefault(replica, set()).add(agent)
        return holders

    async def until(self, what: str, look: Any) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if await look():
                return
            await asyncio.sleep(0.1)
        lines = [f"waited in vain until {what}", str(await self.holders())]
        for running in self.scene.replicas:
            lines += (self.scene.folder / f"{running.name}.log").read_text("utf-8").splitlines()[-6:]
        pytest.fail("\n".join(lines))

    async def are_pinned(self) -> bool:
        async with self.scene.cloud() as cloud:
            return all([(await cloud.agent(agent)).routing.weights == (("1", 100),) for agent in PLAN.endings])

    async def are_under_way(self, replica: Running, agents: Sequence[str]) -> bool:
        rollouts = await self.rollouts(replica)
        return all(agent in rollouts and rollouts[agent]["step"] >= 1 for agent in agents)

    async def holds_some(self, replica: Running) -> bool:
        rollouts = await self.rollouts(replica)
        return any(agent in rollouts for agent in (await self.holders()).get(replica.name, ()))

    async def has_moved(self, replica: Running, agents: set[str], told: Mapping[str, list[Any]]) -> bool:
        """Whether each rollout has a longer history than ``told``, or has ended."""
        now, rollouts = await self.histories(replica), await self.rollouts(replica)
        return all(
            len(now[agent]) > len(told.get(agent, [])) or rollouts[agent]["phase"] in ENDINGS
            for agent in agents & rollouts.keys()
        )

    async def read_the_same(self, *replicas: Running) -> bool:
        one, other = [await self.histories(replica) for replica in replicas]
        return one == other

    async def all_have_ended(self, replica: Running) -> bool:
        rollouts = await self.rollouts(replica)
        return rollouts.keys() == PLAN.endings.keys() and all(each["phase"] in ENDINGS for each in rollouts.values())

    def log(self, replica: Running) -> list[dict[str, Any]]:
        lines = (self.scene.folder / f"{replica.name}.log").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture
def database_url(testrun_uid: str) -> Iterator[str]:
    with a_postgresql_server(testrun_uid) as server, a_postgresql_database(server) as url:
        yield url


@pytest.fixture(params=[*OLDER, None], ids=[*(path.name.split(".")[0] for path in OLDER), "the-present-one"])
async def story(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> AsyncIterator[Story]:
    """An old release at work on a database of its own schema, and the new one that is not there yet."""
    archive = request.param
    old = earlier(archive, tmp_path / "old") if archive else present()
    new = present() if archive else following(tmp_path / "new")
    (tmp_path / "scene").mkdir()
    async with a_scene_on(database_url, PLAN, tmp_path / "scene") as scene:
        (scene.folder / "policy.yaml").write_text(POLICY.replace("every: 1s", "every: 300ms"), "utf-8")
        story = Story(scene, old, new)
        await story.upgrade(old)
        yield story
        await story.http.aclose()


@pytest.mark.timeout(600)
async def test_a_running_release_works_on_while_the_next_one_upgrades_the_database_and_takes_over(story: Story) -> None:
    scene, agents = story.scene, list(PLAN.endings)
    running = await scene.a_replica(ready=True, paths=story.old.paths)
    await story.until("every agent is pinned", story.are_pinned)
    await story.deploy(agents[:2])
    await story.until("the first rollouts are under way", lambda: story.are_under_way(running, agents[:2]))

    watch = Watch()
    async with watch.over(scene.database_url):
        said = f"the database is at schema {story.new.schema}, upgraded from {story.old.schema}"
        assert await story.upgrade(story.new) == said
        joined = await scene.a_replica(ready=True, paths=story.new.paths)
        await story.deploy_until_held(agents[2:12], joined, running)
        await story.until("the new release has rollouts in its hands", lambda: story.holds_some(joined))
    assert watch.looks > 50
    assert watch.longest < LONGEST_WAIT

    # What the new release wrote, the old one reads and goes on with.
    lent = (await story.holders())[joined.name]
    await joined.end(signal.SIGTERM)
    told = await story.histories(running)
    await story.until("the old release took it further", lambda: story.has_moved(running, lent, told))

    # And the other way round, for good.
    await story.deploy(agents[12:])
    await story.until("the last rollouts are under way", lambda: story.are_under_way(running, agents[12:]))
    successor = await scene.a_replica(ready=True, paths=story.new.paths)
    await story.until("both read the same", lambda: story.read_the_same(running, successor))
    await look_at_readiness(story, running)
    await running.end(signal.SIGTERM)
    await story.until("every rollout has ended", lambda: story.all_have_ended(successor))
    assert (await judge(scene)).wrong == []
    for replica in scene.replicas:
        assert [line for line in story.log(replica) if line["event"] in TROUBLE] == []


async def look_at_readiness(story: Story, running: Running) -> None:
    """Hold the rule that a running replica stays ready against the release that made it, and those since.

    Releases of the schemas 0001 and 0002 were built before that rule: they say themselves that they are not ready, and
    work on all the same.
    """
    said = await story.database(running)
    if story.old.schema < "0003":
        assert not said["is_well"]
        assert f"newer than the {story.old.schema} of this release" in said["because"]
        return
    assert said["is_well"], said
    assert said["because"].startswith(
        f"the database was upgraded to schema {story.new.schema}; this release, of schema"
    )
    assert [line["event"] for line in story.log(running)].count("database.upgraded") == 1
