"""Every row of the cloud's error tables says what to do."""

import pytest

from foundry_rollouts.cli.agent.advice import ROWS, advised, what_to_do
from foundry_rollouts.errors import CloudError, Refusal

TABLE = [
    ("agents.list", None, "credential_unavailable", "", "az login"),
    ("agents.list", None, "connection", "", "project endpoint"),
    ("agents.update", None, "timeout", "", "check before you run it again"),
    ("responses.create", 400, "bad_request", "Agent version is still being provisioned", "active"),
    ("versions.create", 400, "EnvVarReserved", "", "another name"),
    ("versions.create", 400, "UserError", "The agent has 1000 valid versions", "delete versions"),
    ("versions.create", 400, "UserError", "Version limit exceeded", "delete versions"),
    ("versions.create", 400, "UserError", "The environment variable HOME is reserved", "another name"),
    ("versions.create", 400, "UserError", "cpu must be a valid resource tier", "--cpu"),
    ("versions.create", 400, "UserError", "Hosted agents: unsupported region", "region that has"),
    ("versions.create", 400, "UserError", "The image r/a:1 cannot be pulled", "AcrPull"),
    ("versions.create", 400, "UserError", "entry_point is empty", "refused again"),
    ("responses.create", 400, "endpoint-protocol-not-enabled", "Protocol 'x' is not enabled", "agent protocols"),
    ("versions.create", 400, None, "CPU and Memory must be specified as a valid resource tier", "--cpu"),
    ("agents.create", 400, None, "Unsupported region for Foundry Hosted Agents", "region"),
    ("roles.grant", 400, "PrincipalTypeNotSupported", "", "instance identity"),
    ("agents.list", 400, "invalid_request", "missing api-version", "refused again"),
    ("agents.list", 401, None, "", "https://ai.azure.com"),
    ("agents.list", 403, "preview_feature_required", "", "preview feature"),
    ("roles.grant", 403, "AuthorizationFailed", "", "assign roles"),
    ("responses.create", 403, "session_not_accessible", "", "another user's"),
    ("responses.create", 403, "agent_disabled", "", "agent enable"),
    ("invocations.create", 403, None, "", "Foundry User"),
    ("agents.update", 403, None, "", "Foundry Project Manager"),
    ("logs.stream", 404, "not_found", "", "first call"),
    ("versions.get", 404, "not_found", "", "agent versions"),
    ("sessions.get", 404, "not_found", "", "agent sessions list"),
    ("responses.create", 404, "not_found", "", "leave --session out"),
    ("responses.create", 404, "not_found", "Version '9' of agent 'x' not found", "check the version, "),
    ("invocations.get", 404, "not_found", "", "the call's id"),
    ("agents.get", 404, "not_found", "", "agent list"),
    ("code.download", 409, "AgentNotCodeBased", "", "no code to download"),
    ("versions.delete", 409, "conflict", "active sessions", "--force"),
    ("agents.delete", 409, "conflict", "active sessions", "--force"),
    ("sessions.create", 409, "conflict", "", "decide again"),
    ("responses.create", 408, None, "", "starting"),
    ("responses.create", 502, "ReadinessTimeout", "", "starting"),
    ("responses.create", 504, "ProxyTimeout", "", "starting"),
    ("responses.create", 424, "session_not_ready", "", "half a minute"),
    ("sessions.create", 429, "QuotaExceeded", "", "quota"),
    ("sessions.create", 429, "RegionalQuotaExceeded", "", "quota"),
    ("agents.list", 429, "rate_limit_exceeded", "", "throttles"),
    ("sessions.create", 500, "session_creation_failed", "", "entry point"),
    ("responses.create", 500, "server_error", "", "agent logs"),
    ("invocations.create", 500, "server_error", "", "agent logs"),
    ("agents.list", 500, None, "", "ticket"),
    ("agents.list", 503, None, "", "ticket"),
    ("responses.create", 200, "failed", "", "agent logs"),
    ("responses.create", 200, "max_output_tokens", "", "ask for less"),
    ("invocations.create", 200, "failed", "", "agent logs"),
    ("agents.list", 302, None, "", "unexpected answer"),
]


@pytest.mark.parametrize(("operation", "status", "code", "message", "advice"), TABLE)
def test_a_refusal_says_what_to_do(
    operation: str, status: int | None, code: str | None, message: str, advice: str
) -> None:
    assert advice in what_to_do(CloudError(operation, Refusal(status, code, message)))


def test_every_advice_is_given_for_something() -> None:
    given = {
        what_to_do(CloudError(operation, Refusal(status, code, text))) for operation, status, code, text, _ in TABLE
    }
    assert [row.todo for row in ROWS if row.todo not in given] == []


def test_the_line_names_operation_status_code_message_request_and_mend() -> None:
    line = str(advised(CloudError("agents.get", Refusal(404, "not_found", "Agent 'x' not found", "req-1"))))
    assert line == (
        "agents.get: HTTP 404 not_found: Agent 'x' not found (request req-1): "
        "check the name, 'foundry-rollouts agent list' lists the agents"
    )
