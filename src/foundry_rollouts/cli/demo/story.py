"""The story: one version that users have, a healthy one that is promoted, a faulty one that is rolled back."""

import asyncio
import json
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from foundry_rollouts.cli.demo.stage import Stage
from foundry_rollouts.errors import RolloutsError
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Code, Definition
from foundry_rollouts.foundry.packaging import pack
from foundry_rollouts.foundry.polling import Pace
from foundry_rollouts.ports import VersionStatus

AGENT = "support-agent"
#: Both protocols, so that users and probe may choose.
DEFINITION = Definition(
    code=Code(entry_point=("python", "main.py")), protocols={"responses": "2.0.0", "invocations": "2.0.0"}
)
#: How long one rollout of the story may take, on a machine that has much else to do.
WAIT_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Chapter:
    """A version to deploy: how it behaves, and how its rollout has to end."""

    title: str
    behaviour: dict[str, Any]
    ending: str | None = None


STABLE = Chapter(
    "Version 1 is what users have",
    {"greeting": "Hello!", "failure_rate": 0.0, "seconds": 0.01},
)
HEALTHY = Chapter(
    "Version 2 is healthy: it has to earn 10%, then 50%, then all traffic",
    {"greeting": "Good day!", "failure_rate": 0.0, "seconds": 0.01},
    ending="promoted",
)
FAULTY = Chapter(
    "Version 3 fails four calls in ten: it must be rolled back",
    {"greeting": "Hi!", "failure_rate": 0.4, "seconds": 0.01},
    ending="rolled_back",
)


@dataclass(slots=True)
class Story:
    """Tells the story on ``console``; every line is what really happened."""

    stage: Stage
    console: Console
    http: httpx.AsyncClient
    began: float

    async def tell(self) -> bool:
        """Play all chapters; return whether both rollouts ended as they had to."""
        self.say("Starting a local Foundry: agents are real processes, weights divide new sessions")
        await self.stage.start_emulator()
        async with FoundryClient(self.stage.endpoint, FixedToken()) as cloud:
            self.head(STABLE.title)
            await self.deploy(cloud, STABLE)
            self.say("Starting the controller: it pins the endpoint, so that no new version meets everybody at once")
            await self.stage.start_controller(await asyncio.to_thread(self.write_policy))
            await self.wait_until_pinned()
            await self.stage.start_users(AGENT)
            self.say("Users arrive: each opens a session and asks a few questions")
            endings = [await self.play(cloud, chapter) for chapter in (HEALTHY, FAULTY)]
        return [rollout["phase"] for rollout in endings] == [HEALTHY.ending, FAULTY.ending]

    async def play(self, cloud: FoundryClient, chapter: Chapter) -> dict[str, Any]:
        """Deploy a chapter's version and watch its rollout to the end; return the rollout."""
        self.head(chapter.title)
        version = await self.deploy(cloud, chapter)
        rollout = await self.until("a rollout of it", partial(self.rollout_of, version))
        shown: set[str] = set()
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            rollout = dict(await self.ask(f"/api/v1/rollouts/{rollout['id']}"))
            for event in (await self.ask(f"/api/v1/rollouts/{rollout['id']}/events"))["items"]:
                if event["id"] not in shown:
                    shown.add(event["id"])
                    self.say(f"{event['kind']:<20} {shares(event)}{event['because']}")
            if rollout["ended_at"]:
                return rollout
            await asyncio.sleep(0.2)
        raise RolloutsError(f"the rollout of version {version} did not end: {rollout['because']}")

    async def deploy(self, cloud: FoundryClient, chapter: Chapter) -> str:
        """Deploy the sample agent with a chapter's behaviour; return the version once it is active."""
        folder = self.stage.folder / "agent"
        await asyncio.to_thread(write_agent, folder, chapter)
        archive = await asyncio.to_thread(pack, folder)
        made = (await cloud.api.deploy.upload(AGENT, archive, DEFINITION)).version
        quickly = Pace(timedelta(seconds=WAIT_SECONDS), first=timedelta(seconds=0.2), every=timedelta(seconds=0.2))
        seen = await cloud.api.versions.wait_until_active(AGENT, made.version, quickly)
        if seen.status is not VersionStatus.ACTIVE:
            raise RolloutsError(f"version {seen.version} is {seen.status}: {seen.error}")
        self.say(f"Deployed from source: {AGENT} version {seen.version} is active")
        return seen.version

    async def wait_until_pinned(self) -> None:
        async def pinned() -> dict[str, Any] | None:
            agents = (await self.ask("/api/v1/agents"))["items"]
            return next((agent for agent in agents if agent["stable"]), None)

        agent = await self.until("the endpoint to be pinned", pinned)
        self.say(f"The endpoint is pinned: version {agent['stable']} gets 100% until a rollout says otherwise")

    async def rollout_of(self, version: str) -> dict[str, Any] | None:
        rollouts = (await self.ask(f"/api/v1/rollouts?agent={AGENT}"))["items"]
        return next((dict(rollout) for rollout in rollouts if rollout["canary"] == version), None)

    async def until(self, what: str, read: Callable[[], Awaitable[dict[str, Any] | None]]) -> dict[str, Any]:
        """Read again and again until there is something to see."""
        for _ in range(int(WAIT_SECONDS / 0.2)):
            if seen := await read():
                return seen
            await asyncio.sleep(0.2)
        raise RolloutsError(f"waited {WAIT_SECONDS:g} s for {what}, in vain; logs are in {self.stage.folder}")

    async def ask(self, path: str) -> Any:
        return (await self.http.get(f"{self.stage.server}{path}")).raise_for_status().json()

    async def show_histories(self) -> None:
        """Print what the history keeps of both rollouts."""
        for rollout in reversed((await self.ask("/api/v1/rollouts"))["items"]):
            events = (await self.ask(f"/api/v1/rollouts/{rollout['id']}/events"))["items"]
            title = f"{rollout['agent']} version {rollout['canary']}: {rollout['phase']}"
            table = Table("at", "what", "weights", "because", title=title, title_justify="left")
            for event in events:
                weights = " ".join(f"v{version}={weight}%" for version, weight in (event["weights"] or {}).items())
                table.add_row(event["at"][11:19], event["kind"], weights, event["because"])
            self.console.print()
            self.console.print(table)

    def write_policy(self) -> Path:
        path = self.stage.folder / "policy.yaml"
        path.write_bytes(files(__package__).joinpath("policy.yaml").read_bytes())
        return path

    def head(self, title: str) -> None:
        self.console.print()
        self.console.print(f"[bold]{title}[/bold]")

    def say(self, line: str) -> None:
        """Print one line with the seconds since the story began."""
        self.console.print(f"{time.monotonic() - self.began:6.1f} s  {line}", soft_wrap=True, highlight=False)


def write_agent(folder: Path, chapter: Chapter) -> None:
    """Lay the sample agent's source down, with the chapter's behaviour beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    with as_file(files(__package__).joinpath("agent")) as source:
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "requirements.txt").write_text("", "utf-8")
    (folder / "behaviour.json").write_text(json.dumps(chapter.behaviour), "utf-8")


def shares(event: dict[str, Any]) -> str:
    """Return the canary's share as the event tells it, for the beginning of a line."""
    weights = event["weights"] or {}
    return "".join(f"v{version} {weight}% " for version, weight in weights.items()) + "· " if weights else ""
