"""Two plain pages: what runs, and the history of one rollout. No script; every text is escaped; a phone will do."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from foundry_rollouts.core.model.event import Event
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.operations.lists import agents_view, history, one_rollout, rollouts_view
from foundry_rollouts.operations.views import AgentView, RolloutView, rollout_view
from foundry_rollouts.ports import RolloutFilter
from foundry_rollouts.untrusted import visible
from foundry_rollouts.web.problems import SAFE_HEADERS
from foundry_rollouts.web.services import Ours

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

NEWEST = 50  #: Rollouts on the first page.

AGENT = ("Agent", "Stable", "Weights", "Policy", "Rollout")
ROLLOUT = ("Rollout", "Phase", "Step", "Weights", "Created", "Because")
EVENT = ("When", "What", "Weights", "Who", "Because")

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --line: #8886; --link: #0b57d0; --page: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #eee; --link: #a8c7fa; --page: #121212 } }
html { background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
body { margin: 0 auto; max-width: 75rem; overflow-wrap: break-word; padding: 1rem }
header a { font-weight: 600 }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 1rem 0 }
a { color: var(--link); display: inline-block; min-height: 1.5rem }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
small { display: block; font-weight: 400 }
time, .share { white-space: nowrap }
dl { display: grid; gap: .25rem 1rem; grid-template-columns: max-content 1fr }
dt { font-weight: 600 }
dd { margin: 0 }
.wide { margin-top: 1.5rem; overflow-x: auto }
table { border-collapse: collapse; min-width: 100% }
caption { font-size: 1.25rem; font-weight: 600; padding: .5rem 0; text-align: start }
th, td { border-top: 1px solid var(--line); padding: .5rem 1rem .5rem 0; text-align: start; vertical-align: top }
td.why { min-width: 18rem }
@media (max-width: 48rem) {
  table, caption, tbody, tr, th, td { display: block }
  thead { clip-path: inset(50%); height: 1px; overflow: hidden; position: absolute; width: 1px }
  tbody th { padding: .75rem 0 .25rem }
  td { border: 0; padding: 0 0 .25rem 6rem; position: relative }
  tr td:last-child { min-width: 0; padding-bottom: .75rem }
  td[data-label]::before { content: attr(data-label); font-weight: 600; inset-inline-start: 0; position: absolute }
}
"""

_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
_HEADERS = {"Content-Security-Policy": f"{SAFE_HEADERS['Content-Security-Policy']}; style-src 'sha256-{_STYLE_HASH}'"}


@router.get("/")
async def overview(ours: Ours) -> HTMLResponse:
    """Show agents and the newest rollouts."""
    now = ours.now()
    agents = await agents_view(ours.store, now)
    newest = await rollouts_view(ours.store, RolloutFilter(limit=NEWEST), now)
    tables = _table("Agents", AGENT, map(_agent_row, agents)) + _table(
        "Rollouts, newest first", ROLLOUT, map(_rollout_row, newest.items)
    )
    return _page("Rollouts", f"<p>As of {_time(now)}. <a href='/'>Refresh</a></p>{tables}")


@router.get("/rollouts/{rollout_id}")
async def show_rollout(rollout_id: str, ours: Ours) -> HTMLResponse:
    """Show one rollout with its history."""
    now = ours.now()
    try:
        rollout = rollout_view(await one_rollout(ours.store, rollout_id), now)
    except NotFoundError as error:
        return _page("Not found", f"<p>{_shown(str(error))}. <a href='/'>All rollouts</a></p>", status=404)
    events = await history(ours.store, rollout_id)
    here = f"/rollouts/{_shown(rollout.id)}"
    body = f"<p>As of {_time(now)}. <a href='{here}'>Refresh</a></p>{_facts(rollout)}" + _table(
        "History", EVENT, map(_event_row, events)
    )
    return _page(_name(rollout), body)


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{_shown(title)} · foundry-rollouts</title><style>{STYLE}</style></head>"
        "<body><header><nav aria-label='Pages'><a href='/'>foundry-rollouts</a></nav></header>"
        f"<main><h1>{_shown(title)}</h1>{body}</main></body></html>",
        status,
        headers=_HEADERS,
    )


