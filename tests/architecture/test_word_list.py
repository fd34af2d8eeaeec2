"""Words that were replaced stay replaced: in code, in help and error texts, in log events and in documentation.

Each word that was hard to guess has one that engineers know. A new use of an old one fails here, with the new word.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from tools.repository import ROOT, said

#: Old words in prose, and what to write.
PROSE = {
    r"mend(s|ed|ing)?": "fix",
    r"told": "reported",
    r"([Aa]n?|[Oo]ne|[Tt]wo|[Tt]he|[Ee]ach|[Ee]very|[Nn]ext|[Ll]ast|[Ff]irst|[Ss]econd|[Ll]ater) looks?": "check, tick",
    r"look(s|ed|ing)? (again|at|after)": "check, read, manage",
    r"taken back": "rolled back",
    r"leads? back": "rolls back",
    r"on the wheel": "two controllers",
    r"strangers?": "unrelated, unknown",
    r"foolish": "risky",
}
#: Old names in code, and the new ones.
NAMES = {
    r"Ward|Watchman|wards|spool": "LastKnown, OfflineGuard, last_known, unsaved",
    r"watch_over": "check_offline",
    r"class Hand|take_due|lay_down|neglected|NEGLECT": "LeasePool, acquire_due, release, stalled, STALL_TIMEOUT",
    r"bid_farewell|farewell": "finish_rollout",
    r"bring_about|closed_as|while_ours|Acted": "apply_routing, keep_closed, within_lease, Applied",
    r"Rhythm|Pulse|Bells|rhythm|pulse|bells|_hasten": "Intervals, JobHealth, Wakeups, _run_now",
    r"FINISH_WITHIN|LET_GO_WITHIN|LAST_WORDS_WITHIN|AT_ONCE": "GRACEFUL_TIMEOUT, CANCEL_TIMEOUT, MAX_CONCURRENT",
    r"_attend|_deal_with|_meet|is_notable": "_reconcile, _create_rollout, needs_attention",
    r"Doubt|doubts|climb|outlook": "PolicyWarning, warnings_of, weight_increases, expectation",
    r"class (Past|Look|Hindsight)|in_hindsight": "RecordedRollout, ReplayedTick, BacktestResult",
    r"class (Bets|Process|Guess|FloorProcess)": "Hypotheses, EProcess, StableEstimate, CeilingProcess",
    r"ProbePlan|LogsPlan|OutcomesPlan|PrometheusPlan|HttpPlan": "ProbeConfig, LogsConfig, ...",
    r"def (answer_harm|make_way|without_proof|forward)": "on_harm, supersede, on_no_evidence, advance_or_promote",
    r"culprit|TELLERS|def (gathered|fresh)": "failing_gate, CAPABLE_SOURCES, initial, update",
    r"Breaker|class Budget": "CircuitBreaker, RateLimiter",
    r"Alarm|Sleepers|def nobody|Tallies|hand_out": "WakeCoalescer, Waker, no_wake, SampleBuffer, collect",
    r"PulledSource|class (Pull|Asked|Told|Arm)": "PollingSource, PollState, CountQuery, ReportedCounts, ProbeTarget",
    r"class Manners": "TransportOptions",
    r"disturb|hasten": "bump_generation, make_due",
    r"[Cc]ourier|Letter": "Dispatcher, CloudEvent",
    r"stamping|ledger": "timestamps, snapshot",
}
#: Modules that have another name now.
OLD_FILES = {
    "act",
    "alone",
    "asking",
    "calling",
    "climb",
    "courier",
    "creating",
    "deploying",
    "differences",
    "doubts",
    "drain",
    "every",
    "farewell",
    "following",
    "gate",
    "granting",
    "hand",
    "invoking",
    "journal",
    "ledger",
    "letter",
    "looking",
    "manners",
    "note",
    "outlook",
    "past",
    "picture",
    "plain",
    "precedence",
    "pulled",
    "removing",
    "stamping",
    "tally",
    "unchanged",
    "urgency",
    "waking",
    "ward",
    "wish",
    "wishes",
}
#: Where an old word is right: a field of persisted documents, or ordinary English in another sense.
RIGHT = {
    ("src/foundry_rollouts/core/model/backoff.py", r"told"): "a field of persisted documents",
    ("src/foundry_rollouts/core/deciding/refused.py", r"told"): "the same field",
}
FOLDERS = ("src", "docs", "deploy", "migrations", "README.md")
#: Accepted decisions are not edited.
UNTOUCHED = "docs/adr/0"


def files() -> Iterator[Path]:
    """Yield the texts of the repository that people read."""
    listed = said("git", "ls-files", "-z", *FOLDERS).split("\0")
    yield from (ROOT / name for name in listed if name and not name.startswith(UNTOUCHED))


def uses(words: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the file, the pattern and the report line of every use of an old word."""
    patterns = {old: re.compile(rf"\b({old})\b") for old in words}
    for path in files():
        name = str(path.relative_to(ROOT))
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1):
            for old, pattern in patterns.items():
                if found := pattern.search(line):
                    yield name, old, f"{name}:{number}: {found[0]!r}: write {words[old]}"


def test_no_text_uses_an_old_word() -> None:
    assert [line for name, old, line in uses(PROSE | NAMES) if (name, old) not in RIGHT] == []


def test_every_exception_is_needed() -> None:
    assert RIGHT.keys() - {(name, old) for name, old, _ in uses(PROSE | NAMES)} == set()


def test_no_module_bears_an_old_name() -> None:
    assert [str(path) for path in files() if path.suffix == ".py" and path.stem in OLD_FILES] == []


def test_the_search_finds_an_old_word() -> None:
    assert any(re.search(rf"\b({old})\b", "somebody has to mend it") for old in PROSE)
    assert any(re.search(rf"\b({old})\b", "async def bring_about(self)") for old in NAMES)
