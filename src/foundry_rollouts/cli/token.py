"""``foundry-rollouts token``: access to the ops API.

Straight on the database, which needs no service and is how the first token comes about; with ``--server``, or the
variable for it, through the API, as an admin.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from socket import gethostname
from typing import Annotated, Any, Protocol

import typer

from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.db import DatabaseOption
from foundry_rollouts.cli.options import user
from foundry_rollouts.cli.output import Item, Output, OutputOption, column, say, show_items
from foundry_rollouts.core.model.access import Role

DAYS = 90  #: How long a token lasts unless somebody says otherwise.

token = group("Access to the ops API.")

ThroughOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar="FOUNDRY_ROLLOUTS_SERVER",
        help="Ask the service at this address, with an admin's FOUNDRY_ROLLOUTS_TOKEN, instead of the database.",
    ),
]

_LIST = tuple(map(column, ("id", "owner", "role", "state", "created_at", "expires_at", "last_used_at")))


class Desk(Protocol):
    """Where tokens are made: the database, or a service."""

    async def create_token(self, wanted: Item) -> Item: ...

    async def tokens(self) -> list[Item]: ...

    async def revoke_token(self, id: str) -> Item: ...  # noqa: A002 - the word of the API


@token.command(
    "create",
    cls=Command,
    epilog=examples(
        "foundry-rollouts token create --owner ann@example.com --role admin",
        "foundry-rollouts token create --owner ci --role operator --days 30 > token",
        "foundry-rollouts token create --owner prometheus --role viewer --server https://rollouts.example.com",
    ),
)
@waits
async def create(
    owner: Annotated[str, typer.Option(help="Whose token it is: the name in the history and in the audit log.")],
    role: Annotated[Role, typer.Option(help="What it may do.")],
    days: Annotated[int, typer.Option(min=1, max=3650, help="How many days it lasts.")] = DAYS,
    forever: Annotated[bool, typer.Option("--forever", help="Let it never expire.")] = False,
    database_url: DatabaseOption = None,
    server: ThroughOption = None,
) -> None:
    """Make a token and print its secret, once: alone on stdout, so that a script can take it."""
    async with _desk(database_url, server) as desk:
        made = await desk.create_token({"owner": owner, "role": role.value, "days": None if forever else days})
    until = "never expires" if forever else f"expires at {made['expires_at']}"
    say(f"token {made['id']} of {made['owner']}, {made['role']}, {until}; it is shown this once", err=True)
    typer.echo(made["secret"])


@token.command(
    "list", cls=Command, epilog=examples("foundry-rollouts token list", "foundry-rollouts token list -o json")
)
@waits
async def list_tokens(
    database_url: DatabaseOption = None, server: ThroughOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List tokens, newest first, with their owners and when they were used last."""
    async with _desk(database_url, server) as desk:
        items = [{**item, "state": _state(item)} for item in await desk.tokens()]
    show_items(items, _LIST, output, "there is no token yet: foundry-rollouts token create makes one")


@token.command("revoke", cls=Command, epilog=examples("foundry-rollouts token revoke 0r3pj4k8mdq2w7xy1"))
@waits
async def revoke(
    token_id: Annotated[str, typer.Argument(metavar="TOKEN", help="The token's id, as the list shows it.")],
    database_url: DatabaseOption = None,
    server: ThroughOption = None,
) -> None:
    """Revoke a token: from now on it opens nothing, and streams that it opened end."""
    async with _desk(database_url, server) as desk:
        revoked = await desk.revoke_token(token_id)
    say(f"token {revoked['id']} of {revoked['owner']} is revoked")


def _state(item: Item) -> str:
    if item["revoked_at"]:
        return "revoked"
    return "valid" if item["is_valid"] else "expired"


@asynccontextmanager
async def _desk(database_url: str | None, server: str | None) -> AsyncIterator[Desk]:
    """Open the service when one is named, and the database otherwise; the database when both are."""
    if server and database_url is None:
        from foundry_rollouts.cli.api import OpsApi

        async with OpsApi.at(server) as api:
            yield api
        return
    from foundry_rollouts.settings import load_database_url
    from foundry_rollouts.store import schema
    from foundry_rollouts.store.store import SqlStore

    url = load_database_url(database_url)
    if url.startswith("sqlite:") and await schema.current(url) is None:
        await schema.upgrade(url)  # as the service does before its first start
    store = SqlStore(url, replica="token", lease=timedelta(0))
    try:
        yield _Database(store)
    finally:
        await store.close()


class _Database:
    """Tokens straight in the database."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def create_token(self, wanted: Item) -> Item:
        from foundry_rollouts.clock import now
        from foundry_rollouts.operations.ids import new_id
        from foundry_rollouts.operations.tokens import make_token, token_for

        at = now()
        lasts = None if wanted["days"] is None else timedelta(days=wanted["days"])
        token = token_for(_owner(wanted["owner"]), Role(wanted["role"]), at, lasts, new_id(at))
        made = await make_token(self._store, token)
        await self._note("token.create", made.token)
        return {**_shown(made.token), "secret": made.secret}

    async def tokens(self) -> list[Item]:
        from foundry_rollouts.operations.tokens import every_token

        return [_shown(each) for each in await every_token(self._store)]

    async def revoke_token(self, id: str) -> Item:  # noqa: A002 - the word of the API
        from foundry_rollouts.clock import now
        from foundry_rollouts.operations.tokens import revoke_token

        revoked = await revoke_token(self._store, id, now())
        await self._note("token.revoke", revoked)
        return _shown(revoked)

    async def _note(self, action: str, token: Any) -> None:
        """Write down what was done: who has the database's address asks nobody, and is seen all the same."""
        from foundry_rollouts.clock import now
        from foundry_rollouts.core.model.access import Way
        from foundry_rollouts.operations.audit import AuditEntry, AuditOutcome, note
        from foundry_rollouts.operations.ids import new_id

        entry = AuditEntry(
            id=new_id(now()),
            at=now(),
            author=user() or "unknown",
            role=Role.ADMIN,
            way=Way.DATABASE,
            address=gethostname(),
            action=action,
            subject=token.id,
            reason=f"{token.role} for {token.owner}",
            generation=None,
            outcome=AuditOutcome.ACCEPTED,
            because=None,
        )
        await note(self._store, entry)


def _owner(name: str) -> str:
    from foundry_rollouts.errors import UsageError

    if not name.isprintable() or not 0 < len(name) <= 128:
        raise UsageError("an owner is a name of one line, of 128 characters at most")
    return name


def _shown(token: Any) -> Mapping[str, Any]:
    from foundry_rollouts.clock import now
    from foundry_rollouts.web.tokens import token_view

    return token_view(token, now()).model_dump(mode="json")
