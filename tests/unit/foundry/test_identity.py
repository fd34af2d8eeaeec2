"""Roles are granted once, however often one asks, and to identities that are still on their way."""

import json
from datetime import timedelta

import httpx
import pytest

from foundry_rollouts.errors import CloudError, UsageError
from foundry_rollouts.foundry.auth import ARM
from foundry_rollouts.foundry.http import Transport, TransportOptions
from foundry_rollouts.foundry.identity import Grant, RoleAssignments, role_assignments
from foundry_rollouts.foundry.polling import Pace, WaitTimeoutError
from unit.foundry.scripted import AT_ONCE, Script, ok, refused

SCOPE = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/a/projects/p"
GRANT = Grant(SCOPE, "principal-1")
BRISK = Pace(timedelta(seconds=5), first=timedelta(0), every=timedelta(0))


class Tokens:
    """Remembers for whom a token was asked."""

    def __init__(self) -> None:
        self.audiences: list[str] = []

    async def token(self, audience: str, rejected: str | None = None) -> str:
        self.audiences.append(audience)
        return "t"


def assignments(*steps: httpx.Response, pace: Pace = BRISK) -> tuple[RoleAssignments, Script, Tokens]:
    script, tokens = Script(steps), Tokens()
    options = TransportOptions(None, AT_ONCE, "2022-04-01", ARM, httpx.MockTransport(script))
    return RoleAssignments(Transport("https://management.azure.com", tokens, options), pace), script, tokens


async def test_a_grant_goes_to_arm_with_its_own_audience_and_a_name_that_stays() -> None:
    roles, script, tokens = assignments(ok({}, 201), ok({}, 200))
    assert await roles.ensure(GRANT)
    assert not await roles.ensure(GRANT)
    first, second = script.asked
    assert first.url == second.url
    assert first.url.path.startswith(f"{SCOPE}/providers/Microsoft.Authorization/roleAssignments/")
    assert first.url.params["api-version"] == "2022-04-01"
    assert json.loads(first.content) == {
        "properties": {
            "roleDefinitionId": "/subscriptions/s1/providers/Microsoft.Authorization/roleDefinitions/"
            "53ca6127-db72-4b80-b1b0-d745d6d5456d",
            "principalId": "principal-1",
            "principalType": "ServicePrincipal",
        }
    }
    assert set(tokens.audiences) == {ARM}


async def test_a_grant_that_exists_under_another_name_is_fine() -> None:
    roles, _, _ = assignments(refused(409, "RoleAssignmentExists"))
    assert not await roles.ensure(GRANT)


async def test_an_identity_that_arm_does_not_know_yet_is_waited_for() -> None:
    roles, script, _ = assignments(*[refused(400, "PrincipalNotFound")] * 3, ok({}, 201))
    assert await roles.ensure(GRANT)
    assert script.is_over


async def test_an_identity_that_never_comes_ends_the_wait() -> None:
    pace = Pace(timedelta(milliseconds=20), first=timedelta(minutes=1))
    roles, _, _ = assignments(refused(400, "PrincipalNotFound"), pace=pace)
    with pytest.raises(WaitTimeoutError, match="principal-1"):
        await roles.ensure(GRANT)


@pytest.mark.parametrize(
    ("status", "code"), [(400, "PrincipalTypeNotSupported"), (403, "AuthorizationFailed"), (409, "Other")]
)
async def test_what_arm_refuses_for_good_is_told_at_once(status: int, code: str) -> None:
    roles, script, _ = assignments(refused(status, code))
    with pytest.raises(CloudError, match=code):
        await roles.ensure(GRANT)
    assert script.is_over


async def test_grants_are_listed_over_pages_and_a_link_elsewhere_gets_no_token() -> None:
    item = {"id": "i", "properties": {"roleDefinitionId": "r", "principalId": "p", "scope": SCOPE}}
    link = "https://evil.example/x?%24skipToken=2"
    roles, script, _ = assignments(ok({"value": [item], "nextLink": link}), ok({"value": [item]}))
    assert [granted.scope async for granted in roles.all(SCOPE, "p")] == [SCOPE, SCOPE]
    assert {request.url.host for request in script.asked} == {"management.azure.com"}
    assert script.asked[0].url.params["$filter"] == "principalId eq 'p'"
    assert script.asked[1].url.params["$skipToken"] == "2"


@pytest.mark.parametrize(
    "grant",
    [
        Grant("subscriptions/s1", "p"),
        Grant("/subscriptions/s1/../s2", "p"),
        Grant("/elsewhere", "p"),
        Grant(SCOPE, "p", "Emperor"),
    ],
)
async def test_a_grant_that_cannot_be_meant_is_not_sent(grant: Grant) -> None:
    roles, script, _ = assignments()
    with pytest.raises(UsageError):
        await roles.ensure(grant)
    assert script.asked == []


def test_any_role_is_named_by_its_id_and_names_are_different_grants() -> None:
    other = Grant(SCOPE, "principal-1", "7f951dda-4ed3-4680-a7ca-43fe172d538d")
    assert other.role_definition == Grant(SCOPE, "x", "AcrPull").role_definition
    assert len({GRANT.name, other.name, Grant(SCOPE, "principal-2").name}) == 3


async def test_the_public_door_asks_arm() -> None:
    tokens = Tokens()
    roles = role_assignments(tokens, wire=httpx.MockTransport(Script([ok({"value": []})])))
    assert [granted async for granted in roles.all(SCOPE, "p")] == []
    await roles.aclose()
    assert set(tokens.audiences) == {ARM}
