"""Ids sort by time, are short, and go into addresses as they are."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from foundry_rollouts.operations.ids import id_of, new_id

START = datetime(1970, 1, 2, tzinfo=UTC)
TIMES = st.timedeltas(timedelta(0), timedelta(days=365_000)).map(lambda since: START + since)
NOISE = st.binary(min_size=5, max_size=5)


@given(TIMES, NOISE, NOISE, st.timedeltas(timedelta(milliseconds=2), timedelta(days=9000)))
def test_a_later_id_sorts_behind_an_earlier_one(at: datetime, one: bytes, other: bytes, later: timedelta) -> None:
    assert id_of(at, one) < id_of(at + later, other)


@given(TIMES, NOISE)
def test_an_id_is_seventeen_letters_that_need_no_quoting(at: datetime, noise: bytes) -> None:
    made = id_of(at, noise)

    assert len(made) == 17
    assert quote(made, safe="") == made


@given(TIMES, NOISE, NOISE)
def test_ids_of_one_instant_differ_by_their_noise(at: datetime, one: bytes, other: bytes) -> None:
    assert (id_of(at, one) == id_of(at, other)) == (one == other)


def test_two_new_ids_of_one_instant_are_not_the_same() -> None:
    at = datetime(2026, 3, 2, tzinfo=UTC)

    assert new_id(at) != new_id(at)
