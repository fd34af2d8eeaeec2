"""Conversations, at an agent's endpoint and at the project: create, get, update, delete."""

from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from foundry_emulator.bodies import json_object, parsed
from foundry_emulator.conversations import Conversation
from foundry_emulator.ids import tagged
from foundry_emulator.middleware import Visit
from foundry_emulator.placement import open_agent
from foundry_emulator.routes.requests import checked_metadata


class _ConversationBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    metadata: dict[str, str] | None = None
    items: list[dict[str, Any]] | None = None


async def create(visit: Visit) -> Response:
    """Create a conversation; its session is bound by the first call that names it."""
    _refuse_closed(visit)
    body = parsed(_ConversationBody, await json_object(visit.request, is_optional=True))
    conversation = Conversation(visit.project, tagged("conv"), visit.world.clock.now(), checked_metadata(body.metadata))
    return JSONResponse(_view(visit.world.conversations.put(conversation)))


async def read(visit: Visit) -> Response:
    """Answer one conversation."""
    return JSONResponse(_view(_known(visit)))


async def update(visit: Visit) -> Response:
    """Replace a conversation's metadata."""
    body = parsed(_ConversationBody, await json_object(visit.request))
    changed = replace(_known(visit), metadata=checked_metadata(body.metadata))
    return JSONResponse(_view(visit.world.conversations.put(changed)))


async def delete(visit: Visit) -> Response:
    """Forget a conversation; its session lives on."""
    conversation = _known(visit)
    visit.world.conversations.drop(conversation)
    return JSONResponse({"id": conversation.id, "object": "conversation.deleted", "deleted": True})


def _known(visit: Visit) -> Conversation:
    _refuse_closed(visit)
    return visit.world.conversations.conversation(visit.project, visit.named("conversation"))


def _refuse_closed(visit: Visit) -> None:
    if "name" in visit.request.path_params:
        open_agent(visit.world, visit.agent)


def _view(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": int(conversation.created_at),
        "metadata": conversation.metadata,
    }
