"""How intervals become batches: which wait, for how long, and with whom."""

from hypothesis import given
from hypothesis import strategies as st

from foundry_rollouts.core.judging.batches import Tally, next_batch, total
from foundry_rollouts.core.judging.constants import BATCH_CALLS, WAITING_INTERVALS, WAITING_STABLE_CALLS

CANARY_ALONE, STABLE_ALONE, BOTH = Tally(5, 5), Tally(0, 0, 90, 0), Tally(10, 1, 90, 1)
LONELY = st.one_of(st.builds(Tally, st.integers(0, 12)), st.builds(Tally, stable_calls=st.integers(0, 12)))


def test_an_interval_that_is_a_batch_stands_alone_and_drops_what_waited() -> None:
    assert next_batch((CANARY_ALONE, CANARY_ALONE), BOTH) == (BOTH, ())


def test_an_interval_that_is_large_enough_and_hears_one_version_only_is_no_batch_and_drops_what_waited() -> None:
    """Versions that are heard by turns would meet each other's times, and an outage would be the canary's."""
    assert next_batch((CANARY_ALONE,), STABLE_ALONE) == (None, ())
    assert next_batch((), Tally(40, 12)) == (None, ())


def test_what_is_too_little_waits_until_it_makes_a_batch_together() -> None:
    few = Tally(3, 1, 2, 0)
    assert next_batch((), few) == (None, (few,))
    assert next_batch((few,), Tally(2, 0, 1, 1)) == (Tally(5, 1, 3, 1), ())


def test_of_a_version_that_is_heard_alone_only_the_last_three_intervals_wait() -> None:
    waiting: tuple[Tally, ...] = ()
    for failed in range(6):
        batch, waiting = next_batch(waiting, Tally(5, failed % 2))
        assert batch is None
    assert waiting == (Tally(5, 1), Tally(5, 0), Tally(5, 1))


def test_a_trickle_waits_until_it_has_as_many_calls_as_a_batch_takes() -> None:
    waiting: tuple[Tally, ...] = ()
    for _ in range(20):
        _, waiting = next_batch(waiting, Tally(1, 1))
        _, waiting = next_batch(waiting, Tally())  # Where nothing is heard, nothing grows old.
    assert waiting == (Tally(1, 1),) * BATCH_CALLS
    assert next_batch(waiting, Tally(stable_calls=1))[0] == Tally(BATCH_CALLS, BATCH_CALLS, 1, 0)


def test_calls_on_stable_alone_wait_longer_for_a_canary_that_few_calls_meet() -> None:
    waiting: tuple[Tally, ...] = ()
    for _ in range(50):
        _, waiting = next_batch(waiting, Tally(stable_calls=1))
    assert waiting == (Tally(stable_calls=1),) * WAITING_STABLE_CALLS
    assert next_batch(waiting, Tally(1, 1))[0] == Tally(1, 1, WAITING_STABLE_CALLS, 0)


@given(st.lists(LONELY, max_size=40))
def test_what_waits_is_never_more_than_three_intervals_or_the_calls_that_it_takes(tallies: list[Tally]) -> None:
    waiting: tuple[Tally, ...] = ()
    for tally in tallies:
        _, waiting = next_batch(waiting, tally)
        enough = BATCH_CALLS if total(waiting).canary_calls else WAITING_STABLE_CALLS
        assert len(waiting) <= WAITING_INTERVALS or total(waiting[1:]).calls < enough
        assert not total(waiting).is_batch
