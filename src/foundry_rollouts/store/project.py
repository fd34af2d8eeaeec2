"""Whose agents the database knows: those of one project by their plain names, or of several as ``project/agent``.

One project is a row with what tells it from others. Of several each is a row ``NAME at PROJECT``; a release that knows
of one project only reads there that the database is another's, and leaves it alone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, literal, select, update

from foundry_rollouts.errors import ConflictError
from foundry_rollouts.ports.projects import BoundProjects
from foundry_rollouts.store.engine import Database, insert_into
from foundry_rollouts.store.tables import agents, intents, leases, outbox, outcomes, projects, rollouts

#: The place of the only project.
ONLY = 1
#: Between the name of one of several projects and what tells it from others; neither holds a blank.
AT = " at "


class KeptProject:
    """What is asked of the store about the projects that it is of."""

    _database: Database

    async def project(self) -> str | None:
        """Return the project whose agents are known here; None: no service has worked on it yet."""
        return next(iter(await self._rows()), None)

    async def projects(self) -> BoundProjects:
        """Return the projects whose agents are known here."""
        return bound(await self._rows())

    async def bind_project(self, name: str, now: datetime) -> str:
        """Let the database be of project ``name`` unless it is of one already; return the one that it is of."""
        async with self._database.writing() as connection:
            row = {"place": ONLY, "name": name, "since": now}
            await connection.execute(insert_into(connection, projects).values(**row).on_conflict_do_nothing())
            return str(await connection.scalar(select(projects.c.name).order_by(projects.c.place)))

    async def add_project(self, name: str, identity: str, place: int, now: datetime) -> None:
        """Let the database be of that project, too, unless another one was added at that place meanwhile."""
        async with self._database.writing() as connection:
            row = {"place": place, "name": f"{name}{AT}{identity}", "since": now}
            await connection.execute(insert_into(connection, projects).values(**row).on_conflict_do_nothing())

    async def rename_project(self, name: str, now: datetime) -> None:
        """Let the database be of project ``name``: the one that it is of has another address."""
        async with self._database.writing() as connection:
            row = {"place": ONLY, "name": name, "since": now}
            change = insert_into(connection, projects).values(**row)
            await connection.execute(change.on_conflict_do_update(index_elements=["place"], set_=row))

    async def move_project(self, name: str, identity: str, now: datetime) -> None:
        """Note that the project ``name``, one of several, has another address; one that is not known is left alone."""
        async with self._database.writing() as connection:
            row = {"name": f"{name}{AT}{identity}", "since": now}
            which = projects.c.name.startswith(f"{name}{AT}", autoescape=True)
            await connection.execute(update(projects).where(which).values(**row))

    async def name_agents(self, name: str, now: datetime) -> int:
        """Name the agents of the only project ``name/agent`` from now on; return how many there are.

        The history is never rewritten: what happened before was to an agent of the plain name.
        Raises ConflictError while a service works on the database, or one died in the midst of a change.
        """
        async with self._database.writing() as connection:
            only = await connection.scalar(select(projects.c.name).where(projects.c.place == ONLY))
            if only is None or AT in only:
                raise ConflictError(
                    "the database knows no project whose agents have plain names: there is nothing to do"
                )
            if await connection.scalar(select(leases.c.agent).where(leases.c.until > now).limit(1)):
                raise ConflictError(
                    "a service works on this database, or did so a moment ago: stop every one, then wait"
                )
            if await connection.scalar(select(intents.c.agent).limit(1)):
                raise ConflictError("a change of an endpoint is not settled: start the service as before, until it is")
            count = await connection.scalar(select(func.count()).select_from(agents))
            lane = outbox.c.lane.in_(select(agents.c.name))
            await connection.execute(update(outbox).where(lane).values(lane=literal(f"{name}/") + outbox.c.lane))
            for column in (agents.c.name, leases.c.agent, rollouts.c.agent, outcomes.c.agent):
                full = literal(f"{name}/") + column
                await connection.execute(update(column.table).values({column: full}))
            await connection.execute(update(projects).values(name=f"{name}{AT}{only}", since=now))
            return int(count or 0)

    async def _rows(self) -> Sequence[str]:
        async with self._database.reading() as connection:
            return (await connection.scalars(select(projects.c.name).order_by(projects.c.place))).all()


def bound(rows: Sequence[str]) -> BoundProjects:
    """Return the projects that rows tell of."""
    several: Mapping[str, str] = dict(row.split(AT, 1) for row in rows if AT in row)
    return BoundProjects(next((row for row in rows if AT not in row), None), several, len(rows))
