"""A release engineer's day with the sample agents: deploy, deploy again, prove, call, watch; each command a process."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from pathlib import Path

import pytest

from patience import PATIENCE
from tools.repository import ROOT
from town import Town

SAMPLES = ROOT / "deploy" / "samples"
SPEAKS = {"echo": ("responses",), "orders": ("invocations",), "hosted": ("responses", "invocations")}
#: A build of Microsoft's hosting library with an empty cache takes its time.
BUILD = 240.0


@dataclass(frozen=True)
class Said:
    """What one command left behind."""

    code: int
    out: str
    err: str


async def begin(town: Town, *words: str) -> Process:
    """Start an agent command against the town's Foundry."""
    settings = {"FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT": town.stage.endpoint, "FOUNDRY_ROLLOUTS_CREDENTIAL": "emulator"}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "foundry_rollouts", "agent", *words),
        cwd=town.folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1", **settings},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        preexec_fn=interruptible,
    )


def interruptible() -> None:
    """Hear SIGINT, also where whoever runs the tests in the background ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def agent(town: Town, *words: str) -> Said:
    """Run an agent command to its end."""
    process = await begin(town, *words)
    try:
        out, err = await asyncio.wait_for(process.communicate(), BUILD)
    finally:
        if process.returncode is None:
            process.kill()
    return Said(process.returncode or 0, out.decode(), err.decode())


async def deployed(town: Town, sample: str, *more: str) -> Said:
    protocols = [word for name in SPEAKS[sample] for word in ("--protocol", name)]
    said = await agent(town, "deploy", str(SAMPLES / sample), *protocols, "--wait", *more)
    assert said.code == 0, said.err
    return said


def is_running(process: Process) -> bool:
    return process.returncode is None


async def line_with(words: str, process: Process) -> str:
    """Return the next line on stdout that holds ``words``."""
    assert process.stdout is not None
    while line := (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode():
        if words in line:
            return line
    pytest.fail(f"the output ended without {words!r}")


@pytest.mark.timeout(BUILD + 60)
@pytest.mark.parametrize("sample", SPEAKS)
async def test_a_sample_is_deployed_once_however_often_and_what_is_there_is_what_was_sent(
    town: Town, sample: str
) -> None:
    first = await deployed(town, sample)
    assert first.out == f"version 1 of {sample}: active\n"
    assert "uploading" in first.err

    again = await deployed(town, sample)
    assert again.out == f"already deployed as version 1 of {sample}: active\n"
    assert "uploading" not in again.err
    versions = await agent(town, "versions", sample, "--output", "json")
    assert [version["version"] for version in json.loads(versions.out)] == ["1"]

    proof = await agent(town, "download", sample, "--verify", "--against", str(SAMPLES / sample))
    assert (proof.code, proof.err) == (0, "")
    assert proof.out.startswith(f"version 1 of {sample} is as it was deployed: 2 files, sha256 ")

    for protocol in SPEAKS[sample]:
        await answers(town, sample, protocol)


async def answers(town: Town, sample: str, protocol: str) -> None:
    if protocol == "responses":
        whole = await agent(town, "invoke", sample, "good morning")
        streamed = await agent(town, "invoke", sample, "good morning", "--stream")
        assert whole.out == streamed.out == "version 1 heard: good morning\n"
    else:
        called = await agent(town, "invoke", sample, '{"order": 4711}', "--invocations")
        assert (called.code, "4711" in called.out) == (0, True), called.err


async def test_logs_are_followed_while_an_answer_streams(town: Town) -> None:
    await deployed(town, "echo")
    await agent(town, "sessions", "create", "echo", "--id", "story-of-a-stream")
    tail = await begin(town, "logs", "echo", "--follow")
    question = " ".join(["word"] * 200)
    call = await begin(town, "invoke", "echo", question, "--stream", "--session", "story-of-a-stream")

    await line_with("piece 1", tail)
    assert is_running(call), "its log is read while the answer is being written"
    await line_with("Inbound POST /responses completed with status 200", tail)
    out, _ = await asyncio.wait_for(call.communicate(), PATIENCE)
    assert (call.returncode, out.decode()) == (0, f"version 1 heard: {question}\n")

    tail.send_signal(signal.SIGINT)
    await asyncio.wait_for(tail.communicate(), PATIENCE)
    assert tail.returncode == 0


async def test_a_log_tells_of_sessions_that_are_opened_meanwhile(town: Town) -> None:
    await deployed(town, "echo")
    tail = await begin(town, "logs", "echo", "--follow", "--output", "json")
    for session in ("story-of-one", "story-of-two"):
        await agent(town, "invoke", "echo", "hello", "--session", session, "--version", "1")
        line = json.loads(await line_with("Inbound POST", tail))
        assert (line["session"], line["version"], line["stream"]) == (session, "1", "stderr")
    tail.terminate()
    await tail.communicate()


async def test_long_work_is_polled_to_its_end_and_can_be_cancelled(town: Town) -> None:
    await deployed(town, "orders", "--env", "SECONDS_A_STEP=0.2")
    done = await agent(town, "invoke", "orders", '{"order": 1}', "--invocations")
    assert json.loads(done.out)["done"] == ["reserve", "pay", "pack", "ship"]

    await deployed(town, "orders", "--env", "SECONDS_A_STEP=600")
    begun = await agent(town, "invoke", "orders", '{"order": 2}', "--invocations", "--no-wait")
    told, accepted = begun.err.splitlines()
    session = told.split("session ")[1].split(",")[0]
    assert accepted.startswith(f"accepted as {begun.out.strip()}; ")
    late = await agent(town, "invoke", "orders", "--poll", begun.out.strip(), "--session", session, "--timeout", "1s")
    assert (late.code, len(late.err.splitlines())) == (4, 1)
    ended = await agent(town, "invoke", "orders", "--cancel", begun.out.strip(), "--session", session)
    assert (ended.code, json.loads(ended.out)["status"]) == (0, "cancelled")


async def test_a_version_that_fails_to_build_is_exit_3_with_the_builds_own_words(town: Town, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "main.py").write_text("", "utf-8")
    (folder / "requirements.txt").write_text("./no-such-folder\n", "utf-8")
    said = await agent(town, "deploy", str(folder), "--wait")
    assert (said.code, said.out) == (3, "version 1 of broken: failed\n")
    last = said.err.splitlines()[-1]
    assert last.startswith("error: version 1 of broken is failed: CodeError: ")
    assert "no-such-folder" in last
