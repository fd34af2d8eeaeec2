"""What a tick reads: everything about one agent, under one view of the database."""

from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.ports import Standing
from foundry_rollouts.store import agents, commands, intents, measurements, queue, rollouts


async def standing(connection: AsyncConnection, agent: str) -> Standing:
    """Return how ``agent`` stands, with the commands and the evidence of its rollout in hand."""
    line = await queue.of_agent(connection, agent)
    in_hand = line.in_hand
    return Standing(
        queue=line,
        intent=await intents.of_agent(connection, agent),
        known=await agents.one(connection, agent),
        commands=tuple(await commands.waiting(connection, in_hand.id)) if in_hand else (),
        evidence=await measurements.evidence_of(connection, in_hand.id) if in_hand and in_hand.step else None,
        owing_stops=tuple(await rollouts.owing_stops(connection, agent)),
    )
