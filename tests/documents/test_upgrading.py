"""The page on upgrades and backups does well on both databases, from one that an earlier release made and filled."""

import asyncio
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from databases import (
    a_postgresql_database,
    a_postgresql_server,
    address_of,
    aside,
    postgresql_programs,
    writing,
)
from emulated import ECHO
from fences import SHELL, Fence, fences
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_rollouts.store import schema
from releases import ARCHIVES, earlier
from schemas import fill, reflected, rows
from shell import Bash, Outcome
from tools.repository import ROOT
from tools.system_packages import environment_of, found

PAGE = ROOT / "docs" / "upgrading.md"
BLOCKS = [fence for fence in fences(PAGE) if fence.language == SHELL]
KINDS = ("SQLite", "PostgreSQL")
PRINTED = "postgresql://rollouts@db.example/rollouts_restored"
#: In the order of the page, the upgrade comes first; a reader takes the backup before.
ORDER = ("Back up", "From one release", "Restore", "Uninstall")
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "SQLite" and found("sqlite3") is None:
        pytest.skip("sqlite3 is missing: the backup of SQLite is not tried")
    return str(request.param)


@pytest.fixture(scope="session")
def server(testrun_uid: str) -> Iterator[str]:
    with a_postgresql_server(testrun_uid) as address:
        yield address


@pytest.fixture
def url(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Iterator[str]:
    """Yield the address of a database that an earlier release made, with a row in each of its tables."""
    if kind == "SQLite":
        (tmp_path / "reader").mkdir()
        yield prepared(f"sqlite:///{tmp_path / 'reader' / 'rollouts.db'}", tmp_path)
        return
    with a_postgresql_database(request.getfixturevalue("server")) as empty:
        yield prepared(empty, tmp_path)


def prepared(url: str, folder: Path) -> str:
    async def prepare() -> None:
        process = await earlier(ARCHIVES[-1], folder / "earlier").upgrade(url, folder)
        _, trouble = await process.communicate()
        assert process.returncode == 0, trouble.decode()
        async with writing(url) as connection:
            await connection.run_sync(lambda it: fill(it, reflected(it)))

    aside(prepare)
    return url


@contextmanager
def a_reader(folder: Path, url: str) -> Iterator[Bash]:
    """Give a shell with the tools of both databases, a project with one agent, and the address of the database."""
    programs = [str(Path(sys.executable).parent), str(postgresql_programs())]
    programs += [str(Path(path).parent) for path in [found("sqlite3")] if path]
    config = EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), images="echo")
    with running(config) as foundry:
        project = f"{foundry}/api/projects/local"
        with httpx.Client(headers={"Authorization": "Bearer local"}, params={"api-version": "v1"}) as cloud:
            cloud.post(f"{project}/agents/support-eu/versions", json={"definition": ECHO}).raise_for_status()
        environ = {key: value for key, value in environment_of("sqlite3").items() if not key.startswith("FOUNDRY")}
        environ |= {
            "PATH": os.pathsep.join([*programs, environ["PATH"]]),
            "FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT": project,
            "FOUNDRY_ROLLOUTS_CREDENTIAL": "emulator",
            "FOUNDRY_ROLLOUTS_DATABASE_URL": url,
        }
        with Bash(folder / "reader", environ) as bash:
            yield bash


def blocks_for(kind: str) -> list[Fence]:
    (other,) = set(KINDS) - {kind}
    ours = [block for block in BLOCKS if other not in block.heading]
    return sorted(ours, key=lambda block: [block.heading.startswith(begin) for begin in ORDER].index(True))


def test_the_page_upgrades_an_earlier_release_and_brings_its_backup_back(kind: str, url: str, tmp_path: Path) -> None:
    had, restored = everything_in(url), f"restored_{uuid.uuid4().hex}"
    back = url if kind == "SQLite" else address_of(url, restored)
    with a_reader(tmp_path, url) as bash:
        try:
            done: dict[str, Outcome] = {}
            for block in blocks_for(kind):
                text = block.text.replace(PRINTED, f"'{back}'").replace("rollouts_restored", restored)
                done[block.heading] = bash.run(text)
                assert not done[block.heading].failed, f"{block}: {done[block.heading]}"
            came_back = everything_in(back)
        finally:
            if kind == "PostgreSQL":
                drop(url, restored)
    before = ARCHIVES[-1].name[:4]
    said = done["From one release to the next"].output.splitlines()
    assert said[:2] == [before, f"the database is at schema {schema.newest()}, upgraded from {before}"]
    assert done[f"Restore {kind}"].output.splitlines()[-1] == before
    assert came_back == had
    assert len(had["events"]) == 1
    assert "@latest" in done["Uninstall"].output


def everything_in(url: str) -> dict[str, list[tuple[object, ...]]]:
    async def read() -> dict[str, list[tuple[object, ...]]]:
        async with writing(url) as connection:
            return await connection.run_sync(lambda it: rows(it, reflected(it)))

    found_there: dict[str, list[tuple[object, ...]]] = aside(read)
    return found_there


def drop(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def test_the_page_names_the_schema_of_the_release_before() -> None:
    text = PAGE.read_text("utf-8")
    before = ARCHIVES[-1].name[:4]
    assert f"upgraded from {before}`" in text
    assert f"| {before} |" in text


def test_a_dump_that_is_cut_off_is_noticed(tmp_path: Path) -> None:
    """The backup that the page shows to check is one that the check can refuse."""
    if found("sqlite3") is None:
        pytest.skip("sqlite3 is missing: the backup of SQLite is not tried")
    whole, cut = tmp_path / "rollouts.db", tmp_path / "rollouts-backup.db"
    asyncio.run(schema.upgrade(f"sqlite:///{whole}"))
    shutil.copy(whole, cut)
    with cut.open("r+b") as file:
        file.truncate(whole.stat().st_size // 2)
    with Bash(tmp_path / "reader", environment_of("sqlite3")) as bash:
        said = bash.run(f"{found('sqlite3')} {cut} 'PRAGMA integrity_check'").output
    assert "ok" not in said.splitlines()
