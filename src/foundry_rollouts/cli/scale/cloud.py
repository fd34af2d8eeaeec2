"""A light Foundry: agents of two versions each, listed by pages, read and routed; each new routing is remembered.

It is for measuring: nothing is validated, and whatever a rollout's ticks do not ask for is a 404. The local Foundry
that behaves (``foundry-rollouts emulator``) costs more than the service that is to be measured.
"""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

STABLE, CANARY = "1", "2"
CREATED_AT = 1_780_000_000
LARGEST_PAGE = 100
#: Where the one who measures asks; no path of the cloud begins so.
CONTROL = "/_bench/"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Routed:
    """When an agent was sent new weights, by the clock that all processes of a machine share, and the canary's."""

    at: float
    agent: str
    canary: int


def name_of(number: int) -> str:
    """Return the name of an agent; names sort as their numbers."""
    return f"scale-{number:06}"


@dataclass(slots=True)
class Cloud:
    """The agents of one project, in memory."""

    weight: int = 10  #: The canary's, of each agent that is shown from now on.
    names: list[str] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    routed: list[Routed] = field(default_factory=list)
    _weights: dict[str, int] = field(default_factory=dict)
    _whole: dict[str, bytes] = field(default_factory=dict)  #: Each agent as it is sent; rendered once.

    def show(self, count: int) -> None:
        """Have so many agents from now on."""
        for number in range(len(self.names), count):
            self._route(name_of(number), self.weight)
            self.names.append(name_of(number))

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Return the status and the JSON that answer a request; ``path`` is without the project's."""
        parts = path.strip("/").split("/")
        match (method, *parts):
            case ("GET", "agents"):
                return self._counted("list", 200, self._page(query))
            case ("GET", "agents", agent) if agent in self._whole:
                return self._counted("get", 200, self._whole[agent])
            case ("GET", "agents", agent, "versions") if agent in self._whole:
                versions = [version(agent, CANARY), version(agent, STABLE)]
                return self._counted("versions", 200, _dumped({"object": "list", "data": versions, "has_more": False}))
            case ("GET", "agents", agent, "versions", number) if agent in self._whole and number in {STABLE, CANARY}:
                return self._counted("version", 200, _dumped(version(agent, number)))
            case ("PATCH", "agents", agent) if agent in self._whole:
                return self._counted("patch", 200, self._patched(agent, json.loads(body)))
            case _:
                return self._counted(
                    "other", 404, _dumped({"error": {"code": "not_found", "message": "no such thing"}})
                )

    def control(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        """Answer the one who measures."""
        self.weight = int(query.get("weight", self.weight))
        self.show(int(query.get("agents", 0)))
        since = int(query.get("since", len(self.routed)))
        report = {
            "agents": len(self.names),
            "processor": time.process_time(),
            "requests": self.requests,
            "routed": [[each.at, each.agent, each.canary] for each in self.routed[since:]],
            "total": len(self.routed),
        }
        return (200 if path == f"{CONTROL}report" else 404), _dumped(report)

    def _counted(self, operation: str, status: int, content: bytes) -> tuple[int, bytes]:
        self.requests[operation] += 1
        return status, content

    def _page(self, query: dict[str, str]) -> bytes:
        limit, after = min(int(query.get("limit", "20")), LARGEST_PAGE), query.get("after")
        begin = int(after.rpartition("-")[2]) + 1 if after else 0
        names = self.names[begin : begin + limit]
        has_more = begin + limit < len(self.names)
        ends = {"has_more": has_more, "first_id": names[0], "last_id": names[-1]} if names else {"has_more": False}
        head = _dumped({"object": "list", **ends})[:-1]
        return head + b',"data":[' + b",".join(self._whole[name] for name in names) + b"]}"

    def _patched(self, agent: str, patch: Json) -> bytes:
        rules = patch["agent_endpoint"]["version_selector"]["version_selection_rules"]
        weights = {rule["agent_version"]: rule["traffic_percentage"] for rule in rules}
        canary = weights.get(CANARY, 0)
        if canary != self._weights[agent]:
            self.routed.append(Routed(time.monotonic(), agent, canary))
        self._route(agent, canary)
        return self._whole[agent]

    def _route(self, agent: str, canary: int) -> None:
        self._weights[agent] = canary
        self._whole[agent] = _dumped(agent_shown(agent, canary))


def agent_shown(agent: str, canary: int) -> Json:
    """Return an agent as the cloud shows it (foundry-api.md, 2.1)."""
    weights = {STABLE: 100 - canary, CANARY: canary}
    rules = [
        {"type": "FixedRatio", "agent_version": number, "traffic_percentage": weight}
        for number, weight in weights.items()
        if weight
    ]
    return {
        "object": "agent",
        "id": agent,
        "name": agent,
        "state": "enabled",
        "configuration_state": "enabled",
        "versions": {"latest": version(agent, CANARY)},
        "agent_endpoint": {
            "version_selector": {"version_selection_rules": rules},
            "protocols": ["responses"],
            "protocol_configuration": {"responses": {}},
            "authorization_schemes": [{"type": "Entra"}],
        },
    }


def version(agent: str, number: str) -> Json:
    """Return a version as the cloud shows it (foundry-api.md, 2.2)."""
    return {
        "object": "agent.version",
        "id": f"{agent}:{number}",
        "name": agent,
        "version": number,
        "description": "",
        "created_at": CREATED_AT + int(number),
        "metadata": {},
        "status": "active",
        "definition": {
            "kind": "hosted",
            "cpu": "1",
            "memory": "2Gi",
            "container_configuration": {"image": f"registry.example/{agent}:{number}"},
            "protocol_versions": [{"protocol": "responses", "version": "2.0.0"}],
        },
    }


def _dumped(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
