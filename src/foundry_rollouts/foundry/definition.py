"""Definitions of versions: what people choose, and both dialects of how the cloud writes it down."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from foundry_rollouts.errors import UsageError
from foundry_rollouts.ports import HOSTED, PROMPT

Json = Mapping[str, Any]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset(
    {
        "PORT",
        "HOME",
        "SSE_KEEPALIVE_INTERVAL",
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
    }
)
_RESERVED_PREFIXES = ("FOUNDRY_", "AGENT_")
_OLD_PROTOCOLS = {"activity_protocol": "activity"}
_IDLE = (timedelta(seconds=120), timedelta(seconds=14_400))


@dataclass(frozen=True, slots=True)
class Code:
    """A version made of source code: how the cloud runs it, and whether the libraries come along."""

    runtime: str = "python_3_13"
    entry_point: tuple[str, ...] = ("python", "main.py")
    is_bundled: bool = False  #: Libraries are in ``packages/``; otherwise the cloud installs the requirements.


@dataclass(frozen=True, slots=True)
class Definition:
    """What one version is: exactly one of ``image`` and ``code``, its size, protocols, environment."""

    image: str | None = None
    code: Code | None = None
    cpu: str = "1"
    memory: str = "2Gi"
    protocols: Mapping[str, str] = field(default_factory=lambda: {"responses": "2.0.0"})  #: Name to version.
    environment: Mapping[str, str] = field(default_factory=dict)
    idle_timeout: timedelta | None = None  #: None: the cloud's default, 15 minutes.


@dataclass(frozen=True, slots=True)
class PromptDefinition:
    """What a version of a prompt agent is, in the cloud's own words: ``model``, ``instructions``, ``tools``."""

    fields: Json

    @property
    def is_whole(self) -> bool:
        """Whether it names its model, the one thing that it cannot be without."""
        return bool(self.fields.get("model"))


@dataclass(frozen=True, slots=True)
class Labels:
    """What people write on a version; it changes nothing about how it runs."""

    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        described = {"description": self.description} if self.description is not None else {}
        return described | ({"metadata": dict(self.metadata)} if self.metadata else {})


def definition_json(definition: Definition | PromptDefinition) -> dict[str, Any]:
    """Write ``definition`` in the current dialect. Raises UsageError for what the cloud would refuse."""
    if isinstance(definition, PromptDefinition):
        if not definition.is_whole:
            raise UsageError("a prompt agent needs a model: name its deployment")
        return {**definition.fields, "kind": PROMPT}
    _refuse_bad(definition)
    json: dict[str, Any] = {
        "kind": HOSTED,
        "cpu": definition.cpu,
        "memory": definition.memory,
        "protocol_versions": [{"protocol": name, "version": v} for name, v in definition.protocols.items()],
    }
    if definition.image is not None:
        json["container_configuration"] = {"image": definition.image}
    if definition.code is not None:
        json["code_configuration"] = {
            "runtime": definition.code.runtime,
            "entry_point": list(definition.code.entry_point),
            "dependency_resolution": "bundled" if definition.code.is_bundled else "remote_build",
        }
    if definition.environment:
        json["environment_variables"] = dict(definition.environment)
    if definition.idle_timeout is not None:
        json["session_configuration"] = {"idle_timeout_seconds": int(definition.idle_timeout.total_seconds())}
    return json


def is_reserved(variable: str) -> bool:
    """Whether the cloud keeps an environment variable for itself."""
    return variable in _RESERVED or variable.startswith(_RESERVED_PREFIXES)


def _refuse_bad(definition: Definition) -> None:
    if (definition.image is None) == (definition.code is None):
        raise UsageError("a version is made of an image or of code: name exactly one of them")
    if not definition.protocols:
        raise UsageError("no protocol: name at least one, for example responses 2.0.0")
    for name in definition.environment:
        if not _VARIABLE.fullmatch(name):
            raise UsageError(f"{name!r} is no name for an environment variable: letters, digits and _ only")
        if is_reserved(name):
            raise UsageError(f"environment variable {name} is reserved by the cloud: choose another name")
    if definition.idle_timeout is not None and not _IDLE[0] <= definition.idle_timeout <= _IDLE[1]:
        raise UsageError("idle timeout: between 2 minutes and 4 hours")


def definition_seen(json: Json) -> Definition:
    """Read a definition in either dialect; what is missing takes the default."""
    container = json.get("container_configuration") or {}
    code = json.get("code_configuration")
    idle = (json.get("session_configuration") or {}).get("idle_timeout_seconds")
    return Definition(
        image=container.get("image") or json.get("image"),
        code=_code(code) if code else None,
        cpu=str(json.get("cpu") or ""),
        memory=str(json.get("memory") or ""),
        protocols={rule["protocol"]: rule["version"] for rule in _protocols(json)},
        environment=dict(json.get("environment_variables") or {}),
        idle_timeout=timedelta(seconds=float(idle)) if idle is not None else None,
    )


def _code(json: Json) -> Code:
    return Code(
        runtime=str(json.get("runtime") or ""),
        entry_point=tuple(str(word) for word in json.get("entry_point") or ()),
        is_bundled=json.get("dependency_resolution") == "bundled",
    )


def _protocols(json: Json) -> list[dict[str, str]]:
    rules = json.get("protocol_versions") or json.get("container_protocol_versions") or []
    return [
        {
            "protocol": _OLD_PROTOCOLS.get(str(rule.get("protocol")), str(rule.get("protocol"))),
            "version": str(rule.get("version") or ""),
        }
        for rule in rules
    ]


def rewritten(json: Json) -> dict[str, Any]:
    """Return a definition as the cloud sent it, ready to be sent again: current dialect, nothing read-only.

    Members that are not known here stay as they are.
    """
    fresh = {key: value for key, value in json.items() if value is not None}
    image, protocols = fresh.pop("image", None), _protocols(json)
    fresh.pop("container_protocol_versions", None)
    if image and not fresh.get("container_configuration") and not fresh.get("code_configuration"):
        fresh["container_configuration"] = {"image": image}
    if protocols:
        fresh["protocol_versions"] = protocols
    if code := fresh.get("code_configuration"):
        fresh["code_configuration"] = {key: value for key, value in code.items() if key != "content_hash"}
    return fresh
