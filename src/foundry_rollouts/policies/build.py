"""From a policy entry to the core's policy; and what fits the format but makes no sense.

The core refuses nonsense too; here each refusal knows the line it stands on.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from foundry_rollouts.core.model.approval import ApprovalStep, OnTimeout
from foundry_rollouts.core.model.policy import (
    CALL_LIMIT,
    CAPABLE_SOURCES,
    MINUTE,
    Automatic,
    Gate,
    GateKind,
    Judging,
    Policy,
    Step,
    WeightStep,
)
from foundry_rollouts.core.model.sources import SOURCES, Prompt, Sources, is_in_the_clear
from foundry_rollouts.errors import UsageError
from foundry_rollouts.policies.documents import Location, Problem
from foundry_rollouts.policies.gate_entries import GateEntry
from foundry_rollouts.policies.groups import group_of, group_problems
from foundry_rollouts.policies.schema import JudgeEntry, PolicyEntry
from foundry_rollouts.policies.source_entries import SourcesEntry
from foundry_rollouts.policies.step_entries import AutoEntry, StepEntry, WeightEntry
from foundry_rollouts.policies.units import span_text

#: Who is asked when a gate does not say; error-rate asks everyone.
_NATURAL_SOURCE = {GateKind.LATENCY: "probe", GateKind.LOG_ERRORS: "logs"}
#: By when a weight below 100 is to be proved where automatic steps do not say.
AUTO_MAX = 10 * MINUTE


def problems_of(entry: PolicyEntry) -> list[Problem]:
    """Return what makes no sense in ``entry``, in the order of the file format."""
    return [
        *_agents(entry),
        *group_problems(entry.agents, entry.after, entry.group),
        *(_steps(entry.steps, entry.call_limit) if isinstance(entry.steps, list) else _auto(entry.steps.auto)),
        *_times(entry),
        *_judge(entry.judge),
        *_sources(entry.sources),
        *_in_the_clear(entry.sources),
        *_gates(entry),
    ]


def policy_of(entry: PolicyEntry, prompts: tuple[Prompt, ...] | None) -> Policy:
    """Return the core's policy; ``prompts`` is None when the policy names no file. Raises UsageError."""
    judge = entry.judge
    automatic = None if isinstance(entry.steps, list) else _automatic(entry.steps.auto)
    steps = tuple(_step(step, entry.call_limit) for step in entry.steps) if isinstance(entry.steps, list) else ()
    return Policy(
        name=entry.name,
        agents=tuple(entry.agents),
        steps=automatic.steps if automatic else steps,
        mode=entry.mode,
        trigger=entry.trigger,
        deadline=entry.deadline,
        judge=Judging(judge.false_rollback, judge.missed_bad, judge.tolerate, judge.bad),
        sources=_as_sources(entry.sources, prompts),
        gates=tuple(_gate(gate, entry) for gate in _gate_entries(entry)),
        on_failure=entry.on_failure,
        on_no_evidence=entry.on_no_evidence,
        on_drift=entry.on_drift,
        on_adoption=entry.on_adoption,
        on_new_version=entry.on_new_version,
        new_versions=entry.new_versions,
        sessions_on_rollback=entry.sessions_on_rollback,
        ready_within=entry.ready_within,
        on_split=entry.on_split,
        ignored_errors=tuple(dict.fromkeys(entry.errors.ignore)),
        call_limit=_call_limit(entry),
        warm_up=entry.warm_up,
        notify=tuple(dict.fromkeys(entry.notify)),
        labels=tuple(dict.fromkeys(entry.labels)),
        after=tuple(dict.fromkeys(entry.after)),
        group=group_of(entry.group),
        automatic=automatic,
    )


# what makes no sense


def _agents(entry: PolicyEntry) -> Iterator[Problem]:
    for place, glob in enumerate(entry.agents):
        if glob in entry.agents[:place]:
            yield Problem(("agents", place), f"'{glob}' appears here twice: keep one of them")


