"""``agent download``: the source code of a version as it was deployed, and proof that it is."""

import asyncio
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zipfile import ZipFile

import typer

from foundry_rollouts.cli.agent.project import AgentArgument, CredentialOption, EndpointOption, project
from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.output import say
from foundry_rollouts.errors import RolloutsError, UsageError

if TYPE_CHECKING:
    from foundry_rollouts.foundry.client import FoundryClient
    from foundry_rollouts.foundry.download import Downloaded
    from foundry_rollouts.foundry.packaging import Archive

download_commands = group("Download source code.")


@download_commands.command(
    "download",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent download support-eu",
        "foundry-rollouts agent download support-eu --version 7 --to support-eu-7",
        "foundry-rollouts agent download support-eu --version 7 --verify --against agents/support-eu",
    ),
)
@waits
async def download(
    agent: AgentArgument,
    version: Annotated[str | None, typer.Option(help="This version or draft; else the latest.")] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A zip to write, or a folder to unpack into.  [default: AGENT-VERSION.zip]"),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare hash and version, and write nothing.")] = False,
    against: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Fail unless this folder or zip gives the same archive.")
    ] = None,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
) -> None:
    """Download the source code of a version.

    The download is compared with the hash that the cloud sends; --verify also compares it with the hash in the
    version's definition, and reads every file.
    """
    if verify and to:
        raise UsageError("--verify writes nothing: leave out --to, or --verify")
    async with project(project_endpoint, credential) as cloud:
        got = await cloud.api.downloads.code(agent, version)
        if verify:
            await _refuse_other(cloud, agent, got)
    if against:
        await asyncio.to_thread(_refuse_difference, against.absolute(), got.archive)
    if not verify:
        place = await asyncio.to_thread(_written, got, to or Path(f"{agent}-{got.version}.zip"))
        say(f"{place}: version {got.version} of {agent}, sha256 {got.archive.sha256}")
        return
    count = len(got.archive.names)
    files = f"{count} file{'s' if count > 1 else ''}"
    say(f"version {got.version} of {agent} is as it was deployed: {files}, sha256 {got.archive.sha256}")


async def _refuse_other(cloud: "FoundryClient", agent: str, got: "Downloaded") -> None:
    """Raise unless the version says of itself that it is this code, and every file in it can be read."""
    details = await cloud.api.versions.one(agent, got.version)
    recorded = str((details.definition.get("code_configuration") or {}).get("content_hash") or "").lower()
    if recorded and recorded != got.archive.sha256:
        raise RolloutsError(
            f"version {got.version} of {agent} says that its code has sha256 {recorded}, the download has "
            f"{got.archive.sha256}: do not use it, ask who deployed it"
        )
    if name := await asyncio.to_thread(_damaged_file, got.archive):
        raise RolloutsError(f"{name} in version {got.version} of {agent} is damaged: deploy it again")


def _damaged_file(archive: "Archive") -> str | None:
    with ZipFile(BytesIO(archive.data)) as zipped:
        return zipped.testzip()


def _refuse_difference(path: Path, archive: "Archive") -> None:
    from foundry_rollouts.foundry.packaging import Archive, pack

    ours = Archive.of(path.read_bytes()) if path.is_file() else pack(path)
    if ours.sha256 == archive.sha256:
        return
    differing = sorted(set(ours.names) ^ set(archive.names))
    where = f"{differing[0]} is in one of them only" if differing else "the same names with other content"
    raise RolloutsError(f"{path} is not what is deployed, {where}: download it with --to and compare")


def _written(got: "Downloaded", to: Path) -> Path:
    from foundry_rollouts.foundry.download import unpack

    if to.suffix == ".zip":
        if to.exists():
            raise UsageError(f"{to} is there already: name another file with --to")
        to.write_bytes(got.archive.data)
    else:
        to.mkdir(parents=True, exist_ok=True)
        unpack(got.archive, to)
    return to
