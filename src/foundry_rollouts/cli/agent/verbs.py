"""The commands of ``agent``, in the order of the help."""

from foundry_rollouts.cli.agent.create import creating
from foundry_rollouts.cli.agent.delete import removing
from foundry_rollouts.cli.agent.deploy import deploying
from foundry_rollouts.cli.agent.download import fetching
from foundry_rollouts.cli.agent.grant import granting
from foundry_rollouts.cli.agent.invoke import invoking
from foundry_rollouts.cli.agent.list import looking
from foundry_rollouts.cli.agent.logs import reading
from foundry_rollouts.cli.agent.routing import routing
from foundry_rollouts.cli.agent.sessions import sessions
from foundry_rollouts.cli.commands import group

agent = group("Deploy, route, call and look at hosted agents; every change is the project's at once.")

for _part in (looking, deploying, creating, fetching, removing, routing, invoking, reading, granting):
    agent.add_typer(_part)
agent.add_typer(sessions, name="sessions")
