"""What callers may write beside a definition: names, descriptions, metadata, and their limits."""

from typing import Any

from foundry_emulator.errors import invalid
from foundry_emulator.ids import AGENT_NAME
from foundry_emulator.kinds import accepted
from foundry_emulator.provisioning import VersionRequest


def version_request(
    definition: dict[str, Any], description: str | None, metadata: dict[str, str] | None
) -> VersionRequest:
    """Return what a JSON body asks for, after the checks every version must pass."""
    return VersionRequest(accepted(definition, None), checked_text(description), checked_metadata(metadata))


def checked_text(description: str | None) -> str:
    """Return the description, of at most 512 characters."""
    if description is not None and len(description) > 512:
        raise invalid("'description' may have at most 512 characters.", "description")
    return description or ""


def checked_metadata(metadata: dict[str, str] | None) -> dict[str, str]:
    """Return the metadata: at most 16 pairs, keys up to 64 and values up to 512 characters."""
    pairs = metadata or {}
    if len(pairs) > 16 or any(len(key) > 64 or len(value) > 512 for key, value in pairs.items()):
        raise invalid("'metadata' may have 16 pairs, keys of 64 and values of 512 characters.", "metadata")
    return pairs


def checked_name(name: str, param: str = "name") -> str:
    """Return an agent name the cloud accepts; ``param`` says where it was given."""
    if not AGENT_NAME.fullmatch(name):
        raise invalid(f"'{name}' is not a valid agent name: 1 to 63 alphanumerics and inner hyphens.", param)
    return name
