"""``foundry-rollouts db``: the history database."""

from typing import TYPE_CHECKING, Annotated

import typer

from foundry_rollouts.cli.commands import Command, examples, group, waits

if TYPE_CHECKING:
    from foundry_rollouts.store.store import SqlStore

db = group("The history database.")

DatabaseOption = Annotated[
    str | None,
    typer.Option("--database-url", help="Else FOUNDRY_ROLLOUTS_DATABASE_URL, secret file or foundry-rollouts.toml."),
]


@db.command(
    "upgrade",
    cls=Command,
    epilog=examples(
        "foundry-rollouts db upgrade", "foundry-rollouts db upgrade --database-url postgresql://db/rollouts"
    ),
)
@waits
async def upgrade(database_url: DatabaseOption = None) -> None:
    """Bring the database to the schema of this release, and say from where to where.

    It may run several times and at once: upgrades take turns. Take a backup first; there is no way back.
    """
    from foundry_rollouts.settings import load_database_url
    from foundry_rollouts.store import schema

    done = await schema.upgraded(load_database_url(database_url), lambda line: typer.echo(line, err=True))
    before = "an empty database" if done.before is None else done.before
    said = "" if done.before == done.after else f", upgraded from {before}"
    typer.echo(f"the database is at schema {done.after}{said}")


@db.command("current", cls=Command, epilog=examples("foundry-rollouts db current"))
@waits
async def current(database_url: DatabaseOption = None) -> None:
    """Show the schema that the database has."""
    from foundry_rollouts.settings import load_database_url
    from foundry_rollouts.store import schema

    typer.echo(await schema.current(load_database_url(database_url)) or "none")


@db.command(
    "check",
    cls=Command,
    epilog=examples("foundry-rollouts db check && foundry-rollouts serve", "foundry-rollouts db check --wait 600"),
)
@waits
async def check(
    database_url: DatabaseOption = None,
    wait: Annotated[
        float | None,
        typer.Option("--wait", min=1, metavar="SECONDS", help="Wait so long for another process to upgrade it."),
    ] = None,
) -> None:
    """Fail unless the database answers and has the schema of this release."""
    from foundry_rollouts.settings import load_database_url
    from foundry_rollouts.store import schema

    url = load_database_url(database_url)
    if wait is None:
        await schema.check(url)
    else:
        await schema.until_ours(url, wait, lambda line: typer.echo(line, err=True))
    typer.echo("the database has the schema of this release")


@db.command(
    "project",
    cls=Command,
    epilog=examples(
        "foundry-rollouts db project",
        "foundry-rollouts db project https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT",
        "foundry-rollouts db project --name sales",
    ),
)
@waits
async def project(
    url: Annotated[str | None, typer.Argument(metavar="URL", help="The address that the project has now.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The project's name in FOUNDRY_ROLLOUTS_PROJECTS, where it has one.")
    ] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Show the project whose agents the database knows, or each of several; or say that its address is another one.

    A service refuses a database of another project: agents of one name would be taken for one another. With --name and
    no URL, agents that have plain names are named NAME/AGENT from now on, for a service that watches several projects;
    there is no way back. Stop every service before you give a URL or a name.
    """
    from datetime import timedelta

    from foundry_rollouts.settings import load_database_url
    from foundry_rollouts.store.store import SqlStore

    store = SqlStore(load_database_url(database_url), replica="db", lease=timedelta(0))
    try:
        await _change_project(store, url, name)
        bound = await store.projects()
        lines = [f"{each} at {identity}" for each, identity in bound.several.items()]
        typer.echo("\n".join(lines) or bound.only or "none")
    finally:
        await store.close()


async def _change_project(store: "SqlStore", url: str | None, name: str | None) -> None:
    """Change what the database is of. Raises UsageError for what would take one project's agents for another's."""
    from foundry_rollouts.addresses import project_of
    from foundry_rollouts.clock import now
    from foundry_rollouts.errors import UsageError
    from foundry_rollouts.settings.endpoints import checked_endpoint
    from foundry_rollouts.settings.projects import is_name

    several = (await store.projects()).several if url or name else {}
    if name is not None and not (name in several if url else is_name(name)):
        known = ", ".join(several) or "none"
        raise UsageError(f"--name {name!r} is not a project here (known: {known}), or is no name" if url else _NO_NAME)
    if url is None:
        if name is not None:
            count = await store.name_agents(name, now())
            typer.echo(f"{count} agents are named {name}/AGENT from now on", err=True)
        return
    identity = project_of(checked_endpoint(url))
    if name is not None:
        await store.move_project(name, identity, now())
    elif several:
        raise UsageError(f"the database is of several projects: say which, --name NAME, of {', '.join(several)}")
    else:
        await store.rename_project(identity, now())


_NO_NAME = "--name is 1 to 63 small letters, digits and '-', and neither begins nor ends with '-'"
