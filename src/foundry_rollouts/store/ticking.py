"""What a tick reads, under one view of the database, and what it writes, in one transaction: all of it or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.model.command import Command
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.ports import Audience, Intent, Lease, Record, Standing
from foundry_rollouts.store import agents, commands, history, intents, leases, measurements, queue, rollouts
from foundry_rollouts.store.kept_evidence import KeptEvidence
from foundry_rollouts.store.many import AnyRow


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of one agent, as it lies in the database: whoever asked makes sense of it."""

    line: queue.Line
    rows: Mapping[str, AnyRow]
    intent: Any
    known: AnyRow | None
    commands: Sequence[Command]
    owing: Sequence[AnyRow]

    def standing(self, kept: KeptEvidence) -> Standing:
        """Return how the agent stands; raises StoreError for what another release wrote."""
        line = self.line.with_rollouts({id_: rollouts.of_row(self.rows[id_]) for id_ in self.line.ids})
        in_hand = line.in_hand
        return Standing(
            queue=line,
            intent=intents.of_document(self.intent),
            known=agents.from_row(self.known) if self.known else None,
            commands=tuple(self.commands),
            evidence=kept.of(in_hand) or measurements.evidence_in(self.rows[in_hand.id])
            if in_hand and in_hand.step
            else None,
            owing_stops=tuple(rollouts.owing(self.owing)),
        )


async def read(connection: AsyncConnection, names: Sequence[str]) -> Sequence[Found]:
    """Return what a tick reads of each agent, with the commands and the evidence of its current rollout."""
    lines = await queue.lines(connection, names)
    rows = await rollouts.rows(connection, {id_ for line in lines.values() for id_ in line.ids})
    # Rollouts come before their commands: one that is not seen here has raised no generation that was seen there.
    asked = [line.in_hand for line in lines.values() if line.in_hand and rows[line.in_hand].is_asked]
    waiting = await commands.waiting_for_each(connection, asked) if asked else {}
    opened = await intents.of_each(connection, names)
    known = await agents.rows(connection, names)
    owing = await rollouts.owing_rows(connection, names)
    return [
        Found(
            lines[name],
            rows,
            opened.get(name),
            known.get(name),
            waiting.get(lines[name].in_hand or "", ()),
            owing.get(name, ()),
        )
        for name in names
    ]


async def write(
    connection: AsyncConnection, lease: Lease, made: Record, closes: Intent | None, *, audience: Audience
) -> None:
    """Write ``made`` down under ``lease`` and close the intent that it completes; written twice, it counts once."""
    refuse_strangers(lease, made, closes)
    await leases.require(connection, lease)
    await commands.obey(connection, made.obeyed)
    if made.rollout is not None:
        await _write_rollout(connection, made.rollout, made)
        if made.rollout.phase.is_final:
            # Whoever is next in the queue begins at once.
            await rollouts.make_due(connection, [lease.agent], made.rollout.ended_at or lease.until)
        if made.holds_queue:
            await queue.hold(connection, made.rollout, audience=audience)
    if made.created is not None:
        await rollouts.begin(connection, made.created)
    await agents.settle(connection, lease.agent, made, closes.target if closes else None)
    if made.event is not None:
        await history.append(connection, made.event, audience=audience)
    if closes is not None:
        await intents.close(connection, closes)


async def _write_rollout(connection: AsyncConnection, rollout: Rollout, made: Record) -> None:
    # The row is locked before the commands are read, so that none can slip in between.
    stands = await rollouts.standing(connection, rollout.id)
    waiting = () if rollout.phase.is_final else await commands.waiting(connection, rollout.id)
    await rollouts.save(connection, rollout, stands, due_after(made, rollout, stands, waiting))
    if made.has_new_policy:
        await rollouts.change_policy(connection, rollout)
    if made.evidence is not None:
        await measurements.save_evidence(connection, rollout.id, made.evidence)
    await measurements.save_measurements(connection, rollout.id, made.measurements)


def due_after(
    made: Record, rollout: Rollout, stands: rollouts.Standing | None, waiting: Sequence[Command]
) -> datetime | None:
    """Return when the next tick is due: at once when a command or a failure came during the last one."""
    if rollout.phase.is_final:
        return made.due_at if rollout.owes_stops else None
    overlooked = commands.overlooked(waiting, rollout, made.heard)
    return min((at for at in (made.due_at, overlooked, _woken(rollout, stands)) if at is not None), default=None)


def _woken(rollout: Rollout, stands: rollouts.Standing | None) -> datetime | None:
    """Return when the rollout was woken after the tick had read it; None when it was not."""
    if stands is None or stands.due_at is None or rollout.measured_until is None:
        return None
    return stands.due_at if stands.due_at > rollout.measured_until else None


def refuse_strangers(lease: Lease, made: Record, closes: Intent | None) -> None:
    """Raise ValueError for what the lease does not cover, or what says of no rollout to which it belongs."""
    for part in (made.rollout, made.created, made.event, closes):
        if part is not None and part.agent != lease.agent:
            raise ValueError(f"the lease of agent {lease.agent} does not cover agent {part.agent}")
    if made.rollout is None and (made.evidence is not None or made.measurements):
        raise ValueError("evidence and measurements are recorded with their rollout")
