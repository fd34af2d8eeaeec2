"""A site with an agent in each state that there is: the real store and the real app, over a clock that stands."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from builders import NOON, a_policy, a_rollout
from fakes import FakeHealth, FakePolicies, FakeWake, nobody, record
from foundry_rollouts.core.model.access import Role, Way
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.audit import AuditEntry, AuditOutcome
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.policy import Policy, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing, routing_of
from foundry_rollouts.links import Links
from foundry_rollouts.ports import AgentKnown, Record
from foundry_rollouts.store.schema import upgrade
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web.services import Services
from unit.web.served import serving

MINUTES, HOURS = timedelta(minutes=1), timedelta(hours=1)
STEPS = (
    WeightStep(10, min=MINUTES, max=30 * MINUTES),
    WeightStep(50, min=10 * MINUTES, max=30 * MINUTES),
    ApprovalStep(),
    WeightStep(100, min=30 * MINUTES),
)
SUPPORT = a_policy(name="support", agents=("support-*", "booking-*"), steps=STEPS)
STANDARD = a_policy(name="standard", agents=("*",), steps=STEPS)
CAUTIOUS = a_policy(name="cautious", agents=("refund-*", "invoice-*"), steps=(WeightStep(1, min=MINUTES), *STEPS))
POLICIES = (SUPPORT, STANDARD, CAUTIOUS)
ABOUT = "9f2c51d07ab3e864"  #: The fingerprint of what one of the agents waits for.
LINKS = Links("", b"0123456789abcdef0123456789abcdef")
#: What a hostile version may have written into its errors.
HOSTILE = "<img src=x onerror=alert(1)> \x1b[31mred\x1b[0m \u202e reversed"


@dataclass(frozen=True)
class Gallery:
    """Where the site is served, and its store."""

    url: str
    store: SqlStore
    services: Services


@dataclass(frozen=True)
class Shown:
    """One agent of the gallery; ``but`` is what its rollout has beside the ordinary, None: it never had one."""

    name: str
    stable: str | None
    canary: str
    policy: Policy = STANDARD
    but: Mapping[str, Any] | None = None
    routing: Routing | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def progressing(step: int, ago: timedelta, **but: Any) -> dict[str, Any]:
    return {
        "phase": Phase.PROGRESSING,
        "step": step,
        "created_at": NOON - ago - 20 * MINUTES,
        "started_at": NOON - ago - 15 * MINUTES,
        "step_started_at": NOON - ago,
        **but,
    }


def ended(phase: Phase, ago: timedelta, because: str, **but: Any) -> dict[str, Any]:
    return {
        "phase": phase,
        "step": 2,
        "created_at": NOON - ago - 34 * MINUTES,
        "started_at": NOON - ago - 33 * MINUTES,
        "step_started_at": NOON - ago - 5 * MINUTES,
        "ended_at": NOON - ago,
        "because": because,
        **but,
    }


QUIET = (
    "address-check",
    "catalog-search",
    "chat-router",
    "delivery-slots",
    "loyalty-agent",
    "price-match",
    "store-finder",
)
SHOWN = (
    Shown(
        "support-agent",
        "41",
        "42",
        SUPPORT,
        ended(
            Phase.ROLLED_BACK,
            3 * MINUTES,
            "24 of the last 63 calls on v42 failed against 2 of 85 on v41: worse than 1.2x, evidence 1 862 : 1",
        ),
    ),
    Shown(
        "refund-agent",
        "5",
        "6",
        CAUTIOUS,
        ended(
            Phase.DISABLED, 42 * MINUTES, "38 of 41 calls on v6 failed and no stable version is left: v5 was deleted"
        ),
        Routing.of({"6": 100}, is_open=False),
    ),
    Shown(
        "gift-cards", "4", "5", STANDARD, ended(Phase.FAILED, 4 * HOURS, f"v5 never became active: {HOSTILE}", step=0)
    ),
    Shown("knowledge-search", "8", "9", routing=Routing.of({LATEST: 100})),
    Shown(
        "returns-agent",
        "14",
        "15",
        STANDARD,
        progressing(
            1,
            20 * MINUTES,
            phase=Phase.PAUSED,
            paused_at=NOON - 20 * MINUTES,
            because="the cloud gives v15 weight 25 and the plan says 10: it was changed elsewhere at 11:40",
            waiting_for="a person: resume sets the plan's weight again, abort goes back",
        ),
        Routing.of({"14": 75, "15": 25}),
    ),
    Shown(
        "order-status",
        "27",
        "28",
        STANDARD,
        progressing(
            3,
            9 * MINUTES,
            because="12 of 2 111 calls on v28 failed against 21 of 3 721 on v27: less than 0.5 points worse, 95 % sure",
            waiting_for="a person: approve or abort",
            asked_about=ABOUT,
        ),
    ),
    Shown(
        "booking-agent",
        "18",
        "19",
        SUPPORT,
        progressing(
            1,
            4 * MINUTES,
            because="2 of 184 calls on v19 failed against 13 of 1 690 on v18: no sign of harm, not proved yet",
            waiting_for="error-rate: about 280 more calls on v19, 5 min at this traffic",
            verdict="no-data",
        ),
    ),
    Shown(
        "faq-agent",
        "51",
        "52",
        STANDARD,
        progressing(
            4,
            12 * MINUTES,
            because="21 of 8 122 calls failed, as in the week before (0.3 %); v51 stays ready to take over",
            waiting_for="the last bake: 18 min 40 s left of 30",
        ),
    ),
    Shown(
        "invoice-agent",
        "7",
        "8",
        CAUTIOUS,
        {
            "phase": Phase.PENDING,
            "created_at": NOON - 2 * MINUTES,
            "because": "v8 is newer than the stable version v7",
            "waiting_for": "version 8 to become active: it is creating",
        },
    ),
    *(
        Shown(
            name,
            str(11 + at),
            str(11 + at),
            STANDARD,
            ended(Phase.PROMOTED, (at + 1) * 20 * HOURS, "baked 30 min", step=4),
        )
        for at, name in enumerate(QUIET)
    ),
    Shown("internal-notes", "2", "2", more={"policy": None}),
    Shown("a-name-that-goes-on-and-on-without-any-mercy-for-the-width-of-a-phone-eu-west-production", "3", "3"),
)


def asked(number: int, action: str, outcome: AuditOutcome, **but: Any) -> AuditEntry:
    entry = AuditEntry(
        id=f"au-{number}",
        at=NOON - number * 17 * MINUTES,
        author="on-call",
        role=Role.OPERATOR,
        way=Way.SESSION,
        address="10.0.0.7",
        action=action,
        subject="ro-returns-agent",
        reason=None,
        generation=8,
        outcome=outcome,
        because=None,
    )
    return replace(entry, **but)


AUDITED = (
    asked(
        5, "rollout.promote", AuditOutcome.REFUSED, role=Role.VIEWER, author="viewer", because="needs the role operator"
    ),
    asked(
        4,
        "rollout.start",
        AuditOutcome.ACCEPTED,
        way=Way.TOKEN,
        author="ci-deploy",
        reason="build 5120",
        generation=None,
    ),
    asked(3, "rollout.approve", AuditOutcome.REFUSED, because="it had moved on to generation 6: read it and ask again"),
    asked(2, "rollout.abort", AuditOutcome.FAILED, reason=HOSTILE, because="the database does not answer"),
    asked(1, "rollout.pause", AuditOutcome.ACCEPTED, reason="who changed the weight?"),
)


def rollout_of(shown: Shown) -> Rollout:
    stable = str(int(shown.canary) - 1) if shown.stable == shown.canary else shown.stable
    what = {
        "agent": shown.name,
        "canary": shown.canary,
        "stable": stable,
        "policy": shown.policy,
        "author": "ci-deploy",
    }
    return a_rollout(**{"id": f"ro-{shown.name[:20]}", "because": "created", **what, **(shown.but or {})})


async def put(store: SqlStore, shown: Shown) -> None:
    """Put an agent into the store, with the history that made its rollout what it is."""
    await record(store, shown.name, Record(stable=shown.stable, newest=shown.canary))
    if shown.but is None:
        return
    rollout = rollout_of(shown)
    told = [("created", rollout.created_at), ("started", rollout.started_at), (rollout.phase.value, rollout.ended_at)]
    moments = [(kind, at) for kind, at in told if at is not None]
    for number, (kind, at) in enumerate(moments, start=1):
        event = Event(
            id=f"{rollout.id}:{number}",
            at=at,
            kind=f"rollout.{kind}",
            agent=rollout.agent,
            because=rollout.because if number == len(moments) else f"{kind} as it had to be",
            rollout=rollout.id,
            step=rollout.step or None,
            weights=dict(routing_of(rollout).weights),
            author="ci-deploy" if number == 1 else None,
        )
        due = None if rollout.phase.is_final else NOON + HOURS
        await record(
            store, rollout.agent, Record(event=event, rollout=replace(rollout, event_count=number), due_at=due)
        )


def seen(shown: Shown) -> AgentKnown:
    """Return what discovery saw of an agent."""
    routing = shown.routing or (routing_of(rollout_of(shown)) if shown.but else Routing.of({shown.stable or "1": 100}))
    what = {"latest": shown.canary, "latest_status": "active", "routing": routing, "policy": shown.policy.name}
    return AgentKnown(shown.name, **{**what, **shown.more})


@asynccontextmanager
async def a_site(folder: Path, **but: Any) -> AsyncIterator[Gallery]:
    """Serve an empty database; ``but`` are services that are not the ordinary ones."""
    database = f"sqlite:///{folder / 'history.db'}"
    await upgrade(database)
    store = SqlStore(database, replica="here", lease=timedelta(seconds=30), on_message=nobody)
    services = Services(
        **{
            "store": store,
            "policies": FakePolicies(POLICIES),
            "health": FakeHealth(),
            "metrics": Metrics("1.2.3"),
            "wake": FakeWake(),
            "now": lambda: NOON,
            "stop": asyncio.Event(),
            "project": "retail-assist / prod",
            "check_every": timedelta(milliseconds=250),
            "links": LINKS,
            **but,
        }
    )
    try:
        async with serving(services) as (url, _):
            yield Gallery(url, store, services)
    finally:
        await store.close()


@asynccontextmanager
async def a_gallery(folder: Path) -> AsyncIterator[Gallery]:
    """Serve a database in which an agent is in each state that there is."""
    async with a_site(folder) as site:
        await site.store.see_agents([seen(each) for each in SHOWN], NOON)
        for each in SHOWN:
            await put(site.store, each)
        for entry in AUDITED:
            await site.store.append_audit(entry)
        yield site
