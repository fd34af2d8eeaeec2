"""Three agents in lockstep, with real processes: they start together, and one faulty version brings all back."""

from typing import Any

from foundry_rollouts import clock
from foundry_rollouts.foundry.definition import Definition
from town import PROTOCOLS, Town

NAMES = ("cart", "payment", "shipping")
#: Callers report how their calls went, and nobody else watches: nothing is proved before they do.
POLICY = """
name: checkout
agents: [cart, payment, shipping]
group: {name: checkout, agents: [cart, payment, shipping]}
steps: [{weight: 10, min: 1s}, {weight: 100, min: 1s}]
judge: {bad: 3x + 20pp}
sources: {outcomes: {}}
gates: [error-rate: {max: 20%}]
ready-within: off
"""
NEW = "emulator://echo?latency_ms=1"


async def create(town: Town, agent: str, image: str = "emulator://echo") -> None:
    await town.cloud.api.versions.create(agent, Definition(image=image, protocols=PROTOCOLS))


async def rollouts(town: Town) -> dict[str, dict[str, Any]]:
    return {each["agent"]: each for each in (await town.api("/api/v1/rollouts"))["items"]}


async def until(town: Town, key: str, value: object, *agents: str) -> dict[str, dict[str, Any]]:
    """Wait until the rollouts of ``agents`` say ``value`` of ``key``, and return all."""

    async def look() -> dict[str, dict[str, Any]] | None:
        found = await rollouts(town)
        return found if all(each in found and found[each][key] == value for each in agents) else None

    found: dict[str, dict[str, Any]] = await town.until(look)
    return found


async def report(town: Town, agent: str, *, is_well: bool) -> None:
    """Report calls of both versions; those of the canary went well, or all of them failed."""
    at = clock.now().isoformat()
    calls = [
        {"id": f"{agent}-{version}-{n}", "agent": agent, "version": version, "at": at, "ok": is_well or version == "1"}
        for version in ("1", "2")
        for n in range(100)
    ]
    await town.api("/api/v1/outcomes", {"outcomes": calls})


async def test_a_faulty_version_of_one_brings_back_all_three_and_each_names_it(town: Town) -> None:
    for agent in NAMES:
        await create(town, agent)
    await town.control(POLICY)

    async def are_pinned() -> bool:
        return [each["stable"] for each in (await town.api("/api/v1/agents"))["items"]] == ["1", "1", "1"]

    await town.until(are_pinned)
    for agent in ("cart", "payment"):
        await create(town, agent, NEW)
    waiting = await until(town, "held_by", "group", "cart", "payment")
    assert "agent shipping has no version on trial" in waiting["cart"]["because"]
    assert {each["step"] for each in waiting.values()} == {0}
    await create(town, "shipping", NEW)
    await until(town, "step", 1, *NAMES)

    await report(town, "cart", is_well=True)
    held = (await until(town, "held_by", "group", "cart"))["cart"]
    assert "group checkout goes on together: agent payment, version 2, is at 10% and not ready" in held["because"]

    async def is_counted() -> bool:
        metrics = (await town.http.get(f"{town.stage.server}/metrics")).text
        return 'foundry_rollouts_held{agent="cart",by="group"} 1.0' in metrics

    await town.until(is_counted)

    await report(town, "payment", is_well=False)
    back = await until(town, "phase", "rolled_back", *NAMES)
    culprit = f"rolled back together with agent payment, version 2: {back['payment']['because']}"
    said = await town.listed()
    for agent in ("cart", "shipping"):
        assert back[agent]["because"] == culprit
        page = (await town.http.get(f"{town.stage.server}/rollouts/{back[agent]['id']}")).text
        assert "rolled back together with agent payment, version 2" in page
    assert said.count("rolled back together with agent payment, version 2: canary") == 2
