"""Hosted definitions: what is accepted, in both dialects, and the one form that is kept.

The older dialect has ``image`` at the top level and ``container_protocol_versions``; the newer one has
``container_configuration.image`` and ``protocol_versions``. Both are accepted and both are echoed.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from foundry_emulator.bodies import parsed
from foundry_emulator.errors import invalid

TIERS = {("0.25", "0.5Gi"), ("0.5", "1Gi"), ("1", "2Gi"), ("2", "4Gi")}
DEFAULT_IDLE_SECONDS = 900
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = re.compile(
    r"(FOUNDRY_|AGENT_).*|PORT|HOME|SSE_KEEPALIVE_INTERVAL"
    r"|APPLICATIONINSIGHTS_CONNECTION_STRING"
)

Protocol = Literal[
    "responses",
    "invocations",
    "activity",
    "activity_protocol",
    "a2a",
    "mcp",
    "invocations_ws",
    "voice",
    "voice_conversation_engine",
]


#: No program can be given a NUL.
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ProtocolVersion(_Strict):
    """One protocol that the agent speaks."""

    protocol: Protocol
    version: Text


class ContainerConfiguration(_Strict):
    """Where the image is."""

    image: Text
    registry_connection_id: str | None = None


class CodeConfiguration(_Strict):
    """How the uploaded source code is run; ``content_hash`` belongs to the service."""

    runtime: Literal["python_3_13", "python_3_14", "dotnet_8", "dotnet_9", "dotnet_10"]
    entry_point: Annotated[list[Text], Field(min_length=1)]
    dependency_resolution: Literal["remote_build", "bundled"]


class SessionConfiguration(_Strict):
    """Defaults of the sessions of a version."""

    idle_timeout_seconds: Annotated[int, Field(ge=120, le=14400)] | None = None


class HostedDefinition(_Strict):
    """A hosted agent's definition as a caller sends it, either dialect."""

    kind: Literal["hosted"]
    cpu: str
    memory: str
    image: Text | None = None
    container_configuration: ContainerConfiguration | None = None
    code_configuration: CodeConfiguration | None = None
    protocol_versions: list[ProtocolVersion] | None = None
    container_protocol_versions: list[ProtocolVersion] | None = None
    environment_variables: dict[str, str] | None = None
    session_configuration: SessionConfiguration | None = None
    telemetry_config: dict[str, Any] | None = None
    enable_memory_snapshot: bool | None = None
    rai_config: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None


def accepted(raw: object, code_hash: str | None) -> dict[str, Any]:
    """Return the definition as it is kept and echoed, or raise the 400 that refuses it.

    ``code_hash`` is the hash of the uploaded zip; without one the definition must name an image.
    """
    definition = parsed(HostedDefinition, raw, "definition")
    if (definition.cpu, definition.memory) not in TIERS:
        raise invalid("CPU and Memory must be specified as a valid resource tier.", "definition.cpu")
    _refuse_variables(definition.environment_variables or {})
    kept = definition.model_dump(exclude_none=True)
    _settle_image(definition, kept, code_hash)
    _settle_protocols(definition, kept)
    return kept


def image_of(definition: dict[str, Any]) -> str | None:
    """Return the image of a kept definition, or None for source code."""
    container = definition.get("container_configuration")
    return str(container["image"]) if container else None


def protocols_of(definition: dict[str, Any]) -> list[str]:
    """Return the names of the protocols a kept definition declares."""
    return [str(each["protocol"]) for each in definition.get("protocol_versions", [{"protocol": "responses"}])]


def idle_seconds_of(definition: dict[str, Any]) -> float:
    """Return after how long without use a session's compute is released."""
    return float(definition.get("session_configuration", {}).get("idle_timeout_seconds", DEFAULT_IDLE_SECONDS))


def _refuse_variables(variables: dict[str, str]) -> None:
    for name, value in variables.items():
        param = f"definition.environment_variables.{name}"
        if not _VARIABLE.fullmatch(name):
            raise invalid(f"'{name}' is not a valid environment variable name.", param)
        if _RESERVED.fullmatch(name):
            raise invalid(f"Environment variable '{name}' is reserved by the platform.", param, "EnvVarReserved")
        if "\0" in value:
            raise invalid(f"The value of environment variable '{name}' holds a NUL.", param)


def _settle_image(definition: HostedDefinition, kept: dict[str, Any], code_hash: str | None) -> None:
    container = definition.container_configuration
    if definition.image is not None and container is not None and container.image != definition.image:
        raise invalid("'image' and 'container_configuration.image' differ.", "definition.image")
    has_image = definition.image is not None or container is not None
    if has_image == (definition.code_configuration is not None):
        raise invalid("Exactly one of 'container_configuration' and 'code_configuration' is required.", "definition")
    if has_image and code_hash is not None:
        raise invalid("A code upload needs 'code_configuration'.", "definition.code_configuration")
    if not has_image and code_hash is None:
        raise invalid("'code_configuration' needs a multipart upload of the code.", "definition.code_configuration")
    if has_image:
        kept.setdefault("container_configuration", {"image": definition.image})
        kept["image"] = kept["container_configuration"]["image"]
    else:
        kept["code_configuration"]["content_hash"] = code_hash


def _settle_protocols(definition: HostedDefinition, kept: dict[str, Any]) -> None:
    newer, older = definition.protocol_versions, definition.container_protocol_versions
    if newer is not None and older is not None and newer != older:
        raise invalid("'protocol_versions' and 'container_protocol_versions' differ.", "definition.protocol_versions")
    protocols = newer or older or [ProtocolVersion(protocol="responses", version="1.0.0")]
    kept["protocol_versions"] = [each.model_dump() for each in protocols]
    kept["container_protocol_versions"] = kept["protocol_versions"]
