"""Users of the demonstration: each opens a session, asks one to five questions, and leaves.

Which version a session is bound to is for the endpoint's weights to say; the users do not know.
"""

import asyncio
import random
import sys
from datetime import timedelta

from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient

QUESTIONS = (
    "Where is my order?",
    "May I send it back?",
    "When does it arrive?",
    "Can it come later?",
    "Thank you!",
)
USERS = 4
CALL_LIMIT = timedelta(seconds=30)


async def main(endpoint: str, agent: str) -> None:
    """Keep some users busy until the process is ended."""
    async with FoundryClient(endpoint, FixedToken()) as client, asyncio.TaskGroup() as users:
        for _ in range(USERS):
            users.create_task(user(client, agent))


async def user(client: FoundryClient, agent: str) -> None:
    """Ask, wait, ask again; a refusal is met with patience."""
    while True:
        try:
            session = await client.api.sessions.create(agent)
            for question in random.sample(QUESTIONS, random.randint(1, len(QUESTIONS))):  # noqa: S311 - no secret
                await client.ask(agent, session.id, question, CALL_LIMIT)
                await asyncio.sleep(random.uniform(0.1, 0.4))  # noqa: S311 - think time
            await client.delete_session(agent, session.id)
        except CloudError:
            await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
