"""The table of refusals: which may be tried again, by what a second request would mean."""

import asyncio
from datetime import timedelta

import pytest

from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.foundry.retry import Reaction, RefusedError, Repeat, RetryBudget, reaction, retry_after, retrying
from unit.foundry.scripted import AT_ONCE, scripted
from unit.foundry.scripted import refused as refused_answer

NO, AGAIN, SLOWLY, ONCE_MORE = Reaction.GIVE_UP, Reaction.AGAIN, Reaction.SLOWLY, Reaction.ONCE_MORE
SAFE, DEDUPLICATED, ONCE, CALL = Repeat.SAFE, Repeat.DEDUPLICATED, Repeat.ONCE, Repeat.INVOCATION

CONTROL_PLANE = [
    (400, None, "Missing required query parameter: api-version", NO, NO, NO),
    (400, "invalid_request", "bad multipart", NO, NO, NO),
    (400, "invalid_request_error", "CPU and Memory must be specified as a valid resource tier", NO, NO, NO),
    (400, "EnvVarReserved", "PORT is reserved", NO, NO, NO),
    (400, "UserError", "1000 versions", NO, NO, NO),
    (401, None, "no text", NO, NO, NO),
    (403, "preview_feature_required", "opt in", NO, NO, NO),
    (403, "AuthorizationFailed", "forbidden", NO, NO, NO),
    (404, "not_found", "Agent 'x' not found", NO, NO, NO),
    (409, "conflict", "Agent 'x' already exists", NO, NO, NO),
    (409, "conflict", "Agent has active sessions", NO, NO, NO),
    (409, "AgentNotCodeBased", "image", NO, NO, NO),
    (409, "session_already_stopped", "stopped", NO, NO, NO),
    (408, None, "slow", AGAIN, AGAIN, NO),
    (429, "rate_limit_exceeded", "slow down", AGAIN, AGAIN, AGAIN),
    (429, "QuotaExceeded", "too many sessions", AGAIN, AGAIN, AGAIN),
    (429, "RegionalQuotaExceeded", "too many sessions", AGAIN, AGAIN, AGAIN),
    (500, "server_error", "request 7", AGAIN, AGAIN, NO),
    (500, "session_creation_failed", "the entry point exited", NO, NO, NO),
    (502, None, "bad gateway", AGAIN, AGAIN, NO),
    (503, "service_unavailable", "shutting down", AGAIN, AGAIN, NO),
    (504, "ProxyTimeout", "slow", AGAIN, AGAIN, NO),
    (501, "not_implemented", "never", NO, NO, NO),
    (None, "connection", "no connection", AGAIN, AGAIN, AGAIN),
    (None, "credential_unavailable", "log in", NO, NO, NO),
    (None, "timeout", "no answer", AGAIN, AGAIN, NO),
    (None, "dropped", "broke", AGAIN, AGAIN, NO),
]

CALLS = [
    (400, "bad_request", "Agent version is still being provisioned", SLOWLY),
    (400, "invalid_request_error", "input", NO),
    (400, "invalid_parameters", "input", NO),
    (400, "unsupported_parameter", "input", NO),
    (401, None, "no text", NO),
    (403, "session_not_accessible", "not yours", NO),
    (403, "agent_disabled", "disabled", NO),
    (404, "not_found", "no session", NO),
    (404, "SandboxNotFound", "gone", NO),
    (408, None, "slow", AGAIN),
    (409, "conflict", "steering", NO),
    (424, "session_not_ready", "not ready", SLOWLY),
    (429, "rate_limit_exceeded", "slow down", AGAIN),
    (429, "QuotaExceeded", "full", AGAIN),
    (500, "session_creation_failed", "exited", ONCE_MORE),
    (500, "server_error", "boom", ONCE_MORE),
    (501, "not_implemented", "never", NO),
    (502, "ReadinessTimeout", "slow", AGAIN),
    (502, "SandboxIdle", "waking", AGAIN),
    (503, "service_unavailable", "shutting down", NO),
    (503, "AgentVersionNotReady", "soon", SLOWLY),
    (502, "AgentVersionProvisioningFailed", "never", NO),
    (504, "ProxyTimeout", "slow", AGAIN),
    (None, "connection", "no connection", AGAIN),
    (None, "timeout", "may have run", NO),
    (None, "dropped", "may have run", NO),
]


