"""What keeps a version from being rolled out is said before anything is deployed."""

import asyncio
from datetime import timedelta

import pytest

from builders import NOON
from command_line import Outcome
from component.cli.conftest import Service
from component.cli.engineer import Engineer
from foundry_rollouts.cli.agent import release
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.foundry import versions
from foundry_rollouts.ports import AgentKnown
from foundry_rollouts.web.services import Services
from patience import PATIENCE
from unit.web.admitted import a_secret


async def deploy(engineer: Engineer, *words: str) -> Outcome:
    source = str(engineer.some_code())
    return await asyncio.to_thread(engineer.run, "deploy", source, "--agent", "shop", "--rollout", *words)


async def is_empty(engineer: Engineer) -> bool:
    return (await asyncio.to_thread(engineer.run, "list", "-o", "json")).out == "[]\n"


async def test_an_agent_without_a_policy_is_not_deployed(service: Service, engineer: Engineer) -> None:
    await service.store.see_agents([AgentKnown("shop", stable="1")], NOON)
    done = await deploy(engineer, "--server", service.server)
    assert (done.code, done.out) == (2, "")
    assert done.errors[-1] == (
        "error: no policy governs agent shop, so its versions are not rolled out: write one that names it, or add"
        " --policy; nothing was deployed"
    )
    assert await is_empty(engineer)


async def test_with_the_token_of_a_viewer_nothing_is_deployed(
    service: Service, services: Services, engineer: Engineer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.store.see_agents([AgentKnown("shop", stable="1", policy="support")], NOON)
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_TOKEN", await a_secret(services, owner="ci", role=Role.VIEWER))
    done = await deploy(engineer, "--server", service.server)
    assert (done.code, done.out) == (1, "")
    assert done.errors[-1] == (
        "error: a rollout needs the role operator, and ci has the role viewer; nothing was deployed: ask for a token"
        " with the role it needs, or have somebody with that role do it"
    )
    assert await is_empty(engineer)


async def test_without_the_service_nothing_is_deployed(engineer: Engineer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "AT_FIRST", timedelta(0))
    done = await deploy(engineer, "--wait", "--server", "http://127.0.0.1:9")
    assert (done.code, done.out) == (1, "")
    assert "http://127.0.0.1:9 does not answer" in done.errors[-1]
    assert await is_empty(engineer)


@pytest.mark.parametrize("source", ["code", "image"])
async def test_while_the_endpoint_follows_the_latest_version_nothing_is_deployed(
    service: Service, engineer: Engineer, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """The service watches another project, or did not list the agents yet."""
    await asyncio.to_thread(engineer.an_image, "support-agent")
    monkeypatch.setattr(release, "PINNED_WITHIN", timedelta(0))
    image = ("create", "support-agent", "--image", "emulator://echo?error_rate=1", "--protocol", "responses")
    code = ("deploy", str(engineer.some_code()), "--agent", "support-agent", "--protocol", "responses")
    words = (*(code if source == "code" else image), "--rollout", "--wait", "--server", service.server)
    done = await asyncio.to_thread(engineer.run, *words)
    assert (done.code, done.out) == (1, "")
    assert "would meet all users at once" in done.errors[-1]
    assert "nothing was deployed" in done.errors[-1]
    assert len(await asyncio.to_thread(engineer.told, "versions", "support-agent")) == 1
    assert not await service.store.unfinished("support-agent")

    monkeypatch.setattr(release, "PINNED_WITHIN", timedelta(seconds=PATIENCE))
    waiting = asyncio.create_task(asyncio.to_thread(engineer.run, *words[: words.index("--wait")], *words[-2:]))
    assert await asyncio.to_thread(engineer.well, "route", "support-agent", "--pin")
    done = await waiting
    assert done.code == 0, done.errors
    assert [each.canary for each in await service.store.unfinished("support-agent")] == ["2"]


async def test_while_the_first_version_is_being_built_no_second_one_is_deployed(
    service: Service, engineer: Engineer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one meets users by the time the second one is there, which would meet all of them."""
    monkeypatch.setattr(versions, "BUILD_LIMIT", timedelta(0))
    engineer.control.put("/lifecycle", json={"kind": "seconds", "value": 1e9}).raise_for_status()
    try:
        await asyncio.to_thread(engineer.an_image, "support-agent")
        words = ("create", "support-agent", "--image", "emulator://echo?error_rate=1", "--protocol", "responses")
        done = await asyncio.to_thread(engineer.run, *words, "--rollout", "--server", service.server)
    finally:
        engineer.control.put("/lifecycle", json={"kind": "immediate"}).raise_for_status()
    assert (done.code, done.out) == (1, "")
    assert "the first version of support-agent is still being built" in done.errors[-1]
    assert len(await asyncio.to_thread(engineer.told, "versions", "support-agent")) == 1


async def test_a_version_of_an_image_is_rolled_out_too(service: Service, engineer: Engineer) -> None:
    await asyncio.to_thread(engineer.an_image, "support-agent")
    await asyncio.to_thread(engineer.an_image, "support-agent", "emulator://echo?latency_ms=1")
    await asyncio.to_thread(engineer.well, "route", "support-agent", "1=100")
    words = ("create", "support-agent", "--image", "emulator://echo?latency_ms=1", "--protocol", "responses")
    more = ("--protocol", "invocations", "--rollout", "--reason", "ticket 7", "--server", service.server)
    done = await asyncio.to_thread(engineer.run, *words, *more)
    (rollout,) = await service.store.unfinished("support-agent")
    assert (done.code, done.lines) == (
        0,
        [
            "already deployed as version 2 of support-agent: active",
            f"rollout {rollout.id} of support-agent version 2 is pending",
        ],
    )
    assert rollout.because.endswith("asked for version 2: ticket 7")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--rollout", "--draft"),
         "a draft takes no traffic and cannot be rolled out: leave out --draft, or --rollout"),
        (("--policy", "p"), "--policy is for a rollout: add --rollout"),
        (("--reason", "r"), "--reason is for a rollout: add --rollout"),
        (("--author", "a"), "--author is for a rollout: add --rollout"),
        (("--rollout", "--timeout", "1h"), "--timeout says how long to wait: add --wait"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_wrong_usage(engineer: Engineer, words: tuple[str, ...], says: str) -> None:
    done = engineer.run("deploy", str(engineer.some_code()), *words)
    assert (done.code, done.errors) == (2, [f"error: {says}"])
    created = engineer.run("create", "shop", "--image", "emulator://echo", *words)
    assert (created.code, created.errors) == (2, [f"error: {says}"])
    assert engineer.told("list") == []
