"""Tokens through the API, readiness and metrics for those who may."""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from builders import NOON
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.operations.tokens import person_with
from foundry_rollouts.web.app import create_metrics_app
from foundry_rollouts.web.services import Services
from unit.web.admitted import Admitted, a_secret, admitted
from unit.web.served import client_of


@pytest.fixture
async def people(services: Services) -> Admitted:
    return await admitted(services)


async def test_a_token_is_shown_once_and_opens_what_its_role_may(people: Admitted) -> None:
    async with people.as_role(Role.ADMIN) as admin:
        made = await admin.post("/api/v1/tokens", json={"owner": "ci", "role": "viewer"})
        assert made.status_code == 201
        secret = made.json()["secret"]
        assert re.fullmatch(r"frt_[\w-]{43}", secret)
        assert made.json()["expires_at"] == (NOON + timedelta(days=90)).isoformat().replace("+00:00", "Z")
        listed = await admin.get("/api/v1/tokens")
        assert "ci" in [each["owner"] for each in listed.json()["items"]]
        assert secret not in listed.text
    async with people.client(secret) as client:
        assert (await client.get("/api/v1/agents")).status_code == 200
        assert (await client.get("/api/v1/tokens")).status_code == 403


async def test_the_same_key_again_makes_no_second_token_and_shows_no_secret(people: Admitted) -> None:
    wanted, key = {"owner": "ci", "role": "viewer"}, {"Idempotency-Key": "build 41"}
    async with people.as_role(Role.ADMIN) as admin:
        made = await admin.post("/api/v1/tokens", json=wanted, headers=key)
        again = await admin.post("/api/v1/tokens", json=wanted, headers=key)
        other = await admin.post("/api/v1/tokens", json={**wanted, "role": "admin"}, headers=key)
        apart = await admin.post("/api/v1/tokens", json=wanted, headers={"Idempotency-Key": "build 42"})
        listed = (await admin.get("/api/v1/tokens")).json()["items"]
    assert (made.status_code, again.status_code, other.status_code, apart.status_code) == (201, 200, 409, 201)
    described = made.json()
    assert described.pop("secret")
    assert again.json() == described
    assert described["id"] in other.json()["detail"]
    assert len([each for each in listed if each["owner"] == "ci"]) == 2


async def test_of_two_that_ask_under_one_key_at_once_one_makes_the_token(people: Admitted) -> None:
    wanted, key = {"owner": "ci", "role": "viewer"}, {"Idempotency-Key": "build 41"}
    async with people.as_role(Role.ADMIN) as admin:
        asked = [admin.post("/api/v1/tokens", json=wanted, headers=key) for _ in range(4)]
        made = await asyncio.gather(*asked)
        listed = (await admin.get("/api/v1/tokens")).json()["items"]
    assert sorted(each.status_code for each in made).count(201) == 1
    assert {each.status_code for each in made} <= {200, 201, 409}
    assert len([each for each in listed if each["owner"] == "ci"]) == 1


async def test_tokens_come_in_pages(people: Admitted) -> None:
    async with people.as_role(Role.ADMIN) as admin:
        whole = (await admin.get("/api/v1/tokens")).json()
        first = (await admin.get("/api/v1/tokens", params={"limit": 3})).json()
        second = (await admin.get("/api/v1/tokens", params={"limit": 3, "before": first["next"]})).json()
        assert (await admin.get("/api/v1/tokens", params={"before": "nothing"})).status_code == 404
    assert [each["id"] for each in first["items"] + second["items"]] == [each["id"] for each in whole["items"]]
    assert (len(first["items"]), second["next"], whole["next"]) == (3, None, None)


@pytest.mark.parametrize("role", list(Role))
async def test_everybody_who_is_known_may_ask_who_they_are(people: Admitted, role: Role) -> None:
    async with people.as_role(role) as client:
        assert (await client.get("/api/v1/me")).json() == {"name": f"the {role}", "role": role, "way": "token"}
    async with people.client() as nobody:
        assert (await nobody.get("/api/v1/me")).status_code == 401


async def test_who_shows_nothing_on_an_open_machine_is_an_admin(services: Services) -> None:
    async with client_of(services) as client:
        assert (await client.get("/api/v1/me")).json() == {"name": "api", "role": "admin", "way": "loopback"}


