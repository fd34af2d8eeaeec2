"""``foundry-rollouts emulator``: a local Foundry on its own."""

from pathlib import Path
from typing import Annotated

import typer

from foundry_rollouts.cli.commands import examples, waits

EMULATOR_EXAMPLES = examples(
    "foundry-rollouts emulator",
    "foundry-rollouts emulator --listen 127.0.0.1:0 --state .foundry --tls",
    "then: FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT=http://127.0.0.1:8090/api/projects/local "
    "FOUNDRY_ROLLOUTS_CREDENTIAL=emulator foundry-rollouts serve",
)


@waits
async def emulator(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to serve; loopback only.")] = "127.0.0.1:8090",
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep its memory here; else it is gone at the end.")
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Serve https, with an authority of its own.")] = False,
) -> None:
    """Serve a local Foundry until stopped: every project, any token, agents as real processes."""
    from foundry_rollouts.emulator.config import EmulatorConfig
    from foundry_rollouts.emulator.errors import EmulatorError
    from foundry_rollouts.emulator.serve import serve
    from foundry_rollouts.errors import RolloutsError
    from foundry_rollouts.settings import loopback_address

    host, port = loopback_address(listen, "the emulator takes any token and runs what it is sent")
    config = EmulatorConfig(host=host, port=port, state_dir=state, tls=tls)

    def tell(base_url: str) -> None:
        typer.echo(f"local Foundry at {base_url}/api/projects/local (Ctrl-C stops it)")
        if tls:
            typer.echo(f"its authority: {config.ca_path}")

    try:
        await serve(config, on_ready=tell)
    except EmulatorError as error:
        raise RolloutsError(str(error)) from error
