"""How the tests of the ops API ask for things."""

import asyncio

import httpx

from builders import NOON, a_rollout
from foundry_rollouts.core.model.rollout import Phase
from unit.web.served import Web

PROGRESSING = a_rollout(phase=Phase.PROGRESSING, step=1, generation=3, started_at=NOON, step_started_at=NOON)


START = {"agent": "support-agent", "version": "2"}


def command(web: Web, verb: str, generation: int = 3, **more: str) -> asyncio.Future[httpx.Response]:
    sent = web.client.post(f"/api/v1/rollouts/r-1:{verb}", json={"generation": generation, **more})
    return asyncio.ensure_future(sent)
