"""Whether a version that somebody names can be one, and is one."""

import asyncio
import re
from collections.abc import Sequence
from datetime import timedelta

from foundry_rollouts.errors import CloudError, NotFoundError, UsageError
from foundry_rollouts.ports import Catalogue, VersionSeen

#: A cloud that does not answer within this time keeps nobody from starting.
LIST_WITHIN = timedelta(seconds=3)
NEAREST = 3
UNCHECKED = "its existence is not checked, because the cloud does not answer"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def refuse_id(version: str) -> None:
    """Raise UsageError for what can be no version's id, and would read another path of the cloud."""
    if not _ID.fullmatch(version):
        raise UsageError(
            "this is no version id: it begins with a letter or digit, and holds letters, digits, '.', '_' and '-' only;"
            " write it as the cloud does, for example 7"
        )


async def seen_version(catalogue: Catalogue, agent: str, version: str) -> VersionSeen | None:
    """Return ``version`` as the cloud shows it; None: the cloud does not answer.

    Raises NotFoundError, with the nearest versions, when it has none.
    """
    try:
        async with asyncio.timeout(LIST_WITHIN.total_seconds()):
            return await catalogue.version(agent, version)
    except (CloudError, TimeoutError) as error:
        if not isinstance(error, CloudError) or not error.is_missing:
            return None
    raise NotFoundError(f"agent {agent} has no version {version}{await _nearest(catalogue, agent, version)}")


async def _nearest(catalogue: Catalogue, agent: str, version: str) -> str:
    try:
        async with asyncio.timeout(LIST_WITHIN.total_seconds()):
            found = nearest(version, [each.version for each in await catalogue.versions(agent)])
    except (CloudError, TimeoutError):
        return ""
    return f": the nearest are {', '.join(found)}" if found else ": it has none at all"


def nearest(version: str, there: Sequence[str]) -> list[str]:
    """Return the versions of ``there`` that are nearest to ``version``: by number, else the newest."""
    if version.isdigit():
        numbers = sorted((int(each) for each in there if each.isdigit()), key=lambda each: abs(each - int(version)))
        if numbers:
            return [str(each) for each in sorted(numbers[:NEAREST])]
    return list(there[:NEAREST])
