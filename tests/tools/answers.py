"""Record the examples of answers in the OpenAPI text from the app itself: ``python -m tools.answers`` in tests/.

A test checks that each operation has one, and that each is as the operation's schema says.
"""

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from builders import NOON
from component.web.test_web_role_matrix import ASKED, COMMAND, HOLD, PLACES, a_service, rollout_for
from fakes import a_store, record, stand
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.ports import Record
from foundry_rollouts.web.app import create_app
from foundry_rollouts.web.examples import ANSWERS, is_json
from unit.web.admitted import admitted
from unit.web.served import client_of

SECRET = "frt_shown-this-once-and-kept-nowhere-0123456789a"
#: Asked twice, these answer differently.
TWICE = {"/api/v1/rollouts", "/api/v1/tokens"}
#: What is shown while the line is stopped and an agent is held.
BRAKED = {"/api/v1/line", "/api/v1/line:start", "/api/v1/holds", "/api/v1/agents/{agent_name}:unhold"}
KEYS = {"/api/v1/tokens": {"Idempotency-Key": "build 41"}}


async def answers() -> AsyncIterator[tuple[str, int, Any]]:
    """Yield operation, status and answer of every operation that answers with JSON."""
    described = create_app(a_service(None)).openapi()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if any(is_json(answer) for answer in operation["responses"].values()):
                async for status, answer in _asked(method, path):
                    yield f"{method.upper()} {path}", status, answer


async def _asked(method: str, path: str) -> AsyncIterator[tuple[int, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        async with a_store(Path(folder)) as store:
            services = replace(a_service(store), is_open=True)
            await admitted(services)
            rollout = await stand(store, rollout_for(path))
            window = Window(NOON, NOON + timedelta(seconds=10))
            counted = Measurement("probe", window, Counts(4), Counts(5, 1, causes=(("HTTP 500", 1),)))
            await record(store, rollout.agent, Record(rollout=rollout, measurements=(counted,)))
            where = re.sub(r"{(\w+)}", lambda found: PLACES[found[1]], path)
            async with client_of(services) as client:
                if path == "/api/v1/audit":
                    await client.post("/api/v1/rollouts/r-1:approve", json=COMMAND)
                if path in BRAKED:
                    await client.post("/api/v1/line:stop", json=ASKED["/api/v1/line:stop"])
                    await client.post("/api/v1/agents/support-agent:hold", json=HOLD)
                for _ in range(2 if method == "post" and path in TWICE else 1):
                    body = {} if method == "get" else {"json": ASKED.get(path, COMMAND)}
                    answer = await client.request(method, where, headers=KEYS.get(path, {}), **body)  # type: ignore[arg-type]
                    assert answer.is_success, (method, path, answer.text)
                    yield answer.status_code, answer.json()


async def main() -> None:
    """Write the file."""
    found: dict[str, dict[str, Any]] = {}
    async for operation, status, answer in answers():
        if "secret" in answer:
            answer["secret"] = SECRET
        found.setdefault(operation, {})[str(status)] = answer
    ANSWERS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    asyncio.run(main())
