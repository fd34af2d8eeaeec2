"""The page of one rollout, whole."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from foundry_rollouts.core.model.acknowledgement import BAD_ENDS, Acknowledgement
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.operations.log_tail import Running
from foundry_rollouts.operations.page.after_end import Failure, NextStep, failures_of, next_steps
from foundry_rollouts.operations.page.charts import Chart, charts_of
from foundry_rollouts.operations.page.controls import Control, Leap, controls_of, leap_of
from foundry_rollouts.operations.page.facts import Fact, facts_of
from foundry_rollouts.operations.page.gate_rows import GateRow, gate_rows, why_figures_differ
from foundry_rollouts.operations.page.headline import Badge, badge_of, headline_of, title_of_page
from foundry_rollouts.operations.page.scene import Scene
from foundry_rollouts.operations.page.step_track import StepShown, steps_of
from foundry_rollouts.operations.page.timeline import Line, timeline_of
from foundry_rollouts.operations.page.waiting import Wait, otherwise_of, waits_of
from foundry_rollouts.operations.page.words import clock, limit, ticking
from foundry_rollouts.operations.replayed import Replays
from foundry_rollouts.operations.views import RolloutView, whole_view
from foundry_rollouts.ports import Store

#: A page does not wait longer for its past to be judged again: the stream brings what is missing.
JUDGED_WITHIN = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True)
class PageOfRollout:
    """All that the page shows, in words; ``view`` is the rollout as the API shows it."""

    view: RolloutView
    rollout: Rollout
    at: datetime
    title: str
    badge: Badge
    canary: str
    stable: str
    headline: str
    weights: Mapping[str, int]  #: Version to percent of new sessions, the stable one first.
    weight: int
    next_weight: int
    is_approval: bool
    is_paused: bool
    is_over: bool
    acknowledged: str | None  #: Who knows that it ended badly, in a sentence.
    is_unacknowledged: bool  #: It ended badly, and nobody said that they know.
    facts: tuple[Fact, ...]
    waits: tuple[Wait, ...]
    otherwise: str | None
    next_steps: tuple[NextStep, ...]
    failures: tuple[Failure, ...]
    steps: tuple[StepShown, ...]
    gates: tuple[GateRow, ...]
    gates_at: str  #: At which weight, and when, the gates said so.
    why_figures_differ: str  #: Why the gates' figures are not those of the sentence; empty: they are.
    charts: tuple[Chart, ...]
    is_whole: bool  #: False: gates, facts and charts are still being worked out.
    timeline: tuple[Line, ...]
    controls: tuple[Control, ...]
    leap: Leap | None
    asked: tuple[str, ...]  #: Commands that wait for a tick, each in a sentence.
    advances_at: str
    rolls_back_at: str
    started: str
    ended: str
    ago: str  #: How long ago it ended.


async def page_of_rollout(
    store: Store, replays: Replays, rollout_id: str, now: datetime, running: Running | None = None
) -> PageOfRollout:
    """Return the page of a rollout as of now. Raises NotFoundError for an unknown one."""
    rollout = await store.rollout(rollout_id)
    judged = await replays.of(store, rollout, JUDGED_WITHIN)
    events = tuple(await store.history(rollout_id))
    scene = Scene(rollout, events, judged, tuple(await store.commands(rollout_id)), now, running)
    return _page(scene, (await store.acknowledgements([rollout_id])).get(rollout_id))


def _page(scene: Scene, known: Acknowledgement | None) -> PageOfRollout:
    rollout = scene.rollout
    view = replace(whole_view(rollout, scene.commands, scene.now), acknowledged=known)
    return PageOfRollout(
        view=view,
        rollout=rollout,
        at=scene.now,
        title=title_of_page(scene),
        badge=badge_of(scene),
        canary=scene.canary,
        stable=scene.stable,
        headline=headline_of(scene),
        weights=_weights(scene, view),
        weight=rollout.weight,
        next_weight=scene.next_weight,
        is_approval=rollout.waits_for_approval and rollout.phase is Phase.PROGRESSING,
        is_paused=rollout.phase is Phase.PAUSED,
        is_over=rollout.phase.is_final,
        acknowledged=f"{known.by} acknowledged it at {clock(known.at, scene.now)}" if known else None,
        is_unacknowledged=rollout.phase in BAD_ENDS and known is None,
        facts=facts_of(scene),
        waits=waits_of(scene),
        otherwise=otherwise_of(scene),
        next_steps=next_steps(scene) if rollout.phase.is_final else (),
        failures=failures_of(scene),
        steps=steps_of(scene),
        gates=gate_rows(scene),
        gates_at=f"at weight {scene.last.weight}, {clock(scene.last.at, scene.now)}" if scene.last else "",
        why_figures_differ=why_figures_differ(scene),
        is_whole=scene.judged.is_whole,
        charts=charts_of(rollout, scene.events, scene.judged),
        timeline=timeline_of(scene),
        controls=controls_of(scene),
        leap=leap_of(scene),
        asked=tuple(_asked(scene)),
        advances_at=limit(rollout.policy.judge.missed_bad),
        rolls_back_at=limit(rollout.policy.judge.false_rollback),
        started=clock(rollout.started_at or rollout.created_at, scene.now),
        ended=clock(rollout.ended_at, scene.now) if rollout.ended_at else "",
        ago=ticking((scene.now - rollout.ended_at).total_seconds()) if rollout.ended_at else "",
    )


def _weights(scene: Scene, view: RolloutView) -> Mapping[str, int]:
    canary = scene.rollout.canary
    return dict(sorted(view.weights.items(), key=lambda pair: pair[0] == canary))


def _asked(scene: Scene) -> list[str]:
    return [
        f"{each.author} asked to {each.verb} at {clock(each.at, scene.now)}"
        + (f", “{each.reason}”" if each.reason else "")
        + ". It waits for the next tick; the page changes once the cloud has confirmed it."
        for each in scene.commands
    ]
