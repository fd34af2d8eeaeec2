"""Places under limits: never more than are allowed, first come, first served, and everybody in the end."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import NOON
from foundry_rollouts.core.deciding.places import places_of
from foundry_rollouts.core.model.fleet import Trial
from foundry_rollouts.core.model.limits import Limits
from foundry_rollouts.core.model.rollout import Phase

PAYMENTS = Limits(labels=(("payments", 2),))


def trial(agent: str, *labels: str, at: int = 0, **but: Any) -> Trial:
    made = Trial(f"r-{agent}", agent, "2", NOON + timedelta(seconds=at), due_at=NOON, labels=labels)
    return replace(made, **but)


def going(agent: str, *labels: str, **but: Any) -> Trial:
    return trial(agent, *labels, is_under_way=True, **{"phase": Phase.PROGRESSING, **but})


def waiting(agent: str, *labels: str, at: int = 0, **but: Any) -> Trial:
    return trial(agent, *labels, at=at, **{"held_by": "queue", **but})


def said(me: Trial, *others: Trial, limits: Limits = PAYMENTS) -> str | None:
    rein = places_of(others, limits, NOON, me).rein(me)
    return rein.because if rein else None


def test_the_sentence_has_the_number_in_the_queue_and_who_is_under_way() -> None:
    others = [going("a", "payments"), going("b", "payments", phase=Phase.PAUSED)]
    behind = [waiting(f"w{n}", "payments", at=n) for n in range(7) if n != 2]
    me = trial("me", "payments", at=2)
    rein = places_of([*others, *behind], PAYMENTS, NOON, me).rein(me)
    assert rein is not None
    assert rein.kind.value == "queue"
    assert rein.because == (
        "3rd of 7 in the queue of label payments: 2 of 2 rollouts are under way (a, b, which is paused)"
    )
    assert rein.waiting_for == "a place of label payments"


def test_what_starts_next_is_said_where_a_place_is_free_and_not_ours() -> None:
    assert said(trial("me", "payments", at=5), going("a", "payments"), waiting("w", "payments")) == (
        "1st of 1 in the queue of label payments: 1 of 2 rollouts are under way (a), and the next place is taken"
    )


def test_a_free_place_is_the_first_ones_and_other_labels_are_no_matter() -> None:
    assert said(trial("me", "payments"), going("a", "payments"), waiting("w", "payments", at=1)) is None
    assert said(trial("me", "payments"), *(going(name, "billing") for name in "abc")) is None
    assert said(trial("me"), going("a", "payments"), going("b", "payments")) is None


def test_whoever_could_not_start_anyhow_lets_others_pass() -> None:
    held = [waiting("f", "payments", held_by="freeze, queue"), waiting("p", "payments", phase=Phase.PAUSED)]
    late = waiting("z", "payments", due_at=NOON - timedelta(minutes=1))
    assert (
        said(trial("me", "payments", at=9), going("a", "payments"), *held, late, waiting("n", "payments", due_at=None))
        is None
    )


def test_a_limit_on_the_project_is_one_for_each_project() -> None:
    limits = Limits(project=1)
    assert said(trial("sales/b"), going("emea/a"), limits=limits) is None
    assert said(trial("sales/b"), going("sales/a"), limits=limits) == (
        "1st of 1 in the queue of project sales: 1 of 1 rollout is under way (sales/a)"
    )
    assert said(trial("b"), going("a"), limits=limits) == (
        "1st of 1 in the queue of the project: 1 of 1 rollout is under way (a)"
    )


def test_both_limits_are_named_where_both_are_full_and_many_names_are_cut_short() -> None:
    limits = Limits(project=12, labels=(("x", 1),))
    others = [going(f"a{n:02}") for n in range(11)] + [going("z", "x")]
    assert said(trial("me", "x"), *others, limits=limits) == (
        "1st of 1 in the queue of label x: 1 of 1 rollout is under way (z); 1st of 1 in the queue of the project:"
        " 12 of 12 rollouts are under way (a00, a01, a02, a03, a04 and 7 more)"
    )


def test_ordinals() -> None:
    crowd = [waiting(f"w{n:03}", "payments", at=n) for n in range(120)]
    full = [going("a", "payments"), going("b", "payments")]
    places = places_of([*full, *crowd], PAYMENTS, NOON)
    numbers = [rein.because.split(" ", 1)[0] for rein in map(places.rein, crowd) if rein]
    assert numbers[:4] + numbers[10:13] + numbers[20:23] + numbers[110:113] == (
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "111th", "112th", "113th"]
    )


LABELS = st.lists(st.sampled_from(["x", "y", "z"]), max_size=3, unique=True).map(tuple)
#: What happens next: a rollout is ticked (and starts, where it may), or one that is under way ends.
HAPPENS = st.lists(st.tuples(st.sampled_from(["tick", "end"]), st.integers(0, 30)), max_size=60)


class Play:
    """Rollouts that start and end in any order; what is recorded of each is what the next one reads."""

    def __init__(self, labels: list[tuple[str, ...]], limits: Limits) -> None:
        self.limits = limits
        self.trials = [trial(f"a{n}", *each, at=n // 2) for n, each in enumerate(labels)]
        self.ended: set[str] = set()

    def tick(self, number: int) -> bool:
        """Let a rollout start where it may; return whether it did."""
        me = self.trials[number]
        if me.is_under_way or me.agent in self.ended:
            return False
        others = [each for each in self.trials if each.agent not in self.ended]
        rein = places_of(others, self.limits, NOON, me).rein(me)
        is_free = rein is None
        self.trials[number] = replace(me, is_under_way=is_free, held_by=None if is_free else "queue")
        self.check()
        return is_free

    def end(self, number: int) -> None:
        if self.trials[number].is_under_way:
            self.ended.add(self.trials[number].agent)

    def check(self) -> None:
        under_way = [each for each in self.trials if each.is_under_way and each.agent not in self.ended]
        assert self.limits.project is None or len(under_way) <= self.limits.project
        for label, most in self.limits.labels:
            assert sum(label in each.labels for each in under_way) <= most


@settings(max_examples=150, deadline=None)
@given(st.lists(LABELS, min_size=1, max_size=12), st.none() | st.integers(1, 3), st.integers(1, 2), HAPPENS)
def test_never_more_than_are_allowed_in_any_order_and_everybody_is_served(
    labels: list[tuple[str, ...]], project: int | None, most: int, happens: list[tuple[str, int]]
) -> None:
    play = Play(labels, Limits(project, (("x", most), ("y", 1))))
    for what, number in happens:
        getattr(play, what)(number % len(labels))
    for _ in labels:  # From here on all end, and all are ticked.
        for number in range(len(labels)):
            play.end(number)
        for number in range(len(labels)):
            play.tick(number)
    assert all(each.is_under_way for each in play.trials)


def test_two_labels_that_others_use_in_turns_are_had_in_the_end() -> None:
    """Whoever needs both would wait for ever if each that becomes free went to somebody who needs one."""
    limits = Limits(labels=(("x", 1), ("y", 1)))
    me = waiting("me", "x", "y")
    x_free = [going("a", "y", at=1), waiting("b", "x", at=2), me]
    assert places_of(x_free, limits, NOON).rein(x_free[1]) is not None, "x is kept for the one before"
    both_free = [me, waiting("b", "x", at=2), waiting("c", "y", at=3)]
    places = places_of(both_free, limits, NOON)
    assert [places.rein(each) is None for each in both_free] == [True, False, False]


def a_group(*names: str, at: int = 0, **but: Any) -> list[Trial]:
    run = tuple(f"r-{name}" for name in names)
    return [waiting(name, "payments", at=at, run=run, **but) for name in names]


def test_a_group_has_its_places_together_or_none() -> None:
    group = a_group("g1", "g2")
    places = places_of([going("a", "payments"), *group], PAYMENTS, NOON)
    reins = [places.rein(each) for each in group]
    assert [rein.because if rein else None for rein in reins] == [
        "1st of 1 in the queue of label payments: 1 of 2 rollouts are under way (a), and its group needs 2 at once"
    ] * 2
    later = waiting("b", "payments", at=9)
    places = places_of([going("a", "payments"), *group, later], PAYMENTS, NOON)
    assert places.rein(later) is not None, "what becomes free is kept for the group"


def test_two_groups_never_hold_places_for_which_the_other_waits() -> None:
    first, second = a_group("g1", "g2"), a_group("h1", "h2", at=1)
    places = places_of([*first, *second], PAYMENTS, NOON)
    assert [places.rein(each) is None for each in (*first, *second)] == [True, True, False, False]
    begun = [replace(first[0], is_under_way=True), first[1], *second, waiting("a", "payments", at=-9)]
    places = places_of(begun, PAYMENTS, NOON)
    assert [places.rein(each) is None for each in begun] == [True, True, False, False, False]


def test_a_group_that_is_larger_than_its_limit_goes_alone() -> None:
    group = a_group("g1", "g2", "g3")
    assert all(places_of(group, PAYMENTS, NOON).rein(each) is None for each in group)
    places = places_of([going("a", "payments"), *group], PAYMENTS, NOON)
    assert all(places.rein(each) is not None for each in group)
