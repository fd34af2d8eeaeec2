"""The commands of ``agent``, in the order of the help."""

from foundry_rollouts.cli.agent.creating import creating
from foundry_rollouts.cli.agent.deploying import deploying
from foundry_rollouts.cli.agent.fetching import fetching
from foundry_rollouts.cli.agent.granting import granting
from foundry_rollouts.cli.agent.invoking import invoking
from foundry_rollouts.cli.agent.looking import looking
from foundry_rollouts.cli.agent.reading import reading
from foundry_rollouts.cli.agent.removing import removing
from foundry_rollouts.cli.agent.routing import routing
from foundry_rollouts.cli.agent.sessions import sessions
from foundry_rollouts.cli.commands import group

agent = group("Deploy, route, call and look at hosted agents; every change is the project's at once.")

for _part in (looking, deploying, creating, fetching, removing, routing, invoking, reading, granting):
    agent.add_typer(_part)
agent.add_typer(sessions, name="sessions")
