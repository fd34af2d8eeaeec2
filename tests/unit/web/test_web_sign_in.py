"""Signing in to the pages: with what, for how long, and that nobody else's page or browser gets anything out of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import httpx
import pytest

from builders import NOON
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.operations.sign_ins import Limits
from foundry_rollouts.operations.tokens import make_token, revoke_token, token_for
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.web.services import Services
from foundry_rollouts.web.sessions import NAME
from foundry_rollouts.web.sign_in import wanted_page
from unit.web.served import app_over

HERE = "http://127.0.0.1:8080"
FROM_US = {"Origin": HERE}
HOUR = timedelta(hours=1)


@dataclass
class Desk:
    """A service that asks everybody who they are, with a clock that a test sets."""

    services: Services
    store: SqlStore
    at: datetime = NOON
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    async def token(self, owner: str = "on-call", role: Role = Role.OPERATOR, lasts: timedelta | None = None) -> str:
        """Make a token and return its secret; its id is its owner's name."""
        return (await make_token(self.store, token_for(owner, role, self.at, lasts, id=owner))).secret

    def browser(self, base: str = HERE) -> httpx.AsyncClient:
        """Return a browser of a new person."""
        services = replace(self.services, is_open=False, now=lambda: self.at)
        transport = httpx.ASGITransport(app_over(services))
        self.clients.append(httpx.AsyncClient(transport=transport, base_url=base, headers={"Origin": base}))
        return self.clients[-1]

    async def signed_in(self, secret: str) -> httpx.AsyncClient:
        browser = self.browser()
        answer = await browser.post("/ui/sign-in", data={"token": secret})
        assert answer.status_code == 303
        return browser


@pytest.fixture
async def desk(services: Services, store: SqlStore) -> AsyncIterator[Desk]:
    desk = Desk(services, store)
    yield desk
    for client in desk.clients:
        await client.aclose()


@asynccontextmanager
async def form_key(browser: httpx.AsyncClient) -> AsyncIterator[str]:
    text = (await browser.get("/")).text
    yield text.split('name="form-key" value="')[1].split('"')[0]


async def key_for(browser: httpx.AsyncClient) -> str:
    async with form_key(browser) as key:
        return key


async def is_in(browser: httpx.AsyncClient) -> bool:
    return (await browser.get("/")).status_code == 200


async def test_who_is_not_signed_in_is_asked_to_and_comes_back_to_the_page(desk: Desk) -> None:
    browser = desk.browser()

    asked = await browser.get("/rollouts/r-1?tab=logs")
    form = await browser.get(asked.headers["location"])
    entered = await browser.post("/ui/sign-in", data={"token": await desk.token(), "next": "/rollouts/r-1?tab=logs"})

    assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=/rollouts/r-1%3Ftab%3Dlogs")
    assert 'value="/rollouts/r-1?tab=logs"' in form.text
    assert (entered.status_code, entered.headers["location"]) == (303, "/rollouts/r-1?tab=logs")
    assert "on-call · operator" in (await browser.get("/")).text


@pytest.mark.parametrize(
    "path",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a\r\nX: y", "/ä"],
)
def test_nobody_is_sent_to_another_site_after_signing_in(path: str) -> None:
    assert wanted_page(path) == "/"


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(desk: Desk) -> None:
    plain = await desk.browser().post("/ui/sign-in", data={"token": await desk.token("a")})
    safe = await desk.browser("https://localhost").post("/ui/sign-in", data={"token": await desk.token("b")})

    assert plain.headers["set-cookie"].startswith(f"{NAME}=")
    assert safe.headers["set-cookie"].startswith(f"__Host-{NAME}=")
    assert "Secure" in safe.headers["set-cookie"]
    for cookie in (plain.headers["set-cookie"], safe.headers["set-cookie"]):
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie


@pytest.mark.parametrize("shown", ["", "frt_nothing", "frt_" + "x" * 43])
async def test_a_token_that_is_not_known_signs_nobody_in(desk: Desk, shown: str) -> None:
    browser = desk.browser()

    answer = await browser.post("/ui/sign-in", data={"token": shown})

    assert answer.status_code == 401
    assert "This token is not known here" in answer.text
    assert "set-cookie" not in answer.headers


async def test_a_caller_sees_no_pages(desk: Desk) -> None:
    answer = await desk.browser().post("/ui/sign-in", data={"token": await desk.token(role=Role.CALLER)})

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_token_in_the_address_opens_nothing(desk: Desk) -> None:
    secret, browser = await desk.token(), desk.browser()

    for address in (f"/?token={secret}", f"/?access_token={secret}", f"/sign-in?token={secret}&next=/"):
        answer = await browser.get(address)
        assert answer.status_code == 303 or "on-call" not in answer.text
        assert secret not in answer.text
        assert not await is_in(browser)


