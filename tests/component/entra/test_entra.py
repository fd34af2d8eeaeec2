"""The identity provider's tokens: which are believed, whom they name, and how often its keys are asked for."""

import asyncio
import hmac
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from foundry_rollouts.clock import now
from foundry_rollouts.core.model.access import Person, Role, Way
from foundry_rollouts.entra.keys import FRESH, KEPT, PAUSE, Keys
from foundry_rollouts.entra.people import Believed, Entra
from foundry_rollouts.errors import NotAllowedError, UnavailableError, UnknownPersonError
from foundry_rollouts.settings import EntraSettings
from identity_provider import CLIENT, TENANT, Provider, a_provider, new_key
from patience import PATIENCE

KEY = new_key()


class Clock:
    """Seconds that pass when a test says so."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def skip(self, span: timedelta) -> None:
        self.seconds += span.total_seconds() + 1


@pytest.fixture
def provider() -> Iterator[Provider]:
    with a_provider() as started:
        started.keys = {"first": KEY}
        yield started


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def entra(provider: Provider, clock: Clock) -> AsyncIterator[Entra]:
    settings = EntraSettings(tenant=TENANT, client_id=CLIENT, authority=provider.issuer)
    believed = Believed(settings.issuers, settings.audiences, settings.tenant, settings.granted)
    opened = Entra(Keys(settings.issuer, clock), believed, now)
    yield opened
    await opened.close()


async def refusal(entra: Entra, token: str) -> str:
    with pytest.raises(UnknownPersonError) as refused:
        await entra.person(token)
    return str(refused.value)


async def outcome(entra: Entra, token: str) -> str | None:
    """Return why ``token`` is refused; None when it is not."""
    try:
        await entra.person(token)
    except UnknownPersonError as error:
        return str(error)
    return None


async def test_a_token_for_us_names_a_person_and_their_role(entra: Entra, provider: Provider) -> None:
    roles = ("Rollouts.Operator",)
    assert await entra.person(provider.token()) == Person("ann@example.com", Role.OPERATOR, Way.ENTRA, groups=roles)


@pytest.mark.parametrize(
    ("groups", "known"),
    [
        (["0f4b6a5e-9a4e-4a5f", "releases", "releases"], ("0f4b6a5e-9a4e-4a5f", "releases", "Rollouts.Operator")),
        (["\x1b[2J", "", 7, None, {"a": 1}, "x" * 129], ("Rollouts.Operator",)),
        ("releases", ("Rollouts.Operator",)),
        ({"releases": True}, ("Rollouts.Operator",)),
        ([f"g-{number}" for number in range(1000)], tuple(f"g-{number}" for number in range(250))),
    ],
)
async def test_groups_are_those_that_the_token_names(
    entra: Entra, provider: Provider, groups: object, known: tuple[str, ...]
) -> None:
    assert (await entra.person(provider.token(groups=groups))).groups == known


@pytest.mark.parametrize("audience", [CLIENT, f"api://{CLIENT}", ["other", CLIENT]])
async def test_both_audiences_of_the_app_are_ours(entra: Entra, provider: Provider, audience: object) -> None:
    assert (await entra.person(provider.token(aud=audience))).role is Role.OPERATOR


@pytest.mark.parametrize(
    ("but", "because"),
    [
        ({"aud": "api://other"}, "meant for another service"),
        ({"aud": None}, "is not valid"),
        ({"iss": "https://login.microsoftonline.com/other/v2.0"}, "of another issuer"),
        ({"tid": "other"}, "of another directory"),
        ({"tid": None}, "of another directory"),
        ({"exp": None}, "is not valid"),
        ({"exp": now() - timedelta(hours=1)}, "has expired"),
        ({"exp": now() - timedelta(seconds=5)}, "has expired"),
        ({"nbf": now() + timedelta(hours=1)}, "is not valid"),
        ({"azp": None}, "is no access token"),
        ({"azp": None, "nonce": "n"}, "is no access token"),
        ({"preferred_username": None, "azp": "\x1b[2J"}, "names nobody"),
    ],
)  # fmt: skip
async def test_a_token_that_is_not_for_us_is_refused(
    entra: Entra, provider: Provider, but: dict[str, Any], because: str
) -> None:
    assert because in await refusal(entra, provider.token(**but))


async def test_a_token_that_another_key_signed_is_refused(entra: Entra, provider: Provider) -> None:
    assert await refusal(entra, provider.token(key=new_key())) == "the token is not valid"


async def test_a_token_without_a_signature_is_refused(entra: Entra, provider: Provider) -> None:
    _, claims, _ = provider.token().split(".")
    head = urlsafe_b64encode(b'{"alg":"none","typ":"JWT","kid":"first"}').decode().rstrip("=")
    assert await refusal(entra, f"{head}.{claims}.") == "the token is not valid"


async def test_the_public_key_is_no_shared_secret(entra: Entra, provider: Provider) -> None:
    public = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    _, claims, _ = provider.token().split(".")
    head = urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT","kid":"first"}').decode().rstrip("=")
    signature = urlsafe_b64encode(hmac.digest(public, f"{head}.{claims}".encode(), "sha256")).decode().rstrip("=")
    assert await refusal(entra, f"{head}.{claims}.{signature}") == "the token is not valid"


@pytest.mark.parametrize("token", ["x", "a.b.c", "é.é.é", "." * 40, "A" * 20_000, "e30.e30.e30"])
async def test_what_is_no_token_is_refused_and_asks_nobody(entra: Entra, provider: Provider, token: str) -> None:
    assert "is not known here" in await refusal(entra, token)
    assert provider.asked == 0


async def test_the_highest_role_counts(entra: Entra, provider: Provider) -> None:
    roles = ["Rollouts.Caller", "Rollouts.Admin", "Other.Role", "Rollouts.Viewer"]
    assert (await entra.person(provider.token(roles=roles))).role is Role.ADMIN


@pytest.mark.parametrize("roles", [None, [], ["Other.Admin"], "Rollouts.Admin", {"Rollouts.Admin": 1}])
async def test_somebody_without_a_role_is_told_which_there_are(entra: Entra, provider: Provider, roles: object) -> None:
    with pytest.raises(NotAllowedError, match=r"ann@example.com has no role here: .* Rollouts.Viewer"):
        await entra.person(provider.token(roles=roles))


async def test_a_program_is_named_by_its_application(entra: Entra, provider: Provider) -> None:
    assert (await entra.person(provider.token(preferred_username=None))).name == "app some-client"


async def test_keys_are_fetched_once_for_many_tokens(entra: Entra, provider: Provider) -> None:
    await asyncio.gather(*(entra.person(provider.token()) for _ in range(20)))
    assert provider.asked == 1


async def test_a_new_key_is_found_and_one_that_is_withdrawn_soon_opens_nothing(
    entra: Entra, provider: Provider, clock: Clock
) -> None:
    old = provider.token()
    await entra.person(old)
    provider.keys = {"second": new_key()}
    clock.skip(PAUSE)
    await entra.person(provider.token("second"))
    assert "a key that its issuer does not have" in await refusal(entra, old)


async def test_a_key_that_was_withdrawn_is_forgotten_without_a_new_one_being_shown(
    entra: Entra, provider: Provider, clock: Clock
) -> None:
    await entra.person(provider.token())
    old = provider.token()
    provider.keys = {"second": new_key()}
    clock.skip(FRESH)
    await entra.person(old)  # serves on while the keys are fetched
    because = None
    async with asyncio.timeout(PATIENCE):
        while because is None:
            because = await outcome(entra, old)
            await asyncio.sleep(0.01)
    assert "a key that its issuer does not have" in because


async def test_a_flood_of_unknown_keys_asks_the_provider_once_a_minute(
    entra: Entra, provider: Provider, clock: Clock
) -> None:
    await entra.person(provider.token())
    flood = [provider.token(f"made-up-{number}", key=KEY) for number in range(50)]
    for _ in range(2):
        clock.skip(PAUSE)
        for token in flood:
            assert "a key that its issuer does not have" in await refusal(entra, token)
    assert provider.asked == 3
    assert (await entra.person(provider.token())).role is Role.OPERATOR


async def test_a_provider_that_is_down_is_asked_once_a_minute_too(
    entra: Entra, provider: Provider, clock: Clock
) -> None:
    provider.is_down = True
    for _ in range(2):
        for _ in range(5):
            with pytest.raises(UnavailableError, match="cannot be had just now"):
                await entra.person(provider.token())
        clock.skip(PAUSE)
    assert provider.asked == 2
    provider.is_down = False
    assert (await entra.person(provider.token())).role is Role.OPERATOR


async def test_known_keys_serve_while_the_provider_is_down_but_not_for_ever(
    entra: Entra, provider: Provider, clock: Clock
) -> None:
    await entra.person(provider.token())
    provider.is_down = True
    clock.skip(FRESH)
    assert (await entra.person(provider.token())).role is Role.OPERATOR
    clock.skip(KEPT)
    with pytest.raises(UnavailableError):
        await entra.person(provider.token())


@pytest.mark.parametrize(
    "described",
    [{"issuer": "https://other"}, {"jwks_uri": "http://keys.example/k"}, {"jwks_uri": "file:///etc/passwd"}],
)
async def test_a_provider_that_describes_something_else_is_not_followed(
    entra: Entra, provider: Provider, described: dict[str, str]
) -> None:
    provider.described = described
    with pytest.raises(UnavailableError):
        await entra.person(provider.token())
    assert provider.asked == 0
