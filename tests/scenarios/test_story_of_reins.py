"""A freeze, hours, a hold, a stopped line, with real processes: each holds, says so, and lets a bad canary go back."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from command_line import run
from foundry_rollouts.clock import now
from town import AGENT, POLICY, Town

FROZEN = "freeze: [{since: 2020-01-01, until: 2126-01-01, reason: year end}]\n"
OPEN = "freeze: []\n"
HOURS = "these are no hours in which rollouts may begin or rise"
PATIENT = POLICY.replace("weight: 10, min: 1s", "weight: 10, min: 1h")
FREEZE = "a freeze (year end) holds, and its end is not in sight (the calendar of all agents)"
HOLD = "kim holds agent support-agent at version 1 (the fair)"
LINE = "lee stopped the line (incident 4711)"


def hours_of_another_day() -> str:
    """Return a calendar that allows half an hour a week, days away from now."""
    day = (now() + timedelta(days=3)).strftime("%a").lower()
    return f'windows: [{{days: {day}, hours: "03:00-03:30", zone: UTC}}]\n'


async def held(town: Town, by: str, sentence: str) -> dict[str, Any]:
    """Wait until the rollout is held by that, and find it in the API, on the page, on the command line, in metrics."""

    async def look() -> dict[str, Any] | None:
        found = await town.rollout()
        return found if found and found["held_by"] == by else None

    async def are_counted() -> bool:
        metrics = (await town.http.get(f"{town.stage.server}/metrics")).text
        lines = [f'foundry_rollouts_held{{agent="{AGENT}",by="{kind}"}} 1.0' for kind in by.split(", ")]
        return all(line in metrics for line in lines)

    rollout: dict[str, Any] = await town.until(look)
    assert sentence in rollout["because"]
    page = (await town.http.get(f"{town.stage.server}/rollouts/{rollout['id']}")).text
    assert (sentence in page, f"Held: {by}" in page) == (True, True)
    shown = await run("rollout", "show", "--agent", AGENT, "--server", town.stage.server, folder=town.folder)
    assert sentence in shown.out
    await town.until(are_counted)
    return rollout


async def test_each_rein_holds_a_rollout_and_says_so_and_a_bad_canary_goes_back_behind_all_of_them(town: Town) -> None:
    calendar, broken = town.folder / "calendar.yaml", town.folder / "broken"
    calendar.write_text(FROZEN, "utf-8")
    town.settings = {"CALENDAR": str(calendar)}
    await town.image("emulator://echo")
    await town.control(PATIENT)
    await town.until_pinned("1")
    await town.source(Path(__file__).with_name("switch"), broken=str(broken))
    await held(town, "freeze", FREEZE)
    calendar.write_text(hours_of_another_day(), "utf-8")
    await held(town, "hours", HOURS)

    hold = {"version": "1", "reason": "the fair", "author": "kim"}
    await town.api(f"/api/v1/agents/{AGENT}:hold", hold)
    calendar.write_text(OPEN, "utf-8")
    await held(town, "hold", HOLD)

    stop = {"reason": "incident 4711", "author": "lee"}
    await town.api("/api/v1/line:stop", stop)
    await town.api(f"/api/v1/agents/{AGENT}:unhold", {"reason": "the fair is over"})
    rollout = await held(town, "line", LINE)
    assert (rollout["phase"], await town.weights()) == ("pending", {"1": 100})
    assert "The line is stopped." in (await town.http.get(town.stage.server)).text

    started = await run("line", "start", "--author", "kim", "--server", town.stage.server, folder=town.folder)
    assert (started.code, started.out) == (0, "kim started the line\n")
    await town.until_phase("progressing")
    calendar.write_text(FROZEN, "utf-8")
    await town.api("/api/v1/line:stop", stop)
    await town.api(f"/api/v1/agents/{AGENT}:hold", hold)
    rollout = await town.until_step(1)
    await town.api(f"/api/v1/rollouts/{rollout['id']}:promote", {"generation": rollout["generation"]})
    await held(town, "freeze, line, hold", f"{FREEZE}; {LINE}; {HOLD}")
    assert await town.weights() == {"1": 90, "2": 10}

    broken.touch()
    ended = await town.until_phase("rolled_back")
    assert (ended["held_by"], await town.weights()) == (None, {"1": 100})
    assert (await town.api("/api/v1/line"))["is_stopped"]
    assert [kind for kind in await town.kinds() if kind != "held"] == ["created", "started", "rolled_back"]
