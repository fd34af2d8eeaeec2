"""Whoever began it, a new version gets one rollout, and the command line finds it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from builders import NOON, a_rollout
from component.cli.conftest import Service
from fakes import record, stand
from foundry_rollouts.cli.api import Json, OpsApi
from foundry_rollouts.cli.joining import Trial, join
from foundry_rollouts.core.model.incarnation import Marks
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import ConflictError, NotFoundError
from foundry_rollouts.ports import Record
from patience import PATIENCE

TRIAL = Trial("support-agent", "2", NOON, author="ci", reason="ticket 7")


async def lives() -> bool:
    return False


async def joined(service: Service, trial: Trial = TRIAL, is_dead: Callable[[], Awaitable[bool]] = lives) -> Json | None:
    async with OpsApi.at(service.server) as api:
        return await asyncio.wait_for(join(api, trial, is_dead), PATIENCE)


async def test_a_rollout_that_nobody_began_is_begun_with_author_and_reason(service: Service) -> None:
    rollout = await joined(service)
    assert rollout is not None
    assert (rollout["phase"], rollout["author"], rollout["joined"]) == ("pending", "ci", False)
    assert rollout["because"].endswith(": ticket 7")


async def test_the_rollout_that_discovery_began_is_joined(service: Service) -> None:
    await stand(service.store, a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON))
    rollout = await joined(service)
    assert rollout is not None
    assert (rollout["id"], rollout["joined"]) == ("r-1", True)


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.ABORTED, Phase.SUPERSEDED, Phase.FAILED])
async def test_a_trial_that_is_over_already_is_not_begun_again(service: Service, phase: Phase) -> None:
    ended = a_rollout(phase=phase, step=1, started_at=NOON, ended_at=NOON + timedelta(seconds=5), because="it failed")
    await stand(service.store, ended)
    rollout = await joined(service)
    assert rollout is not None
    assert (rollout["id"], rollout["phase"]) == ("r-1", phase.value)
    assert len(await service.store.unfinished("support-agent")) == 0


async def test_a_trial_of_an_older_version_of_the_same_number_is_another_one(service: Service) -> None:
    await stand(service.store, a_rollout(phase=Phase.ROLLED_BACK, step=1, started_at=NOON, ended_at=NOON))
    rollout = await joined(service, replace(TRIAL, made_at=NOON + timedelta(hours=1)))
    assert rollout is not None
    assert (rollout["id"] != "r-1", rollout["phase"]) == (True, "pending")


async def test_there_is_nothing_to_roll_out_of_the_stable_version(service: Service) -> None:
    assert await joined(service, replace(TRIAL, version="1")) is None
    assert await service.store.unfinished("support-agent") == []


async def test_a_version_that_was_promoted_and_replaced_since_is_not_brought_back_by_a_machine(
    service: Service,
) -> None:
    await stand(service.store, a_rollout(phase=Phase.PROMOTED, step=3, started_at=NOON, ended_at=NOON))
    with pytest.raises(ConflictError, match="version 1 is the stable one since: 'foundry-rollouts rollout start"):
        await joined(service)


async def test_an_agent_that_the_service_does_not_know_yet_is_waited_for(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    deaths = iter([False, True])

    async def dies() -> bool:
        return next(deaths)

    assert await joined(service, replace(TRIAL, agent="a-new-one"), dies) is None
    assert capsys.readouterr().err == "the service does not know agent a-new-one yet: waiting until it does\n"


async def test_a_version_that_the_service_knows_by_another_age_is_another_one(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same number in another project, or of an agent that was deleted and made again."""
    marks = Marks(versions=(("1", NOON - timedelta(days=9)),))
    await record(service.store, "support-agent", Record(marks=marks))
    deaths = iter([False, True])

    async def dies() -> bool:
        return next(deaths)

    assert await joined(service, replace(TRIAL, version="1"), dies) is None
    assert "made at 2026-02-21 12:00:00+00:00, and does not know the one made at" in capsys.readouterr().err


async def test_a_policy_that_is_not_there_ends_it_at_once(service: Service) -> None:
    with pytest.raises(NotFoundError, match="there is no policy other"):
        await joined(service, replace(TRIAL, policy="other"))


def test_a_version_whose_age_is_unknown_had_every_trial_of_its_number() -> None:
    ended = {"ended_at": datetime(2020, 1, 1, tzinfo=NOON.tzinfo).isoformat()}
    assert replace(TRIAL, made_at=None).is_of_it(ended)
    assert not TRIAL.is_of_it(ended)
