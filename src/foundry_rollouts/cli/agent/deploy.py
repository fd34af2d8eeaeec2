"""``agent deploy``: source code becomes a version."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundry_rollouts.cli.agent import options
from foundry_rollouts.cli.agent.outcome import Ending
from foundry_rollouts.cli.agent.progress import Tell, progress
from foundry_rollouts.cli.agent.project import CredentialOption, EndpointOption, plain_agent, project
from foundry_rollouts.cli.agent.release import (
    AuthorOption,
    PolicyOption,
    ReasonOption,
    Release,
    RolloutOption,
    finished,
    refused_early,
    until_pinned,
)
from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.options import DEFAULT_SERVER, ServerOption, TimeoutOption
from foundry_rollouts.cli.output import Output, OutputOption
from foundry_rollouts.errors import UsageError

if TYPE_CHECKING:
    from foundry_rollouts.foundry.definition import Code
    from foundry_rollouts.foundry.packaging import Archive

deploy_commands = group("Deploy source code.")


@deploy_commands.command(
    "deploy",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent deploy agents/support-eu --wait",
        "foundry-rollouts agent deploy agents/support-eu --rollout --wait --timeout 2h",
        "foundry-rollouts agent deploy . --agent support-eu --protocol invocations --env LEVEL=info --wait",
        "foundry-rollouts agent deploy . --agent support-eu --env-file .env --wait",
        "foundry-rollouts agent deploy . --agent support-eu --bundled --build --metadata commit=$(git rev-parse HEAD)",
    ),
)
@waits
async def deploy(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder that holds main.py, or a finished zip.")],
    agent: Annotated[
        str | None, typer.Option("--agent", help="The agent; else the folder's name.", callback=plain_agent)
    ] = None,
    bundled: Annotated[bool, typer.Option("--bundled", help="Libraries are in packages/, nothing is built.")] = False,
    build: Annotated[
        bool, typer.Option("--build", help="With --bundled: put Linux wheels of requirements.txt there first.")
    ] = False,
    draft: Annotated[bool, typer.Option("--draft", help="Make a draft, which takes no traffic.")] = False,
    runtime: Annotated[str, typer.Option(help="python_3_13, python_3_14 or dotnet_10.")] = "python_3_13",
    entry_point: Annotated[str, typer.Option(metavar="WORDS", help="The command that starts it.")] = "python main.py",
    cpu: options.CpuOption = "1",
    memory: options.MemoryOption = "2Gi",
    protocol: options.ProtocolOption = None,
    env: options.EnvOption = None,
    env_file: options.EnvFileOption = None,
    idle_timeout: options.IdleOption = None,
    description: options.DescriptionOption = None,
    metadata: options.MetadataOption = None,
    rollout: RolloutOption = False,
    policy: PolicyOption = None,
    author: AuthorOption = None,
    reason: ReasonOption = None,
    wait: options.WaitOption = False,
    timeout: TimeoutOption = None,
    server: ServerOption = DEFAULT_SERVER,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    output: OutputOption = Output.TABLE,
) -> int:
    """Create a version from source code, and the agent if it is new.

    Files that .agentignore names are left out; without it, build leftovers and files that .gitignore names. The same
    content gives the same archive everywhere, so deploying it again uploads nothing and creates no version. A layout
    that the cloud could not start is rejected before anything is sent.

    The endpoint then serves what --protocol names. Unless it is pinned, the new version serves all new
    sessions as soon as it is active.

    With --rollout, nothing is deployed before the endpoint is pinned. The service then rolls the version out under the
    agent's policy, and --wait follows that to its end: exit code 0 when it was promoted, 3 when the rollout ended
    badly, 4 when the time was over. Ctrl-C ends the wait, never the rollout.
    """
    from foundry_rollouts.foundry.dedupe import deployed_already
    from foundry_rollouts.foundry.definition import Code, Definition
    from foundry_rollouts.foundry.versions import BUILD_LIMIT

    ending = Ending.of(wait, timeout, BUILD_LIMIT, output)
    release = Release.of(rollout, server, policy, author, reason, is_draft=draft)
    code = Code(runtime, options.words_of(entry_point), is_bundled=bundled)
    names, environment = options.protocols(protocol), options.environment(env_file, env)
    definition = Definition(None, code, cpu, memory, names, environment, idle_timeout)
    labels = options.labels(description, metadata)
    name = name_of(path, agent)
    with progress() as tell:
        archive = await packaged(path.absolute(), code, build=build, tell=tell)
        await refused_early(release, name, tell)
        ending = replace(ending, protocols=tuple(names), extra={"sha256": archive.sha256})
        async with project(project_endpoint, credential) as cloud:
            made = None if draft else await deployed_already(cloud.api.versions, name, archive, definition, labels)
            if made is None:
                await until_pinned(release, cloud, name, tell)
                tell(f"uploading {_size(archive)} to {name}")
                upload = cloud.api.drafts.of_code if draft else cloud.api.deploy.upload
                made = await upload(name, archive, definition, labels)
            return await finished(cloud, name, made, ending, tell, release)


async def packaged(path: Path, code: "Code", *, build: bool, tell: Tell) -> "Archive":
    """Return the archive of ``path``. Raises UsageError when the cloud could not start it."""
    from foundry_rollouts.foundry.bundle import pack_bundled
    from foundry_rollouts.foundry.layout import refuse_bad_layout

    if build and not code.is_bundled:
        raise UsageError("--build puts libraries beside the code: add --bundled")
    tell(f"packaging {path}")
    archive = await (pack_bundled(path, code, tell) if build else asyncio.to_thread(_archive_of, path))
    refuse_bad_layout(archive, code)
    tell(f"{len(archive.names)} file{'s' if len(archive.names) > 1 else ''}, sha256 {archive.sha256}")
    return archive


def _archive_of(path: Path) -> "Archive":
    from foundry_rollouts.foundry.packaging import Archive, pack

    return Archive.of(path.read_bytes()) if path.is_file() else pack(path)


def name_of(path: Path, given: str | None = None) -> str:
    """Return what the agent is called: as ``given``, else as its folder. Raises UsageError for what is no name."""
    name = given or path.resolve().name.removesuffix(".zip")
    if not re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?", name):
        raise UsageError(f"{name!r} is no name for an agent: give one with --agent, letters, digits and inner hyphens")
    return name


def _size(archive: "Archive") -> str:
    size = len(archive.data)
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
