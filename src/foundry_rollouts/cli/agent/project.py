"""The project that the commands work on: two options, and a client whose refusals say what to do."""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.cli.agent.advice import advised
from foundry_rollouts.cli.output import say
from foundry_rollouts.cli.verbosity import is_verbose
from foundry_rollouts.core.model.agent_names import full_name, plain_name, project_in
from foundry_rollouts.errors import CloudError, UsageError

if TYPE_CHECKING:
    from foundry_rollouts.foundry.client import FoundryClient
    from foundry_rollouts.foundry.identity import RoleAssignments
    from foundry_rollouts.settings import Project

#: The project that the command works on by name: from the agent's name, or from the option.
_NAMED = ContextVar("project", default="")


def _nothing_named(endpoint: str | None) -> str | None:
    """Begin without a project; what is eager is read before every agent's name."""
    _NAMED.set("")
    return endpoint


def plain_agent(name: str | None) -> str | None:
    """Return the agent's plain name, and keep the project that stands before it as ``project/agent``."""
    if name is None or not project_in(name):
        return name
    _NAMED.set(project_in(name))
    return plain_name(name)


AgentArgument = Annotated[
    str, typer.Argument(metavar="AGENT", help="The agent's name, or PROJECT/AGENT.", callback=plain_agent)
]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--project-endpoint",
        "--project",
        metavar="URL",
        is_eager=True,
        callback=_nothing_named,
        help="The Foundry project, or its name in FOUNDRY_ROLLOUTS_PROJECTS; else FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT, "
        "FOUNDRY_PROJECT_ENDPOINT or AZURE_AI_PROJECT_ENDPOINT.",
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
    from foundry_rollouts import clock
    from foundry_rollouts.foundry.auth import credential_for
    from foundry_rollouts.foundry.client import FoundryClient

    chosen = _chosen(endpoint, credential)
    tokens = credential_for(chosen.credential, chosen.endpoint, clock.now)
    async with FoundryClient(chosen.endpoint, tokens) as client:
        if is_verbose():
            client.on_answer(_report_answer)
        with _quiet_credentials(), _told_on_stderr(), _advice():
            yield client


@asynccontextmanager
async def roles(endpoint: str | None, credential: str | None, arm: str | None) -> AsyncIterator["RoleAssignments"]:
    """Open the role assignments of Azure Resource Manager at ``arm``, or where the project has them."""
    from foundry_rollouts import clock
    from foundry_rollouts.foundry.auth import credential_for
    from foundry_rollouts.foundry.identity import role_assignments

    chosen = _chosen(endpoint, credential)
    tokens = credential_for(chosen.credential, chosen.endpoint, clock.now)
    assignments = role_assignments(tokens, arm or _arm_of(chosen.endpoint))
    try:
        with _quiet_credentials(), _told_on_stderr(), _advice():
            yield assignments
    finally:
        await assignments.aclose()


def known_as(agent: str) -> str:
    """Return what a service calls ``agent``: with the project that was named, where there is one."""
    return full_name(_NAMED.get(), agent)


def _chosen(endpoint: str | None, credential: str | None) -> "Project":
    """Return the project to work on. Raises UsageError where that is not clear: never another one by chance."""
    from foundry_rollouts import settings

    is_name = endpoint is not None and ":" not in endpoint
    address, name = (None, endpoint) if is_name else (endpoint, None)
    loaded = settings.load(project_endpoint=address, credential=credential, projects="" if address else None)
    if address:
        return loaded.watched[0]
    before = _NAMED.get()
    if name and before and name != before:
        raise UsageError(f"--project {name} and the agent's name, which begins with {before}/, disagree: leave out one")
    named = name or before
    if not loaded.projects:
        if named:
            raise UsageError(
                f"project {named!r} is not known: name it in FOUNDRY_ROLLOUTS_PROJECTS, or give its address"
            )
        return loaded.watched[0]
    found = [each for each in loaded.projects if named in ("", each.name)]
    if len(found) != 1:
        known = ", ".join(each.name for each in loaded.projects)
        what = f"there is no project {named!r}" if named else "there are several projects"
        raise UsageError(f"{what}: write PROJECT/AGENT or --project NAME, of {known}")
    if len(loaded.projects) > 1:
        _NAMED.set(found[0].name)
    return found[0] if credential is None else found[0]._replace(credential=loaded.credential)


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
