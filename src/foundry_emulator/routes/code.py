"""Source code of a version, as it was uploaded."""

from starlette.responses import FileResponse, Response

from foundry_emulator.errors import conflict, invalid, not_found
from foundry_emulator.middleware import Visit


async def download_code(visit: Visit) -> Response:
    """Answer the zip of one version, or of the latest; its hash and version are in the headers."""
    world, key = visit.world, visit.agent
    agent = world.state.agent(key)
    wanted = visit.query.get("agent_version")
    if wanted == "":
        raise invalid("'agent_version' must not be empty.", "agent_version")
    version = world.state.latest(key) if wanted is None else world.state.version(key, wanted)
    if version is None:
        raise not_found(f"Agent '{key.name}' has no version")
    if version.code_hash is None:
        raise conflict(f"Agent '{key.name}' is not code-based.", "AgentNotCodeBased")
    archive = world.factory.build_folder(agent.guid, version.version).archive
    headers = {"x-ms-agent-version": version.version, "x-ms-code-zip-sha256": version.code_hash}
    # curl -O -J refuses to overwrite: the latest and a certain version are two files.
    name = f"{key.name}.zip" if wanted is None else f"{key.name}-{version.version}.zip"
    return FileResponse(archive, headers=headers, media_type="application/zip", filename=name)