async def test_a_token_may_last_for_ever_when_somebody_says_so(people: Admitted) -> None:
    async with people.as_role(Role.ADMIN) as admin:
        made = await admin.post("/api/v1/tokens", json={"owner": "ci", "role": "viewer", "days": None})
    assert made.json()["expires_at"] is None


@pytest.mark.parametrize(
    "wanted",
    [{}, {"owner": "ci"}, {"owner": "", "role": "viewer"}, {"owner": "a\nb", "role": "viewer"},
     {"owner": "ci", "role": "root"}, {"owner": "ci", "role": "viewer", "days": 0},
     {"owner": "ci", "role": "viewer", "secret": "mine"}],
)  # fmt: skip
async def test_a_wish_that_makes_no_sense_is_refused(people: Admitted, wanted: dict[str, Any]) -> None:
    async with people.as_role(Role.ADMIN) as admin:
        assert (await admin.post("/api/v1/tokens", json=wanted)).status_code == 422


async def test_a_revoked_token_opens_nothing_from_the_next_request_on(people: Admitted) -> None:
    async with people.as_role(Role.ADMIN) as admin, people.as_role(Role.VIEWER) as viewer:
        assert (await viewer.get("/api/v1/agents")).status_code == 200
        revoked = await admin.post("/api/v1/tokens/t-viewer:revoke", json={})
        assert (revoked.status_code, revoked.json()["is_valid"]) == (200, False)
        refused = await viewer.get("/api/v1/agents")
        assert refused.status_code == 401
        assert refused.json()["detail"] == "the token t-viewer of the viewer was revoked: ask an admin for another"
        assert (await admin.post("/api/v1/tokens/t-nothing:revoke", json={})).status_code == 404


async def test_an_expired_token_opens_nothing(services: Services) -> None:
    secret = await a_secret(services, expires_at=NOON)
    async with (await admitted(services)).client(secret) as client:
        refused = await client.get("/api/v1/agents")
    assert (refused.status_code, "has expired" in refused.json()["detail"]) == (401, True)


async def test_the_last_use_is_noted_to_the_minute(services: Services) -> None:
    secret = await a_secret(services)
    for seconds, noted in ((0, 0), (59, 0), (60, 60)):
        at = NOON + timedelta(seconds=seconds)
        await person_with(services.store, secret, at)
        assert (await services.store.token("t-1")).last_used_at == NOON + timedelta(seconds=noted)


async def test_the_history_names_whose_token_it_was(people: Admitted) -> None:
    start = {"agent": "support-agent", "version": "2", "author": "ann"}
    async with people.as_role(Role.OPERATOR) as client:
        assert (await client.post("/api/v1/rollouts", json=start)).json()["author"] == "ann via the operator"


async def test_reasons_of_readiness_are_for_viewers(people: Admitted) -> None:
    async with people.client() as nobody, people.as_role(Role.CALLER) as caller, people.as_role(Role.VIEWER) as viewer:
        for client, because in ((nobody, "a viewer sees why"), (caller, "a viewer sees why"), (viewer, "reachable")):
            answer = await client.get("/readyz")
            assert answer.status_code == 200
            assert [each["because"] for each in answer.json()["conditions"]] == [because]


async def test_metrics_are_open_or_for_viewers(people: Admitted) -> None:
    closed = replace(people, services=replace(people.services, are_metrics_open=False))
    for each, role, status in (
        (people, None, 200), (closed, None, 401), (closed, Role.CALLER, 403), (closed, Role.VIEWER, 200),
    ):  # fmt: skip
        async with each.as_role(role) if role else each.client() as client:
            assert (await client.get("/metrics")).status_code == status


async def test_metrics_that_want_a_token_want_one_on_the_machine_too(services: Services) -> None:
    async with client_of(replace(services, are_metrics_open=False)) as client:
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/api/v1/agents")).status_code == 200


async def test_metrics_with_an_address_of_their_own_are_served_there_alone(services: Services) -> None:
    aside = replace(services, has_metrics=False)
    async with client_of(aside) as client:
        assert (await client.get("/metrics")).status_code == 404
    transport = httpx.ASGITransport(create_metrics_app(aside))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.2:9090") as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/api/v1/agents")).status_code == 404
        assert (await client.get("/metrics", headers={"Host": "evil.example"})).status_code == 421