async def test_a_cookie_that_was_planted_is_never_adopted(desk: Desk) -> None:
    secret, browser = await desk.token(), desk.browser()
    browser.cookies.set(NAME, "planted", domain="127.0.0.1")

    entered = await browser.post("/ui/sign-in", data={"token": secret})

    planted = desk.browser()
    planted.cookies.set(NAME, "planted", domain="127.0.0.1")
    assert not await is_in(planted)
    assert "planted" not in entered.headers["set-cookie"]


async def test_signing_in_again_ends_what_the_browser_had_before(desk: Desk) -> None:
    browser = await desk.signed_in(await desk.token("a"))
    before = browser.cookies[NAME]

    await browser.post("/ui/sign-in", data={"token": await desk.token("b")})

    old = desk.browser()
    old.cookies.set(NAME, before)
    assert browser.cookies[NAME] != before
    assert await is_in(browser)
    assert not await is_in(old)


async def test_a_form_of_another_site_or_of_nowhere_is_refused(desk: Desk) -> None:
    browser = await desk.signed_in(await desk.token())
    form = {"form-key": await key_for(browser)}

    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await browser.post("/ui/sign-out", data=form, headers=headers)).status_code == 403
    del browser.headers["origin"]
    assert (await browser.post("/ui/sign-out", data=form)).status_code == 403
    assert await is_in(browser)


async def test_a_form_needs_the_key_of_the_browsers_own_sign_in(desk: Desk) -> None:
    ours, theirs = await desk.signed_in(await desk.token("a")), await desk.signed_in(await desk.token("b"))

    for key in ("", "x", await key_for(theirs)):
        answer = await ours.post("/ui/sign-out", data={"form-key": key})
        assert answer.status_code == 403
        assert "This form was drawn before you signed in" in answer.text
    assert await is_in(ours)
    assert (await ours.post("/ui/sign-out", data={"form-key": await key_for(ours)})).status_code == 303


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
async def test_what_is_no_form_is_refused(desk: Desk, kind: str) -> None:
    answer = await desk.browser().post("/ui/sign-in", content=b"token=x", headers={"Content-Type": kind})

    assert answer.status_code == 415


@pytest.mark.parametrize("body", [b"token=\xff", b"token=a&token=b", b"&".join(b"f%d=1" % at for at in range(99))])
async def test_a_broken_form_is_refused(desk: Desk, body: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    assert (await desk.browser().post("/ui/sign-in", content=body, headers=headers)).status_code == 422


async def test_signing_out_ends_this_browser_only_and_everywhere_ends_all_of_the_persons(desk: Desk) -> None:
    secret = await desk.token("a")
    first, second, other = [await desk.signed_in(each) for each in (secret, secret, await desk.token("b"))]
    shown = first.cookies[NAME]

    left = await first.post("/ui/sign-out", data={"form-key": await key_for(first)})
    first.cookies.set(NAME, shown)

    assert left.headers["location"] == "/sign-in"
    assert not await is_in(first)
    assert await is_in(second)
    third = await desk.signed_in(secret)
    await second.post("/ui/sign-out", data={"form-key": await key_for(second), "where": "everywhere"})
    assert [await is_in(each) for each in (second, third, other)] == [False, False, True]


async def test_a_sign_in_ends_when_it_was_not_used_and_after_a_day_in_any_case(desk: Desk) -> None:
    limits, browser = Limits(), await desk.signed_in(await desk.token())
    idle = await desk.signed_in(await desk.token("b"))

    for _ in range(int(limits.longest / HOUR) - 1):
        desk.at += HOUR
        assert await is_in(browser)
    assert not await is_in(idle)
    desk.at += HOUR
    assert not await is_in(browser)


async def test_the_end_of_a_token_is_the_end_of_its_sign_ins(desk: Desk) -> None:
    revoked, expired = (
        await desk.signed_in(await desk.token("a")),
        await desk.signed_in(await desk.token("b", lasts=HOUR)),
    )

    await revoke_token(desk.store, "a", desk.at)
    assert not await is_in(revoked)
    assert await is_in(expired)
    desk.at += HOUR
    assert not await is_in(expired)


async def test_a_wrong_cookie_is_nobody_also_where_nobody_needs_to_sign_in(services: Services) -> None:
    transport = httpx.ASGITransport(app_over(services))
    async with httpx.AsyncClient(transport=transport, base_url=HERE, cookies={NAME: "wrong"}) as browser:
        page, data = await browser.get("/"), await browser.get("/api/v1/agents")

    assert (page.status_code, data.status_code) == (303, 401)


async def test_a_script_of_a_page_that_lives_is_sent_to_the_sign_in(desk: Desk) -> None:
    answer = await desk.browser().get("/", headers={"HX-Request": "true"})

    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in?next=/")
