"""Links to approvals: they show what is asked, give nobody a right, and do nothing by themselves."""

import subprocess
from asyncio import to_thread
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from builders import NOON, a_policy, a_rollout, an_event
from foundry_rollouts.core.model.access import Person, Role, Way
from foundry_rollouts.core.model.approval import Approval, ApprovalStep
from foundry_rollouts.core.model.audit import AuditFilter
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.links import AUDIENCE, ApprovalLink, Links
from foundry_rollouts.operations.sign_ins import Limits, begin_sign_in
from foundry_rollouts.operations.tokens import make_token, token_for
from foundry_rollouts.ports import Record
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.web.services import Services
from foundry_rollouts.web.sessions import NAME
from unit.web.served import app_over, serving

HERE = "http://127.0.0.1:8080"
KEY = b"0123456789abcdef0123456789abcdef"
LINKS = Links(HERE, KEY)
ABOUT = "0123456789abcdef"
LINK = ApprovalLink("r-1", 2, ABOUT, NOON + timedelta(hours=25))
PRESS = "/ui/rollouts/r-1:approve"


def asking(**terms: Any) -> Rollout:
    step = ApprovalStep(**{"count": 2, "not_author": True, **terms})
    return a_rollout(
        policy=a_policy(steps=(WeightStep(10), step, WeightStep(100))),
        phase=Phase.PROGRESSING,
        step=2,
        started_at=NOON,
        step_started_at=NOON,
        author="ann",
        asked_about=ABOUT,
        canary_content="c0ffee" * 8,
        because="waiting for approval at 10%; 2 of 440 calls failed",
    )


@dataclass
class Office:
    """A service that asks everybody who they are, a rollout that asks for approvals, and people with browsers."""

    services: Services
    store: SqlStore
    at: datetime = NOON
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def guarded(self) -> Services:
        return replace(self.services, is_open=False, now=lambda: self.at, links=LINKS)

    async def begin(self, rollout: Rollout) -> None:
        await self.store.create(rollout, an_event(), None)
        await self.leave(rollout)

    async def leave(self, rollout: Rollout) -> None:
        """Let the rollout stand as a tick left it."""
        lease = await self.store.claim(rollout.agent, NOON)
        assert lease is not None
        await self.store.record(lease, Record(rollout=rollout, due_at=NOON))
        await self.store.release(lease)

    def browser(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app_over(self.guarded))
        self.clients.append(httpx.AsyncClient(transport=transport, base_url=HERE, headers={"Origin": HERE}))
        return self.clients[-1]

    async def signed_in(self, name: str, role: Role = Role.OPERATOR, *groups: str) -> httpx.AsyncClient:
        browser = self.browser()
        person = Person(name, role, Way.ENTRA, groups=groups)
        browser.cookies.set(NAME, await begin_sign_in(self.store, person, Limits(), self.at))
        return browser

    async def as_it_is(self) -> tuple[object, ...]:
        """Return all that an approval would change."""
        asked = await self.store.commands("r-1")
        return await self.store.rollout("r-1"), asked, await self.store.history("r-1")


@pytest.fixture
async def office(services: Services, store: SqlStore) -> AsyncIterator[Office]:
    office = Office(services, store)
    yield office
    for client in office.clients:
        await client.aclose()


def path(link: ApprovalLink = LINK, links: Links = LINKS) -> str:
    return links.to_approval(link).removeprefix(HERE)


def fields(page: str) -> dict[str, str]:
    """Return the hidden fields of the form that answers."""
    form = page.split(f'action="{PRESS}"')[1].split("</form>", maxsplit=1)[0]
    parts = [part.split('"') for part in form.split('<input type="hidden" name="')[1:]]
    return {part[0]: part[2] for part in parts}


async def test_two_people_answer_by_the_link_each_under_their_own_name(office: Office) -> None:
    await office.begin(asking())
    for name, given in (("bob", 0), ("cyd", 1)):
        browser = await office.signed_in(name)
        shown = await browser.get(path())
        assert shown.status_code == 200
        for said in (ABOUT, "support", "c0ffeec0ffeec0ff", f"{given} of 2 approved", "2 of 440 calls failed"):
            assert said in shown.text
        pressed = await browser.post(PRESS, data={**fields(shown.text), "reason": "checked"})
        assert (pressed.status_code, pressed.headers["location"]) == (303, "/rollouts/r-1")
        again = await browser.get(path())
        assert "you approved it already" in again.text.lower()
        assert 'name="fingerprint"' not in again.text
        (command,) = await office.store.commands("r-1")
        assert (command.author, command.about, command.reason) == (name, ABOUT, "checked")
        rollout = await office.store.rollout("r-1")
        await office.leave(replace(rollout, approvals=(*rollout.approvals, Approval(name, NOON, ABOUT))))
        await _obeyed(office)


