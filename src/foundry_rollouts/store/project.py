"""Whose agents the database knows: agents have no other name than their own, so it is of one project only."""

from datetime import datetime

from sqlalchemy import select

from foundry_rollouts.store.engine import Database, insert_into
from foundry_rollouts.store.tables import projects

#: The place of the only project.
ONLY = 1


class KeptProject:
    """What is asked of the store about the project that it is of."""

    _database: Database

    async def project(self) -> str | None:
        """Return the project whose agents are known here; None: no service has worked on it yet."""
        async with self._database.reading() as connection:
            found: str | None = await connection.scalar(select(projects.c.name))
        return found

    async def bind_project(self, name: str, now: datetime) -> str:
        """Let the database be of project ``name`` unless it is of one already; return the one that it is of."""
        async with self._database.writing() as connection:
            row = {"place": ONLY, "name": name, "since": now}
            await connection.execute(insert_into(connection, projects).values(**row).on_conflict_do_nothing())
            return str(await connection.scalar(select(projects.c.name)))

    async def rename_project(self, name: str, now: datetime) -> None:
        """Let the database be of project ``name``: the one that it is of has another address."""
        async with self._database.writing() as connection:
            row = {"place": ONLY, "name": name, "since": now}
            change = insert_into(connection, projects).values(**row)
            await connection.execute(change.on_conflict_do_update(index_elements=["place"], set_=row))
