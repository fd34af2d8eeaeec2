"""The commands of ``agent``, in the order of the help."""

from foundry_rollouts.cli.agent.create import create_commands
from foundry_rollouts.cli.agent.delete import delete_commands
from foundry_rollouts.cli.agent.deploy import deploy_commands
from foundry_rollouts.cli.agent.download import download_commands
from foundry_rollouts.cli.agent.grant import grant_commands
from foundry_rollouts.cli.agent.hold import hold_commands
from foundry_rollouts.cli.agent.invoke import invoke_commands
from foundry_rollouts.cli.agent.list import list_commands
from foundry_rollouts.cli.agent.logs import logs_commands
from foundry_rollouts.cli.agent.protocols import protocols_commands
from foundry_rollouts.cli.agent.routing import routing
from foundry_rollouts.cli.agent.sessions import sessions
from foundry_rollouts.cli.commands import group

agent = group("Deploy, route, call and inspect agents; every change applies to the project at once.")

for _part in (
    list_commands,
    deploy_commands,
    create_commands,
    download_commands,
    delete_commands,
    routing,
    hold_commands,
    protocols_commands,
    invoke_commands,
    logs_commands,
    grant_commands,
):
    agent.add_typer(_part)
agent.add_typer(sessions, name="sessions")
