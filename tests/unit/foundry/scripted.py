"""A cloud that answers from a script, and remembers what it was asked."""

import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import httpx

from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.retry import RetryBudget

ENDPOINT = "http://127.0.0.1:1/api/projects/p"
AT_ONCE = RetryBudget(
    first=timedelta(0), most=timedelta(0), jitter=timedelta(0), slow=timedelta(0), total=timedelta(seconds=30)
)

Step = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Script:
    """Answers each request with the next step; one step too many is an error of the test."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self._steps = list(steps)
        self.asked: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        # A copy: the client may change the headers of this one and send it again.
        self.asked.append(httpx.Request(request.method, request.url, headers=request.headers.copy(), content=content))
        assert self._steps, f"nobody expected {request.method} {request.url}"
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, httpx.Response) else step(request)

    @property
    def is_over(self) -> bool:
        return not self._steps

    @property
    def lines(self) -> list[str]:
        """What was asked: method, path behind the project, query without the interface's version."""
        found = []
        for request in self.asked:
            assert request.url.params["api-version"]
            query = request.url.params.remove("api-version")
            path = request.url.raw_path.decode().partition("?")[0].removeprefix("/api/projects/p")
            found.append(f"{request.method} {path}" + (f"?{query}" if query else ""))
        return found

    def body(self, index: int = -1) -> Any:
        return json.loads(self.asked[index].content)


def scripted(*steps: Step, retries: RetryBudget = AT_ONCE) -> tuple[FoundryClient, Script]:
    """Return a client and the script it talks to."""
    script = Script(steps)
    client = FoundryClient(ENDPOINT, FixedToken(), retries=retries, wire=httpx.MockTransport(script))
    return client, script


def ok(value: Any = None, status: int = 200, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return httpx.Response(status, json={} if value is None else value, headers=named)


def refused(status: int, code: str | None = None, message: str = "no", **headers: str) -> httpx.Response:
    return ok({"error": {"code": code, "message": message}}, status, **headers)


def an_agent(name: str = "a", rules: dict[str, int] | None = None, latest: str = "1", **but: Any) -> dict[str, Any]:
    selector = [
        {"type": "FixedRatio", "agent_version": version, "traffic_percentage": weight}
        for version, weight in (rules or {"@latest": 100}).items()
    ]
    return {
        "object": "agent",
        "id": name,
        "name": name,
        "state": "enabled",
        "versions": {"latest": a_version(latest)},
        "agent_endpoint": {"version_selector": {"version_selection_rules": selector}},
        **but,
    }


def a_version(version: str = "1", status: str = "active", **but: Any) -> dict[str, Any]:
    return {"object": "agent.version", "name": "a", "version": version, "status": status, **but}


def a_session(session: str = "session-1", version: str = "1", status: str = "active") -> dict[str, Any]:
    return {
        "agent_session_id": session,
        "version_indicator": {"type": "version_ref", "agent_version": version},
        "status": status,
        "created_at": 1_780_000_000,
    }
