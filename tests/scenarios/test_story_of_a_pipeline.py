"""A pipeline deploys and rolls out with one command, whose exit code says how it ended."""

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from patience import PATIENCE
from town import AGENT, POLICY, Town

SWITCH = Path(__file__).with_name("switch")
#: An event, or what is waited for: a time, a kind, a sentence; no colour, no cursor.
LINE = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z  (rollout\.\w+|\(\w+\)) +[^\x1b\r]+$")
SLOW = POLICY.replace("min: 1s", "min: 1h")


class Job:
    """One step of a pipeline: bash, no terminal, the variables of the job."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.source = town.folder / "source"
        shutil.copytree(SWITCH, self.source)

    async def begin(self, *more: str, bad: bool = False, note: str = "") -> asyncio.subprocess.Process:
        """Deploy the agent's source, which fails every call if it is ``bad``; ``note`` makes it another version."""
        broken = str(self.source if bad else self.source / "nothing-of-the-kind")
        behaviour = json.dumps({"broken": broken, "note": note})
        (self.source / "behaviour.json").write_text(behaviour, "utf-8")
        words = " ".join((f"agent deploy source --agent {AGENT} --rollout --wait", *more))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FOUNDRY_")}
        return await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", f"exec foundry-rollouts {words}"),
            cwd=self.town.folder,
            env={
                **environment,
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                "FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT": self.town.stage.endpoint,
                "FOUNDRY_ROLLOUTS_CREDENTIAL": "emulator",
                "FOUNDRY_ROLLOUTS_SERVER": self.town.stage.server,
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *more: str, bad: bool = False, note: str = "") -> tuple[int, list[str], list[str]]:
        return await ended(await self.begin(*more, bad=bad, note=note))


async def ended(process: asyncio.subprocess.Process) -> tuple[int, list[str], list[str]]:
    """Return the exit code, the lines of stdout and those of stderr."""
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, out.decode().splitlines(), err.decode().splitlines()


@pytest.fixture
async def job(town: Town) -> Job:
    await town.control()
    return Job(town)


def kinds(lines: list[str]) -> list[str]:
    return [found[1].removeprefix("rollout.") for line in lines if (found := LINE.match(line)) and "(" not in found[1]]


async def test_one_command_deploys_and_rolls_out_and_says_how_it_ended(job: Job) -> None:
    code, out, err = await job.run()
    assert (code, out) == (0, [f"version 1 of {AGENT}: active"]), err
    assert any("nothing to roll out" in line for line in err)

    code, out, err = await job.run("--reason", "'ticket 7'", note="better")
    assert code == 0, (out, err)
    assert out[0].startswith(f"version 2 of {AGENT}: ")
    assert kinds(out) == ["created", "started", "advanced", "advanced", "promoted"]
    assert all(LINE.match(line) for line in out if line[:2] == "20")
    assert not any("\x1b" in line for line in out + err)
    assert await job.town.weights() == {"2": 100}

    code, out, err = await job.run(bad=True)
    assert code == 3, (out, err)
    assert kinds(out) == ["created", "started", "rolled_back"]
    assert err[-1].startswith(f"error: version 3 of {AGENT} is rolled back: ")
    assert await job.town.weights() == {"2": 100}

    # The same commit again makes no version, and what was rolled back gets no second trial from a machine.
    code, out, err = await job.run(bad=True)
    assert code == 3, (out, err)
    assert out[0] == f"already deployed as version 3 of {AGENT}: active"
    assert "rollout retry" in err[-1]
    assert len([each for each in (await job.town.api("/api/v1/rollouts"))["items"] if each["canary"] == "3"]) == 1


async def test_a_service_that_restarts_meanwhile_loses_no_line_and_no_end(job: Job) -> None:
    town = job.town
    await job.run()
    process = await job.begin("--timeout", "5m", note="better")
    await town.until_step(1)
    address = town.stage.server
    await town.kill_controller()
    assert process.stderr is not None
    while "trying again" not in (line := (await asyncio.wait_for(process.stderr.readline(), PATIENCE)).decode()):
        assert line, "it did not notice"
    town.stage.usual_port = int(address.rpartition(":")[2])
    await town.control()
    assert town.stage.server == address
    code, out, err = await ended(process)
    assert code == 0, (out, err)
    assert kinds(out) == ["created", "started", "advanced", "advanced", "promoted"]
    assert "the service answers again" in err


@pytest.mark.parametrize(("sent", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_job_that_is_cancelled_ends_the_wait_and_not_the_rollout(
    town: Town, sent: signal.Signals, expected: int
) -> None:
    await town.control(SLOW)
    job = Job(town)
    await job.run()
    process = await job.begin(note="better")
    await town.until_step(1)
    process.send_signal(sent)
    code, _, err = await ended(process)
    rollout = await town.rollout()
    assert rollout is not None
    assert (code, rollout["phase"]) == (expected, "progressing")
    assert err[-1].startswith(f"error: interrupted; rollout {rollout['id']} was not")
    assert f"rollout abort {rollout['id']}'" in err[-1]


async def test_time_that_is_over_is_told_from_an_end_for_a_rollout_that_is_joined_and_one_that_is_queued(
    town: Town,
) -> None:
    await town.control(SLOW)
    job = Job(town)
    await job.run()
    code, _, err = await job.run("--timeout", "2s", note="better")
    assert code == 4, err
    await town.until_step(1)
    code, out, err = await job.run("--timeout", "2s", note="better")
    rollout = await town.rollout()
    assert rollout is not None
    assert code == 4, (out, err)
    assert f"version 2 of agent {AGENT} is on trial already: joined rollout {rollout['id']}" in out
    assert f"the wait for rollout {rollout['id']} timed out while it was progressing at step 1 of 3" in err[-1]

    code, out, err = await job.run("--timeout", "2s", note="another one")
    assert code == 4, (out, err)
    assert "timed out while it was pending at step 0 of 3, waiting for " in err[-1]


async def test_a_newer_version_that_takes_the_place_ends_the_older_job_badly(town: Town) -> None:
    await town.control(f"{SLOW}on-new-version: supersede\n")
    job = Job(town)
    await job.run()
    older = await job.begin(note="older")
    await town.until_step(1)
    newer = await job.begin(note="newer", bad=True)
    code, out, err = await ended(older)
    assert (code, kinds(out)[-1]) == (3, "superseded"), (out, err)
    assert f"error: version 2 of {AGENT} is superseded: " in err[-1]
    code, out, err = await ended(newer)
    assert (code, kinds(out)[-1]) == (3, "rolled_back"), (out, err)
