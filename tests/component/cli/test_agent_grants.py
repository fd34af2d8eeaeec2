"""Identity and roles."""

from component.cli.engineer import Engineer

SCOPE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a/projects/p"
DEVELOPER = "64702f94-c441-49e6-a78b-ef80e0188fee"


def test_a_role_is_granted_by_name_or_id_once(engineer: Engineer) -> None:
    engineer.an_image("a")
    principal = engineer.told("identity", "a")["principal"]
    first = engineer.well("grant", "a", "--role", "Azure AI Developer", "--scope", SCOPE)
    assert first.out == f"Azure AI Developer is granted to a ({principal}) at {SCOPE}\n"
    again = engineer.well("grant", "a", "--role", DEVELOPER, "--scope", SCOPE)
    assert again.out == f"{DEVELOPER} is granted already to a ({principal}) at {SCOPE}\n"
    assert [each["role"] for each in engineer.told("identity", "a", "--scope", SCOPE)] == ["Azure AI Developer"]
    nothing = engineer.run("identity", "a", "--scope", "/subscriptions/other")
    assert (nothing.code, nothing.err) == (0, "no role is granted to a on /subscriptions/other\n")


def test_wrong_roles_and_scopes_are_refused_before_anybody_is_asked(engineer: Engineer) -> None:
    role = engineer.run("grant", "nobody", "--role", "King", "--scope", SCOPE)
    assert (role.code, role.err.startswith("error: role 'King' is unknown: use its id, or one of ")) == (2, True)
    scope = engineer.run("grant", "nobody", "--role", "AcrPull", "--scope", "here")
    assert (scope.code, scope.err.startswith("error: 'here' is no scope: ")) == (2, True)


def test_one_who_may_not_grant_is_told_which_right_is_missing(engineer: Engineer) -> None:
    engineer.an_image("a")
    engineer.switch(arm_forbidden=True)
    done = engineer.run("grant", "a", "--role", "AcrPull", "--scope", SCOPE)
    assert (done.code, "AuthorizationFailed" in done.err) == (1, True)
    assert done.err.endswith(": ask for the right to assign roles at that scope, Contributor is not enough\n")
