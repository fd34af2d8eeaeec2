"""Rollouts that ended badly and that nobody acknowledged: what users have, what was released, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from foundry_rollouts.cli.agent.project import known_as
from foundry_rollouts.cli.errors import ENDED_BADLY
from foundry_rollouts.cli.output import Column, Item, say
from foundry_rollouts.errors import RolloutsError

BAD_ENDS = Column("not acknowledged", lambda item: (item["unacknowledged"] or {}).get("because"))


async def on_top(agents: Sequence[Mapping[str, Any]], server: str) -> list[Item]:
    """Return ``agents`` with what the service at ``server`` says of them; those that need somebody come first."""
    from foundry_rollouts.cli.api import OpsApi

    bad: dict[str, Mapping[str, Any]] = {}
    try:
        async with OpsApi.at(server) as api:
            bad = {str(each["name"]): found for each in await api.agents() if (found := _bad_end(each))}
    except RolloutsError as error:
        _not_known(error)
    items = [{**agent, "unacknowledged": bad.get(known_as(agent["name"]))} for agent in agents]
    return sorted(items, key=lambda item: item["unacknowledged"] is None)


async def bad_end_of(agent: str, server: str, *, must_know: bool) -> dict[str, Any]:
    """Return what of ``agent`` waits to be acknowledged. Raises as the service answers when that ``must_know``."""
    from foundry_rollouts.cli.api import OpsApi

    try:
        async with OpsApi.at(server) as api:
            known = await api.in_hand(known_as(agent))
    except RolloutsError as error:
        if must_know:
            raise
        _not_known(error)
        known = None
    if known is None and must_know:
        raise RolloutsError(f"the service at {server} does not know agent {agent}: check --server and the name")
    return {"unacknowledged": _bad_end(known) if known else None}


def said_of(item: Item) -> int:
    """Return the exit code of a check; what is not acknowledged is an error that says what to do."""
    bad = item["unacknowledged"]
    if bad is None:
        return 0
    do = f"'foundry-rollouts rollout acknowledge {bad['rollout']}' says that you know"
    say(f"error: {item['name']}: {bad['because']}; {do}", err=True)
    return ENDED_BADLY


def _bad_end(agent: Mapping[str, Any]) -> dict[str, Any] | None:
    ended = agent.get("unacknowledged")
    if not ended:
        return None
    because = agent.get("unacknowledged_because") or ended["because"]
    named = {name: ended[name] for name in ("phase", "canary", "stable", "ended_at")}
    return {"rollout": ended["id"], **named, "because": because}


def _not_known(error: RolloutsError) -> None:
    say(f"{error}; what is not acknowledged is not known", err=True)
