"""Targets of notifications: in the API, on the command line, and on the first page."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from builders import NOON, an_event
from component.cli.conftest import Inside, Service
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.notify.dispatcher import UndeliveredError
from foundry_rollouts.ports import Audience, Record, TargetShown
from foundry_rollouts.web.services import Services
from unit.web.served import serving


@dataclass
class TwoTargets:
    """A target that takes messages, and one that does not."""

    tested: list[str] = field(default_factory=list)

    def shown(self) -> Sequence[TargetShown]:
        return [
            TargetShown("on-call", "pagerduty", "critical", (), ("rolled_back",), None),
            TargetShown("team", "slack", "info", ("support-*",), (), "22:00-07:00 UTC"),
        ]

    async def test(self, name: str) -> None:
        if name == "team":
            raise UndeliveredError("target team: it did not take the message")
        if name != "on-call":
            raise NotFoundError(f"there is no target {name}; targets: on-call, team")
        self.tested.append(name)


@pytest.fixture
def targets() -> TwoTargets:
    return TwoTargets()


@pytest.fixture
async def notified(services: Services, targets: TwoTargets, tmp_path: Path, inside: Inside) -> AsyncIterator[Service]:
    """Serve with two targets, one of which did not take a message."""
    store = services.store
    store.audience = Audience.TARGETS  # type: ignore[attr-defined]
    lease = await store.claim("support-agent", NOON)
    assert lease is not None
    await store.record(lease, Record(event=an_event(kind="agent.drifted", rollout=None)))
    await store.distribute(NOON, 10, lambda _: ["team"])  # type: ignore[attr-defined]
    (notice,) = await store.take_notices("team", NOON, 1, NOON)  # type: ignore[attr-defined]
    await store.put_off(notice, NOON, "it did not take the message")  # type: ignore[attr-defined]
    async with serving(replace(services, targets=targets)) as (url, _):
        yield Service(store, url, tmp_path, inside)  # type: ignore[arg-type]


async def test_targets_are_listed_with_what_keeps_messages_from_them(notified: Service) -> None:
    async with httpx.AsyncClient(base_url=notified.server, trust_env=False) as client:
        on_call, team = (await client.get("/api/v1/targets")).json()["items"]
        page = (await client.get("/")).text
    assert (on_call["kind"], on_call["phases"], on_call["pending"]) == ("pagerduty", ["rolled_back"], 0)
    assert (team["pending"], team["trouble"]) == (1, "it did not take the message")
    assert "Messages to <b>team</b> do not arrive: it did not take the message" in page
    assert "Messages to <b>on-call</b>" not in page


async def test_the_command_line_lists_targets_and_tests_one(notified: Service, targets: TwoTargets) -> None:
    shown = await notified.run_as("notify", "list")
    assert "it did not take the message" in shown.out
    assert (await notified.run_as("notify", "test", "on-call")).out == (
        "target on-call took the message: check that it arrived\n"
    )
    assert targets.tested == ["on-call"]
    failed = await notified.run_as("notify", "test", "team")
    assert (failed.code, failed.errors) == (1, ["error: target team: it did not take the message"])
    unknown = await notified.run_as("notify", "test", "x")
    assert (unknown.code, unknown.errors) == (1, ["error: there is no target x; targets: on-call, team"])


async def test_without_targets_it_says_how_to_get_some(services: Services, tmp_path: Path, inside: Inside) -> None:
    async with serving(services) as (url, _):
        service = Service(services.store, url, tmp_path, inside)  # type: ignore[arg-type]
        listed = await service.run_as("notify", "list")
        assert listed.errors == ["there is no target: name a file of them in FOUNDRY_ROLLOUTS_NOTIFY_TARGETS"]
        assert "no target is configured" in (await service.run_as("notify", "test", "x")).err
