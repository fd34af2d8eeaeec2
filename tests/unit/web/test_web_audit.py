"""The audit log: every request that would change something is there, whatever came of it."""

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from dirty_equals import IsPartialDict, IsStr

from builders import NOON, a_rollout
from fakes import stand
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.web.app import create_app
from foundry_rollouts.web.auditing import READING, action_of, api_routes
from unit.web.served import Web, client_of

PROGRESSING = a_rollout(phase=Phase.PROGRESSING, step=1, generation=3, started_at=NOON, step_started_at=NOON)
ROLLED_BACK = replace(PROGRESSING, phase=Phase.ROLLED_BACK, ended_at=NOON, because="18 of 60 failed")
AUDIT = "/api/v1/audit"


async def entries(web: Web, **which: str | int) -> list[dict[str, object]]:
    answer = await web.client.get(AUDIT, params=which)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()["items"]
    return found


async def test_a_command_is_there_with_author_reason_address_and_what_came_of_it(web: Web) -> None:
    await stand(web.store, PROGRESSING)
    body = {"generation": 3, "author": "kim", "reason": "it looks odd, password=hunter2"}
    for status in (202, 409):
        answer = await web.client.post("/api/v1/rollouts/r-1:pause", json=body)
        assert answer.status_code == status
    refused, accepted = await entries(web)
    assert accepted == {
        "id": IsStr(),
        "at": "2026-03-02T12:00:00Z",
        "author": "kim",
        "role": "admin",
        "way": "loopback",
        "address": "127.0.0.1",
        "action": "rollout.pause",
        "subject": "r-1",
        "reason": "it looks odd, password=[redacted]",
        "generation": 3,
        "outcome": "accepted",
        "because": None,
    }
    assert refused == IsPartialDict(outcome="refused", because=IsStr(regex="409: .*generation 3.*generation 4.*"))


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/api/v1/rollouts/r-9:abort", {"generation": 1}, {}, 404),
        ("/api/v1/rollouts/r-1:abort", {"generation": "x"}, {}, 422),
        ("/api/v1/rollouts/r-1:abort", {"generation": True}, {}, 422),
        ("/api/v1/rollouts/r-1:acknowledge", {"generation": True}, {}, 422),
        ("/api/v1/rollouts/r-1:abort", {"generation": 1}, {"Authorization": "Bearer frt_x"}, 401),
        ("/api/v1/rollouts/r-1:abort", {"generation": 1}, {"Origin": "https://evil.example"}, 403),
        ("/api/v1/rollouts/r-1:abort", {"generation": 1}, {"Content-Type": "text/plain"}, 415),
        ("/api/v1/rollouts/r-1:abort", {"reason": "x" * 70_000}, {}, 413),
        ("/api/v1/rollouts", {"agent": "nobody", "version": "2"}, {}, 404),
    ],
)
async def test_what_is_refused_is_there_too(
    web: Web, path: str, body: dict[str, object], headers: dict[str, str], status: int
) -> None:
    answer = await web.client.post(path, json=body, headers=headers)
    assert answer.status_code == status, answer.text
    (entry,) = await entries(web)
    rollout, _, verb = path.rpartition("/")[2].partition(":")
    action, subject = (f"rollout.{verb}", rollout) if verb else ("rollout.start", "nobody 2")
    assert entry == IsPartialDict(action=action, subject=subject, outcome="refused")
    assert str(entry["because"]).startswith(f"{status}: ")


async def test_a_started_rollout_and_a_token_are_named_by_their_ids_and_no_secret_is_kept(web: Web) -> None:
    started = (await web.client.post("/api/v1/rollouts", json={"agent": "support-agent", "version": "2"})).json()
    made = (await web.client.post("/api/v1/tokens", json={"owner": "ci", "role": "operator"})).json()
    await web.client.post(f"/api/v1/tokens/{made['id']}:revoke", json={})
    found = await entries(web)
    assert [(each["action"], each["subject"]) for each in found] == [
        ("token.revoke", made["id"]),
        ("token.create", made["id"]),
        ("rollout.start", started["id"]),
    ]
    assert made["secret"] not in str(found)


async def test_reading_and_reporting_outcomes_leave_no_entry(web: Web) -> None:
    await web.client.get("/api/v1/agents")
    report = {"id": "1", "agent": "support-agent", "version": "1", "at": NOON.isoformat(), "ok": True}
    answer = await web.client.post("/api/v1/outcomes", json={"outcomes": [report]})
    assert answer.status_code == 200
    assert await entries(web) == []


