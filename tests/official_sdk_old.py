"""Performs the plays of the official SDK 2.1.0, in an environment of that SDK's own, and says what came of each.

``python -m official_sdk_old async http://127.0.0.1:8090 [AUTHORITY]`` writes one JSON object.
"""

# ruff: noqa: T201 - its output is what it is for
import asyncio
import json
import sys
import traceback
from pathlib import Path
from typing import Any

from azure.ai.projects.operations import AgentsOperations, BetaAgentsOperations

import official_sdk_old_plays  # noqa: F401
from official_sdk_documented import PLAYS
from official_sdk_flavours import Combination, visitors


async def performed(combination: Combination, name: str) -> dict[str, Any]:
    """Perform one play and return what it showed, what it came to, and the error that broke it off."""
    perform, shown = PLAYS[name]
    async with visitors(combination) as both:
        try:
            await perform(both)
        except Exception:  # noqa: BLE001 - the test shows it
            return {"shown": sorted(shown), "outcomes": sorted(both.sdk.outcomes), "error": traceback.format_exc()}
        return {"shown": sorted(shown), "outcomes": sorted(both.sdk.outcomes), "error": None}


async def main(flavour: str, base_url: str, authority: str | None = None) -> None:
    combination = Combination(flavour == "async", base_url, Path(authority) if authority else None, is_preview=True)
    plays = dict(zip(PLAYS, await asyncio.gather(*(performed(combination, name) for name in PLAYS)), strict=True))
    operations = {"agents": AgentsOperations, "beta.agents": BetaAgentsOperations}
    offered = [f"{path}.{name}" for path, kind in operations.items() for name in dir(kind) if not name.startswith("_")]
    print(json.dumps({"plays": plays, "offered": offered}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
