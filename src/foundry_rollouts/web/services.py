"""What the web depends on; ``wiring`` passes the real ones."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Request

from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.links import Links
from foundry_rollouts.operations.ids import new_id
from foundry_rollouts.operations.log_tail import LogTails
from foundry_rollouts.operations.replayed import Replays
from foundry_rollouts.operations.sign_ins import Limits
from foundry_rollouts.ports import Brakes, Catalogue, Directory, Health, Identities, Policies, Store, Targets, Wake
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web.limits import Buckets


@dataclass(frozen=True, slots=True)
class Services:
    """All that requests are answered with; ``stop`` is set when the daemon ends."""

    store: Store
    policies: Policies
    health: Health
    metrics: Metrics
    wake: Wake
    now: Callable[[], datetime]
    stop: asyncio.Event
    project: str = ""  #: What the pages call the project: ``ACCOUNT / PROJECT``.
    is_open: bool = True  #: Whoever asks from this machine and shows nothing may do everything.
    directory: Directory | None = None  #: Who signs people in; None: nobody but us, by tokens.
    sign_in_limits: Limits = field(default_factory=Limits)
    identities: Identities | None = None  #: Who knows people by tokens that are not ours; None: nobody.
    unknown: Buckets = field(default_factory=lambda: Buckets(1))  #: How much of nobody known the audit log keeps.
    buckets: Buckets = field(default_factory=lambda: Buckets(50))  #: How much one token, person or address may ask.
    has_metrics: bool = True  #: Whether /metrics is served beside the API.
    are_metrics_open: bool = True  #: Whether everybody may read them.
    proxies: tuple[str, ...] = ()  #: The networks of reverse proxies that are believed.
    base_path: str = ""  #: What stands before every path when a proxy serves us beside others: ``/rollouts``.
    hosts: frozenset[str] = field(default=frozenset())  #: Host names we answer to beside loopback.
    new_id: Callable[[datetime], str] = new_id
    written: Callable[[Policy], Mapping[str, Any]] = lambda _: {}  #: How a file would say a policy.
    catalogue: Catalogue | None = None  #: The cloud, to read from; None: nothing is checked or read back.
    targets: Targets | None = None  #: Who is notified; None: nobody, or the webhook alone.
    links: Links | None = None  #: Where messages lead; None: nobody said how people reach the pages.
    brakes: Brakes | None = None  #: What stands of stops and holds, as this replica reads it; None: nobody reads it.
    projects: tuple[str, ...] = ()  #: The names of the projects, where there are several.
    logs: LogTails = field(default_factory=LogTails)
    answer_within: timedelta = timedelta(seconds=5)  #: How long a command may wait for its tick, at most.
    check_every: timedelta = timedelta(seconds=1)  #: How often a live history checks for news.
    replays: Replays = field(default_factory=Replays)  #: Rollouts judged again, for everybody who watches them.
    keepalive_after: timedelta = timedelta(seconds=5)  #: A live history so quiet says that its connection lives.


def services_of(request: Request) -> Services:
    """Return what the app was created with."""
    services: Services = request.app.state.services
    return services


Ours = Annotated[Services, Depends(services_of)]
