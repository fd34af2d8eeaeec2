"""A cloud that is away, refuses or throttles at start, and a start that cannot be."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from patience import PATIENCE
from town import POLICY, Town


async def conditions(town: Town) -> dict[str, Any]:
    """Return the conditions of /readyz by name, whatever its status."""
    answer = await town.http.get(f"{town.stage.server}/readyz")
    found = {each["name"]: each for each in answer.json()["conditions"]}
    return {"status": answer.status_code, **found}


async def until_told(town: Town, word: str) -> None:
    async def told() -> bool:
        seen = await conditions(town)
        return bool(seen["status"] == 503 and word in seen["cloud"]["because"])

    await town.until(told)


async def until_ready(town: Town) -> None:
    async def ready() -> bool:
        return bool((await conditions(town))["status"] == 200)

    await town.until(ready)


async def test_a_cloud_that_is_away_at_start_is_told_and_work_begins_when_it_answers(town: Town) -> None:
    await town.stage.stop()
    await town.control(ready=False)
    await until_told(town, "no answer")
    assert (await town.http.get(f"{town.stage.server}/healthz")).status_code == 200
    await town.stage.start_emulator(town.stage.emulator)
    await town.image("emulator://echo")
    await until_ready(town)
    await town.until_pinned("1")


@pytest.mark.parametrize(("status", "code"), [(401, "unauthorized"), (403, "forbidden"), (429, "rate_limit_exceeded")])
async def test_a_cloud_that_refuses_at_start_is_told_and_work_begins_when_it_relents(
    town: Town, status: int, code: str
) -> None:
    await town.emulate("POST", "/faults", {"operation": "*", "status": status, "code": code, "message": "not now"})
    await town.control(ready=False)
    await until_told(town, f"HTTP {status}")
    await town.emulate("DELETE", "/faults")
    await town.image("emulator://echo")
    await town.until_pinned("1")
    await until_ready(town)


async def refused(town: Town, **settings: str) -> tuple[int, list[str]]:
    """Try to serve with wrong settings; return the exit code and the lines on stderr."""
    (town.folder / "policy.yaml").write_text(POLICY, "utf-8")
    usual = {
        "PROJECT_ENDPOINT": town.stage.endpoint,
        "CREDENTIAL": "emulator",
        "DATABASE_URL": f"sqlite:///{town.folder / 'history.db'}",
        "POLICIES": str(town.folder / "policy.yaml"),
        "LISTEN": "127.0.0.1:0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "foundry_rollouts",
        "serve",
        env={f"FOUNDRY_ROLLOUTS_{name}": value for name, value in (usual | settings).items()},
        cwd=town.folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return process.returncode, said.decode().splitlines()


async def test_an_address_that_is_taken_is_one_line_and_exit_1(town: Town) -> None:
    taken = town.stage.emulator.removeprefix("http://")
    code, said = await refused(town, LISTEN=taken)
    assert code == 1
    assert said == [f"error: cannot listen on {taken}: Address already in use; choose another address"]


async def test_a_database_that_cannot_be_written_is_one_line_and_exit_1(town: Town) -> None:
    code, said = await refused(town, DATABASE_URL=f"sqlite:///{town.folder}/nowhere/history.db")
    assert code == 1
    assert len(said) == 1
    assert "history.db" in said[0]


async def test_a_wrong_policy_starts_nothing_and_names_file_line_and_column(town: Town) -> None:
    path = Path(town.folder, "wrong.yaml")
    path.write_text(POLICY.replace("weight: 50", "weight: 5"), "utf-8")
    code, said = await refused(town, POLICIES=str(path))
    assert code == 2
    assert said[0].startswith(f"{path}:6:")
    assert not Path(town.folder, "history.db").exists()
