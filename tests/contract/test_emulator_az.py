"""What ``az`` needs beside role assignments: where the cloud is, who calls, subscriptions, names of principals."""

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from emulated import a_project, make

FOUNDRY_USER = "53ca6127-db72-4b80-b1b0-d745d6d5456d"
DEFINITIONS = "providers/Microsoft.Authorization/roleDefinitions"
HERE = f"/subscriptions/{uuid.UUID(int=0)}"


@pytest.fixture
def azure(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base_url, headers={"Authorization": "Bearer x"}) as client:
        yield client


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def definitions(azure: httpx.Client, condition: str | None, scope: str = HERE) -> list[dict[str, Any]]:
    query = {"api-version": "2022-05-01-preview", **({"$filter": condition} if condition else {})}
    answer = azure.get(f"/_arm{scope}/{DEFINITIONS}", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["value"])


def test_a_cloud_is_registered_by_its_resource_manager_alone(base_url: str) -> None:
    found = httpx.get(f"{base_url}/_arm/metadata/endpoints", params={"api-version": "2022-09-01"}).json()
    assert found["resourceManager"] == f"{base_url}/_arm"
    assert found["microsoftGraphResourceId"] == f"{base_url}/_graph"


def test_both_identity_endpoints_give_a_token_for_the_resource(base_url: str) -> None:
    query = {"resource": "https://ai.azure.com", "api-version": "2019-08-01"}
    one = httpx.get(f"{base_url}/_identity/token", params=query, headers={"X-IDENTITY-HEADER": "local"}).json()
    two = httpx.get(
        f"{base_url}/_identity/metadata/identity/oauth2/token", params=query, headers={"Metadata": "true"}
    ).json()
    for found in (one, two):
        claims = claims_of(found["access_token"])
        assert (claims["aud"], claims["exp"]) == ("https://ai.azure.com", int(found["expires_on"]))
        assert claims["tid"]
    assert int(two["expires_in"]) > 3600


@pytest.mark.parametrize(
    ("path", "headers", "query"),
    [
        ("token", {}, {"resource": "r"}),
        ("token", {"X-IDENTITY-HEADER": "x"}, {}),
        ("metadata/identity/oauth2/token", {}, {"resource": "r"}),
        ("metadata/identity/oauth2/token", {"Metadata": "true"}, {}),
    ],
)
def test_an_identity_endpoint_refuses_what_is_incomplete(
    base_url: str, path: str, headers: dict[str, str], query: dict[str, str]
) -> None:
    assert httpx.get(f"{base_url}/_identity/{path}", params=query, headers=headers).status_code in (400, 401)


def test_role_definitions_are_found_by_every_filter_and_carry_the_subscription(azure: httpx.Client) -> None:
    by_name = definitions(azure, "roleName eq 'foundry USER'")
    assert [each["id"] for each in by_name] == [f"{HERE}/{DEFINITIONS}/{FOUNDRY_USER}"]
    assert definitions(azure, "atScope() and roleName eq 'Foundry User'") == by_name
    assert definitions(azure, None) == definitions(azure, "atScope()") != []
    assert definitions(azure, "type eq 'CustomRole'") == []
    deeper = definitions(azure, "roleName eq 'Foundry User'", f"{HERE}/resourceGroups/rg")
    assert deeper == by_name
    bad = azure.get(f"/_arm{HERE}/{DEFINITIONS}", params={"api-version": "2022-04-01", "$filter": "roleName ne 'x'"})
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "BadRequestFormat")


def test_paths_compare_without_case_and_a_definition_has_a_path_of_its_own(azure: httpx.Client) -> None:
    query = {"api-version": "2022-05-01-preview"}
    lower = f"/_arm{HERE}/{DEFINITIONS}/{FOUNDRY_USER}".lower()
    upper = f"/_arm{HERE.upper()}/{DEFINITIONS.upper()}/{FOUNDRY_USER.upper()}"
    for path in (lower, upper, f"/_arm/{DEFINITIONS}/{FOUNDRY_USER}"):
        assert azure.get(path, params=query).json()["properties"]["roleName"] == "Foundry User"


def test_subscriptions_and_what_the_resource_manager_lacks(azure: httpx.Client) -> None:
    query = {"api-version": "2022-12-01"}
    listed = azure.get("/_arm/subscriptions", params=query).json()["value"]
    assert [each["id"] for each in listed] == [HERE]
    assert azure.get(f"/_arm{HERE}", params=query).json()["tenantId"] == listed[0]["tenantId"]
    tenants = azure.get("/_arm/tenants", params=query).json()["value"]
    assert [each["tenantId"] for each in tenants] == [listed[0]["tenantId"]]
    absent = azure.post("/_arm/providers/Microsoft.Compute/unknown", params={"api-version": "of that resource"})
    assert (absent.status_code, absent.json()["error"]["code"]) == (404, "ResourceNotFound")
    assert httpx.get(f"{azure.base_url}/_arm/subscriptions", params=query).status_code == 401


def test_the_directory_names_an_agent_by_its_principal_and_by_its_client_id(azure: httpx.Client, base_url: str) -> None:
    with a_project(base_url) as project:
        make(project)
        identity = project.get("/agents/a").json()["instance_identity"]
    body = {"ids": [identity["principal_id"], str(uuid.uuid4())], "types": ["servicePrincipal"]}
    found = azure.post("/_graph/v1.0/directoryObjects/getByIds", json=body).json()["value"]
    assert [(each["id"], each["appId"]) for each in found] == [(identity["principal_id"], identity["client_id"])]
    one = azure.get(f"/_graph/v1.0/servicePrincipals/{identity['principal_id']}").json()
    assert one == found[0]
    assert azure.get(f"/_graph/v1.0/servicePrincipals/{uuid.uuid4()}").status_code == 404
    search = {"$filter": f"servicePrincipalNames/any(c:c eq '{identity['client_id']}')"}
    assert azure.get("/_graph/v1.0/servicePrincipals", params=search).json()["value"] == found
    other = {"$filter": "displayName eq 'x'"}
    assert azure.get("/_graph/v1.0/servicePrincipals", params=other).status_code == 400