@pytest.mark.parametrize(("status", "code", "text", "expected"), [(*row[:3], list(row[3:])) for row in CONTROL_PLANE])
def test_the_control_plane_is_tried_again_by_its_table(
    status: int | None, code: str | None, text: str, expected: list[Reaction]
) -> None:
    refusal = Refusal(status, code, text)
    assert [reaction(repeat, refusal) for repeat in (SAFE, DEDUPLICATED, ONCE)] == expected


@pytest.mark.parametrize(
    ("status", "code", "text", "expected"), [(*row[:3], row[3]) for row in CONTROL_PLANE if row[0] is not None]
)
async def test_every_refusal_is_told_with_its_status_code_and_text_after_all_its_tries(
    status: int, code: str | None, text: str, expected: Reaction
) -> None:
    tries = 4 if expected is AGAIN else 1
    client, cloud = scripted(*[refused_answer(status, code, text, x_request_id="r-1") for _ in range(tries)])
    with pytest.raises(CloudError) as told:
        await client.agent("a")
    assert told.value.refusal == Refusal(status, code, text, "r-1")
    assert str(told.value) == f"agents.get: HTTP {status}{f' {code}' if code else ''}: {text} (request r-1)"
    assert told.value.is_missing is (status == 404)
    assert told.value.is_ours is (status in {401, 403, 429})
    assert cloud.is_over


@pytest.mark.parametrize(("status", "code", "text", "expected"), CALLS)
def test_calls_are_tried_again_by_their_table(
    status: int | None, code: str | None, text: str, expected: Reaction
) -> None:
    assert reaction(CALL, Refusal(status, code, text)) is expected


@pytest.mark.parametrize(("status", "code", "text", "expected"), CALLS)
def test_what_must_not_be_repeated_never_is(
    status: int | None, code: str | None, text: str, expected: Reaction
) -> None:
    assert reaction(Repeat.NEVER, Refusal(status, code, text)) is NO


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "2", "retry-after-ms": "250"}, 2),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 10),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, 86_400),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == (None if seconds is None else timedelta(seconds=seconds))


async def spent(budget: RetryBudget, *failures: CloudError, repeat: Repeat = SAFE) -> tuple[int, float]:
    """Return how many attempts were made and how many seconds they took, when each fails as given, then succeeds."""
    left, attempts = list(failures), 0
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        if left:
            raise left.pop(0)

    try:
        await retrying(attempt, repeat, budget)
    except CloudError:
        attempts = -attempts
    return attempts, loop.time() - begun


def refused(status: int, after: float | None = None) -> RefusedError:
    return RefusedError("x", Refusal(status, None, "no"), None if after is None else timedelta(seconds=after))


async def test_a_retry_after_within_the_budget_is_waited_for() -> None:
    attempts, seconds = await spent(AT_ONCE, refused(429, 0.05))
    assert attempts == 2
    assert seconds >= 0.05


async def test_a_retry_after_beyond_the_budget_is_not_waited_for() -> None:
    attempts, seconds = await spent(AT_ONCE, refused(429, 60))
    assert attempts == -1
    assert seconds < 60


async def test_attempts_are_counted() -> None:
    assert (await spent(AT_ONCE, *[refused(503)] * 3))[0] == 4
    assert (await spent(AT_ONCE, *[refused(503)] * 4))[0] == -4


async def test_once_more_is_once() -> None:
    assert (await spent(AT_ONCE, refused(500), repeat=CALL))[0] == 2
    assert (await spent(AT_ONCE, refused(500), refused(500), repeat=CALL))[0] == -2


async def test_a_spent_budget_ends_the_tries() -> None:
    budget = RetryBudget(attempts=100, total=timedelta(milliseconds=30), first=timedelta(milliseconds=20))
    attempts, seconds = await spent(budget, *[refused(503)] * 100)
    assert -5 < attempts < 0
    assert seconds < 5


async def test_what_is_no_refusal_is_not_caught() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await retrying(broken, SAFE, AT_ONCE)
