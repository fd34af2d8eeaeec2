"""What the ops API answers while the database is away."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes import stand
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import StoreError
from foundry_rollouts.store.store import SqlStore
from unit.web.asking import PROGRESSING
from unit.web.served import Web, client_of


@contextmanager
def without_table(database: Path, table: str) -> Iterator[None]:
    """Let the database fail everything about ``table`` for the time of the block."""
    for before, after in ((table, "away"), ("away", table)):
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA legacy_alter_table=ON")
            connection.execute(f"ALTER TABLE {before} RENAME TO {after}")
        connection.close()
        if after == "away":
            yield


@pytest.mark.parametrize("table", ["rollouts", "commands"])
async def test_an_abort_while_the_database_is_away_names_the_command_that_helps_and_can_be_asked_again(
    web: Web, tmp_path: Path, table: str
) -> None:
    await stand(web.store, PROGRESSING)
    wanted, once = {"generation": PROGRESSING.generation, "author": "kim"}, {"Idempotency-Key": "k-1"}
    with without_table(tmp_path / "history.db", table):
        answer = await web.client.post("/api/v1/rollouts/r-1:abort", json=wanted, headers=once)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["detail"].endswith(
        "; the command may not be recorded: repeat it once the database answers. 'foundry-rollouts agent route AGENT"
        " STABLE=100' goes back without it, at once"
    )
    assert await web.store.commands("r-1") == []
    for _ in range(2):
        again = await web.client.post("/api/v1/rollouts/r-1:abort", json=wanted, headers=once)
        assert again.status_code == 202
    assert [command.verb for command in await web.store.commands("r-1")] == [Verb.ABORT]


async def test_other_verbs_while_the_database_is_away_advise_no_way_back(web: Web, tmp_path: Path) -> None:
    await stand(web.store, PROGRESSING)
    with without_table(tmp_path / "history.db", "commands"):
        answer = await web.client.post("/api/v1/rollouts/r-1:pause", json={"generation": PROGRESSING.generation})
    assert answer.status_code == 503
    assert "agent route" not in answer.json()["detail"]


class AwayOnceAccepted:
    """The store, until it has accepted a command; then the database is away."""

    def __init__(self, inner: SqlStore) -> None:
        self.inner, self.is_away = inner, False

    def __getattr__(self, name: str) -> Any:
        if self.is_away:
            raise StoreError("database away; try again later")
        return getattr(self.inner, name)

    async def accept(self, command: Command) -> Rollout:
        rollout = await self.inner.accept(command)
        self.is_away = True
        return rollout


async def test_an_abort_that_was_accepted_is_said_to_be_so_though_the_database_is_away_since(web: Web) -> None:
    await stand(web.store, PROGRESSING)
    store: Any = AwayOnceAccepted(web.store)
    async with client_of(replace(web.services, store=store)) as client:
        answer = await client.post(
            "/api/v1/rollouts/r-1:abort", json={"generation": PROGRESSING.generation}, headers={"Prefer": "wait=1"}
        )
    assert answer.status_code == 202
    assert answer.json()["answer"] == (
        "asked to abort, accepted; its result is unknown: database away; try again later"
    )
    assert [command.verb for command in await web.store.commands("r-1")] == [Verb.ABORT]
