"""New versions: numbering, deduplication against the latest, and the way to ``active`` or ``failed``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foundry_emulator.builds import build, keep_archive
from foundry_emulator.config import Lifecycle
from foundry_emulator.definitions import image_of, protocols_of
from foundry_emulator.errors import BuildError, FoundryError, not_found
from foundry_emulator.ids import guid
from foundry_emulator.kinds import kind_of, refuse_other_kind
from foundry_emulator.records import AgentKey, AgentRecord, Identity, RoutingChange, VersionRecord
from foundry_emulator.routing import EVERYTHING_TO_LATEST, default_endpoint
from foundry_emulator.sandboxes.behaviours import ImageError
from foundry_emulator.sandboxes.images import Images
from foundry_emulator.world import World

MAX_VERSIONS = 1000


@dataclass(frozen=True, slots=True)
class Upload:
    """A code zip that has arrived: where it lies for now, and its hash."""

    file: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class VersionRequest:
    """What a caller sent for a new version; the definition is already in its kept form."""

    definition: dict[str, Any]
    description: str = ""
    metadata: dict[str, str] | None = None
    is_draft: bool = False
    upload: Upload | None = None


def new_agent(world: World, key: AgentKey, definition: dict[str, Any]) -> AgentRecord:
    """Create the agent with the default endpoint: all traffic to ``@latest``."""
    now = world.clock.now()
    return world.state.put_agent(
        AgentRecord(
            key=key,
            guid=guid(),
            created_at=now,
            instance=Identity(guid(), guid()),
            blueprint=Identity(guid(), guid()),
            blueprint_id=f"{key.name}-{guid()[:5]}",
            endpoint=default_endpoint(protocols_of(definition)),
            served=(RoutingChange(now, EVERYTHING_TO_LATEST),),
            kind=kind_of(definition),
        )
    )


def add_version(world: World, key: AgentKey, request: VersionRequest) -> VersionRecord:
    """Create the next version of an agent, the agent too if need be; an unchanged one is returned as it is."""
    is_draft = request.is_draft and world.switches.drafts_enabled
    if not world.state.has_agent(key):
        if is_draft:
            raise not_found(f"Agent '{key.name}' not found")
        new_agent(world, key, request.definition)
    else:
        refuse_other_kind(world.state, key, request.definition)
    latest = world.state.latest(key)
    if not is_draft and latest is not None and latest.definition == request.definition:
        return latest
    if len(world.state.versions(key)) >= MAX_VERSIONS:
        raise FoundryError(400, "UserError", f"Agent '{key.name}' already has {MAX_VERSIONS} versions.")
    return _begin(world, key, request, is_draft=is_draft)


async def provision(world: World, version: VersionRecord) -> None:
    """Take a version from ``creating`` to ``active`` or ``failed``."""
    agent = world.state.agent(version.agent)
    try:
        folder = world.factory.build_folder(agent.guid, version.version)
        await build(version, folder, world.factory.images, checks_layout=world.switches.checks_layout)
    except BuildError as error:
        _settle(world, version, error.view())
        return
    await world.clock.sleep(version.ready_at - world.clock.now())
    _settle(world, version, None)


def looked_at(world: World, version: VersionRecord) -> VersionRecord:
    """Return the version after one more read of it, which may be the last it waited for."""
    if version.status != "creating" or not version.looks_left:
        return version
    version = world.state.put_version(replace(version, looks_left=version.looks_left - 1))
    return _activated(world, version)


def _begin(world: World, key: AgentKey, request: VersionRequest, *, is_draft: bool) -> VersionRecord:
    agent = world.state.agent(key)
    now, pace = world.clock.now(), _pace(world, request.definition)
    if not is_draft:
        agent = world.state.put_agent(replace(agent, last_number=agent.last_number + 1))
    version = VersionRecord(
        agent=key,
        version=_draft_name(world, key, now) if is_draft else str(agent.last_number),
        created_at=now,
        definition=request.definition,
        description=request.description,
        metadata=request.metadata or {},
        code_hash=request.upload.sha256 if request.upload else None,
        is_draft=is_draft,
        ready_at=now + pace.value if pace.kind == "seconds" else now,
        looks_left=int(pace.value) if pace.kind == "looks" else 0,
    )
    if request.upload:
        keep_archive(world.factory.build_folder(agent.guid, version.version), request.upload.file)
    return _launch(world, world.state.put_version(version))


def _launch(world: World, version: VersionRecord) -> VersionRecord:
    planned = world.planned_failures.pop(version.agent, None)
    if planned is not None:
        return _settle(world, version, {"code": planned.code, "message": planned.message, "details": None})
    if kind_of(version.definition) == "prompt":
        return _settle(world, version, None)
    image = image_of(version.definition)
    is_quick = image is not None and not world.factory.images.runs_in_container(image)
    if image is not None and is_quick and world.lifecycle.kind == "immediate":
        return _settle(world, version, _image_error(world.factory.images, image))
    world.spawn(provision(world, version))
    return version


def _pace(world: World, definition: dict[str, Any]) -> Lifecycle:
    """Return when a version becomes active; there is nothing to provision for a prompt agent."""
    return Lifecycle("immediate") if kind_of(definition) == "prompt" else world.lifecycle


def _image_error(images: Images, image: str) -> dict[str, Any] | None:
    try:
        images.behaviour(image)
    except ImageError as error:
        return BuildError("ImageError", str(error)).view()
    return None


def _draft_name(world: World, key: AgentKey, now: float) -> str:
    moment = int(now * 1000)
    while world.state.has_version(key, f"draft-{moment}"):
        moment += 1
    return f"draft-{moment}"


def _settle(world: World, version: VersionRecord, error: dict[str, Any] | None) -> VersionRecord:
    if not world.state.has_version(version.agent, version.version):
        return version
    current = world.state.version(version.agent, version.version)
    # The agent may have been deleted and made anew meanwhile; its versions count from one again.
    if current.created_at != version.created_at:
        return version
    if error is not None:
        return world.state.put_version(replace(current, status="failed", error=error))
    return _activated(world, replace(current, is_built=True))


def _activated(world: World, version: VersionRecord) -> VersionRecord:
    is_due = version.is_built and not version.looks_left
    return world.state.put_version(replace(version, status="active") if is_due else version)