def _steps(steps: list[StepEntry], call_limit: timedelta | None) -> Iterator[Problem]:
    reached = last = 0
    rises = True
    for place, step in enumerate(steps):
        if not isinstance(step, WeightEntry):
            if step.approval.timeout is None and step.approval.then is not OnTimeout.HOLD:
                sentence = f"{step.approval.then} never comes without a timeout: add one, for example timeout: 4h"
                yield Problem(("steps", place, "approval", "then"), sentence)
            continue
        if step.weight <= reached:
            rises = False
            sentence = f"{step.weight} does not rise above the step before ({reached}): write more than {reached}"
            yield Problem(("steps", place, "weight"), sentence if reached < 100 else _AFTER_THE_LAST)
        if step.max is not None and step.max < _least(step, call_limit):
            least = "call-limit" if step.min is None else "min"
            yield Problem(("steps", place, "max"), f"max is shorter than {least}: give the step time to bake")
        reached, last = max(reached, step.weight), place
    if not reached:
        yield Problem(("steps",), "there is no weight among the steps: add {weight: 100}")
    elif rises and reached != 100:
        yield Problem(
            ("steps", last, "weight"),
            f"the last weight is {reached}, a rollout ends at 100: add {{weight: 100}}",
        )


_AFTER_THE_LAST = "the step before reached 100 already: leave this one out"


def _auto(auto: AutoEntry) -> Iterator[Problem]:
    if auto.max is not None and auto.max < auto.soak:
        yield Problem(("steps", "auto", "max"), "max is shorter than soak: give the weight of 50 time to bake")


def _times(entry: PolicyEntry) -> Iterator[Problem]:
    for key, span in (("call-limit", entry.call_limit), ("warm-up", entry.warm_up)):
        if span is not None and span >= entry.deadline:
            deadline = span_text(entry.deadline)
            yield Problem((key,), f"{span_text(span)} is no shorter than the deadline of {deadline}: write less")


def _judge(judge: JudgeEntry) -> Iterator[Problem]:
    for key, share in (("false-rollback", judge.false_rollback), ("missed-bad", judge.missed_bad)):
        if share >= 0.5:
            yield Problem(("judge", key), f"{share * 100:g}% would be a coin toss: write less than 50%")
    if judge.bad.ratio < judge.tolerate.ratio or judge.bad.points < judge.tolerate.points:
        where = ("judge", "bad") if "bad" in judge.model_fields_set else ("judge", "tolerate")
        what = f"bad ({judge.bad}) lies below tolerate ({judge.tolerate})"
        yield Problem(where, f"{what}: write a bad that is at least as wide in both numbers")


def _sources(sources: SourcesEntry | None) -> Iterator[Problem]:
    if sources is not None and not sources.model_fields_set:
        yield Problem(("sources",), "no source is named, nothing could be seen: name at least one, as probe: {}")


def _in_the_clear(sources: SourcesEntry | None) -> Iterator[Problem]:
    for name in _names(sources):
        its = getattr(sources, name.replace("-", "_"), None)
        if its is not None and getattr(its, "credentials", None) and is_in_the_clear(its.url):
            yield Problem(("sources", name, "url"), "credentials would be sent in the clear: write https")


def _gates(entry: PolicyEntry) -> Iterator[Problem]:
    in_use = _names(entry.sources)
    seen: set[str] = set()
    for place, gate in enumerate(entry.gates or ()):
        kinds = _kinds(gate)
        if len(kinds) != 1:
            yield Problem(("gates", place), "a gate has one name: write each as an item, - error-rate: {}")
            continue
        kind, key = kinds[0], ("gates", place, kinds[0].value)
        name = f"{kind} {gate.value.name}" if gate.value else kind.value
        if name in seen:
            yield Problem(key, f"{name} appears here twice: put their sources into one", is_about_key=True)
        seen.add(name)
        yield from _value(gate, entry, key)
        says = getattr(gate, _attribute(kind)).sources is not None
        yield from _gate_sources(kind, _asked(kind, gate, entry), in_use, (*key, "sources") if says else key)


def _value(gate: GateEntry, entry: PolicyEntry, key: Location) -> Iterator[Problem]:
    if gate.value is None:
        return
    try:
        _ = gate.value.bounds
    except UsageError as error:
        yield Problem(key, str(error))
    if not _tellers(gate.value.name, entry):
        able = " or ".join(name for name in SOURCES if name in CAPABLE_SOURCES[GateKind.VALUE])
        yield Problem((*key, "name"), f"no source tells {gate.value.name}: add it to the values of {able}")


