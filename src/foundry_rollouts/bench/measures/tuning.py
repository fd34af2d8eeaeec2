"""Fixed thresholds, tuned as well as anybody could: on the very streams on which they are then measured.

Four ways: anew for each effect, once for a service, once for a service that may also have a shared outage, and once for
all services. Each with checks once a window, as tools do it, and with windows that slide with every tick
(``rules/fixed.py``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from foundry_rollouts.bench.arrays import Floats
from foundry_rollouts.bench.recording import Recording, first_tick
from foundry_rollouts.bench.report import Result, geometric_mean
from foundry_rollouts.bench.rules.fixed import FORMS, Form, levels, threshold
from foundry_rollouts.bench.streams import EFFECTS

PER_EFFECT, PER_SERVICE = "threshold, per effect", "threshold, per service"
PER_SERVICE_OUTAGE, FOR_ALL = "threshold, per service, outage-proof", "threshold, one for all"
SLIDING = " (sliding)"
_WAYS = (PER_EFFECT, PER_SERVICE, PER_SERVICE_OUTAGE, FOR_ALL)
TUNED_RULES = (*_WAYS, *(way + SLIDING for way in _WAYS))

Service: TypeAlias = tuple[float, float]  #: Calls a second, and stable's failure rate.
Thresholds: TypeAlias = dict[Form, float]
Cells: TypeAlias = list[tuple[Service, str]]  #: Services and effects.


@dataclass(slots=True)
class Tuned:
    """The threshold of each form in one service, without and with an outage; the harm of each way, form and effect."""

    alone: Thresholds
    with_outage: Thresholds
    harm: dict[tuple[str, Form, str], float] = field(default_factory=dict)


def tune(equal: Recording, outage: Recording) -> Tuned:
    """Set the thresholds of one service."""
    alone = {form: threshold(level) for form, level in levels(equal)}
    return Tuned(alone, {form: max(alone[form], threshold(level)) for form, level in levels(outage)})


def common_thresholds(tuned: Iterable[Tuned]) -> Thresholds:
    """Return the thresholds that hold in every service."""
    services = list(tuned)
    return {form: max(each.alone[form] for each in services) for form in FORMS}


def try_out(tuned: Tuned, seen: Mapping[str, Recording], common: Thresholds) -> None:
    """Note the harm that each form lets happen."""
    lines = {PER_SERVICE: tuned.alone, PER_SERVICE_OUTAGE: tuned.with_outage, FOR_ALL: common}
    for effect, each in seen.items():
        for form, level in levels(each):
            for way, line in lines.items():
                tuned.harm[way, form, effect] = _harm(each, form, level, line[form])


def _harm(seen: Recording, form: Form, level: Floats, line: float) -> float:
    check = first_tick(level > line)
    every = form.ticks(seen)
    return float(seen.harm_until((check + 1) * every - 1).mean())


def tuned_results(bench: str, runs: int, tuned: Mapping[Service, Tuned], cells: Cells) -> list[Result]:
    """Return the harm of the best form for each way of tuning; the cells in ``cells`` say which is best."""
    found = []
    for is_sliding in (False, True):
        forms = [form for form in FORMS if form.is_sliding == is_sliding]
        common = min(forms, key=lambda form: geometric_mean(tuned[where].harm[FOR_ALL, form, e] for where, e in cells))
        for service, each in tuned.items():
            best = _best(each, forms, [effect for where, effect in cells if where == service] or list(EFFECTS))
            best[FOR_ALL] = common
            for effect in EFFECTS:
                harm = {way: each.harm[way, form, effect] for way, form in best.items()}
                harm[PER_EFFECT] = min(each.harm[PER_SERVICE, form, effect] for form in forms)
                named = {way + SLIDING * is_sliding: caused for way, caused in harm.items()}
                found += [
                    Result(bench, way, *service, effect, "flat", "exact", runs, harm=caused)
                    for way, caused in named.items()
                ]
    return found


def _best(tuned: Tuned, forms: list[Form], effects: list[str]) -> dict[str, Form]:
    """Return the form that does best over ``effects``, for the two ways that choose one for the service."""
    return {
        way: min(forms, key=lambda form: geometric_mean(tuned.harm[way, form, e] for e in effects))
        for way in (PER_SERVICE, PER_SERVICE_OUTAGE)
    }
