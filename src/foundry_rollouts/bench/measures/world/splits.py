"""A region that does not follow the weights (10.12): how many new sessions tell, and how often one is wrong."""

import math

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Floats, Ints
from foundry_rollouts.bench.bounds import upper_bound
from foundry_rollouts.bench.measures.world.trial import NAME, Part, Row
from foundry_rollouts.bench.report import Goal, Options, Result, number, percent
from foundry_rollouts.core.judging.constants import SPLIT_ABOVE, SPLIT_BELOW_PARTS, SPLIT_NONE, SPLIT_ODDS

WEIGHTS, SESSIONS = (10, 50), 5000
MOST_WRONG = 0.02  #: Both directions, each at 1 %.


def splits(options: Options) -> Part:
    """Return how many sessions it takes, at each weight."""
    part = Part()
    for weight in WEIGHTS:
        share, dice = weight / 100, options.dice(NAME, "10.12", str(weight))
        for name, true in (("none", 0.0), ("half as many", share / 2), ("all", 1.0)):
            reported = first_reported(share, dice.random((options.runs, SESSIONS)) < true)
            part += _told(options, weight, f"{name} on the canary", reported)
        reported = first_reported(share, dice.random((options.runs, SESSIONS)) < share)
        wrong = int(np.isfinite(reported).sum())
        said = f"{percent(wrong / options.runs)} (at most {percent(upper_bound(wrong, options.runs))})"
        name = f"new sessions follow the weight {weight}"
        part.rows.append(Row("10.12", name, f"reported wrongly within {SESSIONS} sessions", "-", said))
        goal = Goal(f"10.12: reported wrongly, weight {weight}", "<= 2%", said, wrong / options.runs <= MOST_WRONG)
        part.goals.append(goal)
        options.progress(f"10.12 weight {weight}", 1.0)
    return part


def _told(options: Options, weight: int, name: str, reported: Floats) -> Part:
    sessions = float(np.median(reported))
    row = Row(
        "10.12", f"region ignores the weight {weight}: {name}", "new sessions until reported", "never", number(sessions)
    )
    result = Result(
        NAME, "10.12: all", None, 0.0, "equal", f"{name}, weight {weight}", "ignored", options.runs, weight=weight,
        sessions_until_reported=sessions if math.isfinite(sessions) else None,
    )  # fmt: skip
    return Part([row], [result])


def first_reported(share: float, is_canary: Bools) -> Floats:
    """Return the number of the session that tells, a row of sessions for each run; endless where none does."""
    canary: Ints = np.cumsum(is_canary, axis=1, dtype=np.int64)
    stable = np.arange(1, is_canary.shape[1] + 1) - canary
    evidence = np.maximum(*evidence_of(share, canary, stable))
    tells = evidence >= math.log(SPLIT_ODDS)
    return np.where(tells.any(axis=1), tells.argmax(axis=1) + 1.0, np.inf)


def evidence_of(share: float, canary: Ints, stable: Ints) -> tuple[Floats, Floats]:
    """Return the evidence that fewer sessions go to the canary than ``share``, and that more do."""
    fewer = SPLIT_NONE * share, share / 2
    more = (*(min(times * share, (1 + share) / 2) for times in SPLIT_ABOVE), 1 - SPLIT_NONE)

    def won(claim: float) -> Floats:
        gain: Floats = canary * math.log(claim / share) + stable * (math.log1p(-claim) - math.log1p(-share))
        return gain

    below = [math.log(part) + won(claim) for part, claim in zip(SPLIT_BELOW_PARTS, fewer, strict=True)]
    above = [won(claim) - math.log(len(more)) for claim in more]
    return np.logaddexp.reduce(below), np.logaddexp.reduce(above)