async def _obeyed(office: Office) -> None:
    (command,) = await office.store.commands("r-1")
    lease = await office.store.claim("support-agent", NOON)
    assert lease is not None
    rollout = await office.store.rollout("r-1")
    await office.store.record(lease, Record(rollout=rollout, due_at=NOON, obeyed=(command.id,)))
    await office.store.release(lease)


async def test_what_opens_links_by_itself_sees_the_sign_in_and_changes_nothing(office: Office) -> None:
    await office.begin(asking(not_author=False, count=1))
    before = await office.as_it_is()
    async with serving(office.guarded) as (url, _):
        for more in (["-L"], ["-I"], ["-L", "-A", "Mail-Scanner/1.0 (+link check)"], ["-X", "OPTIONS"]):
            asked = ["curl", "-s", "-o", "-", "-w", "%{http_code} %{url_effective}", *more, url + path()]
            done = await to_thread(subprocess.run, asked, capture_output=True, text=True, timeout=60, check=True)
            assert "Approve" not in done.stdout
            if "-L" in more:
                assert "200 " in done.stdout
                assert "/sign-in?next=/approvals/" in done.stdout
        sent = ["curl", "-s", "-w", "%{http_code}", "-d", "generation=1", url + PRESS]
        done = await to_thread(subprocess.run, sent, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.endswith("403")
    assert await office.as_it_is() == before


async def test_a_link_that_was_passed_on_gives_no_right(office: Office) -> None:
    await office.begin(asking(by=("admin", "releases")))
    before = await office.as_it_is()
    stranger = await office.browser().get(path())
    assert (stranger.status_code, stranger.headers["location"].split("?")[0]) == (303, "/sign-in")
    for name, role, why in (
        ("vic", Role.VIEWER, "needs the role operator"),
        ("ann", Role.ADMIN, "wants somebody else to approve it"),
        ("ANN", Role.ADMIN, "wants somebody else to approve it"),
        ("bob", Role.OPERATOR, "its policy names admin, releases"),
    ):
        browser = await office.signed_in(name, role)
        shown = await browser.get(path())
        assert why in shown.text, name
        assert 'name="fingerprint"' not in shown.text
        page = (await browser.get("/rollouts/r-1")).text
        key = page.split('name="form-key" value="')[1].split('"')[0]
        pressed = await browser.post(PRESS, data={"form-key": key, "generation": "1", "fingerprint": ABOUT})
        assert pressed.status_code == 403, name
    assert await office.as_it_is() == before
    member = await office.signed_in("bob", Role.OPERATOR, "releases")
    shown = await member.get(path())
    assert (await member.post(PRESS, data=fields(shown.text))).status_code == 303


async def test_a_form_that_was_not_drawn_for_who_sends_it_does_nothing(office: Office) -> None:
    await office.begin(asking())
    bob, cyd = await office.signed_in("bob"), await office.signed_in("cyd")
    of_bob = fields((await bob.get(path())).text)
    before = await office.as_it_is()
    for sent in (of_bob, {name: value for name, value in of_bob.items() if name != "form-key"}):
        assert (await cyd.post(PRESS, data=sent)).status_code == 403
    assert await office.as_it_is() == before


@pytest.mark.parametrize(
    ("stands", "says"),
    [
        ({"step": 3, "asked_about": None}, "has gone on to step 3 of 3"),
        ({"phase": Phase.PROMOTED, "ended_at": NOON, "because": "cyd asked to approve"}, "cyd asked to approve"),
        ({"phase": Phase.ROLLED_BACK, "ended_at": NOON, "because": "not approved within 4 h"}, "not approved within"),
        ({"asked_about": "fedcba9876543210"}, "was changed since this message was sent"),
    ],
)
async def test_a_link_that_is_opened_again_says_what_became_of_it(
    office: Office, stands: dict[str, Any], says: str
) -> None:
    await office.begin(asking())
    browser = await office.signed_in("bob")
    early = fields((await browser.get(path())).text)
    rollout = replace(await office.store.rollout("r-1"), **stands, generation=2)
    await office.leave(rollout)
    before = await office.as_it_is()
    shown = await browser.get(path())
    assert (shown.status_code, says in shown.text) == (410, True)
    assert 'name="fingerprint"' not in shown.text
    pressed = await browser.post(PRESS, data=early)
    assert pressed.status_code == 409
    assert "Nothing was done" in pressed.text
    assert await office.as_it_is() == before


async def test_a_link_ends_at_its_time(office: Office) -> None:
    await office.begin(asking())
    browser = await office.signed_in("bob")
    link = path(replace(LINK, until=NOON + timedelta(minutes=5)))
    office.at = NOON + timedelta(minutes=5, seconds=-1)
    assert (await browser.get(link)).status_code == 200
    office.at = NOON + timedelta(minutes=5)
    ended = await browser.get(link)
    assert (ended.status_code, "this link was good until" in ended.text.lower()) == (410, True)


async def test_a_link_that_nobody_here_wrote_asks_nothing(office: Office) -> None:
    await office.begin(asking())
    browser = await office.signed_in("bob")
    said = {"sub": "r-1", "step": 2, "of": ABOUT, "exp": 4_000_000_000, "aud": AUDIENCE}
    whole = path()
    forged = [
        path(links=Links(HERE, b"another key of thirty-two letters")),
        f"/approvals/{jwt.encode(said, '', 'none')}",
        f"/approvals/{jwt.encode({**said, 'aud': 'other'}, KEY, 'HS256')}",
        f"/approvals/{jwt.encode({name: said[name] for name in ('sub', 'aud', 'exp')}, KEY, 'HS256')}",
        whole[:-4],
        whole.replace(".", "", 1),
        f"/approvals/{'x' * 450}",
        "/approvals/%00",
    ]
    for link in forged:
        shown = await browser.get(link)
        assert (shown.status_code, "none of ours" in shown.text) == (404, True), link
    assert (await browser.get(path(replace(LINK, rollout="r-9")))).status_code == 404


async def test_while_paused_the_link_says_so(office: Office) -> None:
    await office.begin(replace(asking(), phase=Phase.PAUSED, paused_at=NOON))
    shown = await (await office.signed_in("bob")).get(path())
    assert (shown.status_code, "the rollout is paused" in shown.text.lower()) == (200, True)
    assert 'name="fingerprint"' not in shown.text


async def test_a_program_counts_as_who_its_token_names(office: Office) -> None:
    await office.begin(asking())
    token = (await make_token(office.store, token_for("ann", Role.OPERATOR, NOON, None, id="t-ann"))).secret
    second = (await make_token(office.store, token_for("ann", Role.ADMIN, NOON, None, id="t-2"))).secret
    other = (await make_token(office.store, token_for("bob", Role.OPERATOR, NOON, None, id="t-bob"))).secret
    browser = office.browser()
    url = "/api/v1/rollouts/r-1:approve"

    async def approve(secret: str, **more: str) -> httpx.Response:
        shown = {"Authorization": f"Bearer {secret}", "X-Forwarded-User": "bob", "X-MS-CLIENT-PRINCIPAL-NAME": "bob"}
        return await browser.post(url, json={"generation": 1, **more}, headers=shown)

    for secret in (token, second):
        refused = await approve(secret, author="bob")
        assert (refused.status_code, "ann asked for this rollout" in refused.json()["detail"]) == (403, True)
    stale = await approve(other, fingerprint="fedcba9876543210")
    assert (stale.status_code, "was changed since it was read" in stale.json()["detail"]) == (409, True)
    given = await approve(other, author="somebody", fingerprint=ABOUT)
    assert (given.status_code, given.json()["open_commands"][0]["author"]) == (202, "bob")
    assert given.json()["approvals"]["fingerprint"] == ABOUT
    refused_first, *_ = await office.store.audit(AuditFilter(action="rollout.approve", author="bob via ann"))
    assert "wants somebody else" in (refused_first.because or "")


async def test_where_nobody_shows_who_they_are_nobody_approves_for_certain(office: Office) -> None:
    await office.begin(asking())
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app_over(office.services)), base_url=HERE)
    office.clients.append(client)
    answer = await client.post("/api/v1/rollouts/r-1:approve", json={"generation": 1, "author": "bob"})
    assert (answer.status_code, "nobody shows who they are" in answer.json()["detail"]) == (403, True)
    assert (await client.get(path())).status_code == 404
