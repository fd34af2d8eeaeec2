"""``foundry-rollouts policy plan``: what to expect of a policy, and what speaks against it."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundry_rollouts.cli.bounds import bounds_words
from foundry_rollouts.cli.output import Column, Item, Output, OutputOption, column, show_item, show_items
from foundry_rollouts.cli.staircase import staircase
from foundry_rollouts.core.forecast.duration import faster, faster_words
from foundry_rollouts.core.forecast.expectation import Traffic
from foundry_rollouts.core.forecast.plan import Plan, regressions
from foundry_rollouts.core.forecast.plan import plan as planned
from foundry_rollouts.core.forecast.values import ValuePlan, value_plans
from foundry_rollouts.core.forecast.warnings import warnings_of
from foundry_rollouts.core.forecast.words import PolicyWarning, span_words
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.ties import ties

if TYPE_CHECKING:
    from foundry_rollouts.policies.load import Written

PLAN_EXAMPLES = (
    "foundry-rollouts policy plan policies/support.yaml",
    "foundry-rollouts policy plan policies --agent support-eu --rps 0.2 --stable-rate 0.5%",
)


def parse_rate(given: str | float) -> float:
    """Return the fraction that a text such as ``1%`` names; a default is one already."""
    from foundry_rollouts.policies.units import parse_percent

    try:
        return given if isinstance(given, float) else parse_percent(given)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


RpsOption = Annotated[
    float, typer.Option("--rps", min=0.0, max=1e6, help="User calls per second, on both versions together.")
]
StableRateOption = Annotated[
    float,
    typer.Option(
        "--stable-rate",
        parser=parse_rate,
        metavar="PERCENT",
        show_default="1%",
        help="The share of calls that fail on the stable version.",
    ),
]


def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A policy file, or a folder.")],
    rps: RpsOption = 2.0,
    stable_rate: StableRateOption = 0.01,
    agent: Annotated[str | None, typer.Option("--agent", help="Only the policy that governs this agent.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Forecast a policy: time to promote, samples of each step, time to detect harm."""
    plans = [planned(policy, Traffic(rps, stable_rate)) for policy in _policies(file, agent)]
    if output is not Output.TABLE:
        items = [_item(each) for each in plans]
        show_items(items, (), output, "") if len(items) > 1 else show_item(items[0], (), output)
        return
    for place, each in enumerate(plans):
        if place:
            typer.echo()
        _show(each)


def warnings_in(paths: Iterable[Path], traffic: Traffic) -> Iterator[tuple[str, bool]]:
    """Yield what speaks against the policies of ``paths``, which are in order, and whether it is more than a note.

    It is said as FILE:LINE:COLUMN: FIELD: WHAT.
    """
    from foundry_rollouts.policies.documents import Problem
    from foundry_rollouts.policies.load import read

    found = [written for path in paths for file in read(path) for written in file.written]
    yield from _ties_in(found)
    for written in found:
        for warning in warnings_of(planned(written.policy, traffic)):
            where = _where(written.policy, warning)
            yield written.places.line(Problem(where, _said(warning))), not warning.is_note


def _said(warning: PolicyWarning) -> str:
    return f"{'note' if warning.is_note else 'warning'}: {warning.sentence}"


def _ties_in(found: "Sequence[Written]") -> Iterator[tuple[str, bool]]:
    from foundry_rollouts.policies.documents import Problem

    places = {each.policy.name: each for each in found}
    for tie in ties([each.policy for each in found]):
        where = ("agents", tie.second.agents.index(tie.glob))
        yield places[tie.second.name].places.line(Problem(where, f"warning: {tie.because}")), True


def _where(policy: Policy, warning: PolicyWarning) -> tuple[str | int, ...]:
    if warning.step is None:
        return warning.where or ("deadline",)
    return ("steps", "auto") if policy.automatic else ("steps", warning.step - 1)


def _policies(file: Path, agent: str | None) -> list[Policy]:
    from foundry_rollouts.errors import NotFoundError, PolicyError
    from foundry_rollouts.policies.folder import PolicyFolder

    folder = PolicyFolder(file)
    if not folder.all():
        raise PolicyError((f"{file}:1:1: there is no policy here: write one, as NAME.yaml",))
    if agent is None:
        return list(folder.all())
    named = folder.policy_for(agent)
    if named is None:
        raise NotFoundError(f"no policy names the agent {agent}: add it to the agents of one")
    return [named]


