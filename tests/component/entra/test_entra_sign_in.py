"""Signing in at the identity provider: whom it brings back, and which answers sign nobody in."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from foundry_rollouts.clock import elapsed, now
from foundry_rollouts.entra.keys import Keys
from foundry_rollouts.entra.people import Believed, Entra
from foundry_rollouts.entra.sign_in import Client, SignInAtProvider
from foundry_rollouts.settings import EntraSettings
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.web.services import Services
from foundry_rollouts.web.sessions import NAME
from identity_provider import CLIENT, TENANT
from signing_provider import SECRET, SigningProvider, a_signing_provider
from unit.web.served import client_of

BACK = "http://127.0.0.1:8080/ui/sign-in/entra/back"


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SigningProvider]:
    with a_signing_provider(tmp_path) as started:
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.setenv(name, started.certificates)
        yield started


@asynccontextmanager
async def a_desk(services: Services, provider: SigningProvider, secret: str | None) -> AsyncIterator[httpx.AsyncClient]:
    settings = EntraSettings(tenant=TENANT, client_id=CLIENT, authority=provider.issuer)
    believed = Believed(settings.issuers, settings.audiences, settings.tenant, settings.granted)
    people = Entra(Keys(settings.issuer, elapsed), believed, now)
    directory = SignInAtProvider(Client(CLIENT, secret, provider.issuer), people)
    async with client_of(replace(services, is_open=False, identities=people, directory=directory)) as browser:
        yield browser
    await people.close()


@pytest.fixture
async def browser(services: Services, store: SqlStore, provider: SigningProvider) -> AsyncIterator[httpx.AsyncClient]:
    async with a_desk(services, provider, SECRET) as browser:
        yield browser


async def sent_back(browser: httpx.AsyncClient, provider: SigningProvider, onward: str = "/") -> str:
    """Leave for the provider and return the address with which it sends the browser back."""
    left = await browser.get("/ui/sign-in/entra", params={"next": onward})
    assert left.status_code == 303, left.text
    assert left.headers["location"].startswith(f"{provider.issuer}/authorization?")
    asked = dict(parse_qsl(urlsplit(left.headers["location"]).query))
    assert (asked["response_type"], asked["code_challenge_method"], asked["redirect_uri"]) == ("code", "S256", BACK)
    return provider.authorize(asked)


def path_of(address: str, **but: str) -> tuple[str, Mapping[str, str]]:
    parts = urlsplit(address)
    return parts.path, dict(parse_qsl(parts.query)) | but


async def returned(browser: httpx.AsyncClient, address: str, **but: str) -> httpx.Response:
    path, query = path_of(address, **but)
    return await browser.get(path, params=query)


@pytest.mark.parametrize("secret", [SECRET, None])
async def test_who_signs_in_at_the_provider_is_signed_in_here(
    services: Services, store: SqlStore, provider: SigningProvider, secret: str | None
) -> None:
    async with a_desk(services, provider, secret) as browser:
        answer = await returned(browser, await sent_back(browser, provider, "/history"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/history")
        assert "ann@example.com · operator" in (await browser.get("/history")).text
    assert provider.redeemed[0].get("client_secret") == secret


@pytest.mark.parametrize(
    ("person", "because"),
    [
        ({"roles": []}, "has no role here"),
        ({"roles": ["Rollouts.Caller"]}, "sees no pages"),
        ({"aud": "another"}, "meant for another service"),
        ({"iss": "https://elsewhere"}, "another issuer"),
        ({"tid": "another"}, "another directory"),
        ({"nonce": "another"}, "belongs to another sign-in"),
    ],
)
async def test_a_person_without_a_role_and_a_token_that_is_not_for_us_sign_nobody_in(
    browser: httpx.AsyncClient, provider: SigningProvider, person: dict[str, object], because: str
) -> None:
    provider.person = person

    answer = await returned(browser, await sent_back(browser, provider))

    assert answer.status_code in {401, 403}
    assert because in answer.text
    assert NAME not in browser.cookies


async def test_an_answer_to_another_browsers_sign_in_signs_nobody_in(
    services: Services, store: SqlStore, browser: httpx.AsyncClient, provider: SigningProvider
) -> None:
    theirs = await sent_back(browser, provider)
    async with a_desk(services, provider, SECRET) as victim:
        never_left = await returned(victim, theirs)
        await sent_back(victim, provider)
        left_too = await returned(victim, theirs)
        assert NAME not in victim.cookies

    for answer in (never_left, left_too):
        assert answer.status_code == 401
        assert "begin again" in answer.text


async def test_a_code_serves_once_and_a_made_up_one_never(
    browser: httpx.AsyncClient, provider: SigningProvider
) -> None:
    address = await sent_back(browser, provider)

    made_up = await returned(browser, address, code="made-up")

    assert (made_up.status_code, "the code is not yours" in made_up.text) == (401, True)
    assert (await returned(browser, address)).status_code == 401  # What was begun is forgotten after one answer.


async def test_what_the_provider_says_of_a_refusal_is_shown_as_text(
    browser: httpx.AsyncClient, provider: SigningProvider
) -> None:
    provider.refuses = True

    answer = await returned(browser, await sent_back(browser, provider))

    assert (answer.status_code, "&lt;b&gt;cancelled&lt;/b&gt;" in answer.text) == (401, True)


async def test_nobody_is_kept_waiting_for_a_provider_that_is_away(
    services: Services, store: SqlStore, provider: SigningProvider
) -> None:
    provider.issuer = "https://localhost:9/tenant"
    async with a_desk(services, provider, SECRET) as browser:
        answer = await browser.get("/ui/sign-in/entra")

    assert (answer.status_code, "does not answer" in answer.text) == (503, True)
