"""Two plain pages: what runs, and the history of one rollout. No script; every text is escaped."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from foundry_rollouts.operations.lists import agents_view, history, rollouts_view
from foundry_rollouts.operations.views import AgentView, RolloutView, rollout_view
from foundry_rollouts.ports import Event, RolloutFilter
from foundry_rollouts.web.problems import SAFE_HEADERS
from foundry_rollouts.web.services import Ours

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

NEWEST = 50  #: Rollouts on the first page.

STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { margin: 0 auto; max-width: 75rem; padding: 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; min-width: 100% }
caption { font-weight: 600; padding: 1rem 0 .5rem; text-align: start }
th, td { border-top: 1px solid #8888; padding: .4rem .8rem .4rem 0; text-align: start; vertical-align: top }
td.why { min-width: 16rem }
a { color: LinkText; display: inline-block; min-height: 1.5rem }
:focus-visible { outline: 3px solid Highlight; outline-offset: 2px }
"""

_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
_HEADERS = {"Content-Security-Policy": f"{SAFE_HEADERS['Content-Security-Policy']}; style-src 'sha256-{_STYLE_HASH}'"}


@router.get("/")
async def overview(ours: Ours) -> HTMLResponse:
    """Show agents and the newest rollouts."""
    now = ours.now()
    agents = await agents_view(ours.store, now)
    newest = await rollouts_view(ours.store, RolloutFilter(limit=NEWEST), now)
    tables = (
        _table("Agents", ("Agent", "Stable", "Weights", "Policy", "Rollout"), map(_agent_row, agents)),
        _table(
            "Rollouts, newest first",
            ("Rollout", "Agent", "Version", "Phase", "Step", "Weights", "Because"),
            map(_rollout_row, newest.items),
        ),
    )
    return _page("Rollouts", f"<p>As of {_time(now)}. <a href='/'>Look again</a></p>{''.join(tables)}")


@router.get("/rollouts/{rollout_id}")
async def one_rollout(rollout_id: str, ours: Ours) -> HTMLResponse:
    """Show one rollout with its history."""
    now = ours.now()
    rollout = rollout_view(await ours.store.rollout(rollout_id), now)
    events = await history(ours.store, rollout_id)
    title = f"{rollout.agent} version {rollout.canary}"
    here = f"/rollouts/{escape(rollout.id)}"
    body = (
        f"<p><a href='/'>All rollouts</a> · as of {_time(now)} · <a href='{here}'>Look again</a></p>"
        f"<p><strong>{_phase(rollout)}</strong>, step {rollout.step} of {rollout.steps}, "
        f"{_weights(rollout.weights)}</p><p>{escape(rollout.because)}</p>{_waits(rollout)}"
        + _table("History", ("When", "What", "Weights", "Who", "Because"), map(_event_row, events))
    )
    return _page(title, body)


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)} · foundry-rollouts</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>",
        headers=_HEADERS,
    )


def _table(caption: str, columns: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th scope='col'>{column}</th>" for column in columns)
    body = "".join(rows) or f"<tr><td colspan='{len(columns)}'>none yet</td></tr>"
    # The wide table scrolls on a phone, and by keyboard because it takes the focus.
    return (
        f"<div class='wide' role='region' aria-label='{caption}' tabindex='0'><table><caption>{caption}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _agent_row(agent: AgentView) -> str:
    routing = agent.routing
    weights = _weights(routing.weights) if routing else "not seen yet"
    closed = "" if routing is None or routing.is_open else " (disabled)"
    rollout = _link(agent.rollout.id, _phase(agent.rollout)) if agent.rollout else "none"
    cells = (escape(agent.stable or "none"), weights + closed, escape(agent.policy or "none"), rollout)
    return _row(escape(agent.name), cells)


def _rollout_row(rollout: RolloutView) -> str:
    cells = (
        escape(rollout.agent),
        escape(rollout.canary),
        _phase(rollout),
        f"{rollout.step} of {rollout.steps}",
        _weights(rollout.weights),
    )
    return _row(_link(rollout.id, f"History of {rollout.id}"), cells, rollout.because)


def _event_row(event: Event) -> str:
    cells = (escape(event.kind), _weights(event.weights or {}), escape(event.author or "none"))
    return _row(_time(event.at), cells, event.because)


def _row(first: str, cells: Iterable[str], because: str | None = None) -> str:
    why = "" if because is None else f"<td class='why'>{escape(because)}</td>"
    return f"<tr><th scope='row'>{first}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}{why}</tr>"


def _link(rollout_id: str, text: str) -> str:
    return f"<a href='/rollouts/{escape(rollout_id)}'>{escape(text)}</a>"


def _phase(rollout: RolloutView) -> str:
    return rollout.phase.value.replace("_", " ")


def _waits(rollout: RolloutView) -> str:
    return f"<p>Waits for {escape(rollout.waiting_for)}</p>" if rollout.waiting_for else ""


def _weights(weights: Mapping[str, int]) -> str:
    shares = ", ".join(f"version {version} at {weight}%" for version, weight in weights.items())
    return escape(shares or "none")


def _time(at: datetime) -> str:
    return f"<time datetime='{at.isoformat()}'>{at:%Y-%m-%d %H:%M:%S} UTC</time>"