def _show(plan: Plan) -> None:
    traffic = plan.traffic
    fails = f"{100 * traffic.stable_rate:g}% of calls fail on stable"
    typer.echo(f"policy {plan.policy.name} at {traffic.rps:g} rps, {fails}")
    waits = f", approvals ({plan.approvals}) left out" if plan.approvals else ""
    typer.echo(
        "a good version is never promoted by itself"
        if plan.until_promoted is None
        else f"a good version is promoted after about {span_words(plan.until_promoted)}{waits}"
    )
    if quicker := faster_words(plan):
        typer.echo(quicker)
    typer.echo("\n" + "\n".join(staircase([(step.weight, step.lasts) for step in plan.steps])) + "\n")
    items = [_item_of(plan, place) for place in range(len(plan.steps))]
    show_items(items, _STEPS, Output.TABLE, "")
    typer.echo("\na worse version is found out after about")
    seen = tuple(_sight(each.name) for each in regressions(traffic))
    show_items(items, (_AT, *seen), Output.TABLE, "")
    if values := [_value_of(each) for each in value_plans(plan.policy)]:
        typer.echo("\na number out of its bounds is found out, and one within them is proved, in each step after about")
        show_items(values, _VALUES, Output.TABLE, "")
    for warning in warnings_of(plan):
        typer.echo(_said(warning), err=True)


def _item(plan: Plan) -> Item:
    """Return a plan for programs: spans in seconds, None for never."""
    return {
        "policy": plan.policy.name,
        "rps": plan.traffic.rps,
        "stable_rate": plan.traffic.stable_rate,
        "until_promoted_seconds": _seconds(plan.until_promoted),
        "approvals": plan.approvals,
        "steps": [_item_of(plan, place) for place in range(len(plan.steps))],
        "values": [_value_of(each) for each in value_plans(plan.policy)],
        "faster": {change.words: _seconds(change.until_promoted) for change in faster(plan)},
        "warnings": [warning.sentence for warning in warnings_of(plan) if not warning.is_note],
        "notes": [warning.sentence for warning in warnings_of(plan) if warning.is_note],
    }


def _item_of(plan: Plan, place: int) -> Item:
    step = plan.steps[place]
    return {
        "step": step.number,
        "weight": step.weight,
        "min_seconds": _seconds(step.bakes),
        "max_seconds": _seconds(step.limit),
        "proof_seconds": _seconds(step.proof),
        "lasts_seconds": _seconds(step.lasts),
        "canary_calls": step.canary_calls,
        "stable_calls": step.stable_calls,
        "probe_pairs": step.probe_pairs,
        "seen_after_seconds": {seen.regression.name: _seconds(seen.after) for seen in step.seen},
    }


def _value_of(value: ValuePlan) -> Item:
    bounds = value.bounds
    return {
        "gate": value.gate,
        "source": value.source,
        "bounds": {name: getattr(bounds, name) for name in ("min", "max", "at_least", "at_most")},
        "windows": bounds.windows,
        "window_seconds": _seconds(value.window),
        "delay_seconds": _seconds(value.delay),
        "decides_after_seconds": _seconds(value.decides),
        "dry_run": value.is_dry_run,
    }


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 1)


def _words(seconds: float | None, otherwise: str = "never") -> str:
    return otherwise if seconds is None else span_words(timedelta(seconds=seconds))


def _sight(name: str) -> Column:
    return Column(name, lambda item: _words(item["seen_after_seconds"][name]))


def _windows(item: Item) -> str:
    dry = ", a dry run" if item["dry_run"] else ""
    return f"{item['windows']} in a row of {_words(item['window_seconds'])}, {_words(item['delay_seconds'])} late{dry}"


_VALUES = (
    column("gate"),
    column("source"),
    Column("has to be", lambda item: bounds_words(item["bounds"])),
    Column("windows", _windows),
    Column("decides after", lambda item: _words(item["decides_after_seconds"])),
)
_AT = Column("weight", lambda item: f"{item['weight']}%")
_STEPS = (
    column("step"),
    _AT,
    Column("min", lambda item: _words(item["min_seconds"])),
    Column("max", lambda item: _words(item["max_seconds"], "")),
    Column("proved after", lambda item: "a bake" if item["weight"] == 100 else _words(item["proof_seconds"])),
    Column("lasts", lambda item: _words(item["lasts_seconds"], "ends there")),
    *map(column, ("canary_calls", "stable_calls", "probe_pairs")),
)
