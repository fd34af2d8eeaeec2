"""``db check`` and a starting daemon: whatever is wrong with a database is one line that names it, and exit code 1."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from builders import NOON
from command_line import Outcome, begin, outcome_of
from databases import address_of, aside, writing
from foundry_rollouts.cli.app import main
from foundry_rollouts.store import schema
from foundry_rollouts.store.store import SqlStore
from patience import PATIENCE
from schemas import bring_to, revisions

Check = Callable[..., Outcome]


@pytest.fixture
def db(capsys: pytest.CaptureFixture[str], empty_url: str) -> Check:
    """Return a way to run ``foundry-rollouts db VERB`` on the database, or on another one."""

    def run(verb: str, *options: str, url: str = empty_url) -> Outcome:
        code = main(["db", verb, *options, "--database-url", url])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return run


def change(url: str, *statements: str) -> None:
    """Change a database by hand."""

    async def execute() -> None:
        async with writing(url) as connection:
            for statement in statements:
                await connection.execute(text(statement))

    aside(execute)


def refusal(outcome: Outcome) -> str:
    """Return the one line that a command ended with."""
    assert (outcome.code, outcome.out) == (1, "")
    (line,) = outcome.errors
    return line.removeprefix("error: ")


def test_a_database_that_was_upgraded_is_well(db: Check) -> None:
    said = f"the database is at schema {schema.newest()}, upgraded from an empty database\n"
    assert db("upgrade") == Outcome(0, said, "")
    assert db("check") == Outcome(0, "the database has the schema of this release\n", "")
    assert db("current") == Outcome(0, f"{schema.newest()}\n", "")


async def test_who_waits_goes_on_when_another_has_upgraded_it(empty_url: str) -> None:
    upgrades: list[asyncio.Task[str]] = []
    await schema.until_ours(
        empty_url, PATIENCE, lambda reason: upgrades.append(asyncio.create_task(schema.upgrade(empty_url), name=reason))
    )
    assert [await upgrade for upgrade in upgrades] == [schema.newest()]
    assert "foundry-rollouts db upgrade" in upgrades[0].get_name()


def test_who_waits_in_vain_is_told_why(db: Check) -> None:
    outcome = db("check", "--wait", "1")
    first, last = outcome.errors
    assert (outcome.code, outcome.out) == (1, "")
    assert first.removeprefix("waiting for it: ") == last.removeprefix("error: ")
    assert last.endswith("; run: foundry-rollouts db upgrade")


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_a_file_that_is_not_there_is_told_and_not_made(db: Check, tmp_path: Path) -> None:
    assert refusal(db("check")) == (
        f"there is no database at sqlite:///{tmp_path}/history.db yet; run: foundry-rollouts db upgrade"
    )
    assert db("current") == Outcome(0, "none\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("verb", ["check", "current", "upgrade"])
def test_a_database_that_a_server_does_not_have_is_told_by_name(db: Check, empty_url: str, verb: str) -> None:
    said = refusal(db(verb, url=address_of(empty_url, "nobodys")))
    assert 'database "nobodys" does not exist; create it, then run: foundry-rollouts db upgrade' in said


def test_an_empty_database_is_told_as_such(db: Check, empty_url: str) -> None:
    change(empty_url, "SELECT 1")
    assert refusal(db("check")) == "the database has no schema yet; run: foundry-rollouts db upgrade"
    assert db("current").out == "none\n"


def test_tables_of_our_names_without_a_schema_are_left_alone(db: Check, empty_url: str) -> None:
    change(empty_url, "CREATE TABLE events (mine TEXT)", "CREATE TABLE agents (mine TEXT)")
    for verb in ("check", "upgrade"):
        assert refusal(db(verb)) == (
            "the database reports no schema, but it has tables with our names (agents, events); restore it, or choose "
            "an empty one"
        )


@pytest.mark.parametrize("revision", revisions()[:-1])
def test_an_older_schema_is_told_with_each_migration_that_is_missing(db: Check, empty_url: str, revision: str) -> None:
    aside(lambda: bring_to(empty_url, revision))
    said = refusal(db("check"))
    assert said.startswith(f"the database is at schema {revision}, this release needs {schema.newest()}; missing: ")
    assert said.endswith("; run: foundry-rollouts db upgrade")
    names = [part.split(" (")[0] for part in said.split("missing: ")[1].removesuffix(")").split("), ")]
    assert names == [each for each in revisions() if each > revision]
    if revision == "0001":
        assert "missing: 0002 (Outcomes that callers report)" in said


def test_a_newer_schema_is_told_and_left_alone(db: Check, empty_url: str) -> None:
    db("upgrade")
    change(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    for verb in ("check", "upgrade"):
        assert refusal(db(verb)) == (
            f"the database is at schema 9999, newer than the {schema.newest()} of this release; use the release that"
            " upgraded it"
        )
    assert db("current").out == "9999\n"


@pytest.mark.parametrize(
    ("by_hand", "told"),
    [
        ("DROP TABLE outcomes", "table outcomes is missing"),
        ("ALTER TABLE agents DROP COLUMN policy", "column agents.policy is missing"),
        (
            "ALTER TABLE agents RENAME COLUMN policy TO rules",
            "column agents.policy is missing, column agents.rules",
        ),
        ("DROP INDEX ix_rollouts_due_at", "index ix_rollouts_due_at is missing"),
        ("DROP INDEX uq_rollouts_unfinished", "index uq_rollouts_unfinished is missing"),
        ("ALTER TABLE agents ADD COLUMN scribble TEXT", "column agents.scribble is not ours"),
        ("CREATE TABLE scribbles (mine TEXT)", "table scribbles is not ours"),
    ],
)
def test_what_somebody_changed_by_hand_is_named(db: Check, empty_url: str, by_hand: str, told: str) -> None:
    db("upgrade")
    change(empty_url, by_hand)
    said = refusal(db("check"))
    assert said.startswith(f"the tables are not as the migrations left them: {told}")
    assert said.endswith("; restore the database, or fix it by hand")


@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("by_hand", "told"),
    [
        ("DROP TRIGGER events_refuse_change ON events", "trigger events_refuse_change, which keeps the history"),
        ("ALTER TABLE events DISABLE TRIGGER ALL", "trigger events_refuse_change, which keeps the history"),
        ("DROP TRIGGER audit_refuse_change ON audit", "trigger audit_refuse_change, which keeps the audit log"),
        ("ALTER TABLE leases DROP CONSTRAINT pk_leases", "primary key pk_leases is missing"),
        ("ALTER TABLE events DROP CONSTRAINT uq_events_id", "unique constraint uq_events_id is missing"),
        (
            "ALTER TABLE evidence DROP CONSTRAINT fk_evidence_rollout_rollouts",
            "foreign key fk_evidence_rollout",
        ),
        ("ALTER TABLE rollouts ALTER COLUMN step TYPE TEXT", "column rollouts.step is TEXT instead of INTEGER"),
        ("ALTER TABLE rollouts ALTER COLUMN step DROP NOT NULL", "column rollouts.step may be NULL"),
        ("ALTER TABLE agents ALTER COLUMN policy SET NOT NULL", "column agents.policy may not be NULL"),
    ],
)
def test_what_only_a_server_lets_one_change_is_named_too(db: Check, empty_url: str, by_hand: str, told: str) -> None:
    db("upgrade")
    change(empty_url, by_hand)
    assert refusal(db("check")).startswith(f"the tables are not as the migrations left them: {told}")


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_a_history_that_may_be_rewritten_is_told_on_an_embedded_database_too(db: Check, empty_url: str) -> None:
    db("upgrade")
    change(empty_url, "DROP TRIGGER events_refuse_delete")
    assert "trigger events_refuse_delete, which keeps the history append only, is missing" in refusal(db("check"))
    change(empty_url, "DROP TRIGGER audit_refuse_replace")
    assert "trigger audit_refuse_replace, which keeps the audit log append only, is missing" in refusal(db("check"))


def test_of_many_differences_the_first_are_named_and_the_rest_counted(db: Check, empty_url: str) -> None:
    db("upgrade")
    change(empty_url, *(f"ALTER TABLE agents ADD COLUMN scribble_{number} TEXT" for number in range(7)))
    assert "column agents.scribble_4 is not ours, and 2 more; restore" in refusal(db("check"))


async def test_a_daemon_that_starts_refuses_a_newer_schema_in_one_line(empty_url: str, tmp_path: Path) -> None:
    await schema.upgrade(empty_url)
    async with writing(empty_url) as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    line = await refused_start(empty_url, tmp_path, "local", code=1)
    assert line.startswith("error: the database is at schema 9999, newer than the ")


async def refused_start(url: str, folder: Path, project: str, code: int) -> str:
    """Return the one line with which a daemon that watches ``project`` refuses to start."""
    (folder / "policy.yaml").write_text("{name: all, agents: ['*'], steps: [{weight: 100}]}", "utf-8")
    words = ("serve", "--project-endpoint", f"http://127.0.0.1:9/api/projects/{project}", "--credential", "emulator")
    more = ("--policies", "policy.yaml", "--listen", "127.0.0.1:0", "--database-url", url, "--log-format", "json")
    ended = await outcome_of(await begin(*words, *more, folder=folder))
    assert ended.code == code
    (line,) = (line for line in ended.errors if not line.startswith("{"))
    return line


async def test_a_daemon_that_starts_refuses_the_database_of_another_project(empty_url: str, tmp_path: Path) -> None:
    await schema.upgrade(empty_url)
    store = SqlStore(empty_url, replica="a", lease=timedelta(seconds=1))
    one, other = "localhost/api/projects/one", "localhost/api/projects/other"
    assert [await store.bind_project(name, NOON) for name in (one, other, one)] == [one, one, one]
    await store.close()
    said = await refused_start(empty_url, tmp_path, "other", code=2)
    assert f"is of project {one}, and this service watches {other}" in said
    assert said.endswith("run: foundry-rollouts db project URL")


def test_a_project_whose_address_is_another_one_keeps_its_database(db: Check) -> None:
    db("upgrade")
    assert db("project") == Outcome(0, "none\n", "")
    for url, name in (
        ("https://ACME.services.ai.azure.com/api/projects/Prod/", "acme.services.ai.azure.com/api/projects/prod"),
        ("http://127.0.0.1:8090/api/projects/local", "localhost/api/projects/local"),
    ):
        assert db("project", url) == Outcome(0, f"{name}\n", "")
        assert db("project") == Outcome(0, f"{name}\n", "")
    refused = db("project", "http://example.com/api/projects/prod")
    assert (refused.code, refused.out) == (2, "")
    assert "would send tokens in the clear" in refused.err
