"""One metrics server has trouble with many agents; the canary of another one fails, and goes back in time."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import pytest

from answering import a_server, say
from foundry_rollouts import clock
from foundry_rollouts.foundry.definition import Definition
from town import AGENT, PROTOCOLS, Town

POLICY = """
name: counted
agents: ["*"]
steps: [{{weight: 10, min: 1h}}, {{weight: 100}}]
judge: {{bad: 3x + 20pp}}
sources:
  prometheus:
    url: {server}
    calls: sum(increase(calls{{agent="{{agent}}",version="{{version}}"}}[{{window}}]))
    failures: sum(increase(failed{{agent="{{agent}}",version="{{version}}"}}[{{window}}]))
    every: 1s
    delay: 1s
"""
ILL = tuple(f"ill-{number}" for number in range(12))
#: From the first weight to the rollback: less than it would take to wait for each of the others in turn.
IN_TIME = 5.0 * len(ILL)


@dataclass(frozen=True)
class Prometheus:
    """Whole answers about one agent, whose canary fails always; ``trouble`` for all others."""

    trouble: str

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = unquote_plus((await reader.readuntil(b"\r\n\r\n")).decode())
        if f'agent="{AGENT}"' in query or self.trouble == "part":
            is_bad = 'version="2"' in query and "failed" in query
            say(writer, self._told(60 if "calls{" in query or is_bad else 0, is_whole=AGENT in query))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.1)

    def _told(self, value: int, *, is_whole: bool) -> bytes:
        result = [{"metric": {}, "value": [clock.now().timestamp(), str(value)]}]
        told: dict[str, Any] = {"status": "success", "data": {"resultType": "vector", "result": result}}
        return json.dumps(told if is_whole else {**told, "warnings": ["one store did not answer"]}).encode()


async def deploy(town: Town, agent: str, latency: int) -> None:
    image = f"emulator://echo?latency_ms={latency}"
    await town.cloud.api.versions.create(agent, Definition(image=image, protocols=PROTOCOLS))


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("drips", "no answer within 5 s"),
        ("part", "answers in part only: one store did not answer"),
    ],
)
async def test_the_trouble_of_many_agents_delays_no_rollback_of_another(town: Town, trouble: str, said: str) -> None:
    async with a_server(Prometheus(trouble).answer) as address:
        town.settings = {"TICK_SECONDS": "1", "DISCOVERY_SECONDS": "1"}
        for agent in (AGENT, *ILL):
            await deploy(town, agent, 1)
        await town.control(POLICY.format(server=address))

        async def rollouts(canary_of: str = "") -> list[dict[str, Any]]:
            found = (await town.api("/api/v1/rollouts?limit=100"))["items"]
            return [each for each in found if canary_of in {"", each["agent"]}]

        async def are_pinned() -> bool:
            agents = (await town.api("/api/v1/agents"))["items"]
            return [agent["stable"] for agent in agents] == ["1"] * (len(ILL) + 1)

        async def are_ill() -> bool:
            return [said in each["because"] for each in await rollouts()].count(True) == len(ILL)

        await town.until(are_pinned)
        for agent in ILL:
            await deploy(town, agent, 2)
        await town.until(are_ill)
        await deploy(town, AGENT, 2)
        await town.until_step(1)
        began = time.monotonic()
        gone_back = await town.until_phase("rolled_back")
        assert time.monotonic() - began < IN_TIME
        assert gone_back["because"].startswith("canary 60 of 60 failed")
        assert await are_ill()
        assert {each["phase"] for each in await rollouts() if each["agent"] != AGENT} == {"progressing"}
