"""``line``, ``agent hold`` and their likes on the command line, and what is held is not deleted."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from builders import NOON
from component.cli.conftest import Inside, Service
from component.cli.engineer import Engineer
from fakes import record
from foundry_rollouts.ports import AgentKnown, Record
from foundry_rollouts.web.services import Services
from unit.web.served import serving


async def test_the_line_is_stopped_shown_and_started(service: Service) -> None:
    done = await service.run_as("line", "stop", "--reason", "incident 4711", "--for", "4h", "--author", "kim")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("kim stopped the line (incident 4711) until ")
    shown = await service.run_as("line", "show")
    assert shown.out.splitlines()[0].split() == ["AUTHOR", "REASON", "PROJECT", "SINCE", "UNTIL"]
    assert "incident 4711" in shown.out
    document = json.loads((await service.run_as("line", "show", "-o", "json")).out)
    assert (document["is_stopped"], document["stops"][0]["author"]) == (True, "kim")
    started = await service.run_as("line", "start", "--author", "lee")
    assert (started.code, started.out) == (0, "lee started the line\n")
    assert (await service.run_as("line", "start", "--author", "lee")).out == "the line was not stopped\n"
    assert (await service.run_as("line", "show")).err == "the line is running\n"
    assert "lee" in (await service.run_as("line", "show", "--ended")).out


async def test_an_end_is_an_instant_with_its_zone_and_said_once(service: Service) -> None:
    said = "2126-12-24T18:00+01:00"
    done = await service.run_as("line", "stop", "--reason", "so", "--until", said)
    assert "until 2126-12-24 17:00 UTC" in done.out
    for wrong in ("2126-12-24T18:00", "christmas"):
        refused = await service.run_as("line", "stop", "--reason", "so", "--until", wrong)
        assert refused.code == 2
        assert f"'{wrong}' is no instant: write it with its zone" in refused.err
    both = await service.run_as("line", "stop", "--reason", "so", "--until", said, "--for", "4h")
    assert (both.code, both.err) == (2, "error: --until and --for both say when it ends: give one of them\n")
    over = await service.run_as("line", "stop", "--reason", "so", "--until", "2020-01-01T00:00Z")
    assert (over.code, over.err) == (2, "error: 2020-01-01T00:00+00:00 is over: name an end that lies ahead, or none\n")
    assert (await service.run_as("line", "stop")).code == 2, "a reason is needed"


async def test_an_agent_is_held_listed_and_let_go(service: Service) -> None:
    held = await service.run_as(
        "agent", "hold", "support-agent", "--version", "1", "--reason", "the fair", "--author", "kim"
    )
    assert (held.code, held.out) == (0, "kim holds agent support-agent at version 1 (the fair)\n")
    assert "the fair" in (await service.run_as("agent", "holds")).out
    assert json.loads((await service.run_as("agent", "holds", "-o", "json")).out)["items"][0]["version"] == "1"
    wrong = await service.run_as("agent", "hold", "support-agent", "--version", "7", "--reason", "so")
    assert wrong.code == 1
    assert "cannot be held at version 7: version 1 is its stable version" in wrong.err
    freed = await service.run_as("agent", "unhold", "support-agent", "--author", "lee")
    assert freed.out == "lee ended the hold of agent support-agent\n"
    assert (await service.run_as("agent", "holds")).err == "no agent is held\n"


@pytest.fixture
async def served_for(engineer: Engineer, services: Services, tmp_path: Path, inside: Inside) -> AsyncIterator[Service]:
    """Serve for the engineer's agent, whose version 1 is held; version 2 has all sessions."""
    store = services.store
    await store.see_agents([AgentKnown("a", latest="2", policy="support")], NOON)
    await record(store, "a", Record(stable="1", newest="1"))  # type: ignore[arg-type]
    async with serving(services) as (url, _):
        yield Service(store, url, tmp_path, inside)  # type: ignore[arg-type]


async def test_what_is_held_is_not_deleted_where_the_service_is_asked(
    served_for: Service, engineer: Engineer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare() -> None:
        engineer.an_image("a")
        engineer.an_image("a", "emulator://echo?reply=from+the+second")
        engineer.well("route", "a", "2=100")

    await asyncio.to_thread(prepare)
    await served_for.run_as("agent", "hold", "a", "--version", "1", "--reason", "the fair", "--author", "kim")
    refusal = "kim holds agent a at version 1 (the fair); 'foundry-rollouts agent unhold a' ends that\n"
    asked = ("--server", served_for.server)
    for words, what in ((("--version", "1"), "version 1 of a"), (("--force",), "agent a")):
        refused = await asyncio.to_thread(engineer.run, "delete", "a", *words, "--yes", *asked)
        assert (refused.code, refused.err) == (1, f"error: {what} is not deleted: {refusal}")
    away = await asyncio.to_thread(
        engineer.run, "delete", "a", "--version", "1", "--yes", "--server", "http://127.0.0.1:9"
    )
    assert (away.code, "does not answer" in away.err) == (1, True)
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_SERVER", "http://127.0.0.1:9")
    warned = await asyncio.to_thread(engineer.run, "delete", "a", "--version", "9", "--yes")
    assert "warning: nobody could say whether a is held: http://127.0.0.1:9 does not answer" in warned.err
    assert "check the agent and the version" in warned.err  # it went on
    monkeypatch.delenv("FOUNDRY_ROLLOUTS_SERVER")
    await served_for.run_as("agent", "unhold", "a")
    done = await asyncio.to_thread(engineer.run, "delete", "a", "--version", "1", "--yes", *asked)
    assert (done.code, done.out) == (0, "version 1 of a is deleted\n")
