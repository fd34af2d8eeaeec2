"""Role assignments as the resource manager answers them."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from emulated import a_project, make

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
FOUNDRY_USER = "53ca6127-db72-4b80-b1b0-d745d6d5456d"


@pytest.fixture
def arm(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"{base_url}/_arm", params={"api-version": "2022-04-01"}, headers={"Authorization": "Bearer x"}
    ) as client:
        yield client
        httpx.post(f"{base_url}/_emulator/reset")


@pytest.fixture
def agent(base_url: str) -> dict[str, Any]:
    with a_project(base_url) as project:
        make(project)
        return dict(project.get("/agents/a").json())


def a_scope() -> str:
    account = f"{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/{uuid.uuid4().hex}"
    return f"{account}/projects/p"


def assign(arm: httpx.Client, scope: str, principal: str, name: str | None = None) -> httpx.Response:
    role = f"{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{FOUNDRY_USER}"
    who = {"principalId": principal, "principalType": "ServicePrincipal"}
    body = {"properties": {"roleDefinitionId": role, **who, "description": "as agreed"}}
    name = name or str(uuid.uuid4())
    return arm.put(f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}", json=body)


def listed(arm: httpx.Client, scope: str, condition: str | None = None) -> list[str]:
    query = {"$filter": condition} if condition else {}
    found = arm.get(f"{scope}/providers/Microsoft.Authorization/roleAssignments", params=query).json()["value"]
    return [each["properties"]["principalId"] for each in found]


def test_a_grant_is_made_once(arm: httpx.Client, agent: dict[str, Any]) -> None:
    scope, principal, name = a_scope(), agent["instance_identity"]["principal_id"], str(uuid.uuid4())
    made = assign(arm, scope, principal, name)
    assert made.status_code == 201
    assert made.json()["properties"]["scope"] == scope
    assert made.json()["properties"]["description"] == "as agreed"
    assert made.json()["properties"]["roleDefinitionId"].startswith(SUBSCRIPTION)
    assert assign(arm, scope, principal, name).status_code == 200
    again = assign(arm, scope, principal)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "RoleAssignmentExists")
    assert arm.delete(made.json()["id"]).status_code == 200
    assert arm.delete(made.json()["id"]).status_code == 204


def test_lists_look_up_the_scope_and_by_principal(arm: httpx.Client) -> None:
    project, one, two = a_scope(), str(uuid.uuid4()), str(uuid.uuid4())
    account = project.removesuffix("/projects/p")
    assign(arm, account, one)
    assign(arm, project, two)
    assert listed(arm, project, "atScope()") == [one, two]
    assert listed(arm, account, "atScope()") == [one]
    assert listed(arm, account) == [one, two]
    assert listed(arm, account, f"principalId eq '{two}'") == [two]
    assert listed(arm, project, f"assignedTo('{one}')") == [one]


def test_a_new_identity_may_be_unknown_for_a_while(arm: httpx.Client, agent: dict[str, Any], base_url: str) -> None:
    principal = agent["instance_identity"]["principal_id"]
    httpx.patch(f"{base_url}/_emulator/switches", json={"principal_delay_seconds": 1000})
    refused = assign(arm, a_scope(), principal)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "PrincipalNotFound")
    httpx.put(f"{base_url}/_emulator/clock", json={"speed": 100_000})
    answers = (assign(arm, a_scope(), principal).status_code for _ in range(1000))
    assert 201 in answers


def test_what_may_not_be_granted_is_refused(arm: httpx.Client, agent: dict[str, Any], base_url: str) -> None:
    blueprint = assign(arm, a_scope(), agent["blueprint"]["principal_id"])
    assert (blueprint.status_code, blueprint.json()["error"]["code"]) == (400, "PrincipalTypeNotSupported")
    httpx.patch(f"{base_url}/_emulator/switches", json={"arm_forbidden": True})
    forbidden = assign(arm, a_scope(), str(uuid.uuid4()))
    assert (forbidden.status_code, forbidden.json()["error"]["code"]) == (403, "AuthorizationFailed")


def test_roles_are_found_by_name(arm: httpx.Client) -> None:
    where = f"{a_scope()}/providers/Microsoft.Authorization/roleDefinitions"
    found = arm.get(where, params={"$filter": "roleName eq 'Foundry User'"}).json()["value"]
    assert [each["name"] for each in found] == [FOUNDRY_USER]
    assert arm.get(f"{where}/{FOUNDRY_USER}").json()["properties"]["roleName"] == "Foundry User"
    assert arm.get(f"{where}/{uuid.uuid4()}").status_code == 404


def test_a_refusal_is_in_the_words_of_the_resource_manager(arm: httpx.Client) -> None:
    path = f"{a_scope()}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    wrong = {"properties": {"roleDefinitionId": "x", "principalId": "x", "principalType": "Robot"}}
    for content in (b"{", b"[]", json.dumps(wrong).encode()):
        answer = arm.put(path, content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidRequestContent")
        assert answer.headers["x-ms-request-id"]
        assert answer.headers["x-ms-correlation-request-id"]


def test_without_a_token_the_answer_says_whom_to_ask(arm: httpx.Client) -> None:
    answer = arm.get("/subscriptions", headers={"Authorization": ""})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer authorization_uri="https://login.microsoftonline.com/')
