"""``foundry-rollouts serve``: the daemon."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from foundry_rollouts.cli.commands import Command, examples, waits

SERVE_EXAMPLES = examples(
    "foundry-rollouts serve --project-endpoint https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT",
    "foundry-rollouts serve --policies deploy/policies --database-url postgresql://rollouts@db/rollouts",
    "foundry-rollouts serve --project-endpoint http://127.0.0.1:8090/api/projects/local --credential emulator",
)


class ServeCommand(Command):
    """The help of ``serve`` ends with every setting there is."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        super().format_epilog(ctx, formatter)
        formatter.write("\n" + _settings_help())


def serve(
    project_endpoint: Annotated[str | None, typer.Option(help="The Foundry project to manage.")] = None,
    credential: Annotated[
        Literal["default", "emulator"] | None, typer.Option(help="How to authenticate to the project.")
    ] = None,
    database_url: Annotated[str | None, typer.Option(help="The database URL.")] = None,
    policies: Annotated[Path | None, typer.Option(help="A file or folder of policies.")] = None,
    listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="The address to listen on.")] = None,
    tick_seconds: Annotated[float | None, typer.Option(help="How often a rollout is checked.")] = None,
    log_format: Annotated[Literal["console", "json"] | None, typer.Option(help="The format of log lines.")] = None,
) -> None:
    """Serve the controller, the ops API, the dashboard and /metrics until stopped."""
    from foundry_rollouts import settings

    loaded = settings.load(
        project_endpoint=project_endpoint,
        credential=credential,
        database_url=database_url,
        policies=policies,
        listen=listen,
        tick_seconds=tick_seconds,
        log_format=log_format,
    )
    _serve(loaded)


@waits
async def _serve(loaded: Any) -> None:
    from foundry_rollouts.daemon import serve as serve_until_stopped

    await serve_until_stopped(loaded)


def _settings_help() -> str:
    from foundry_rollouts.settings import PREFIX, SECRETS_DIR, TOML_FILE, reference

    lines = [
        "Settings:",
        f"  An option above, else the variable, else a file of its name in the folder that {SECRETS_DIR} names,",
        f"  else a line in {TOML_FILE} (there without {PREFIX} and in lower case).",
        "",
    ]
    for setting in reference():
        default = "must be set" if setting.default is None else f"default: {setting.default}"
        lines += [f"  {setting.variable}  ({default})", f"      {setting.meaning}"]
    return "\n".join(lines) + "\n"
