"""The project that the commands work on: two options, and a client whose refusals say what to do."""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.cli.agent.advice import advised
from foundry_rollouts.cli.output import say
from foundry_rollouts.cli.verbosity import is_verbose
from foundry_rollouts.errors import CloudError

if TYPE_CHECKING:
    from foundry_rollouts.foundry.client import FoundryClient
    from foundry_rollouts.foundry.identity import RoleAssignments

AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--project-endpoint",
        metavar="URL",
        help="The Foundry project; else FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT, FOUNDRY_PROJECT_ENDPOINT or "
        "AZURE_AI_PROJECT_ENDPOINT.",
    ),
]
CredentialOption = Annotated[
    Literal["default", "emulator"] | None,
    typer.Option("--credential", help="How to authenticate; else FOUNDRY_ROLLOUTS_CREDENTIAL."),
]

_LOCAL_ARM = "/_arm"  #: Where the local Foundry has its role assignments.


@asynccontextmanager
async def project(endpoint: str | None, credential: str | None) -> AsyncIterator["FoundryClient"]:
    """Open the project that the options or else the settings name. Raises UsageError for wrong settings.

    What the cloud refuses inside the block is raised with what to do about it.
    """
    from foundry_rollouts import clock, settings
    from foundry_rollouts.foundry.auth import credential_for
    from foundry_rollouts.foundry.client import FoundryClient

    chosen = settings.load(project_endpoint=endpoint, credential=credential)
    tokens = credential_for(chosen.credential, chosen.project_endpoint, clock.now)
    async with FoundryClient(chosen.project_endpoint, tokens) as client:
        if is_verbose():
            client.on_answer(_report_answer)
        with _quiet_credentials(), _told_on_stderr(), _advice():
            yield client


@asynccontextmanager
async def roles(endpoint: str | None, credential: str | None, arm: str | None) -> AsyncIterator["RoleAssignments"]:
    """Open the role assignments of Azure Resource Manager at ``arm``, or where the project has them."""
    from foundry_rollouts import clock, settings
    from foundry_rollouts.foundry.auth import credential_for
    from foundry_rollouts.foundry.identity import role_assignments

    chosen = settings.load(project_endpoint=endpoint, credential=credential)
    tokens = credential_for(chosen.credential, chosen.project_endpoint, clock.now)
    assignments = role_assignments(tokens, arm or _arm_of(chosen.project_endpoint))
    try:
        with _quiet_credentials(), _told_on_stderr(), _advice():
            yield assignments
    finally:
        await assignments.aclose()


def _report_answer(operation: str, status: int, headers: Mapping[str, str]) -> None:
    """Write which request this was, in which region, for a support ticket."""
    from foundry_rollouts.foundry.refusals import ids_of

    say(f"{operation}: HTTP {status}, {ids_of(headers) or 'without ids'}", err=True)


@contextmanager
def _quiet_credentials() -> Iterator[None]:
    """Leave out what the library of credentials writes to stderr, a paragraph for each login that is not there."""
    logger = logging.getLogger("azure.identity")
    usual = logger.level
    if not is_verbose():
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(usual)


@contextmanager
def _advice() -> Iterator[None]:
    """Say of a refusal what to do; a wait that is over is for the command to tell."""
    try:
        yield
    except CloudError as error:
        if isinstance(error, TimeoutError):
            raise
        raise advised(error) from error


@contextmanager
def _told_on_stderr() -> Iterator[None]:
    """Tell of a second try on stderr; as it is, the library that tries again would write to stdout."""
    from stamina.instrumentation import RetryDetails, get_on_retry_hooks, set_on_retry_hooks

    def tell(details: RetryDetails) -> None:
        say(f"{details.caused_by}; trying again in {details.wait_for:.1f} s", err=True)

    usual = get_on_retry_hooks()
    set_on_retry_hooks([tell])
    try:
        yield
    finally:
        set_on_retry_hooks(usual)


def _arm_of(endpoint: str) -> str:
    """Return the resource manager that belongs to a project: Azure's own, or the local Foundry's."""
    from foundry_rollouts.foundry.identity import ARM_ENDPOINT

    return endpoint.partition("/api/projects/")[0] + _LOCAL_ARM if is_loopback(host_of(endpoint)) else ARM_ENDPOINT
