"""Every route and every role: 401 without a token, 403 with too small a role, else an answer.

The routes come from the app, so that a new one is asked too; what it wants to be asked with stands in ``ASKED``.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from builders import NOON, a_policy, a_rollout
from fakes import FakeHealth, FakePolicies, FakeWake, a_store, stand
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.links import ApprovalLink, Links
from foundry_rollouts.ports import TargetShown
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web.access import Guarded, role_of
from foundry_rollouts.web.app import create_app
from foundry_rollouts.web.html import Page
from foundry_rollouts.web.services import Services
from unit.web.admitted import Admitted, admitted

#: Served to everybody, and why that is right.
OPEN = {
    "/healthz": "whether the process answers is seen by whether it answers",
    "/readyz": "an orchestrator shows no token; it is told no reasons",
    "/metrics": "has a setting of its own",
    "/api/openapi.json": "the same for everybody who installs us",
    "/static": "the same for everybody who installs us",
    "/problems/{name}": "the same for everybody who installs us",
    "/sign-in": "nobody has a role before they sign in",
    "/ui/sign-in": "checks the token that it is sent",
    "/ui/sign-in/entra": "sends the browser to the identity provider",
    "/ui/sign-in/entra/back": "checks what the identity provider says",
}

OUTCOME = {"id": "o-1", "agent": "support-agent", "version": "2", "at": NOON.isoformat(), "ok": True}
ABOUT = "0123456789abcdef"
LINKS = Links("http://127.0.0.1:8080", b"0123456789abcdef0123456789abcdef")
LINK = LINKS.to_approval(ApprovalLink("r-1", 2, ABOUT, NOON + timedelta(hours=1)))
PLACES = {
    "link": LINK.rpartition("/")[2],
    "rollout_id": "r-1",
    "agent_name": "support-agent",
    "token_id": "t-viewer",
    "target_name": "team",
    "policy_name": "support",
}
COMMAND = {"generation": 3}
FROM_US = {"Origin": "http://127.0.0.1:8080"}  #: As our own pages send forms.
HOLD = {"version": "1", "reason": "version 2 is too slow for the fair"}
#: What a route is asked with, by its path.
ASKED: dict[str, object] = {
    "/api/v1/rollouts": {"agent": "support-agent", "version": "3"},
    "/api/v1/outcomes": {"outcomes": [OUTCOME]},
    "/api/v1/tokens": {"owner": "ci", "role": "operator"},
    "/api/v1/line:stop": {"reason": "incident 4711", "until": "2026-03-02T18:00:00Z"},
    "/api/v1/line:start": {"reason": "incident 4711 is over"},
    "/api/v1/agents/{agent_name:path}:hold": HOLD,
    "/api/v1/agents/{agent_name}:hold": HOLD,
    "/api/v1/agents/{agent_name:path}:unhold": {"reason": "the fair is over"},
    "/api/v1/agents/{agent_name}:unhold": {"reason": "the fair is over"},
    "/ui/line:stop": {"reason": "incident 4711", "hours": "4"},
    "/ui/line:start": {"reason": "incident 4711 is over"},
    "/ui/holds:hold": {"agent": "support-agent", **HOLD},
    "/ui/holds:unhold": {"agent": "support-agent"},
}
#: Routes that want a rollout of another kind than one that is under way.
PHASES = {"resume": Phase.PAUSED, "retry": Phase.ROLLED_BACK, "acknowledge": Phase.ROLLED_BACK}
#: The steps of all rollouts: the second waits for an approval.
STEPS = (WeightStep(10), ApprovalStep(), WeightStep(100))


class ATarget:
    """A target that takes every message."""

    def shown(self) -> list[TargetShown]:
        return [TargetShown("team", "slack", "info", (), (), None)]

    async def test(self, name: str) -> None:
        """Take it."""


def declared() -> Iterator[tuple[str, str, Role | None]]:
    """Yield method, path and role of every route of the app."""
    for context in iter_route_contexts(create_app(a_service(None)).routes):
        route = context.original_route
        if isinstance(route, Guarded):
            for method in sorted(route.methods or ()):
                yield method, route.path, role_of(route).role


def a_service(store: object) -> Services:
    stop = asyncio.Event()
    stop.set()  # streams end at once
    return Services(
        store=store,  # type: ignore[arg-type]
        policies=FakePolicies(),
        health=FakeHealth(),
        metrics=Metrics("1.2.3"),
        wake=FakeWake(),
        now=lambda: NOON,
        stop=stop,
        targets=ATarget(),
    )


ROUTES = list(declared())
#: Pages send who is not known to the sign-in, and say in HTML what is not allowed.
PAGES = {
    context.path
    for context in iter_route_contexts(create_app(a_service(None)).routes)
    if isinstance(context.original_route, Page)
}


def test_every_route_is_guarded_or_open_with_a_reason() -> None:
    others = {
        context.original_route.path if isinstance(context.original_route, Mount) else context.path
        for context in iter_route_contexts(create_app(a_service(None)).routes)
        if not isinstance(context.original_route, Guarded)
    }
    assert others == set(OPEN)


def test_whoever_reads_views_and_whoever_changes_operates() -> None:
    exceptions = {(method, path, role) for method, path, role in ROUTES if role not in {Role.VIEWER, Role.OPERATOR}}
    assert exceptions == {
        ("GET", "/api/v1/me", None),
        ("POST", "/api/v1/outcomes", Role.CALLER),
        ("GET", "/api/v1/tokens", Role.ADMIN),
        ("POST", "/api/v1/tokens", Role.ADMIN),
        ("POST", "/api/v1/tokens/{token_id}:revoke", Role.ADMIN),
    }
    changes = {path for method, path, role in ROUTES if role is Role.VIEWER and method not in {"GET", "HEAD"}}
    assert changes == {"/ui/sign-out"}


@pytest.mark.parametrize(("method", "path", "needed"), ROUTES, ids=str)
async def test_who_may_and_who_may_not(method: str, path: str, needed: Role | None, tmp_path: Path) -> None:
    for role in (None, *Role):
        folder = tmp_path / str(role)
        folder.mkdir()
        async with a_store(folder) as store:
            web = await admitted(replace(a_service(store), links=LINKS))
            status = await asked(web, method, path, role)
        if role is None:
            assert status == (303 if path in PAGES else 401)
        elif needed is None or role.may(needed):
            assert 200 <= status < 400, f"{role}: {status}"
        else:
            assert status == 403, f"{role}: {status}"


def rollout_for(path: str) -> Rollout:
    """Return a rollout of which ``path`` can be asked."""
    phase = PHASES.get(path.rpartition(":")[2], Phase.PROGRESSING)
    return a_rollout(
        phase=phase,
        policy=a_policy(steps=STEPS),
        step=2,
        generation=3,
        started_at=NOON,
        step_started_at=NOON,
        ended_at=NOON if phase.is_final else None,
        waiting_for="a person: approve or abort",
        asked_about=ABOUT,
    )


async def asked(web: Admitted, method: str, path: str, role: Role | None) -> int:
    await stand(web.services.store, rollout_for(path))  # type: ignore[arg-type]
    where = re.sub(r"{(\w+)(?::path)?}", lambda found: PLACES[found[1]], path)
    body = None if method == "GET" else ASKED.get(path, COMMAND)
    async with web.as_role(role) if role else web.client() as client:
        sent = {"data": body, "headers": FROM_US} if path in PAGES and body else {"json": body}
        answer = await client.request(method, where, **sent)  # type: ignore[arg-type]
    if path in PAGES:
        where_to = answer.headers.get("location", "")
        assert role is not None or where_to.startswith("/sign-in?next=/")
        assert answer.status_code != 403 or f"the role {role}" in answer.text
    elif answer.status_code in {401, 403}:
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert ("www-authenticate" in answer.headers) is (answer.status_code == 401)
        assert role is None or f"the role {role}" in problem["detail"]
    return answer.status_code
