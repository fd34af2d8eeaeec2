"""The goals, and whether what was measured meets them."""

import math
from collections.abc import Iterator
from dataclasses import replace

from foundry_rollouts.bench.report import Goal, Table, number, percent
from foundry_rollouts.cli.scale.figures import Figures, Level, Reaction

MOST = 10_000  #: Rollouts in progress that one process is to carry.
SHARE_OFF = 0.10  #: How far a replica's share may be from the fair one.
FRAMES = 20  #: Functions of the profile that are shown.

#: What everything runs in says nothing.
_FRAME = ("<", "python3.", "lib/python3.", "cli/scale/watched")
_LEVELS = (
    "rollouts", "ticks/s", "lag p50 s", "lag p99 s", "processor ms/tick", "statements/tick", "commits/tick",
    "cloud calls/tick", "of a core", "memory MiB", "/healthz p99 ms", "/metrics s", "series", "growth MiB/h",
    "restart s",
)  # fmt: skip


def goals(figures: Figures) -> list[Goal]:
    """Return every goal of which something was measured."""
    found: list[Goal] = []
    if (top := figures.top) is not None:
        found += _of_levels(figures, top)
    found += _of_reactions(figures)
    if figures.share is not None:
        share = figures.share
        measured = f"{percent(share.part)} ({share.held} of {share.of})"
        off = abs(share.part - 0.5) <= 0.5 * SHARE_OFF
        found.append(Goal("share of a second replica after 10 s", "50%, give or take a tenth", measured, off))
    if figures.storm is not None:
        storm = figures.storm
        measured = f"{number(storm.last)} s, the first after {number(storm.first)} s"
        measured = measured if not storm.missing else f"{storm.missing} not back in time"
        is_met = storm.last <= 30 and not storm.missing
        found.append(
            _at(storm.canaries, Goal("canaries that fail in one second, all back", "<= 30 s", measured, is_met))
        )
    if figures.floor is not None and top is not None:
        floor = figures.floor.of(top)
        ratio = floor / top.processor_ms if top.processor_ms else math.inf
        measured = f"{number(ratio)} ({number(floor)} ms of {number(top.processor_ms)})"
        found.append(Goal("raw floor of a tick's calls and statements, over a tick", ">= 0.5", measured, ratio >= 0.5))
    return found + list(_of_agents(figures))


def _of_agents(figures: Figures) -> Iterator[Goal]:
    if (idle := figures.agents) is None:
        return
    for name, wanted, value, most in (
        ("memory", "<= 300 MiB", idle.memory_mib, 300.0),
        ("part of a core", "<= 10%", 100 * idle.core, 10.0),
        ("/healthz p99", "<= 50 ms", idle.healthz_p99_ms, 50.0),
    ):
        yield Goal(f"{name} ({many(idle.agents)} idle agents)", wanted, number(value), value <= most)


def _of_levels(figures: Figures, top: Level) -> Iterator[Goal]:
    carried = max((level.rollouts for level in figures.levels if level.keeps_up), default=0)
    tried = top.rollouts
    words = many(carried) + ("" if carried < tried or tried >= MOST else ", the most that were tried")
    is_open = carried == tried < MOST
    yield Goal("rollouts carried with p99 lag <= 1 s", f">= {many(MOST)}", words, carried >= MOST, is_open)
    for name, wanted, value, most in (
        ("processor a tick", "<= 3 ms", top.processor_ms, 3.0),
        ("statements a tick", "<= 4", top.statements, 4.0),
        ("commits a tick", "<= 1", top.commits, 1.0),
        ("/healthz p99", "<= 50 ms", top.healthz_p99_ms, 50.0),
        ("/metrics", "<= 0.2 s", top.metrics_seconds, 0.2),
        ("restart until every rollout is held", "<= 5 s", top.restart_seconds, 5.0),
        ("memory", "<= 1024 MiB", top.memory_mib, 1024.0),
    ):
        yield _at(tried, Goal(name, wanted, number(value), value <= most))
    if figures.database == "PostgreSQL" and top.processor_ms:
        able = 1000 / top.processor_ms
        yield _at(tried, Goal("ticks a second that one core carries", ">= 300", number(able), able >= 300))


def _of_reactions(figures: Figures) -> Iterator[Goal]:
    for name, reaction, limit in (("idle", figures.idle, 0.15), ("under load", figures.loaded, 1.0)):
        if reaction is not None:
            wanted = f"p99 < {limit * 1000:.0f} ms"
            is_met = reaction.p99 < limit and not reaction.missing
            yield _at(reaction.rollouts, Goal(f"evidence until the PATCH, {name}", wanted, _said(reaction), is_met))


def _said(reaction: Reaction) -> str:
    if reaction.missing:
        return f"{reaction.missing} of {reaction.asked} not back in time"
    return f"p50 {number(reaction.p50 * 1000)} ms, p99 {number(reaction.p99 * 1000)} ms"


def _at(rollouts: int, goal: Goal) -> Goal:
    """Say of a goal with how many rollouts it was measured."""
    return replace(goal, goal=f"{goal.goal} ({many(rollouts)} rollouts)")


def many(count: int) -> str:
    """Return a number with a space between its thousands."""
    return f"{count:,}".replace(",", " ")


def tables(figures: Figures) -> list[Table]:
    """Return the growth curve, the floor and where the processor's time goes, as far as they were measured."""
    found: list[Table] = []
    title = f"{figures.database}, {figures.cores} cores; the light Foundry's processor time is not in it"
    if figures.levels:
        found.append(Table(f"Growth curve: {title}", _LEVELS, [_level(each) for each in figures.levels]))
    if figures.floor is not None:
        row = tuple(number(each) for each in (figures.floor.call, figures.floor.statement, figures.floor.commit))
        found.append(Table("Raw floor, processor ms", ("cloud call", "statement", "commit"), [row]))
    if figures.troubles:
        found.append(Table("Not measured", ("because",), [(each,) for each in figures.troubles]))
    if samples := figures.profile.get("samples"):
        for kind, what in (("own", "at work"), ("within", "at work or waited for")):
            named = [(name, count) for name, count in figures.profile[kind] if not name.startswith(_FRAME)]
            rows = [(name, percent(count / samples)) for name, count in named[:FRAMES]]
            found.append(Table(f"Where the processor's time goes: functions {what}", ("function", "part"), rows))
    return found


def _level(level: Level) -> tuple[str, ...]:
    figures = (
        level.ticks_a_second,
        level.lag_p50,
        level.lag_p99,
        level.processor_ms,
        level.statements,
        level.commits,
        level.cloud_calls,
    )
    rest = (level.memory_mib, level.healthz_p99_ms, level.metrics_seconds, level.series)
    ends = (level.growth_mib_hour, level.restart_seconds)
    return (many(level.rollouts), *map(number, figures), percent(level.core), *map(number, rest), *map(number, ends))