async def test_what_the_service_could_not_do_is_failed_and_a_log_that_is_away_stops_no_command(
    web: Web, tmp_path: Path
) -> None:
    await stand(web.store, PROGRESSING)
    with sqlite3.connect(tmp_path / "history.db") as connection:
        connection.execute("ALTER TABLE audit RENAME TO away")
    answer = await web.client.post("/api/v1/rollouts/r-1:abort", json={"generation": 3})
    assert answer.status_code == 202
    with sqlite3.connect(tmp_path / "history.db") as connection:
        connection.execute("ALTER TABLE away RENAME TO audit")
        connection.execute("ALTER TABLE commands RENAME TO away")
    answer = await web.client.post("/api/v1/rollouts/r-1:abort", json={"generation": 3})
    assert answer.status_code == 503
    (entry,) = await entries(web)
    assert entry == IsPartialDict(outcome="failed", because=IsStr(regex="503: .*"))


async def test_a_flood_of_nobody_known_fills_no_database(web: Web) -> None:
    async with client_of(replace(web.services, is_open=False)) as client:
        for _ in range(30):
            await client.post("/api/v1/rollouts/r-1:abort", json={"generation": 1})
    assert 10 <= len(await entries(web, author="unknown", limit=200)) < 20


async def test_entries_are_found_by_who_what_and_words_and_come_in_pages(web: Web) -> None:
    await stand(web.store, PROGRESSING)
    for author, verb in (("kim", "pause"), ("lee", "abort"), ("lee", "promote")):
        body = {"generation": 99, "author": author, "reason": f"100% {verb}_x"}
        await web.client.post(f"/api/v1/rollouts/r-1:{verb}", json=body)

    async def actions(**which: str | int) -> list[object]:
        return [each["action"] for each in await entries(web, **which)]

    assert await actions(author="lee") == ["rollout.promote", "rollout.abort"]
    assert await actions(action="rollout.pause") == ["rollout.pause"]
    assert await actions(words="% ABORT_") == ["rollout.abort"]
    assert await actions(words="%pause") == []
    assert await actions(outcome="accepted") == []
    assert len(await actions(subject="r-1", since="2026-03-02T12:00:00Z", until="2026-03-02T12:00:01Z")) == 3
    assert await actions(until="2026-03-02T12:00:00Z") == []
    first = (await web.client.get(AUDIT, params={"limit": 2})).json()
    second = (await web.client.get(AUDIT, params={"limit": 2, "before": first["next"]})).json()
    assert [len(first["items"]), len(second["items"]), second["next"]] == [2, 1, None]
    assert (await web.client.get(AUDIT, params={"before": "nothing"})).status_code == 404


COLUMNS = "at, author, address, action, outcome"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET author = 'x'",
        "DELETE FROM audit",
        f"INSERT OR REPLACE INTO audit (id, {COLUMNS}) SELECT id, at, 'x', address, action, outcome FROM audit",
        f"REPLACE INTO audit (id, seq, {COLUMNS}) SELECT 'other', seq, at, 'x', address, action, outcome FROM audit",
    ],
)
async def test_the_database_refuses_to_change_an_entry(web: Web, tmp_path: Path, change: str) -> None:
    await web.client.post("/api/v1/rollouts/r-1:abort", json={"generation": 1})
    with (
        sqlite3.connect(tmp_path / "history.db") as connection,
        pytest.raises(sqlite3.IntegrityError, match="append only"),
    ):
        connection.execute(change)
    assert [each["author"] for each in await entries(web)] == ["api"]


def test_every_route_that_changes_something_is_marked(web: Web) -> None:
    changing = [
        route for route in api_routes(create_app(web.services).routes) if not (route.methods or set()) <= READING
    ]
    assert len(changing) > 8
    assert [route.path for route in changing if action_of(route) is None] == []


async def test_an_entry_is_there_before_the_answer_is(web: Web) -> None:
    await stand(web.store, PROGRESSING)

    async def ask_and_check(verb: str) -> httpx.Response:
        answer = await web.client.post(f"/api/v1/rollouts/r-1:{verb}", json={"generation": 3})
        assert len(await entries(web, action=f"rollout.{verb}")) == 1
        return answer

    await asyncio.gather(*(ask_and_check(verb) for verb in ("pause", "abort", "promote")))
