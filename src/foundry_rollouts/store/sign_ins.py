"""Who is signed in to the dashboard: every promise of ``ports.SignIns``, each kept in one transaction."""

from datetime import datetime

from sqlalchemy import delete, insert, select, update

from foundry_rollouts.core.model.access import Role, SignIn, Way
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.people_tables import sign_ins


class KeptSignIns:
    """What is asked of the store about people who are signed in."""

    _database: Database

    async def add_sign_in(self, secret_hash: str, sign_in: SignIn) -> None:
        """Add a sign-in."""
        row = {
            "secret_hash": secret_hash,
            "name": sign_in.name,
            "role": sign_in.role.value,
            "way": sign_in.way.value,
            "token": sign_in.token,
            "began_at": sign_in.began_at,
            "used_at": sign_in.used_at,
            "groups": list(sign_in.groups),
        }
        async with self._database.writing() as connection:
            await connection.execute(insert(sign_ins).values(**row))

    async def sign_in(self, secret_hash: str) -> SignIn | None:
        """Return the sign-in of that secret, also when it is over."""
        async with self._database.reading() as connection:
            query = select(sign_ins).where(sign_ins.c.secret_hash == secret_hash)
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        groups = tuple(row.groups or ())
        return SignIn(row.name, Role(row.role), Way(row.way), row.token, row.began_at, row.used_at, groups)

    async def note_sign_in_use(self, secret_hash: str, now: datetime) -> None:
        """Remember when it was used last."""
        async with self._database.writing() as connection:
            change = update(sign_ins).where(sign_ins.c.secret_hash == secret_hash).values(used_at=now)
            await connection.execute(change)

    async def end_sign_in(self, secret_hash: str) -> None:
        """End one; one that is over already is left alone."""
        async with self._database.writing() as connection:
            await connection.execute(delete(sign_ins).where(sign_ins.c.secret_hash == secret_hash))

    async def end_sign_ins_of(self, name: str) -> int:
        """End every sign-in of that person; return how many."""
        async with self._database.writing() as connection:
            return (await connection.execute(delete(sign_ins).where(sign_ins.c.name == name))).rowcount

    async def forget_sign_ins(self, before: datetime) -> None:
        """Take away those that began before that time."""
        async with self._database.writing() as connection:
            await connection.execute(delete(sign_ins).where(sign_ins.c.began_at < before))
