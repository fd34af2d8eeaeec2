"""The one place that writes the audit log: every request that would change something, whatever came of it.

    @router.post("/rollouts/{rollout_id}:abort", dependencies=[needs(Role.OPERATOR), audited("rollout.abort")])
    async def abort(rollout_id: str, wanted: CommandRequest, by: By, ...):
        by.asks(author=..., reason=..., generation=...)

What the entry is about is the first parameter of the path, or what the route says. A test finds routes that change
something and are not marked.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from fastapi import Depends
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundry_rollouts.core.model.access import Person
from foundry_rollouts.core.model.audit import AuditEntry, AuditOutcome
from foundry_rollouts.errors import RolloutsError
from foundry_rollouts.operations.audit import note
from foundry_rollouts.untrusted import clean
from foundry_rollouts.web.services import Services

log = structlog.get_logger(__name__)

READING = frozenset({"GET", "HEAD", "OPTIONS"})
UNKNOWN = "unknown"  #: The author where nobody was recognised.
LONGEST = 500  #: Characters of a sentence that are kept.
BODY_BYTES = 64 * 1024  #: Of an answer that may hold the reason of a refusal.


class Audited:
    """The word that the audit log has for what a route does."""

    def __init__(self, action: str) -> None:
        self.action = action

    async def __call__(self) -> None:
        """Do nothing: it is a mark."""


def audited(action: str) -> Any:
    """Return the mark of a route that changes something."""
    return Depends(Audited(action))


#: The mark of a route that takes so much, and changes so little, that it is not written down.
UNAUDITED = "-"


def action_of(route: APIRoute) -> str | None:
    """Return the action that ``route`` is marked with; None: it has no mark."""
    return next((each.dependency.action for each in route.dependencies if isinstance(each.dependency, Audited)), None)


def api_routes(routes: Sequence[BaseRoute]) -> Iterator[APIRoute]:
    """Yield every route of ours that an app was built with, those of its routers too."""
    for context in iter_route_contexts(routes):
        if isinstance(context.original_route, APIRoute):
            yield context.original_route


@dataclass(slots=True)
class Noted:
    """What a route says of a request while it is at work."""

    author: str | None = None
    subject: str | None = None
    reason: str | None = None
    generation: int | None = None
    because: str | None = None  #: Why it is refused, where the answer is a page.
    outcome: AuditOutcome | None = None  #: None: by the status of the answer.


def asked_of(request: Request) -> Noted:
    """Return what is known of the request so far; routes fill it."""
    known: Noted | None = getattr(request.state, "asked", None)
    if known is None:
        known = request.state.asked = Noted()
    return known


def refused(request: Request, because: str) -> None:
    """Note that a request is refused, where the answer does not say so by its status."""
    asked = asked_of(request)
    asked.because, asked.outcome = because, AuditOutcome.REFUSED


class Auditor:
    """Writes an entry before the answer is given, so that who has the answer finds the entry."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        marked = [(route, action_of(route)) for route in api_routes(routes)]
        self._routes = [(route, action) for route, action in marked if action not in {None, UNAUDITED}]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (found := self._found(scope)) is None:
            await self._app(scope, receive, send)
            return
        action, subject = found
        scope.setdefault("state", {})
        held = _Held(send)

        async def hear(message: Message) -> None:
            if await held.is_whole(message):
                await self._write(scope, action, subject, held)
                await held.let_go()

        try:
            await self._app(scope, receive, hear)
        except BaseException:
            if not held.is_let_go:
                held.status = 500
                await self._write(scope, action, subject, held)
            raise

    def _found(self, scope: Scope) -> tuple[str, str | None] | None:
        for route, action in self._routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                parameters = list(child.get("path_params", {}).values())
                return str(action), str(parameters[0]) if parameters else None
        return None

    async def _write(self, scope: Scope, action: str, subject: str | None, held: "_Held") -> None:
        services: Services = scope["app"].state.services
        person: Person | None = scope["state"].get("person")
        asked: Noted = scope["state"].get("asked") or Noted()
        because = asked.because or held.because()
        now = services.now()
        if person is None and services.unknown.take("all", asyncio.get_running_loop().time()) is not None:
            return  # A flood of nobody known must not fill the database.
        entry = AuditEntry(
            id=services.new_id(now),
            at=now,
            author=asked.author or (person.name if person else UNKNOWN),
            role=person.role if person else None,
            way=person.way if person else None,
            address=(scope.get("client") or ("",))[0],
            action=action,
            subject=_said(asked.subject or subject),
            reason=_said(asked.reason),
            generation=asked.generation,
            outcome=asked.outcome or held.outcome,
            because=_said(because),
        )
        try:
            await note(services.store, entry)
        except RolloutsError as error:
            # What was asked is done all the same: going back is never blocked by a database that is away.
            log.warning("audit.lost", because=str(error), action=action, subject=subject, author=entry.author)


@dataclass(slots=True)
class _Held:
    """An answer that is held back until its entry is written; of one that went well, only the beginning."""

    send: Send
    status: int = 0
    messages: list[Message] = field(default_factory=list)
    is_let_go: bool = False

    async def is_whole(self, message: Message) -> bool:
        """Take in a part of the answer; whether enough of it is there. What comes behind is passed on."""
        if self.is_let_go:
            await self.send(message)
            return False
        self.messages.append(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return self.status < 400
        held = sum(len(each.get("body", b"")) for each in self.messages)
        return not message.get("more_body", False) or held > BODY_BYTES

    async def let_go(self) -> None:
        """Give the answer."""
        self.is_let_go = True
        for message in self.messages:
            await self.send(message)

    @property
    def outcome(self) -> AuditOutcome:
        if self.status < 400:
            return AuditOutcome.ACCEPTED
        return AuditOutcome.REFUSED if self.status < 500 else AuditOutcome.FAILED

    def because(self) -> str | None:
        """Return why it was refused or failed, as the answer says it."""
        if self.status < 400:
            return None
        body = b"".join(each.get("body", b"") for each in self.messages)
        try:
            detail = json.loads(body).get("detail")
        except (ValueError, AttributeError):
            detail = None
        return f"{self.status}: {detail}" if isinstance(detail, str) else f"{self.status}"


def _said(text: str | None) -> str | None:
    return None if text is None else clean(text)[:LONGEST]
