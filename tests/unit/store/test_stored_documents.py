"""Documents: what each tick writes and reads has two ways into the database, and they say the same."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from builders import NOON
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import Capital, EProcess
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.judging.one_armed import CeilingProcess
from foundry_rollouts.core.judging.track import Track
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import StoreError
from foundry_rollouts.store.documents import EVIDENCE, MEASUREMENT, ROLLOUT, STORED_AS, Document
from small_world import a_quick_policy

# Half of a surrogate pair, NUL and secrets are what no database may keep.
WORDS = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["", "\0", "\ud800", "password=hunter2", "Infinity", "NaN", "\\u0000", "\N{RIGHT-TO-LEFT OVERRIDE}", "größer ≥ 1"]
)
COUNTS = st.builds(Counts, causes=st.lists(st.tuples(WORDS, st.integers(0, 9)), max_size=3).map(tuple))
MEASUREMENTS = st.builds(
    Measurement,
    trouble=st.none() | WORDS,
    note=st.none() | WORDS,
    stable=COUNTS,
    canary=COUNTS,
    sight=st.none() | WORDS,
)
NUMBERS = st.floats() | st.just(float("inf"))
TRACKS = st.builds(
    Track,
    gate=WORDS,
    share=NUMBERS,
    processes=st.just(()) | st.tuples(st.builds(EProcess, safe=st.tuples(NUMBERS, NUMBERS))),
    ceiling=st.none() | st.builds(CeilingProcess, harm=st.builds(Capital, cash=NUMBERS)),
    total=st.builds(Tally, canary_calls=st.integers(0, 9)),
    at_step=st.just(Tally()),
    causes=st.lists(st.tuples(WORDS, st.integers(0, 9)), max_size=3).map(tuple),
    seen_at=st.none() | st.just(NOON),
    trouble=st.none() | WORDS,
    strict=st.none(),
    guard=st.none(),
    pot=st.none(),
    closed=st.none(),
    open=st.just(()),
    until=st.none(),
)
EVIDENCES = st.builds(
    Evidence, tracks=st.lists(TRACKS, max_size=2).map(tuple), beside=st.just(()), values=st.just(()), splits=st.just(())
)
WHOLE = TypeAdapter(Measurement)
ROLLOUTS = st.builds(
    Rollout, policy=st.just(a_quick_policy()), because=WORDS, waiting_for=st.none() | WORDS, is_revert=st.booleans()
)


def assert_same(kind: Document[Any], value: Any) -> None:
    written = {name: each for name, each in kind.write(value).items() if name != "policy"}
    text = kind.text(value)  # type: ignore[attr-defined]
    assert json.loads(text) == written
    assert list(json.loads(text)) == list(written)


@given(EVIDENCES)
@settings(max_examples=60)
def test_evidence_is_written_the_same_in_both_ways(evidence: Evidence) -> None:
    assert_same(EVIDENCE, evidence)
    text = EVIDENCE.text(evidence)
    assert EVIDENCE.text(EVIDENCE.read_text(text)) == text
    assert EVIDENCE.text(EVIDENCE.read(EVIDENCE.write(evidence))) == text


@given(MEASUREMENTS)
@settings(max_examples=60)
def test_a_measurement_is_written_the_same_in_both_ways(measurement: Measurement) -> None:
    assert_same(MEASUREMENT, measurement)
    text = MEASUREMENT.text(measurement)
    read = MEASUREMENT.read(json.loads(text))
    assert MEASUREMENT.text(read) == text
    # The release before reads a missing field as what it is when nothing was counted.
    assert everything(WHOLE.validate_python(json.loads(text))) == everything(read)


def everything(measurement: Measurement) -> str:
    """Return all fields, also those that do not count where two are compared."""
    return repr(WHOLE.dump_python(measurement, mode="json"))


def test_a_measurement_is_stored_without_its_zeros_and_with_all_that_it_counted() -> None:
    window = Window(NOON, NOON + timedelta(seconds=30))
    nothing = Measurement("outcomes", window)
    assert set(MEASUREMENT.write(nothing)) == {"source", "window", "stable", "canary"}
    heard = replace(nothing, canary=Counts(heard=5), note="looked twice")
    read = MEASUREMENT.read_text(MEASUREMENT.text(heard))
    assert everything(read) == everything(heard)
    assert everything(MEASUREMENT.read(MEASUREMENT.write(heard))) == everything(heard)


@given(ROLLOUTS)
@settings(max_examples=60)
def test_a_rollout_is_written_the_same_in_both_ways_but_for_its_policy(rollout: Rollout) -> None:
    assert_same(ROLLOUT, rollout)
    text = ROLLOUT.text(rollout)
    read = ROLLOUT.read({**json.loads(text), "policy": rollout.policy})
    assert ROLLOUT.text(read) == text
    assert read.policy is rollout.policy


def test_names_of_the_database_are_kept_and_those_of_a_later_release_overlooked() -> None:
    rollout = Rollout("r", "a", "2", "1", a_quick_policy(), NOON, event_count=7, is_revert=True)
    document = json.loads(ROLLOUT.text(rollout))
    assert (document["events"], document["is_return"], document["history"]) == (7, True, [])
    assert not set(STORED_AS) & set(document)
    assert ROLLOUT.read({**document, "policy": rollout.policy, "added_later": 1}) == rollout


def test_what_is_no_document_of_ours_says_so() -> None:
    for broken in ("7", '{"tracks": 7}', "[1]", "no json"):
        with pytest.raises(StoreError, match="stored evidence cannot be read"):
            EVIDENCE.read_text(broken)
