"""``foundry-rollouts db``: the history database."""

from typing import Annotated

import typer

from foundry_rollouts.cli.commands import Command, examples, group, waits

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
    ),
)
@waits
async def project(
    url: Annotated[str | None, typer.Argument(metavar="URL", help="The address that the project has now.")] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Show the project whose agents the database knows, or say that its address is another one.

    A service refuses a database of another project: agents of one name would be taken for one another. Stop every
    service before you give a URL.
    """
    from datetime import timedelta

    from foundry_rollouts.addresses import project_of
    from foundry_rollouts.clock import now
    from foundry_rollouts.settings import load_database_url
    from foundry_rollouts.settings.fields import checked_endpoint
    from foundry_rollouts.store.store import SqlStore

    store = SqlStore(load_database_url(database_url), replica="db", lease=timedelta(0))
    try:
        if url is not None:
            await store.rename_project(project_of(checked_endpoint(url)), now())
        typer.echo(await store.project() or "none")
    finally:
        await store.close()
