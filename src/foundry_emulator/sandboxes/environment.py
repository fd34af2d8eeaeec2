"""The environment an agent finds, as the container contract lists it."""

import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from foundry_emulator.records import AgentRecord, SessionRecord, VersionRecord
from foundry_emulator.tokens import SUBSCRIPTION, TENANT

_PLACEHOLDER = re.compile(r"\$\{\{.*?\}\}")
_NAMESPACE = uuid.UUID(TENANT)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Whose environment it is and where its files are."""

    agent: AgentRecord
    version: VersionRecord
    session: SessionRecord
    home: Path
    base_url: str


def environment_of(where: Surroundings, port: int, packages: Path | None) -> dict[str, str]:
    """Return the whole environment of an agent: nothing of the emulator's own but PATH and the locale."""
    agent = where.agent
    session_id = where.session.key.id
    injected = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PORT": str(port),
        "HOME": str(where.home),
        # Empty means not hosted: the container libraries then keep their storage local.
        "FOUNDRY_HOSTING_ENVIRONMENT": "",
        "FOUNDRY_PROJECT_ENDPOINT": f"{where.base_url}/api/projects/{agent.key.project}",
        "FOUNDRY_PROJECT_ARM_ID": _arm_id(agent.key.project),
        "FOUNDRY_AGENT_NAME": agent.key.name,
        "FOUNDRY_AGENT_VERSION": where.version.version,
        "FOUNDRY_AGENT_ID": agent.guid,
        "FOUNDRY_AGENT_SESSION_ID": session_id,
        "FOUNDRY_AGENT_SESSION_GUID": uuid.uuid5(_NAMESPACE, session_id).hex,
        "FOUNDRY_AGENT_INSTANCE_CLIENT_ID": agent.instance.client_id,
        "FOUNDRY_AGENT_BLUEPRINT_CLIENT_ID": agent.blueprint.client_id,
        "FOUNDRY_AGENT_TENANT_ID": TENANT,
        "SSE_KEEPALIVE_INTERVAL": "15",
        "WS_KEEPALIVE_INTERVAL": "15",
    }
    if packages is not None:
        injected["PYTHONPATH"] = str(packages)
    return {**_own_variables(where.version), **injected}


def _own_variables(version: VersionRecord) -> dict[str, str]:
    variables = version.definition.get("environment_variables", {})
    # The local Foundry has no connections, and a connection that is missing gives an empty value.
    return {name: _PLACEHOLDER.sub("", value) for name, value in variables.items()}


def _arm_id(project: str) -> str:
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/local"
    return f"{group}/providers/Microsoft.CognitiveServices/accounts/local/projects/{project}"
