"""The page of one rollout: drawn whole, kept alive by a stream, and the forms of its commands."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.approval import Approver
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.errors import ConflictError, NotAllowedError
from foundry_rollouts.operations.acknowledge import Acknowledge, acknowledge
from foundry_rollouts.operations.commands import command
from foundry_rollouts.operations.start import Retry, retry
from foundry_rollouts.web.access import Who, needs
from foundry_rollouts.web.auditing import asked_of, audited, refused
from foundry_rollouts.web.forms import Form
from foundry_rollouts.web.html import Page
from foundry_rollouts.web.live_page import live_page, look_of, page_seen, parts_of
from foundry_rollouts.web.log_tails import first_lines
from foundry_rollouts.web.render import fragment, page, url
from foundry_rollouts.web.schemas import CommandRequest
from foundry_rollouts.web.services import Ours, Services

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=Page)

#: The commands that a form may give; ``retry`` begins a new rollout, ``acknowledge`` says that somebody knows.
COMMANDS = (*(verb.value for verb in Verb), "retry", "acknowledge")
#: Those that raise exposure: without script they have a page of their own.
RAISING = ("promote", "retry")


@dataclass(frozen=True, slots=True)
class Pressed:
    """A form that was sent, and by whom."""

    form: Mapping[str, str]
    approver: Approver

    @property
    def author(self) -> str:
        return self.approver.name


def _pressed(form: Form, who: Who) -> Pressed:
    return Pressed(form, Approver.of(who))


By = Annotated[Pressed, Depends(_pressed)]


@router.get("/rollouts/{rollout_id}", dependencies=[needs(Role.VIEWER)])
async def show_rollout(request: Request, rollout_id: str, ours: Ours) -> HTMLResponse:
    """Show one rollout, whole."""
    seen = await page_seen(ours, rollout_id)
    return page(request, "rollout.html", **look_of(request, seen, logs=await first_lines(ours, seen.rollout)))


@router.get("/ui/rollouts/{rollout_id}/live", dependencies=[needs(Role.VIEWER)])
async def follow_page(request: Request, rollout_id: str, ours: Ours) -> Response:
    """Stream the parts of the page that change."""
    await page_seen(ours, rollout_id)
    return live_page(request, ours, rollout_id)


def _ask(verb: str) -> Callable[[Request, str, Ours], Awaitable[HTMLResponse]]:
    """Return the route that asks before exposure is raised."""

    async def ask_first(request: Request, rollout_id: str, ours: Ours) -> HTMLResponse:
        """Ask on a page of its own; with our script, a dialog asks the same."""
        seen = await page_seen(ours, rollout_id)
        if not any(control.verb == verb and not control.refused for control in seen.controls):
            return page(request, "rollout.html", **look_of(request, seen, _too_late(verb)))
        return page(request, "rollout-ask.html", verb=verb, **look_of(request, seen))

    return ask_first


for _verb in RAISING:
    router.add_api_route(
        f"/rollouts/{{rollout_id}}/{_verb}", _ask(_verb), dependencies=[needs(Role.OPERATOR)], name=f"ask_{_verb}"
    )


def _give(verb: str) -> Callable[[Request, str, By, Ours], Awaitable[Response]]:
    """Return the route of one button."""

    async def give(request: Request, rollout_id: str, by: By, ours: Ours) -> Response:
        """Give a command by a form; the answer is the page, or the parts of it that changed."""
        asked = asked_of(request)
        asked.author = by.author
        try:
            wanted = _wanted(by.form)
            asked.reason, asked.generation = wanted.reason, wanted.generation
            rollout = await _obeyed(ours, rollout_id, Wish(verb, wanted, by.approver))
        except ConflictError as error:
            refused(request, str(error))
            return await _answered(request, ours, rollout_id, 409, await _conflict(ours, rollout_id, error))
        except NotAllowedError as error:
            refused(request, str(error))
            return await _answered(request, ours, rollout_id, 403, f"{str(error).capitalize()}.")
        except ValidationError as error:
            said = "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors())
            refused(request, said)
            return await _answered(request, ours, rollout_id, 422, f"Nothing was done: {said}.")
        if _is_script(request) and rollout == rollout_id:
            return await _answered(request, ours, rollout_id, 202, "")
        return RedirectResponse(url(request, f"/rollouts/{rollout}"), 303)

    return give


for _verb in COMMANDS:
    router.add_api_route(
        f"/ui/rollouts/{{rollout_id}}:{_verb}",
        _give(_verb),
        methods=["POST"],
        dependencies=[needs(Role.OPERATOR), audited(f"rollout.{_verb}")],
        name=f"press_{_verb}",
    )


def _wanted(form: Mapping[str, str]) -> CommandRequest:
    """Read a form; the reason beside the button that decides counts before the one in the bar."""
    reason = " ".join((form.get("why") or form.get("reason") or "").split())
    said = {"generation": form.get("generation"), "fingerprint": form.get("fingerprint"), "reason": reason or None}
    return CommandRequest.model_validate(said)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks by a form."""

    verb: str
    wanted: CommandRequest
    approver: Approver

    @property
    def author(self) -> str:
        return self.approver.name


async def _obeyed(ours: Services, rollout_id: str, wish: Wish) -> str:
    """Take the command, and return the id of the rollout that it is about now."""
    now, wanted = ours.now(), wish.wanted
    new_id = ours.new_id(now)
    if wish.verb == "retry":
        asked = Retry(new_id, rollout_id, wanted.generation, wish.author, wanted.reason)
        found = (await retry(ours.store, asked, now)).id
    elif wish.verb == "acknowledge":
        known = Acknowledge(rollout_id, wish.author, wanted.generation, wanted.reason)
        found = (await acknowledge(ours.store, known, now)).id
    else:
        verb = Verb(wish.verb)
        given = Command(
            new_id, rollout_id, verb, wanted.generation, now, wish.author, wanted.reason, about=wanted.fingerprint
        )
        found = (await command(ours.store, given, wish.approver)).id
    ours.wake.wake_sweep()
    return found


async def _conflict(ours: Services, rollout_id: str, error: ConflictError) -> str:
    """Say what changed since the page was drawn."""
    seen = await page_seen(ours, rollout_id)
    newest = next((line for line in seen.timeline if line.id != "now"), None)
    changed = ""
    if newest:
        by = f" by {newest.author}" if newest.author else ""
        changed = f" The last change was at {newest.time}: {newest.title.lower()}{by}."
    return f"Nothing was done: {error}.{changed} The page shows it as it is now; press again if you still want it."


def _too_late(verb: str) -> str:
    return f"It makes no sense to {verb} it now; nothing was done."


def _is_script(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"


async def _answered(request: Request, ours: Services, rollout_id: str, status: int, said: str) -> HTMLResponse:
    """Answer with the parts of the page, where our script asked, and with the whole page otherwise."""
    seen = await page_seen(ours, rollout_id)
    if _is_script(request):
        return fragment(request, "rollout/fragments.html", status, parts=parts_of(request, seen), answer=said)
    return page(request, "rollout.html", status=status, **look_of(request, seen, said))
