# "Manage hosted agents": its Python, on the SDK release that it names. The steps share their variables.
# Given from outside: PROJECT_ENDPOINT, in place of a reader's project; az is signed in or a managed identity is there.
# ruff: noqa

# step: open the project
import os

from azure.ai.projects import AIProjectClient
from azure.identity import DefaultAzureCredential

project = AIProjectClient(
    endpoint=os.environ["PROJECT_ENDPOINT"],
    credential=DefaultAzureCredential(),
)

# step: create a version
from azure.ai.projects.models import HostedAgentDefinition, ProtocolVersionRecord


def a_definition(tag):
    return HostedAgentDefinition(
        cpu="1",
        memory="2Gi",
        image=f"myregistry.azurecr.io/my-agent:{tag}",
        container_protocol_versions=[
            ProtocolVersionRecord(protocol="responses", version="1.0.0"),
        ],
    )


agent = project.agents.create_version(agent_name="my-agent", definition=a_definition("v1"))
assert agent.version == "1", agent
agent = project.agents.create_version(agent_name="my-agent", definition=a_definition("v2"))
print(f"Created version: {agent.version}")
assert agent.version == "2", agent

# step: wait until the version is active
import time


def wait_for_version_active(project, agent_name, agent_version, max_attempts=60):
    for attempt in range(max_attempts):
        time.sleep(10)
        version = project.agents.get_version(agent_name=agent_name, agent_version=agent_version)
        status = version["status"]
        print(f"Version status: {status} (attempt {attempt + 1})")
        if status == "active":
            return
        if status == "failed":
            raise RuntimeError(f"Version provisioning failed: {dict(version)}")
    raise RuntimeError("Timed out waiting for version to become active")


wait_for_version_active(project, "my-agent", "2")

# step: list all agents of the project
names = [agent.name for agent in project.agents.list()]
assert names == ["my-agent"], names

# step: read an agent
agent = project.agents.get(agent_name="my-agent")
print(f"Name: {agent.name}")
print(f"Status: {agent.versions['latest']['status']}")
assert (agent.name, agent.versions["latest"]["status"]) == ("my-agent", "active")

# step: read a version
agent_version = project.agents.get_version(agent_name="my-agent", agent_version="1")
print(f"Version: {agent_version.version}")
print(f"Status: {agent_version['status']}")
assert (agent_version.version, agent_version["status"]) == ("1", "active")

# step: list all versions
found = {version.version: version["status"] for version in project.agents.list_versions(agent_name="my-agent")}
assert found == {"1": "active", "2": "active"}, found

# step: route the endpoint to one version
from azure.ai.projects.models import (
    AgentEndpoint,
    AgentEndpointProtocol,
    FixedRatioVersionSelectionRule,
    VersionSelector,
)

endpoint_config = AgentEndpoint(
    version_selector=VersionSelector(
        version_selection_rules=[
            FixedRatioVersionSelectionRule(agent_version="1", traffic_percentage=100),
        ]
    ),
    protocols=[AgentEndpointProtocol.RESPONSES],
)
project.beta.agents.patch_agent_details(
    agent_name="my-agent",
    agent_endpoint=endpoint_config,
)
endpoint = project.agents.get(agent_name="my-agent")["agent_endpoint"]
rules = [
    (rule["agent_version"], rule["traffic_percentage"])
    for rule in endpoint["version_selector"]["version_selection_rules"]
]
assert rules == [("1", 100)], rules

# step: read the principal of the agent's identity
import uuid

agent = project.agents.get(agent_name="my-agent")
agent_identity = agent.instance_identity["principal_id"]
print(f"Agent identity principal ID: {agent_identity}")
uuid.UUID(agent_identity)

# step: delete a version
deleted = project.agents.delete_version(agent_name="my-agent", agent_version="2")
assert deleted["deleted"], deleted

# step: delete the agent and all its versions
project.agents.delete(agent_name="my-agent")
assert list(project.agents.list()) == []
