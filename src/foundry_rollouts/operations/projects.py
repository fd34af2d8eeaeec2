"""Which projects a database is of: agents of one name must never be taken for one another.

A database is of the projects that a service watched first. One more may come, and one may go: its agents stay
remembered. Which project a name is for never changes by itself, and no project has two names.
"""

from collections.abc import Mapping
from datetime import datetime

from foundry_rollouts.errors import UsageError
from foundry_rollouts.ports.projects import BoundProjects, ProjectBinding

_OWN = "Give this service a database of its own"


async def bind(store: ProjectBinding, wanted: Mapping[str, str], database: str, now: datetime) -> tuple[str, ...]:
    """Let the database be of the projects that are ``wanted``, by name what tells each from others.

    Return the names of projects that it is of and that are not wanted any more. Raises UsageError for a database of
    others, StoreError while it is away.
    """
    while True:
        known = await store.projects()
        if why := refusal(known, wanted):
            raise UsageError(f"the database {database} {why}")
        missing = next((name for name in wanted if name not in known.several), None)
        if missing is None:
            return tuple(name for name in known.several if name not in wanted)
        # Another service may take the place meanwhile: what it is of then is read and judged again.
        await store.add_project(missing, wanted[missing], known.count + 1, now)


def refusal(known: BoundProjects, wanted: Mapping[str, str]) -> str | None:
    """Return why a database that is of ``known`` may not be used; None: it may."""
    if known.only is not None:
        name = next((name for name, identity in wanted.items() if identity == known.only), None)
        how = f" or name its agents by project: foundry-rollouts db project --name {name}" if name else ""
        return (
            f"knows the agents of project {known.only} by their plain names, and this service names them by project"
            f" ({', '.join(wanted)}): one agent would get two rollouts. {_OWN},{how}"
            if how
            else f"is of project {known.only}, which is none of those that this service watches"
            f" ({', '.join(wanted)}). {_OWN}"
        )
    if known.several and not known.several.keys() & wanted.keys():
        return (
            f"is of projects {', '.join(known.several)}, and this service watches none of them ({', '.join(wanted)})."
            f" {_OWN}"
        )
    names = {identity: name for name, identity in known.several.items()}
    for name, identity in wanted.items():
        before = known.several.get(name, identity)
        if before != identity:
            return (
                f"knows {before} as project {name}, and this service watches {identity} by that name: agents of one"
                " name would be taken for one another. Choose another name; where it is the same project under"
                f" another address, run: foundry-rollouts db project URL --name {name}"
            )
        if names.get(identity, name) != name:
            return (
                f"knows {identity} as project {names[identity]}, and this service calls it {name}: its agents would"
                f" get two names, and two rollouts. Call it {names[identity]}"
            )
    return None
