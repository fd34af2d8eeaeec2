"""The heap of due times: what was woken first, then who waits longest, and each agent once."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from builders import NOON
from foundry_rollouts.controller.due import SLACK, DueTimes, Urgency

SECOND = timedelta(seconds=1)


def at(seconds: float) -> datetime:
    return NOON + seconds * SECOND


def all_due(due: DueTimes, now: datetime) -> list[str]:
    found: list[str] = []
    while one := due.pop(now):
        found.append(one[0])
    return found


def test_nothing_is_due_before_its_time() -> None:
    due = DueTimes()
    due.plan("later", at(2))
    assert due.pop(at(1)) is None
    assert due.next_at() == at(2)
    assert due.pop(at(2)) == ("later", at(2))
    assert due.next_at() is None
    assert len(due) == 0


def test_what_was_woken_goes_before_what_has_waited_for_an_hour() -> None:
    due = DueTimes()
    due.plan("routine", at(-3600))
    due.plan("woken late", at(5), Urgency.WOKEN)
    due.plan("woken", at(0), Urgency.WOKEN)
    assert due.ready(at(0)) == 3
    assert all_due(due, at(0)) == ["woken", "woken late", "routine"]


def test_an_agent_is_due_once_at_the_soonest_and_most_urgent_that_was_named() -> None:
    due = DueTimes()
    due.plan("one", at(10))
    due.plan("one", at(3))
    due.plan("one", at(7))
    assert due.at("one") == at(3)
    due.plan("one", at(8), Urgency.WOKEN)
    assert due.next_at() is None
    assert all_due(due, at(0)) == ["one"]
    assert all_due(due, at(100)) == []


def test_what_is_forgotten_is_never_due() -> None:
    due = DueTimes()
    due.plan("one", at(1))
    due.plan("two", at(2))
    due.forget("one")
    due.forget("nobody")
    assert due.at("one") is None
    assert due.next_at() == at(2)
    assert all_due(due, at(5)) == ["two"]


def test_to_be_planned_again_and_again_fills_no_memory() -> None:
    due = DueTimes()
    for number in range(10_000):
        due.plan("one", at(-number))
        due.plan("other", at(10_000 - number), Urgency.ROUTINE)
    assert len(due._later) + len(due._ready) <= 2 * len(due) + SLACK
    assert len(due) == 2


PLANS = st.lists(
    st.tuples(
        st.sampled_from("abcdef"),
        st.integers(-20, 20),
        st.sampled_from([*Urgency, None]),
    ),
    max_size=60,
)


@given(PLANS, st.integers(-20, 20))
def test_it_is_as_if_each_agent_were_looked_up(plans: list[tuple[str, int, Urgency | None]], now: int) -> None:
    due, model = DueTimes(), dict[str, tuple[Urgency, int]]()
    for agent, second, urgency in plans:
        if urgency is None:
            due.forget(agent)
            model.pop(agent, None)
            continue
        due.plan(agent, at(second), urgency)
        before = model.get(agent, (urgency, second))
        model[agent] = min(urgency, before[0]), min(second, before[1])
    ready = {agent: key for agent, key in model.items() if key[0] is Urgency.WOKEN or key[1] <= now}
    found = all_due(due, at(now))
    assert [ready[agent] for agent in found] == sorted(ready.values())
    assert sorted(found) == sorted(ready)
    assert len(due) == len(model) - len(ready)
