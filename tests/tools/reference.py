"""Writes ``docs/reference.md`` and ``docs/problems.md`` out of the code: ``python -m tools.reference``."""

from collections.abc import Iterable, Iterator
from operator import attrgetter

from fastapi.routing import APIRoute
from prometheus_client.metrics import MetricWrapperBase

from foundry_rollouts.settings import reference as settings
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web import api, app, audits, outcomes, problem_pages, tokens, watching
from foundry_rollouts.web import commands as giving
from foundry_rollouts.web.access import Guarded, role_of
from tools import events
from tools.commands import commands
from tools.repository import ROOT

PAGE = ROOT / "docs" / "reference.md"
PROBLEMS = ROOT / "docs" / "problems.md"

HEAD = """# Reference: commands, settings, API, events and metrics

These tables are generated from the code (`PYTHONPATH=tests .venv/bin/python -m tools.reference`), and a test compares
them with it.
"""
PROBLEMS_HEAD = """# Problems of the ops API

Every error is `application/problem+json` (RFC 9457): `title` and `status`, `detail`, a sentence that says what and why,
`instance`, and `type`, the address of a page at the service itself with the text that stands here. A conflict has
`current`, the rollout as it is now; what makes no sense has `errors`, field by field.

This page is generated from the code (`PYTHONPATH=tests .venv/bin/python -m tools.reference`).

"""
COMMANDS = """
`foundry-rollouts COMMAND --help` shows the options of a command with examples; the `agent` commands have
[a page of their own](agent-commands.md). Every list takes `--output table|json|yaml`. An error is one line on stderr
that says what, why and what to do; `--verbose` adds the trace.

| exit code | meaning |
|---|---|
| 0 | success |
| 1 | an error |
| 2 | wrong usage |
| 3 | the rollout ended badly (rolled back, disabled, superseded, failed, aborted), or a deployed version failed |
| 4 | a wait timed out |
| 130, 143 | Ctrl-C, SIGTERM: the wait ended; what the service does continues |
"""
SETTINGS = """
A setting is an environment variable, or a file of its name in the folder that `FOUNDRY_ROLLOUTS_SECRETS_DIR` names, or
a line in `foundry-rollouts.toml` (without the prefix, in lower case); the first one found counts. An unknown variable
with the prefix is rejected. A name with `__` belongs to a group, which is a section in the file: `[webhook]` with a
line `url = "…"`.
"""
ROUTES = """
JSON under `/api/v1`, described at `/api/openapi.json`; errors are problem details (RFC 9457). Each request
needs the role that stands beside it; while the service listens on loopback and no access control is set, everybody on
the machine has every role.

A command names the `generation` of the rollout that its author saw. A stale generation is answered with 409 and the
rollout as it is now, so that nobody overrules a colleague unseen. `Idempotency-Key` is honoured on every POST under
`/rollouts` and `/tokens`; an outcome is known by its `id`. A listing takes `limit`, and `after` or `before` with the
`next` of the page before.
"""
EVENTS = """
What the history holds, and what is posted to a receiver as `foundry-rollouts.KIND`. Each event has `id`, `at`, `kind`,
`agent` and `because`, the sentence that says why; where they apply `rollout`, `step`, `weights` and `author`. See
[notifications](operating.md#notifications).
"""
METRICS = """
No session, request or rollout id is ever a label. The series of a rollout are removed ten minutes after its end, those
of an agent ten minutes after it was deleted. The usual `process_*` of the process stand beside these. Where
[traces](operating.md#traces) are on, `_decisions_total` and `_foundry_request_seconds` have exemplars. Alert rules with
their tests are in [deploy/prometheus/](../deploy/prometheus), dashboards in [deploy/grafana/](../deploy/grafana).
"""


def reference() -> str:
    """Return the page as it should be."""
    return "\n".join([HEAD, *_commands(), "", *_settings(), "", *_routes(), "", *_events(), "", *_metrics(), ""])


def _table(*head: str, rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _commands() -> Iterator[str]:
    yield "## Commands\n" + COMMANDS
    rows = ((f"`foundry-rollouts {each.name}`", each.summary) for each in commands())
    yield from _table("command", "what it does", rows=rows)


def _settings() -> Iterator[str]:
    yield "## Settings\n" + SETTINGS
    rows = (
        (f"`{each.variable}`", "must be set" if each.default is None else f"`{each.default}`", each.meaning)
        for each in settings()
    )
    yield from _table("variable", "default", "meaning", rows=rows)


def _routes() -> Iterator[str]:
    yield "## The ops API\n" + ROUTES
    routes = [
        route
        for router in (
            api.router,
            giving.router,
            watching.router,
            audits.router,
            outcomes.router,
            tokens.router,
            app.router,
        )
        for route in router.routes
        if isinstance(route, APIRoute)
    ]
    rows = (
        (f"`{method} {route.path}`", _role(route), _first_line(route))
        for route in routes
        for method in sorted(route.methods or ())
    )
    yield from _table("request", "role", "what it does", rows=rows)


def _role(route: APIRoute) -> str:
    if not isinstance(route, Guarded):
        return ""
    role = role_of(route).role
    return role.value if role else "any"


def _first_line(route: APIRoute) -> str:
    return (route.summary or route.description).splitlines()[0].replace("``", "`").removesuffix(".") + "."


def _events() -> Iterator[str]:
    yield "## Events\n" + EVENTS
    yield from _table("kind", "what happened", rows=((f"`{kind}`", means) for kind, means in events.MEANINGS.items()))


def _metrics() -> Iterator[str]:
    yield "## Metrics\n" + METRICS
    metrics = Metrics("any")
    labels = {name: ", ".join(f"`{label}`" for label in each) for name, each in _labels(metrics)}
    rows = (
        (f"`{family.name}{'_total' if family.type == 'counter' else ''}`", labels[family.name], family.documentation)
        for family in metrics.registry.collect()
        if family.name in labels  # Not those of the process, which there are on Linux only.
    )
    yield from _table("metric", "labels", "meaning", rows=rows)


def _labels(metrics: Metrics) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name of each metric with its labels, which the library does not show of a metric without series."""
    collectors = set(attrgetter("_names_to_collectors")(metrics.registry).values())
    for each in collectors:
        assert isinstance(each, MetricWrapperBase)
        yield next(iter(each.describe())).name, attrgetter("_labelnames")(each)


def problems() -> str:
    """Return the page about the problems of the API."""
    return PROBLEMS_HEAD + "\n".join(problem_pages.text_of(page) for page in problem_pages.PAGES)


if __name__ == "__main__":
    PAGE.write_text(reference(), "utf-8")
    PROBLEMS.write_text(problems(), "utf-8")
