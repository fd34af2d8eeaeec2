"""The outbox of a store: every promise of ``ports.Outbox``, each kept in one transaction."""

from collections.abc import Sequence
from datetime import datetime

from foundry_rollouts.ports import Backlog, Message
from foundry_rollouts.store import outbox
from foundry_rollouts.store.engine import Database


class Messages:
    """What the dispatcher asks of the store."""

    _database: Database

    async def backlog(self) -> Backlog:
        """Return how many messages wait, and since when."""
        async with self._database.reading() as connection:
            return await outbox.backlog(connection)

    async def take_messages(self, now: datetime, limit: int, until: datetime) -> Sequence[Message]:
        """Claim due messages until ``until``, the oldest of each rollout."""
        async with self._database.writing() as connection:
            return await outbox.take(connection, now, limit, until)

    async def mark_delivered(self, message: Message) -> None:
        """Forget a message: the receiver has it."""
        async with self._database.writing() as connection:
            await outbox.forget(connection, message)

    async def postpone(self, message: Message, due_at: datetime, because: str) -> None:
        """Put a message back, to be tried again, unless others claimed it."""
        async with self._database.writing() as connection:
            await outbox.postpone(connection, message, due_at, because)

    async def give_up(self, message: Message, now: datetime, because: str) -> None:
        """Keep a message as undelivered, and try no more."""
        async with self._database.writing() as connection:
            await outbox.give_up(connection, message, now, because)

    async def retire(self, before: datetime, now: datetime, because: str) -> int:
        """Give up every message that waits whose event happened before that time; return how many."""
        async with self._database.writing() as connection:
            return await outbox.retire(connection, before, now, because)