def _tellers(name: str, entry: PolicyEntry) -> tuple[str, ...]:
    """Return the sources that tell the value ``name``."""
    if entry.sources is None:
        return ()
    return tuple(source for source in SOURCES if name in entry.sources.values_of(source))


def _gate_sources(
    kind: GateKind, asked: tuple[str, ...], in_use: tuple[str, ...], where: Location
) -> Iterator[Problem]:
    for name in asked:
        if name not in in_use:
            known = " or ".join(in_use) or "none"
            yield Problem(where, f"the source {name} is not in use: add {name} to sources, or ask {known}")
        elif name not in CAPABLE_SOURCES.get(kind, {name}):
            able = " or ".join(sorted(CAPABLE_SOURCES[kind]))
            yield Problem(where, f"the source {name} cannot tell it: ask {able}")


# in the core's words


def _step(entry: StepEntry, call_limit: timedelta | None) -> Step:
    if not isinstance(entry, WeightEntry):
        terms = entry.approval
        by = tuple(dict.fromkeys(terms.by))
        return ApprovalStep(True, by, terms.count, terms.not_author, terms.timeout, terms.then)
    return WeightStep(entry.weight, _least(entry, call_limit), entry.max)


def _least(entry: WeightEntry, call_limit: timedelta | None) -> timedelta:
    """Return the least time of a step; one that leaves it out lasts as long as a call may."""
    if entry.min is not None:
        return entry.min
    return call_limit or min(CALL_LIMIT, entry.max or CALL_LIMIT)


def _automatic(entry: AutoEntry) -> Automatic:
    return Automatic(entry.blast_radius, entry.soak, entry.bake, entry.max or max(AUTO_MAX, entry.soak))


def _call_limit(entry: PolicyEntry) -> timedelta | None:
    """Return how long a call may take; automatic steps, which have no ``min`` of their own, always say it."""
    if entry.call_limit or isinstance(entry.steps, list):
        return entry.call_limit
    least = min(CALL_LIMIT, entry.steps.auto.soak)
    return least if timedelta(0) < least < entry.deadline else None


def _as_sources(entry: SourcesEntry | None, prompts: tuple[Prompt, ...] | None) -> Sources:
    sources = entry.as_sources() if entry else Sources()
    if prompts is None or sources.probe is None:
        return sources
    return replace(sources, probe=replace(sources.probe, prompts=prompts))


def _names(sources: SourcesEntry | None) -> tuple[str, ...]:
    return _as_sources(sources, None).names


def _gate_entries(entry: PolicyEntry) -> list[GateEntry]:
    return entry.gates if entry.gates is not None else [GateEntry.model_validate({"error-rate": {}})]


def _kinds(gate: GateEntry) -> list[GateKind]:
    return [kind for kind in GateKind if getattr(gate, _attribute(kind)) is not None]


def _attribute(kind: GateKind) -> str:
    return kind.value.replace("-", "_")


def _asked(kind: GateKind, gate: GateEntry, entry: PolicyEntry) -> tuple[str, ...]:
    body = getattr(gate, _attribute(kind))
    if body.sources is not None:
        return tuple(dict.fromkeys(body.sources))
    if gate.value:
        return _tellers(gate.value.name, entry)
    return (_NATURAL_SOURCE[kind],) if kind in _NATURAL_SOURCE else _names(entry.sources)


def _gate(gate: GateEntry, entry: PolicyEntry) -> Gate:
    (kind,) = _kinds(gate)
    asked = _asked(kind, gate, entry)
    if value := gate.value:
        return Gate(kind, asked, on_failure=value.on_failure, is_dry_run=value.dry_run, bounds=value.bounds)
    body = getattr(gate, _attribute(kind))
    return Gate(
        kind,
        asked,
        body.max,
        body.on_failure,
        weights=tuple(body.sources.values()) if isinstance(body.sources, dict) else (),
        is_critical=body.critical,
        is_dry_run=body.dry_run,
    )
