"""A full queue and an order between agents: said everywhere, and no way back waits for either."""

import json
from typing import Any

from foundry_rollouts import clock
from foundry_rollouts.foundry.definition import Definition
from town import AGENT, PROTOCOLS, Town

FIRST = "billing-agent"
#: Callers report how their calls went, and nobody else watches: nothing is proved before they do.
POLICIES = "---".join(
    f"""
name: {agent.partition("-")[0]}
agents: [{agent}]
labels: [payments]
after: [{after}]
steps: [{{weight: 10, min: 1s}}, {{weight: 100, min: 1s}}]
judge: {{bad: 3x + 20pp}}
sources: {{outcomes: {{}}}}
gates: [error-rate: {{max: 20%}}]
ready-within: off
"""
    for agent, after in ((FIRST, ""), (AGENT, FIRST))
)
NEW = "emulator://echo?latency_ms=1"
QUEUE = "1st of 1 in the queue of label payments: 1 of 1 rollout is under way (billing-agent)"
ORDER = "agent billing-agent comes before it (policy support): its version 2"


async def create(town: Town, agent: str, image: str = "emulator://echo") -> None:
    await town.cloud.api.versions.create(agent, Definition(image=image, protocols=PROTOCOLS))


async def rollout_of(town: Town, agent: str) -> dict[str, Any]:
    items: list[dict[str, Any]] = (await town.api(f"/api/v1/rollouts?agent={agent}"))["items"]
    return items[0] if items else {"phase": None, "step": 0, "held_by": None}


async def until(town: Town, agent: str, key: str, value: object) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        found = await rollout_of(town, agent)
        return found if found[key] == value else None

    found: dict[str, Any] = await town.until(look)
    return found


async def fail(town: Town) -> None:
    """Report calls of which all on the canary failed."""
    at = clock.now().isoformat()
    calls = [
        {"id": f"call-{version}-{n}", "agent": FIRST, "version": version, "at": at, "ok": version == "1"}
        for version in ("1", "2")
        for n in range(60)
    ]
    await town.api("/api/v1/outcomes", {"outcomes": calls})


async def test_a_full_queue_and_an_order_are_said_and_a_rollback_waits_for_neither(town: Town) -> None:
    for agent in (FIRST, AGENT):
        await create(town, agent)
    town.settings = {"LIMITS": json.dumps({"at-once": {"labels": {"payments": 1}}})}
    await town.control(POLICIES)

    async def are_pinned() -> bool:
        return [each["stable"] for each in (await town.api("/api/v1/agents"))["items"]] == ["1", "1"]

    await town.until(are_pinned)
    await create(town, FIRST, NEW)
    await until(town, FIRST, "step", 1)
    await create(town, AGENT, NEW)
    held = await until(town, AGENT, "held_by", "queue, order")
    assert held["phase"] == "pending"
    assert held["waiting_for"] == "a place of label payments; the end of the rollout of agent billing-agent"
    for said in (held["because"], await town.listed()):
        assert f"{QUEUE}; {ORDER} is under way" in said
    page = (await town.http.get(f"{town.stage.server}/rollouts/{held['id']}")).text
    assert QUEUE in page
    metrics = (await town.http.get(f"{town.stage.server}/metrics")).text
    for by in ("queue", "order"):
        assert f'foundry_rollouts_held{{agent="{AGENT}",by="{by}"}} 1.0' in metrics

    await fail(town)
    back = await until(town, FIRST, "phase", "rolled_back")
    held = await until(town, AGENT, "held_by", "order")
    assert f"{ORDER} was rolled back, and nobody acknowledged that" in held["because"]
    await town.api(f"/api/v1/rollouts/{back['id']}:acknowledge", {})
    began = await until(town, AGENT, "step", 1)
    assert (began["held_by"], (await town.kinds())[:4]) == (None, ["created", "held", "held", "started"])
