"""What ended badly stays on top of the command line until somebody says that they know."""

import asyncio
import json

from builders import NOON, a_rollout
from command_line import Outcome
from component.cli.conftest import Service
from component.cli.engineer import Engineer
from fakes import stand
from foundry_rollouts.core.model.rollout import Phase

BAD = a_rollout(
    phase=Phase.ROLLED_BACK, step=1, generation=4, started_at=NOON, ended_at=NOON, because="18 of 60 failed"
)
LESSON = "users have 1, you released 2, because 18 of 60 failed"
NOWHERE = "http://127.0.0.1:9"


async def ask(engineer: Engineer, *words: str, server: str) -> Outcome:
    return await asyncio.to_thread(engineer.run, *words, "--server", server)


async def agents(engineer: Engineer, *names: str) -> None:
    for name in names:
        await asyncio.to_thread(engineer.an_image, name)


async def test_a_bad_end_is_acknowledged_once_by_name(service: Service) -> None:
    await stand(service.store, BAD)
    words = ("acknowledge", "--agent", "support-agent", "--author", "kim", "--reason", "ticket 7")
    done = await service.run(*words)
    assert (done.code, done.err) == (0, "")
    assert done.lines[0].startswith("rollout r-1 of support-agent version 2 is rolled_back, generation 4: 18 of 60")
    assert done.lines[1].startswith("kim acknowledged it at ")
    shown = await service.run("show", "r-1")
    assert "acknowledged" in shown.out
    assert ": ticket 7" in shown.out
    again = await service.run("acknowledge", "r-1", "--author", "lee")
    assert (again.code, again.lines[1].startswith("kim acknowledged it already")) == (0, True)
    nothing = await service.run(*words)
    assert nothing.code == 1
    assert nothing.errors == ["error: nothing of agent support-agent waits to be acknowledged; an id names one rollout"]


async def test_agents_that_need_somebody_come_first(service: Service, engineer: Engineer) -> None:
    await agents(engineer, "support-agent", "a")  # the list begins with the newest
    before = await ask(engineer, "list", server=service.server)
    assert [line.split()[0] for line in before.lines[1:]] == ["a", "support-agent"]
    await stand(service.store, BAD)
    after = await ask(engineer, "list", server=service.server)
    assert (after.code, after.err) == (0, "")
    assert [line.split()[0] for line in after.lines[1:]] == ["support-agent", "a"]
    assert after.lines[1].endswith(LESSON)
    items = json.loads((await ask(engineer, "list", "--output", "json", server=service.server)).out)
    assert [item["unacknowledged"] and item["unacknowledged"]["rollout"] for item in items] == ["r-1", None]


async def test_a_check_fails_until_somebody_knows(service: Service, engineer: Engineer) -> None:
    await agents(engineer, "support-agent")
    good = await ask(engineer, "show", "support-agent", "--check", server=service.server)
    assert (good.code, good.err) == (0, "")
    await stand(service.store, BAD)
    shown = await ask(engineer, "show", "support-agent", server=service.server)
    assert (shown.code, shown.err) == (0, "")
    assert f"not acknowledged  {LESSON}" in shown.out
    bad = await ask(engineer, "show", "support-agent", "--check", server=service.server)
    assert (bad.code, bad.errors) == (
        3,
        [f"error: support-agent: {LESSON}; 'foundry-rollouts rollout acknowledge r-1' says that you know"],
    )
    assert bad.out == shown.out
    await service.run("acknowledge", "r-1")
    assert (await ask(engineer, "show", "support-agent", "--check", server=service.server)).code == 0


async def test_a_service_that_is_away_costs_the_list_one_line_and_fails_a_check(engineer: Engineer) -> None:
    await agents(engineer, "support-agent")
    listed = await ask(engineer, "list", server=NOWHERE)
    assert (listed.code, len(listed.lines), len(listed.errors)) == (0, 2, 1)
    assert listed.err.endswith("what is not acknowledged is not known\n")
    checked = await ask(engineer, "show", "support-agent", "--check", server=NOWHERE)
    assert (checked.code, checked.out) == (1, "")
    assert checked.err.startswith("error: http://127.0.0.1:9 does not answer")


async def test_a_check_of_an_agent_that_the_service_does_not_know_is_an_error(
    service: Service, engineer: Engineer
) -> None:
    await agents(engineer, "elsewhere")
    checked = await ask(engineer, "show", "elsewhere", "--check", server=service.server)
    assert (checked.code, checked.errors) == (
        1,
        [f"error: the service at {service.server} does not know agent elsewhere: check --server and the name"],
    )
    versioned = await ask(engineer, "show", "elsewhere", "--check", "--version", "1", server=service.server)
    assert (versioned.code, versioned.errors) == (2, ["error: --check is about the agent: leave out --version"])
