"""The sentences that people read: log, history, dashboard and command line show the same words."""

import math
from collections.abc import Sequence

from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.constants import TROUBLE, WARM_POINTS
from foundry_rollouts.core.judging.track import Track
from foundry_rollouts.core.model.failures import ErrorKind, kind_of
from foundry_rollouts.core.model.policy import Gate, GateKind, Judging

RARE = 0.0001  #: The failure rate below which "hardly ever" says all.
ROUGHLY = 9.5  #: Percent from which a past rate is shown in whole numbers; below, by its first digit.
MOST_ODDS = math.log(1_000_000)
ROUNDING = 1e-9  #: Lost by logarithms: without it, what is exactly 100 : 1 would be said as 99 : 1.
DEEDS = {
    GateKind.ERROR_RATE: "failed",
    GateKind.LATENCY: "were slower than stable's median",
    GateKind.LOG_ERRORS: "wrote an error line",
    ErrorKind.CLIENT_ERROR: "were refused as the caller's mistake",
}


def because_harm(gate: Gate, judging: Judging, track: Track) -> str:
    """Say how the canary did harm: "canary 14 of 120 failed (HTTP 500) against 3 of 1 080 on stable, ..."."""
    causes = ", ".join(cause for cause, _ in sorted(track.causes, key=lambda pair: -pair[1])[:2])
    why = f" ({causes})" if causes and gate.kind is not GateKind.LATENCY else ""
    compared = _compared(track.kind or gate.kind, track.total, why)
    return f"{compared}, seen by {track.stratum}: {_crossed(gate, judging, track)}"


def _crossed(gate: Gate, judging: Judging, track: Track) -> str:
    """Say which line the canary crossed: tolerance, or else the ceiling."""
    harm = max(track.stakes.harm_log, *(process.harm_log for process in track.processes))
    if harm >= -math.log(judging.false_rollback) or gate.max is None or not (track.ceiling and track.strict):
        if track.pot is not None and track.pot.harm_log >= max(process.harm_log for process in track.processes):
            return f"more than {WARM_POINTS * 100:g} points worse than stable while it warms up, evidence {odds(harm)}"
        return f"worse than {judging.tolerate} stable, evidence {odds(harm)}"
    ceiling = f"above the ceiling of {gate.max * 100:g}%"
    if not track.at_step.stable_calls:
        return f"{ceiling}, evidence {odds(track.ceiling.log)}"
    return f"{ceiling} and worse than stable, evidence {odds(min(track.ceiling.log, track.strict.harm_log))}"


def because_proved(gate: Gate, judging: Judging, track: Track, safe: float) -> str:
    """Say that the canary proved itself at this step, with the evidence of all strata together."""
    return (
        f"{_compared(gate.kind, track.at_step)} at this step, seen by {track.stratum}: "
        f"better than {judging.bad} stable, evidence {odds(safe)}"
    )


def because_unproved(gate: Gate, judging: Judging, track: Track, missing: int | None) -> str:
    """Say what is seen so far and how much is missing."""
    if gate.kind is GateKind.LATENCY and not track.edges:
        return f"{gate.name}: still learning from {track.stratum} how fast stable is"
    more = f"needs about {count(missing)} more canary calls" if missing else "needs more canary calls"
    seen = _compared(gate.kind, track.at_step)
    return f"{seen} so far: {more} to be proved better than {judging.bad} stable"


def because_doubted(gate: Gate, judging: Judging, track: Track) -> str:
    """Say that the canary is proved to be better than bad, and that its failures still speak against it."""
    proved = f"better than {judging.bad} stable, and maybe worse than {judging.tolerate} stable"
    return f"{_compared(gate.kind, track.at_step)} so far: {proved}; needs more canary calls without failures"


def because_baking(gate: Gate, track: Track) -> str:
    """Say what is seen of a canary that has all traffic, beside what stable did before."""
    if track.at_step.stable_calls:
        return f"{_compared(gate.kind, track.at_step)} at this step, seen by {track.stratum}"
    return f"{_alone(gate, track)} at this step, seen by {track.stratum}"


def because_guarded(gate: Gate, track: Track, log: float) -> str:
    """Say why a canary that has all traffic goes back to a weight at which it is compared."""
    return f"{_alone(gate, track)}, seen by {track.stratum}: evidence {odds(log)}"


def because_shared(tracks: Sequence[Track]) -> str:
    """Say that stable is in trouble too, by how much, and who saw it."""
    track = max((each for each in tracks if each.shared), key=lambda each: each.shared.log if each.shared else 0.0)
    if track.shared is None or track.shared.before is None:
        return "shared trouble: stable itself fails more than before; nothing goes up until that is over"
    line, before = (f"{100 * rate:.2g}%" for rate in (TROUBLE.of(track.shared.before), track.shared.before))
    now = "" if track.shared.recent is None else f", {100 * track.shared.recent:.2g}% of late"
    is_limited = any(kind_of(cause) is ErrorKind.RATE_LIMITED for cause, _ in track.causes)
    why = ", its model's rate limit among the causes" if is_limited else ""
    return (
        f"shared trouble: stable itself fails more than {line} of its calls{now}, where it failed {before} before, "
        f"seen by {track.stratum}{why}; nothing goes up until that is over"
    )


def because_unseen(verdict: Verdict, gate: Gate, tracks: Sequence[Track]) -> str:
    """Say which silence it is; silence is never health."""
    strata = ", ".join(track.stratum for track in tracks)
    if verdict is Verdict.SOURCE_ERROR:
        trouble = next(track for track in tracks if track.trouble)
        return f"{gate.name}: {trouble.stratum} cannot be read: {trouble.trouble}"
    if verdict is Verdict.STALE:
        return f"{gate.name}: no canary calls for a while ({strata}); what was seen is too old to decide on"
    return f"{gate.name}: no canary calls seen at this step yet ({strata})"


def odds(log: float) -> str:
    """Return evidence, a natural logarithm, as people say it: ``240 : 1``; rounded down: what is said was reached."""
    return f"{count(math.floor(math.exp(log + ROUNDING)))} : 1" if log < MOST_ODDS else "more than 1 000 000 : 1"


def count(number: int) -> str:
    """Return a whole number with thin groups of three: ``1 080``."""
    return f"{number:,}".replace(",", " ")


def _alone(gate: Gate, track: Track) -> str:
    step, guard = track.at_step, track.guard
    past = guard.past if guard and guard.is_known else None
    deed = DEEDS[track.kind or gate.kind]
    return f"canary {count(step.canary_failures)} of {count(step.canary_calls)} {deed} ({_past(past)})"


def _past(known: float | None) -> str:
    if known is None:
        return "too little was seen of stable"
    if known < RARE:
        return "stable hardly ever failed before"
    percent = 100 * known
    return f"stable failed about {f'{percent:.1g}' if percent < ROUGHLY else round(percent)}% before"


def _compared(kind: GateKind | ErrorKind, tally: Tally, why: str = "") -> str:
    deed = DEEDS[kind]
    return (
        f"canary {count(tally.canary_failures)} of {count(tally.canary_calls)} {deed}{why} "
        f"against {count(tally.stable_failures)} of {count(tally.stable_calls)} on stable"
    )
