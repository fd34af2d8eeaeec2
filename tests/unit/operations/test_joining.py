"""Starting twice is starting once; a version that cannot be is refused."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from builders import NOON, a_policy, a_rollout
from fakes import FakePolicies, record, stand
from foundry_rollouts.core.model.incarnation import Marks
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, ConflictError, NotFoundError, Refusal, UsageError
from foundry_rollouts.operations.joining import start_or_join
from foundry_rollouts.operations.start import Retry, Start, retry, start
from foundry_rollouts.operations.versions import nearest
from foundry_rollouts.ports import AgentSeen, Record, VersionSeen, VersionStatus
from foundry_rollouts.store.store import SqlStore

POLICIES = FakePolicies((a_policy(), a_policy(name="careful", agents=("other",))))
WANTED = Start(id="r-7", agent="support-agent", version="2", author="alice")


@dataclass
class FakeCatalogue:
    """A cloud with these versions, newest first; or one that is away."""

    there: tuple[str, ...] = ("8", "7", "3", "2", "1")
    is_away: bool = False
    made_at: datetime | None = None

    async def agent(self, name: str) -> AgentSeen:
        self._fail()
        return AgentSeen(name, Routing.of({"1": 100}), None)

    async def version(self, agent: str, version: str) -> VersionSeen:
        self._fail()
        if version not in self.there:
            raise CloudError("versions.get", Refusal(404, "not_found", f"{agent} has none"))
        return VersionSeen(version, VersionStatus.ACTIVE, self.made_at)

    async def versions(self, agent: str) -> list[VersionSeen]:
        self._fail()
        return [VersionSeen(each, VersionStatus.ACTIVE) for each in self.there]

    def _fail(self) -> None:
        if self.is_away:
            raise CloudError("agents.get", Refusal(None, "connection", "no answer"))


async def test_a_start_of_a_version_on_trial_joins_its_rollout(store: SqlStore) -> None:
    first = await start_or_join(store, POLICIES, WANTED, NOON)
    again = await start_or_join(store, POLICIES, replace(WANTED, id="r-8", author="bob"), NOON)

    assert (first.joined, first.answer) == (False, None)
    assert (again.joined, again.rollout) == (True, first.rollout)
    assert again.answer == "version 2 of agent support-agent is on trial already: joined rollout r-7"
    assert len(await store.unfinished("support-agent")) == 1


async def test_a_start_under_another_policy_joins_nothing(store: SqlStore) -> None:
    await start_or_join(store, POLICIES, WANTED, NOON)
    with pytest.raises(ConflictError, match="on trial already under policy support"):
        await start_or_join(store, POLICIES, replace(WANTED, id="r-8", policy="careful"), NOON)


async def test_the_same_request_again_is_answered_with_what_it_made_and_joins_nothing(store: SqlStore) -> None:
    made = [
        await start_or_join(store, POLICIES, replace(WANTED, id=f"r-{n}", idempotency_key="k"), NOON) for n in (7, 8)
    ]
    assert [(each.rollout.id, each.joined) for each in made] == [("r-7", False), ("r-7", False)]


async def test_a_reason_is_kept(store: SqlStore) -> None:
    started = await start_or_join(store, POLICIES, replace(WANTED, reason="ticket 7"), NOON)
    assert started.rollout.because == "alice asked for version 2: ticket 7"


async def test_a_version_that_does_not_exist_is_refused_with_the_nearest(store: SqlStore) -> None:
    with pytest.raises(NotFoundError, match="agent support-agent has no version 6: the nearest are 3, 7, 8"):
        await start_or_join(store, POLICIES, replace(WANTED, version="6"), NOON, FakeCatalogue())
    assert not await store.unfinished("support-agent")


async def test_a_version_that_cannot_be_checked_is_started_and_that_is_told(store: SqlStore) -> None:
    started = await start_or_join(store, POLICIES, WANTED, NOON, FakeCatalogue(is_away=True))
    assert started.answer == (
        "alice asked for version 2; its existence is not checked, because the cloud does not answer"
    )


async def test_another_version_of_that_number_is_not_the_one_that_is_meant(store: SqlStore) -> None:
    meant = replace(WANTED, created_at=NOON)
    others = FakeCatalogue(made_at=NOON - timedelta(days=9))
    with pytest.raises(ConflictError, match="does the service watch another project"):
        await start_or_join(store, POLICIES, meant, NOON, others)
    assert not await store.unfinished("support-agent")
    for its_own in (FakeCatalogue(made_at=NOON), FakeCatalogue(), FakeCatalogue(is_away=True)):
        assert (await start_or_join(store, POLICIES, meant, NOON, its_own)).rollout.canary == "2"


async def test_a_version_that_is_remembered_from_another_time_is_not_the_one_that_is_meant(store: SqlStore) -> None:
    marks = Marks(versions=(("2", NOON - timedelta(days=9)),))
    await record(store, "support-agent", Record(marks=marks))
    with pytest.raises(ConflictError, match="does the service watch another project"):
        await start_or_join(store, POLICIES, replace(WANTED, created_at=NOON), NOON, FakeCatalogue(is_away=True))


@pytest.mark.parametrize(
    "version", ["", "..", ".", "1/2", "../1", "1\\2", "a b", "1\x1b[31m", "-1", "x" * 129, "\u0661"]
)
async def test_what_is_no_version_id_is_refused_before_the_cloud_is_asked(store: SqlStore, version: str) -> None:
    with pytest.raises(UsageError, match="this is no version id"):
        await start_or_join(store, POLICIES, replace(WANTED, version=version), NOON)
    assert not await store.unfinished("support-agent")


def test_the_nearest_versions_are_the_nearest_numbers_or_else_the_newest() -> None:
    assert nearest("6", ["12", "9", "5", "1", "8"]) == ["5", "8", "9"]
    assert nearest("blue", ["green", "red"]) == ["green", "red"]
    assert nearest("6", []) == []


async def a_return(store: SqlStore, ended_by: str | None, number: int = 8) -> None:
    """Let a return to version 1 begin and be rolled back."""
    at = NOON + timedelta(minutes=number)
    back = await start(store, POLICIES, Start(f"r-{number}", "support-agent", "1", "bob"), at)
    ended = replace(back, phase=Phase.ROLLED_BACK, step=3, started_at=at, ended_at=at, ended_by=ended_by)
    await record(store, "support-agent", Record(rollout=ended))


async def promoted(store: SqlStore) -> None:
    await stand(store, a_rollout(id="r-7", phase=Phase.PROMOTED, step=3, started_at=NOON, ended_at=NOON))
    await record(store, "support-agent", Record(stable="2"))


@pytest.mark.parametrize(("ended_by", "is_revert"), [("ann", True), (None, False)])
async def test_a_return_that_a_person_aborted_goes_all_at_once_again_and_one_that_failed_does_not(
    store: SqlStore, ended_by: str | None, is_revert: bool
) -> None:
    await promoted(store)
    await a_return(store, ended_by)
    again = await start(store, POLICIES, Start("r-9", "support-agent", "1", "bob"), NOON + timedelta(hours=1))
    assert again.is_revert is is_revert


@pytest.mark.parametrize(("ended_by", "is_revert"), [("ann", True), (None, False)])
async def test_a_retry_of_a_return_goes_as_a_new_start_would(
    store: SqlStore, ended_by: str | None, is_revert: bool
) -> None:
    await promoted(store)
    await a_return(store, ended_by)
    ended = await store.rollout("r-8")
    again = await retry(store, Retry("r-9", "r-8", ended.generation, "bob"), NOON + timedelta(hours=1))
    assert again.is_revert is is_revert


async def test_a_return_that_never_began_says_nothing_of_the_one_that_failed_before_it(store: SqlStore) -> None:
    await promoted(store)
    await a_return(store, None)
    at = NOON + timedelta(minutes=20)
    queued = await start(store, POLICIES, Start("r-20", "support-agent", "1", "bob"), at)
    await record(store, "support-agent", Record(rollout=replace(queued, phase=Phase.ABORTED, ended_at=at)))
    again = await start(store, POLICIES, Start("r-21", "support-agent", "1", "bob"), NOON + timedelta(hours=1))
    assert not again.is_revert
