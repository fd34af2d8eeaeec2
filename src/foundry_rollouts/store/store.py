"""The store: every promise of ``ports.Store`` and of ``ports.Outbox``, each kept in one transaction."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.command import Command
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.fleet import FleetFacts, FleetQuestion
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.ports import (
    AgentKnown,
    Audience,
    Brief,
    HeardHere,
    Intent,
    Lease,
    Outcome,
    Queue,
    RolloutFilter,
)
from foundry_rollouts.store import (
    agents,
    commands,
    fleet,
    history,
    intents,
    measurements,
    outcomes,
    queue,
    rollouts,
    schema,
)
from foundry_rollouts.store import leases as leasing
from foundry_rollouts.store.acknowledgements import Acknowledgements
from foundry_rollouts.store.agent_lists import AgentLists
from foundry_rollouts.store.agent_pages import AgentPages
from foundry_rollouts.store.api_tokens import ApiTokens
from foundry_rollouts.store.audit import AuditLog
from foundry_rollouts.store.brakes import Brakes
from foundry_rollouts.store.engine import COMPARISON_LIMIT, TRANSACTION_LIMIT, Database
from foundry_rollouts.store.heartbeats import HeartbeatBook
from foundry_rollouts.store.lease_book import LeaseBook
from foundry_rollouts.store.measurements import Measured
from foundry_rollouts.store.members import Members
from foundry_rollouts.store.messages import Messages
from foundry_rollouts.store.noticing import Notices
from foundry_rollouts.store.project import KeptProject
from foundry_rollouts.store.sign_ins import KeptSignIns
from foundry_rollouts.store.ticks import Ticks
from foundry_rollouts.store.totals import Totals
from foundry_rollouts.store.wakeups import Bell


class SqlStore(
    Ticks,
    LeaseBook,
    Messages,
    Notices,
    ApiTokens,
    Measured,
    KeptSignIns,
    KeptProject,
    Acknowledgements,
    AuditLog,
    Brakes,
    AgentPages,
    AgentLists,
    Members,
):
    """What we remember, in SQLite or PostgreSQL, as seen by one replica; close it with ``close()``.

    Every event leaves a message for its ``audience``, and ``on_message`` is called once it is committed. None: there is
    nobody, and no message is left, for none would ever be removed; who is named later gets what happens from then on.
    """

    def __init__(
        self,
        url: str,
        *,
        replica: str,
        lease: timedelta,
        on_message: Callable[[], None] | None = None,
        limit: timedelta = TRANSACTION_LIMIT,
    ) -> None:
        self._database = Database(url, limit)
        self._holder = leasing.Holder(replica, lease)
        self._bell = Bell(url)
        self._totals = Totals()
        self.heartbeats = HeartbeatBook()
        self._on_message = on_message
        self.audience = Audience.RECEIVER if on_message else Audience.NOBODY
        self._newer: str | None = None  # A newer schema that was found to carry us.
        self._begin_ticks()

    def hear_here(self, here: HeardHere) -> None:
        """Tell ``here`` at once of all that becomes due by this store; it returns those that others act on."""
        self._bell.here = here

    async def close(self) -> None:
        """Answer who asked, ring what is still to be rung, and close every connection."""
        await self._end_ticks()
        await self._bell.close()
        await self._database.close()

    async def check(self) -> str | None:
        """Return None when the schema is ours, or a sentence about a newer one that carries us all the same."""
        async with self._database.reading() as connection:
            newer = await schema.newer_revision(connection)
        if newer not in {None, self._newer}:
            async with self._database.reading(COMPARISON_LIMIT) as connection:
                await schema.require_carrying(connection)
        self._newer = newer
        return schema.newer(newer) if newer else None

    async def unfinished(self, agent: str) -> Sequence[Rollout]:
        """Return the rollouts of ``agent`` that have not ended, oldest first."""
        async with self._database.reading() as connection:
            return await rollouts.unfinished(connection, agent)

    async def unfinished_in_brief(self) -> Mapping[str, Sequence[Brief]]:
        """Return of each agent the rollouts that have not ended, oldest first."""
        async with self._database.reading() as connection:
            return await queue.in_brief(connection)

    async def owing_stops(self, agent: str) -> Sequence[Rollout]:
        """Return the ended rollouts of ``agent`` whose canary's sessions are still to be stopped."""
        async with self._database.reading() as connection:
            return await rollouts.owing_stops(connection, agent)

    async def queue(self, agent: str) -> Queue:
        """Return the current rollout of ``agent`` and what matters of those behind it, however many they are."""
        async with self._database.reading() as connection:
            return await queue.of_agent(connection, agent)

    async def rest(self, lease: Lease, in_hand: str, now: datetime, until: datetime) -> None:
        """Let the agent's rollouts that are due and not current rest ``until`` then."""
        async with self._database.writing() as connection:
            await leasing.require(connection, lease)
            await queue.rest(connection, lease.agent, in_hand, now, until)

    async def in_hand(self) -> Mapping[str, Queue]:
        """Return the current rollout of every agent that has one, and how many wait behind it."""
        async with self._database.reading() as connection:
            return await queue.in_hand(connection)

    async def evidence(self, rollout: str) -> Evidence:
        """Return the evidence of ``rollout``, fresh before the first measurement; raises NotFoundError."""
        async with self._database.reading() as connection:
            return await measurements.evidence_of(connection, rollout)

    async def commands(self, rollout: str) -> Sequence[Command]:
        """Return the commands that nobody obeyed yet, the most urgent first."""
        async with self._database.reading() as connection:
            return await commands.waiting(connection, rollout)

    async def fleet(self, asked: FleetQuestion) -> FleetFacts:
        """Return how all agents stand."""
        async with self._database.reading() as connection:
            return await fleet.read(connection, asked)

    async def intent(self, agent: str) -> Intent | None:
        """Return the open intent of ``agent``."""
        async with self._database.reading() as connection:
            return await intents.of_agent(connection, agent)

    async def drop_intent(self, lease: Lease, intent: Intent) -> None:
        """Forget an intent that came to nothing."""
        async with self._database.writing() as connection:
            await leasing.require(connection, lease)
            await intents.close(connection, intent)

    async def agent(self, name: str) -> AgentKnown | None:
        """Return what is remembered of one agent; None when it was never seen."""
        async with self._database.reading() as connection:
            return await agents.one(connection, name)

    async def agents(self) -> Sequence[AgentKnown]:
        """Return every agent that was ever seen, by name."""
        async with self._database.reading() as connection:
            return await agents.known(connection)

    async def see_agents(
        self,
        seen: Sequence[AgentKnown],
        now: datetime,
        *,
        is_whole: bool = True,
        project: str = "",
        as_known: Collection[str] = (),
    ) -> Mapping[str, str]:
        """Remember a listing of the cloud, or of one project; an agent that is not in a whole one is gone."""
        async with self._database.writing() as connection:
            return await agents.see(connection, seen, now, agents.Extent(is_whole, project, as_known))

    async def create(self, rollout: Rollout, event: Event, idempotency_key: str | None) -> Rollout:
        """Add a rollout, due at once; the same request under the same key returns the rollout that it made."""
        async with self._database.writing() as connection:
            await leasing.register(connection, rollout.agent)
            made = await rollouts.add(connection, rollout, idempotency_key)
            if made is rollout:
                await agents.note_newest(connection, rollout.agent, rollout.canary)
                await history.append(connection, event, audience=self.audience)
        if made is rollout:
            self._bell.ring(rollout.agent)
        self._wake()
        return made

    async def accept(self, command: Command) -> Rollout:
        """Add a command, raise the generation and make the rollout due; the same request again changes nothing."""
        async with self._database.writing() as connection:
            accepted = await commands.accept(connection, command)
        self._bell.ring(accepted.agent)
        return accepted

    async def rollout(self, id: str) -> Rollout:  # noqa: A002 - the word of the API
        """Return a rollout; raises NotFoundError."""
        async with self._database.reading() as connection:
            return await rollouts.one(connection, id)

    async def rollouts(self, which: RolloutFilter) -> Sequence[Rollout]:
        """Return one page of rollouts, newest first."""
        async with self._database.reading() as connection:
            return await rollouts.page(connection, which)

    async def counts(self) -> dict[Phase, int]:
        """Return how many rollouts there are in each phase; every phase is named."""
        async with self._database.reading(COMPARISON_LIMIT) as connection:
            return await self._totals.counts(connection)

    async def history(self, rollout: str, after: str | None = None, limit: int | None = None) -> Sequence[Event]:
        """Return the events of a rollout, oldest first: those behind the event ``after``, at most so many."""
        async with self._database.reading() as connection:
            return await history.of_rollout(connection, rollout, after, limit)

    async def events_behind(self, number: int, limit: int) -> Sequence[tuple[int, Event]]:
        """Return events of all agents behind the one of that number, oldest first, each with its number."""
        async with self._database.reading() as connection:
            return await history.behind(connection, number, limit)

    async def event_number(self, event: str | None) -> int:
        """Return the number of an event, or of the newest one; raises NotFoundError."""
        async with self._database.reading() as connection:
            return await history.number_of(connection, event)

    async def report(self, reported: Sequence[Outcome]) -> Sequence[Outcome]:
        """Add the outcomes whose ids are new for their agents, and return those."""
        async with self._database.writing() as connection:
            return await outcomes.add(connection, reported)

    async def agents_named_like(self, names: Sequence[str]) -> Sequence[str]:
        """Return the agents that are there and called as one of ``names``, give or take capitals."""
        async with self._database.reading() as connection:
            return await agents.named_like(connection, names)