def _table(caption: str, columns: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th scope='col' role='columnheader'>{column}</th>" for column in columns)
    body = "".join(rows) or f"<tr role='row'><td role='cell' colspan='{len(columns)}'>none yet</td></tr>"
    # A table that is too wide scrolls, and by keyboard because it takes the focus. On a phone its rows become lists,
    # and the roles say what they are all the same.
    return (
        f"<div class='wide' role='region' aria-label='{caption}' tabindex='0'><table role='table'>"
        f"<caption>{caption}</caption><thead role='rowgroup'><tr role='row'>{head}</tr></thead>"
        f"<tbody role='rowgroup'>{body}</tbody></table></div>"
    )


def _agent_row(agent: AgentView) -> str:
    routing = agent.routing
    weights = _weights(routing.weights) if routing else "not seen yet"
    if agent.unreadable:
        weights += f"<small>cannot be processed: {escape(agent.unreadable)}</small>"
    closed = "" if routing is None or routing.is_open else " (disabled)"
    rollout = _link(agent.rollout.id, _phase(agent.rollout)) if agent.rollout else "none"
    if agent.queued:
        rollout += f", {agent.queued} queued"
    cells = (_shown(agent.stable or "none"), weights + closed, _shown(agent.policy or "none"), rollout)
    return _row(AGENT, _shown(agent.name), cells)


def _rollout_row(rollout: RolloutView) -> str:
    link = f"{_link(rollout.id, _name(rollout))}<small>{_shown(rollout.id)}</small>"
    step = f"{rollout.step} of {rollout.steps}"
    cells = (_phase(rollout), step, _weights(rollout.weights), _time(rollout.created_at), _shown(rollout.because))
    return _row(ROLLOUT, link, cells)


def _event_row(event: Event) -> str:
    who = _shown(event.author or "controller")
    cells = (_shown(event.kind), _weights(event.weights or {}), who, _shown(event.because))
    return _row(EVENT, _time(event.at), cells)


def _row(columns: Sequence[str], first: str, cells: Sequence[str]) -> str:
    row = f"<tr role='row'><th scope='row' role='rowheader'>{first}</th>"
    for column, cell in zip(columns[1:], cells, strict=True):
        why = " class='why'" if column == "Because" else ""
        row += f"<td role='cell' data-label='{column}'{why}>{cell}</td>"
    return f"{row}</tr>"


def _facts(rollout: RolloutView) -> str:
    facts = {
        "Phase": f"<strong>{_phase(rollout)}</strong>, step {rollout.step} of {rollout.steps}",
        "Because": _shown(rollout.because),
        "Waits for": _shown(rollout.waiting_for or ""),
        "Weights": _weights(rollout.weights),
        "Policy": _shown(rollout.policy),
        "Rollout": _shown(rollout.id),
    }
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{fact}</dd>' for name, fact in facts.items() if fact)}</dl>"


def _link(rollout_id: str, text: str) -> str:
    return f"<a href='/rollouts/{_shown(rollout_id)}'>{_shown(text)}</a>"


def _name(rollout: RolloutView) -> str:
    return f"{rollout.agent} version {rollout.canary}"


def _phase(rollout: RolloutView) -> str:
    return rollout.phase.value.replace("_", " ")


def _weights(weights: Mapping[str, int]) -> str:
    shares = (f"version {_shown(version)} at {weight}%" for version, weight in weights.items())
    return ", ".join(f"<span class='share'>{share}</span>" for share in shares) or "none"


def _time(at: datetime) -> str:
    return f"<time datetime='{at.isoformat()}'>{at:%Y-%m-%d %H:%M:%S} UTC</time>"


def _shown(text: str) -> str:
    return escape(visible(text))
