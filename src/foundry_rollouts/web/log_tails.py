"""The last log lines of both versions on the page of a rollout: what the page begins with, and what is added to it."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from markupsafe import Markup, escape

from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.operations.log_tail import LogTailView, TailedVersion, TailLine
from foundry_rollouts.untrusted import REDACTED, visible_line
from foundry_rollouts.web.render import ENVIRONMENT
from foundry_rollouts.web.services import Services

#: A page does not wait longer for its first lines: the stream brings them.
FIRST_WITHIN = 0.2
NOTHING = LogTailView((), ())


@dataclass(frozen=True, slots=True)
class Tail:
    """The lines of one version, and how it is followed."""

    role: str
    name: str
    said: str
    lines: tuple[TailLine, ...]


def unsecret(text: str) -> Markup:
    """Return a line of a log, escaped, on one line, with what was removed from it marked."""
    removed = Markup('<span class="red">removed</span>')
    return removed.join(escape(part) for part in visible_line(text)[:2000].split(REDACTED))


ENVIRONMENT.filters["unsecret"] = unsecret


async def first_lines(services: Services, rollout: Rollout) -> LogTailView:
    """Return the lines that are known already, and begin to follow where nobody watched yet."""
    with suppress(TimeoutError):
        return await asyncio.wait_for(services.logs.read(rollout), FIRST_WITHIN)
    return NOTHING


def tails_of(rollout: Rollout, seen: LogTailView) -> list[Tail]:
    """Return the tails of both versions, the canary's first."""
    known = {each.version: each for each in seen.versions}
    named = (("canary", rollout.canary), ("stable", rollout.stable))
    return [
        Tail(role, f"v{name}", _said(known.get(name)), tuple(line for line in seen.lines if line.version == name))
        for role, name in named
        if name is not None
    ]


def _said(version: TailedVersion | None) -> str:
    if version is None:
        return "the newest sessions are being found"
    if version.because and not version.sessions:
        return version.because
    if not version.sessions:
        return "no session of it is live now: its last lines"
    return f"newest lines of {version.sessions} live session{'' if version.sessions == 1 else 's'}"
