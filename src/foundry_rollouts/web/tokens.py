"""The tokens of the ops API, for admins: made and shown once, listed, revoked."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from foundry_rollouts.core.model.access import ApiToken, Role
from foundry_rollouts.operations.tokens import every_token, make_token, revoke_token, token_for
from foundry_rollouts.web.access import Guarded, needs
from foundry_rollouts.web.auditing import asked_of, audited
from foundry_rollouts.web.problems import DOCUMENTED
from foundry_rollouts.web.schemas import Name
from foundry_rollouts.web.services import Ours

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, route_class=Guarded)

DAYS = 90  #: How long a token lasts unless somebody says otherwise.
MOST_DAYS = 3650


class TokenRequest(BaseModel):
    """A wish for a token; ``days`` null: it never expires."""

    model_config = ConfigDict(extra="forbid")

    owner: Name
    role: Role
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)] | None = DAYS


class TokenView(BaseModel):
    """A token; ``is_valid``: it opens something now."""

    id: str
    owner: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    is_valid: bool


class TokenMade(TokenView):
    """A token that was just made; its ``secret`` is shown now and never again."""

    secret: str


class TokenList(BaseModel):
    """Every token that was ever made, newest first."""

    items: list[TokenView]


@router.get("/tokens", dependencies=[needs(Role.ADMIN)])
async def list_tokens(ours: Ours) -> TokenList:
    """List tokens with their owners, roles and last use, newest first."""
    now = ours.now()
    return TokenList(items=[token_view(token, now) for token in await every_token(ours.store)])


@router.post("/tokens", dependencies=[needs(Role.ADMIN), audited("token.create")], status_code=201)
async def create_token(wanted: TokenRequest, ours: Ours, request: Request) -> TokenMade:
    """Make a token and show its secret, once.

    There is no idempotency key: the secret is not kept, so that the same answer could not be given again. Revoke a
    token whose answer was lost.
    """
    now, asked = ours.now(), asked_of(request)
    asked.subject = wanted.owner
    lasts = None if wanted.days is None else timedelta(days=wanted.days)
    made = await make_token(ours.store, token_for(wanted.owner, wanted.role, now, lasts, ours.new_id(now)))
    asked.subject = made.token.id
    asked.reason = f"for {wanted.owner}, {wanted.role}"
    return TokenMade(**token_view(made.token, now).model_dump(), secret=made.secret)


@router.post("/tokens/{token_id}:revoke", dependencies=[needs(Role.ADMIN), audited("token.revoke")])
async def revoke(token_id: str, ours: Ours) -> TokenView:
    """Revoke a token: it opens nothing any more; again changes nothing."""
    now = ours.now()
    return token_view(await revoke_token(ours.store, token_id, now), now)


def token_view(token: ApiToken, now: datetime) -> TokenView:
    """Return what is shown of ``token``."""
    return TokenView(
        id=token.id,
        owner=token.owner,
        role=token.role,
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        last_used_at=token.last_used_at,
        is_valid=token.refusal(now) is None,
    )
