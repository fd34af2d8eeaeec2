"""Tokens: asked for once, renewed early, never given to a stranger."""

import asyncio
import logging
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.errors import CloudError, UsageError
from foundry_rollouts.foundry.auth import ARM, FOUNDRY, EntraTokens, FixedToken, credential_for
from foundry_rollouts.foundry.client import FoundryClient
from unit.foundry.scripted import AT_ONCE, ENDPOINT, Script, an_agent, ok, refused

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class Credential:
    """Gives numbered tokens that last an hour from ``at``; ``fails`` makes it refuse."""

    at: datetime = NOON
    fails: bool = False
    given: int = 0
    scopes: list[str] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.may_answer.wait(5)
        self.scopes += scopes
        if self.fails:
            raise ClientAuthenticationError("not you\nand a long story")
        self.given += 1
        return AccessToken(f"token-{self.given}", int((self.at + timedelta(hours=1)).timestamp()))


@pytest.fixture
def credential() -> Credential:
    found = Credential()
    found.may_answer.set()
    return found


async def test_fifty_requests_at_once_ask_for_one_token() -> None:
    credential = Credential()
    tokens = EntraTokens(credential, lambda: NOON)
    waiting = asyncio.gather(*(tokens.token(FOUNDRY) for _ in range(50)))
    await asyncio.sleep(0)
    credential.may_answer.set()
    assert set(await waiting) == {"token-1"}
    assert credential.given == 1


async def test_a_token_is_renewed_five_minutes_before_its_end(credential: Credential) -> None:
    now = NOON
    tokens = EntraTokens(credential, lambda: now)
    assert await tokens.token(FOUNDRY) == "token-1"
    now = credential.at = NOON + timedelta(minutes=54)
    assert await tokens.token(FOUNDRY) == "token-1"
    now = credential.at = NOON + timedelta(minutes=55)
    assert await tokens.token(FOUNDRY) == "token-2"


async def test_a_token_that_still_holds_is_used_while_it_cannot_be_renewed(credential: Credential) -> None:
    now = NOON
    tokens = EntraTokens(credential, lambda: now)
    await tokens.token(FOUNDRY)
    credential.fails = True
    now = NOON + timedelta(minutes=57)
    assert await tokens.token(FOUNDRY) == "token-1"
    now = NOON + timedelta(minutes=61)
    with pytest.raises(CloudError, match=r"not you$") as told:
        await tokens.token(FOUNDRY)
    assert told.value.is_ours


async def test_each_audience_has_its_own_token(credential: Credential) -> None:
    tokens = EntraTokens(credential, lambda: NOON)
    assert await tokens.token(FOUNDRY) != await tokens.token(ARM)
    assert credential.scopes == [FOUNDRY, ARM]


async def test_a_caller_that_leaves_does_not_take_the_token_along() -> None:
    credential = Credential()
    tokens = EntraTokens(credential, lambda: NOON)
    hasty = asyncio.create_task(tokens.token(FOUNDRY))
    patient = asyncio.create_task(tokens.token(FOUNDRY))
    await asyncio.sleep(0)
    hasty.cancel()
    credential.may_answer.set()
    assert await patient == "token-1"
    assert credential.given == 1


async def test_a_slow_credential_is_no_slow_answer() -> None:
    credential, script = Credential(), Script([ok()])
    client = FoundryClient(ENDPOINT, EntraTokens(credential, lambda: NOON), wire=httpx.MockTransport(script))
    asking = asyncio.create_task(client.ask("a", "session-1", "hi", timedelta(milliseconds=500)))
    await asyncio.sleep(0.6)
    credential.may_answer.set()
    assert (await asking).status == 200


async def test_a_credential_that_has_no_token_is_asked_once_and_the_cloud_not_at_all(credential: Credential) -> None:
    credential.fails = True
    script = Script([])
    client = FoundryClient(
        ENDPOINT, EntraTokens(credential, lambda: NOON), retries=AT_ONCE, wire=httpx.MockTransport(script)
    )
    with pytest.raises(CloudError, match="credential_unavailable"):
        await client.agent("a")
    assert credential.scopes == [FOUNDRY]


async def test_a_credential_that_says_nothing_is_not_waited_for_for_ever() -> None:
    credential = Credential()
    with pytest.raises(CloudError, match="no token"):
        await EntraTokens(credential, lambda: NOON, timeout=timedelta(milliseconds=20)).token(FOUNDRY)
    credential.may_answer.set()


async def test_a_refused_token_is_replaced_once(credential: Credential) -> None:
    script = Script([refused(401), ok(an_agent())])
    tokens = EntraTokens(credential, lambda: NOON)
    client = FoundryClient(ENDPOINT, tokens, retries=AT_ONCE, wire=httpx.MockTransport(script))
    await client.agent("a")
    assert [r.headers["authorization"] for r in script.asked] == ["Bearer token-1", "Bearer token-2"]


async def test_a_token_refused_twice_is_an_error(credential: Credential) -> None:
    script = Script([refused(401), refused(401)])
    tokens = EntraTokens(credential, lambda: NOON)
    client = FoundryClient(ENDPOINT, tokens, retries=AT_ONCE, wire=httpx.MockTransport(script))
    with pytest.raises(CloudError) as told:
        await client.agent("a")
    assert told.value.refusal.status == 401
    assert script.is_over


@pytest.mark.parametrize("endpoint", ["https://x.services.ai.azure.com/api/projects/p", "https://127.0.0.1.evil.org"])
def test_the_local_token_never_leaves_this_machine(endpoint: str) -> None:
    with pytest.raises(UsageError, match="emulator"):
        credential_for("emulator", endpoint, lambda: NOON)
    with pytest.raises(UsageError, match="emulator"):
        FoundryClient(endpoint, FixedToken())


def test_no_token_travels_in_the_clear(credential: Credential) -> None:
    with pytest.raises(UsageError, match="https"):
        FoundryClient("http://example.org/api/projects/p", EntraTokens(credential, lambda: NOON))


@pytest.mark.parametrize("endpoint", ["", "x.services.ai.azure.com", "ftp://127.0.0.1/"])
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(UsageError):
        FoundryClient(endpoint, FixedToken())


def test_an_unknown_credential_is_refused_and_not_guessed() -> None:
    with pytest.raises(UsageError, match="default or emulator"):
        credential_for("managed", ENDPOINT, lambda: NOON)


def test_loopback_is_told_by_the_address() -> None:
    assert all(
        is_loopback(host_of(f"http://{host}/x")) for host in ("127.0.0.1:80", "localhost", "[::1]:80", "127.9.9.9")
    )
    assert not any(is_loopback(host_of(f"http://{host}/x")) for host in ("localhost.evil.org", "10.0.0.1", "0.0.0.0"))


async def test_nothing_of_a_request_is_logged(credential: Credential, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = EntraTokens(credential, lambda: NOON)
    wire = httpx.MockTransport(Script([ok(an_agent())]))
    client = FoundryClient(ENDPOINT, tokens, wire=wire)
    await client.agent("a")
    assert "token-1" not in caplog.text
    assert "127.0.0.1" not in caplog.text
