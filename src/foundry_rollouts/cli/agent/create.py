"""``agent create`` and ``promote-draft``: an image or a prompt becomes a version, a draft becomes a release."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from foundry_rollouts.cli.agent import options
from foundry_rollouts.cli.agent.outcome import Ending, concluded
from foundry_rollouts.cli.agent.progress import progress
from foundry_rollouts.cli.agent.project import AgentArgument, CredentialOption, EndpointOption, project
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

create_commands = group("Create versions from images and prompts; release drafts.")


@create_commands.command(
    "create",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent create support-eu --image registry.azurecr.io/support:1.4.2 --wait",
        "foundry-rollouts agent create support-eu --image registry.azurecr.io/support:1.4.3 --rollout --wait "
        "--timeout 2h --protocol responses --protocol invocations",
        "foundry-rollouts agent create support-eu --image registry.azurecr.io/support:1.5.0 --draft "
        "--cpu 0.5 --memory 1Gi --protocol responses --protocol invocations --env LEVEL=info",
        "foundry-rollouts agent create greeter --model gpt-4.1-mini --prompt prompts/greeter.md",
    ),
)
@waits
async def create(
    agent: AgentArgument,
    image: Annotated[str | None, typer.Option(help="The container image, with registry and tag or digest.")] = None,
    model: Annotated[str | None, typer.Option(help="Of a prompt agent: the deployment of its model.")] = None,
    prompt: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of a prompt agent: a text file with its instructions, or its whole definition as .json or .yaml.",
        ),
    ] = None,
    draft: Annotated[bool, typer.Option("--draft", help="Make a draft, which takes no traffic.")] = False,
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
    """Create a version from a container image or a prompt, and the agent if it is new.

    An unchanged definition creates no version. Where drafts are not enabled the cloud silently makes a release of
    --draft; that is reported as an error, exit code 1.

    The endpoint then serves what --protocol names; of a prompt agent, Responses. Unless it is pinned, a release serves
    all new sessions as soon as it is active.

    --rollout and --wait do what they do for 'agent deploy'.
    """
    from foundry_rollouts.cli.agent.prompt import image_or_prompt
    from foundry_rollouts.foundry.definition import Definition
    from foundry_rollouts.foundry.versions import IMAGE_LIMIT

    ending = Ending.of(wait, timeout, IMAGE_LIMIT, output)
    release = Release.of(rollout, server, policy, author, reason, is_draft=draft)
    names, environment = options.protocols(protocol), options.environment(env_file, env)
    of_image = Definition(image, None, cpu, memory, names, environment, idle_timeout)
    definition = image_or_prompt(of_image, model, prompt)
    labels = options.labels(description, metadata)
    with progress() as tell:
        await refused_early(release, agent, tell)
        async with project(project_endpoint, credential) as cloud:
            await until_pinned(release, cloud, agent, tell)
            ending = replace(ending, protocols=tuple(names))
            make = cloud.api.drafts.of_image if draft else cloud.api.versions.create
            created = await make(agent, definition, labels)
            return await finished(cloud, agent, created, ending, tell, release)


@create_commands.command(
    "promote-draft",
    cls=Command,
    epilog=examples("foundry-rollouts agent promote-draft support-eu draft-1780000000000 --wait"),
)
@waits
async def promote_draft(
    agent: AgentArgument,
    draft: Annotated[str, typer.Argument(metavar="DRAFT", help="The draft, as 'agent versions --drafts' lists it.")],
    wait: options.WaitOption = False,
    timeout: TimeoutOption = None,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    output: OutputOption = Output.TABLE,
) -> int:
    """Release a draft: the same definition and the same code as a numbered version.

    Unless the endpoint is pinned, it serves all new sessions as soon as it is active.
    """
    from foundry_rollouts.foundry.versions import BUILD_LIMIT

    ending = Ending.of(wait, timeout, BUILD_LIMIT, output)
    with progress() as tell:
        async with project(project_endpoint, credential) as cloud:
            return await concluded(cloud, agent, await cloud.api.drafts.promote(agent, draft), ending, tell)
