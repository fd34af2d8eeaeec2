"""Rollouts from the command line, against the real ops API."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from answering import a_server, say
from builders import NOON, a_rollout
from command_line import begin, outcome_of
from component.cli.conftest import Service
from fakes import stand
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.web.services import Services
from patience import PATIENCE
from unit.web.served import serving

PROGRESSING = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, because="the first step has begun")


async def end(service: Service, rollout: Rollout, phase: Phase, because: str) -> None:
    await stand(service.store, replace(rollout, phase=phase, ended_at=NOON, because=because))


async def line_with(process: asyncio.subprocess.Process, word: str) -> str:
    """Return the first line of ``process`` that has ``word`` in it."""
    assert process.stdout is not None
    while True:
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()
        assert line, f"ended without {word}"
        if word in line:
            return line


async def test_a_rollout_is_started_and_shown(service: Service) -> None:
    started = await service.run("start", "--agent", "support-agent", "--version", "2", "--author", "ci")
    assert (started.code, started.err) == (0, "")
    shown = json.loads((await service.run("show", "--agent", "support-agent", "-o", "json")).out)
    assert started.out == f"rollout {shown['id']} of support-agent version 2 is pending\n"
    assert (shown["canary"], shown["author"], shown["policy"]) == ("2", "ci", "support")


async def test_a_start_twice_joins_and_says_so(service: Service) -> None:
    start = ("start", "--agent", "support-agent", "--version", "2", "--reason", "ticket 7")
    first, again = await service.run(*start), await service.run(*start)
    identity = first.out.split()[1]
    assert (again.code, again.err) == (0, "")
    assert again.lines[0] == f"version 2 of agent support-agent is on trial already: joined rollout {identity}"
    assert again.lines[1:] == first.lines
    assert (await service.store.rollout(identity)).because.endswith("asked for version 2: ticket 7")


async def test_a_start_that_waits_writes_one_document_and_its_progress_to_stderr(service: Service) -> None:
    args = ("--agent", "support-agent", "--version", "2")
    waiting = await service.begin("start", *args, "--wait", "--output", "json")
    which: Sequence[Rollout] = ()
    while not which:
        await asyncio.sleep(0.1)
        which = await service.store.unfinished("support-agent")
    await end(service, which[0], Phase.ROLLED_BACK, "it failed")
    done = await outcome_of(waiting)
    assert (done.code, json.loads(done.out)["phase"]) == (3, "rolled_back")
    assert "rollout.rolled_back" in done.err


async def test_watching_a_version_waits_until_it_has_a_rollout(service: Service) -> None:
    watching = await service.begin("watch", "--agent", "support-agent", "--version", "2")
    assert watching.stderr is not None
    assert b"waiting until there is one" in await asyncio.wait_for(watching.stderr.readline(), PATIENCE)
    await end(service, await stand(service.store, PROGRESSING), Phase.PROMOTED, "proved")
    assert (await outcome_of(watching)).code == 0
    late = await service.run("watch", "--agent", "support-agent", "--version", "3", "--timeout", "1s")
    assert (late.code, "has no rollout of version 3" in late.err) == (4, True)


async def test_an_agent_means_the_rollout_in_hand_and_others_are_told(service: Service) -> None:
    await stand(service.store, PROGRESSING)
    await stand(service.store, a_rollout(id="r-2", canary="3", created_at=NOON + timedelta(minutes=1)))
    done = await service.run("pause", "--agent", "support-agent", "--author", "kim")
    assert done.lines[0].startswith("rollout r-1 of support-agent version 2")
    assert done.errors == [
        "another one waits behind it; 'foundry-rollouts rollout list --agent support-agent' shows every one, an id"
        " names one"
    ]
    shown = await service.run("show", "--agent", "support-agent")
    assert "kim asked to pause at" in shown.out
    assert json.loads((await service.run("show", "--agent", "support-agent", "-o", "json")).out)["id"] == "r-1"
    by_version = await service.run("show", "--agent", "support-agent", "--version", "3", "-o", "json")
    assert json.loads(by_version.out)["id"] == "r-2"


async def test_an_abort_that_does_not_reach_the_service_names_the_way_without_it(tmp_path: Path) -> None:
    args = ("rollout", "abort", "--agent", "support-agent", "--server", "http://127.0.0.1:9")
    done = await outcome_of(await begin(*args, folder=tmp_path))
    assert (done.code, len(done.errors)) == (1, 1)
    assert "'foundry-rollouts agent route support-agent STABLE=100' goes back without the service" in done.err


async def test_a_refused_start_tells_the_reason_of_the_service(service: Service) -> None:
    done = await service.run("start", "--agent", "support-agent", "--version", "2", "--policy", "other")
    assert (done.code, done.out) == (1, "")
    assert done.errors == ["error: there is no policy other"]


async def test_rollouts_are_listed_newest_first_in_three_forms(service: Service) -> None:
    await stand(service.store, a_rollout(id="r-0", phase=Phase.PROMOTED, step=3, because="proved", ended_at=NOON))
    await stand(service.store, replace(PROGRESSING, held_by="queue"))
    table = await service.run("list")
    assert table.lines == [
        "ID   AGENT          CANARY  PHASE        STEP  WEIGHTS       HELD BY  BECAUSE",
        "r-1  support-agent  2       progressing  1/3   1: 90, 2: 10  queue    the first step has begun",
        "r-0  support-agent  2       promoted     3/3   2: 100                 proved",
    ]
    items = json.loads((await service.run("list", "--output", "json", "--limit", "1")).out)
    assert [item["id"] for item in items] == ["r-1"]
    yaml = await service.run("list", "--output", "yaml", "--phase", "promoted")
    assert [item["id"] for item in YAML(typ="safe").load(yaml.out)] == ["r-0"]


async def test_an_empty_list_is_no_error_and_no_noise_for_programs(service: Service) -> None:
    assert (await service.run("list", "--output", "json")).out == "[]\n"
    done = await service.run("list", "--agent", "other")
    assert (done.code, done.out, done.err) == (0, "", "there are no such rollouts\n")


async def test_the_history_is_a_table_of_whole_sentences(service: Service) -> None:
    because = "the canary failed 40.0% of 120 calls where the stable version failed 0.5% of 980: " + "proof " * 30
    await end(service, await stand(service.store, PROGRESSING), Phase.ROLLED_BACK, because.strip())
    done = await service.run("history", "r-1")
    assert done.lines[0].split() == ["AT", "KIND", "STEP", "WEIGHTS", "AUTHOR", "BECAUSE"]
    assert "rollout.progressing" in done.lines[1]
    assert done.lines[2].endswith(because.strip())
    assert len(done.lines) == 3


async def test_a_rollout_that_nobody_knows_is_an_error(service: Service) -> None:
    done = await service.run("show", "r-9")
    assert (done.code, len(done.errors)) == (1, 1)
    assert "r-9" in done.err
    other = await service.run("pause", "--agent", "other")
    assert other.errors == ["error: agent other has no rollout: start one, or check the name"]


@pytest.mark.parametrize("verb", ["pause", "promote", "abort"])
async def test_a_verb_shows_what_it_saw_and_leaves_a_command_with_its_author(service: Service, verb: str) -> None:
    await stand(service.store, PROGRESSING)
    done = await service.run(verb, "--agent", "support-agent", "--reason", "incident 7", "--author", "kim")
    assert (done.code, done.err) == (0, "")
    assert done.lines == [
        "rollout r-1 of support-agent version 2 is progressing, generation 1: the first step has begun",
        f"asked to {verb}, accepted and not done yet: it waits for the controller's next tick",
    ]
    (command,) = await service.store.commands("r-1")
    assert (command.verb, command.generation, command.author, command.reason) == (verb, 1, "kim", "incident 7")


async def test_a_verb_that_makes_no_sense_now_is_refused_with_the_reason(service: Service) -> None:
    await stand(service.store, PROGRESSING)
    for verb, reason in (("resume", "there is nothing to resume"), ("approve", "waits for no approval now")):
        done = await service.run(verb, "r-1")
        assert (done.code, len(done.errors)) == (1, 1)
        assert reason in done.err


async def test_a_verb_for_a_generation_that_is_past_is_refused(service: Service) -> None:
    await stand(service.store, replace(PROGRESSING, generation=5))
    done = await service.run("abort", "r-1", "--generation", "4")
    assert done.code == 1
    assert await service.store.commands("r-1") == []


async def test_a_retry_names_the_new_rollout(service: Service) -> None:
    await end(service, await stand(service.store, PROGRESSING), Phase.ROLLED_BACK, "it failed")
    done = await service.run("retry", "r-1")
    assert (done.code, done.err) == (0, "")
    identity = done.lines[1].removeprefix("rollout ").removesuffix(" tries version 2 again")
    assert (await service.store.rollout(identity)).phase is Phase.PENDING
    assert identity != "r-1"


async def test_a_retry_can_wait_for_the_end(service: Service) -> None:
    await end(service, await stand(service.store, PROGRESSING), Phase.ROLLED_BACK, "it failed")
    waiting = await service.begin("retry", "r-1", "--wait", "--timeout", "1m")
    identity = (await line_with(waiting, "tries version 2 again")).split()[1]
    await end(service, await service.store.rollout(identity), Phase.ROLLED_BACK, "it failed again")
    done = await outcome_of(waiting)
    assert (done.code, done.errors) == (3, ["error: version 2 of support-agent is rolled back: it failed again"])


@pytest.mark.parametrize("verb", ["approve", "resume", "promote", "retry"])
async def test_a_timeout_of_no_wait_is_wrong_usage(service: Service, verb: str) -> None:
    done = await service.run(verb, "r-1", "--timeout", "1m")
    assert (done.code, done.errors) == (2, ["error: --timeout says how long to wait: add --wait"])


async def test_watching_tells_each_event_as_it_happens_and_how_it_ended(service: Service) -> None:
    rollout = await stand(service.store, PROGRESSING)
    watching = await service.begin("watch", "--agent", "support-agent")
    first = await line_with(watching, "rollout.progressing")
    await end(service, rollout, Phase.ROLLED_BACK, "it failed")
    done = await outcome_of(watching)
    assert first.split(None, 2)[1:] == ["rollout.progressing", "the first step has begun\n"]
    assert [line.split(None, 2)[1:] for line in done.lines] == [["rollout.rolled_back", "it failed"]]
    assert (done.code, done.errors) == (3, ["error: version 2 of support-agent is rolled back: it failed"])


@pytest.mark.parametrize(
    ("phase", "code"),
    [(Phase.PROMOTED, 0), (Phase.DISABLED, 3), (Phase.FAILED, 3), (Phase.SUPERSEDED, 3), (Phase.ABORTED, 3)],
)
async def test_the_code_of_a_wait_tells_how_the_rollout_ended(service: Service, phase: Phase, code: int) -> None:
    await end(service, await stand(service.store, PROGRESSING), phase, "so it had to end")
    done = await service.run("watch", "r-1", "--timeout", "1m")
    assert (done.code, len(done.lines), len(done.errors)) == (code, 2, 1 if code else 0)


async def test_a_start_can_wait_for_the_end(service: Service) -> None:
    waiting = await service.begin("start", "--agent", "support-agent", "--version", "2", "--wait", "--timeout", "1m")
    identity = (await line_with(waiting, "is pending")).split()[1]
    await end(service, await service.store.rollout(identity), Phase.PROMOTED, "proved")
    done = await outcome_of(waiting)
    assert (done.code, done.err) == (0, "")
    assert done.lines[-1].endswith("proved")


async def test_a_wait_that_times_out_has_a_code_of_its_own_and_tells_where_it_was(service: Service) -> None:
    await stand(service.store, replace(PROGRESSING, waiting_for="more calls"))
    done = await service.run("watch", "r-1", "--timeout", "1s")
    assert done.code == 4
    assert done.errors == [
        "error: the wait for rollout r-1 timed out while it was progressing at step 1 of 3, waiting for more calls: "
        "it continues, follow it with 'foundry-rollouts rollout watch r-1'"
    ]


async def test_watching_goes_on_where_it_was_when_the_service_is_restarted(services: Services, tmp_path: Path) -> None:
    rollout = await stand(services.store, PROGRESSING)  # type: ignore[arg-type]
    async with serving(services) as (server, _):
        watching = await begin("rollout", "watch", "r-1", folder=tmp_path, FOUNDRY_ROLLOUTS_SERVER=server)
        await line_with(watching, "rollout.progressing")
    # The service is gone; what it watches ends meanwhile; then another service stands at the same address.
    assert watching.stderr is not None
    away = (await asyncio.wait_for(watching.stderr.readline(), PATIENCE)).decode()
    ended = replace(rollout, phase=Phase.PROMOTED, ended_at=NOON, because="proved")
    await stand(services.store, ended)  # type: ignore[arg-type]
    port = int(server.rpartition(":")[2])
    again = replace(services, stop=asyncio.Event(), check_every=timedelta(milliseconds=10))
    async with serving(again, port):
        done = await outcome_of(watching)
    assert "trying again for 5 minutes" in away
    assert (done.code, [line.split()[1] for line in done.lines]) == (0, ["rollout.promoted"])


async def test_a_server_that_is_another_program_is_told_from_one_that_is_away(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        say(writer, b"hello")

    async with a_server(answer) as server:
        done = await outcome_of(await begin("rollout", "list", "--server", server, folder=tmp_path))
    assert (done.code, done.errors) == (1, [f"error: {server} answered HTTP 200 without JSON: is --server right?"])
