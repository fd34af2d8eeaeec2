"""The tokens of the ops API, for admins: made and shown once, listed, revoked."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from foundry_rollouts.core.model.access import ApiToken, Role
from foundry_rollouts.operations.tokens import id_under, made_before, make_token, revoke_token, token_for, tokens_page
from foundry_rollouts.web.access import Guarded, needs
from foundry_rollouts.web.auditing import audited
from foundry_rollouts.web.problems import DOCUMENTED
from foundry_rollouts.web.requester import By
from foundry_rollouts.web.schemas import Name
from foundry_rollouts.web.services import Ours

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, route_class=Guarded)

DAYS = 90  #: How long a token lasts unless somebody says otherwise.
MOST_DAYS = 3650


class TokenRequest(BaseModel):
    """A wish for a token; ``days`` null: it never expires."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"owner": "ci", "role": "operator", "days": 30}]}
    )

    owner: Name
    role: Role
    days: Annotated[int, Field(ge=1, le=MOST_DAYS, strict=True)] | None = DAYS


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
    """Tokens, those that open nothing any more too, newest first; ``next`` begins the following page."""

    items: list[TokenView]
    next: str | None


class WhichTokens(BaseModel):
    """Which tokens to list; all without a limit."""

    limit: Annotated[int, Field(ge=1, le=200)] | None = None
    before: Name | None = None


@router.get("/tokens", dependencies=[needs(Role.ADMIN)])
async def list_tokens(ours: Ours, wanted: Annotated[WhichTokens, Query()]) -> TokenList:
    """List tokens with their owners, roles and last use, newest first; ``before`` takes the ``next`` before."""
    now = ours.now()
    items, onward = await tokens_page(ours.store, wanted.before, wanted.limit)
    return TokenList(items=[token_view(token, now) for token in items], next=onward)


@router.post(
    "/tokens",
    dependencies=[needs(Role.ADMIN), audited("token.create")],
    status_code=201,
    responses={200: {"model": TokenView, "description": "Made before, under the same key: without its secret"}},
)
async def create_token(wanted: TokenRequest, ours: Ours, by: By, response: Response) -> TokenMade | TokenView:
    """Make a token and show its secret, once.

    The same idempotency key again makes no second token. It is answered with 200 and without the secret, which is kept
    nowhere: revoke a token whose answer was lost, and make another under another key.
    """
    now = ours.now()
    by.asked.subject, by.asked.reason = wanted.owner, f"for {wanted.owner}, {wanted.role}"
    lasts = None if wanted.days is None else timedelta(days=wanted.days)
    token = token_for(wanted.owner, wanted.role, now, lasts, id_under(by.key) if by.key else ours.new_id(now))
    by.asked.subject = token.id
    if earlier := await made_before(ours.store, token):
        response.status_code = 200
        return token_view(earlier, now)
    made = await make_token(ours.store, token)
    return TokenMade(**token_view(made.token, now).model_dump(), secret=made.secret)


@router.post("/tokens/{token_id}:revoke", dependencies=[needs(Role.ADMIN), audited("token.revoke")])
async def revoke(token_id: str, ours: Ours, _by: By) -> TokenView:
    """Revoke a token: it opens nothing any more; again, under whatever idempotency key, changes nothing."""
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
