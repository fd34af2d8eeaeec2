"""Is this what the latest version is already? Then there is nothing to upload."""

from foundry_rollouts.foundry.definition import Definition, Labels, definition_seen
from foundry_rollouts.foundry.packaging import Archive
from foundry_rollouts.foundry.versions import Created, Versions
from foundry_rollouts.foundry.wire import VersionDetails


async def deployed_already(
    versions: Versions, agent: str, archive: Archive, definition: Definition, labels: Labels
) -> Created | None:
    """Return the latest version when it is made of the same; None when that is not certain.

    The cloud compares by itself, too: whoever uploads in doubt gets no second version. Raises CloudError.
    """
    latest = await versions.latest(agent)
    if latest is None:
        return None
    details = await versions.one(agent, latest.version)
    is_same = _hash(details) == archive.sha256 and definition_seen(details.definition) == definition
    return Created(details.seen, is_new=False) if is_same and _wears(details, labels) else None


def _hash(details: VersionDetails) -> str:
    code = details.definition.get("code_configuration") or {}
    return str(code.get("content_hash") or "").lower()


def _wears(details: VersionDetails, labels: Labels) -> bool:
    """Whether every label that is wished for is there."""
    there = details.metadata or {}
    has_metadata = all(there.get(name) == value for name, value in labels.metadata.items())
    return has_metadata and labels.description in {None, details.description}
