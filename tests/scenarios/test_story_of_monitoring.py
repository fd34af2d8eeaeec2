"""A real Prometheus over a running service: alerts fire by name, and the queries of the dashboards have answers."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from foundry_rollouts.foundry.definition import Definition
from live_prometheus import BEFORE, PROGRAM, LivePrometheus, a_prometheus
from tools.dashboards import FILES, board, filled, queries, variables
from town import AGENT, POLICY, PROTOCOLS, Town

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="prometheus is missing (Debian: apt-get install prometheus): no live scrape"
)

ORDERS, LOOSE = "orders-agent", "loose-agent"
APPROVED = POLICY.replace("name: support", "name: orders").replace("support-*", ORDERS)
APPROVED = APPROVED.replace("  - {weight: 50, min: 1s}\n", "  - approval: {}\n")

#: Panels that have nothing to show in this story, and why.
EMPTY = {
    "Time to promote": "nothing was promoted",
    "Changes that Foundry refused": "Foundry took every change",
    "Errors of sources": "every source answered",
    "Reported outcomes": "no caller reported any",
    "Age of the listing of each project": "one project has no name of its own",
}


async def version(town: Town, agent: str, image: str) -> None:
    await town.cloud.api.versions.create(agent, Definition(image=image, protocols=PROTOCOLS))


@pytest.fixture
async def prometheus(town: Town) -> AsyncIterator[LivePrometheus]:
    """Prometheus over a service that governs two agents, for long enough to compare with before."""
    await version(town, ORDERS, "emulator://echo")
    await town.image("emulator://echo")
    await town.control(f"{POLICY}---{APPROVED}")
    await town.until_pinned("1")
    async with a_prometheus(town.folder / "prometheus", town.stage.server.removeprefix("http://")) as live:
        await town.until(lambda: live.values(f"foundry_rollouts_agents_ungoverned offset {BEFORE}"))
        yield live


async def fired(live: LivePrometheus, alert: str) -> list[dict[str, str]]:
    """Return the labels with which an alert fired by now, over or not."""
    seen = await live.values(f'max_over_time(ALERTS{{alertname="{alert}",alertstate="firing"}}[10m])')
    return [labels for labels, _ in seen]


async def test_alerts_fire_by_name_and_every_panel_has_data(town: Town, prometheus: LivePrometheus) -> None:
    await version(town, LOOSE, "emulator://echo")
    await version(town, ORDERS, "emulator://echo?reply=hello")
    await town.image("emulator://echo?error_rate=1")
    expected: dict[str, dict[str, str]] = {
        "FoundryRolloutsRolledBack": {"agent": AGENT, "canary": "2", "stable": "1", "severity": "note"},
        "FoundryRolloutsApprovalWaits": {"agent": ORDERS, "canary": "2", "stable": "1", "severity": "ticket"},
        "FoundryRolloutsUngoverned": {"agent": LOOSE, "severity": "ticket"},
    }
    for alert, labels in expected.items():
        seen = await town.until(partial(fired, prometheus, alert))
        assert [each.items() >= labels.items() for each in seen] == [True], f"{alert}: {seen}"
    assert {rule["name"]: rule["lastError"] for rule in await prometheus.rules() if rule["health"] != "ok"} == {}

    async def answered() -> bool:
        # Not at once: a scrape may have failed just now. And a busy machine may give the empty ones something to show.
        silent = [await without_data(prometheus, board(path)) for path in FILES]
        return {title for titles in silent for title in titles} <= set(EMPTY)

    await town.until(answered)


async def without_data(live: LivePrometheus, written: dict[str, Any]) -> set[str]:
    """Return the titles of what has no data, whichever agent is chosen."""
    chosen = {
        name: await live.label_values(filled(series, {"agent": AGENT}), label)
        for name, series, label in variables(written)
    }
    if not all(chosen.values()):
        return {f"variable {name}" for name, values in chosen.items() if not values}
    agents = chosen.get("agent", [AGENT])
    answered, asked = set(), set()
    for title, query in queries(written):
        asked.add(title)
        for agent in agents:
            if await live.values(filled(query, {"agent": agent, "gate": ".*", "instance": ".*"}, interval="10s")):
                answered.add(title)
    return asked - answered
