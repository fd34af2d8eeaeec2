"""``foundry-rollouts emulator``: a local Foundry on its own."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from foundry_rollouts.cli.commands import examples, waits

EMULATOR_EXAMPLES = examples(
    "foundry-rollouts emulator",
    "foundry-rollouts emulator --listen 127.0.0.1:0 --state .foundry --tls",
    "foundry-rollouts emulator --images echo",
    "then: FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT=http://127.0.0.1:8090/api/projects/local "
    "FOUNDRY_ROLLOUTS_CREDENTIAL=emulator foundry-rollouts serve",
)

#: What the extra ``emulator`` installs: a distribution of its own, and what only that needs.
INSTALLED = ("foundry_emulator", "python_multipart", "trustme")


@waits
async def emulator(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The address to listen on; loopback only.")
    ] = "127.0.0.1:8090",
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep its state here; else it is lost at the end.")
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Serve https, with a certificate authority of its own.")] = False,
    images: Annotated[
        Literal["strict", "echo", "podman", "buildah"],
        typer.Option(
            help="Images that are no emulator:// ones: fail, answer as emulator://echo, or run in a container."
        ),
    ] = "strict",
) -> None:
    """Serve a local Foundry until stopped: every project, no login, agents as real processes."""
    require_emulator()
    from foundry_emulator.config import EmulatorConfig
    from foundry_emulator.errors import EmulatorError
    from foundry_emulator.serve import serve
    from foundry_rollouts.errors import RolloutsError
    from foundry_rollouts.settings import loopback_address

    host, port = loopback_address(listen, "the emulator takes any token and runs what it is sent")
    config = EmulatorConfig(host=host, port=port, state_dir=state, tls=tls, images=images)

    def tell(base_url: str) -> None:
        typer.echo(f"local Foundry at {base_url}/api/projects/local (Ctrl-C stops it)")
        if tls:
            typer.echo(f"its authority: {config.ca_path}")

    try:
        await serve(config, on_ready=tell)
    except EmulatorError as error:
        raise RolloutsError(str(error)) from error


def require_emulator() -> None:
    """Raise RolloutsError, with the command that installs it, where the local Foundry is not installed."""
    from foundry_rollouts.errors import RolloutsError

    if any(find_spec(module) is None for module in INSTALLED):
        raise RolloutsError(
            "the local Foundry is not installed: run pip install 'foundry-rollouts[emulator]' "
            "(in a checkout: pip install '.[emulator]')"
        )
