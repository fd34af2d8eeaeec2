"""How things are shown."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON, a_policy, a_rollout
from fakes import record, stand
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window, bucket_of
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.operations.lists import agents_page, history, measurements_page, rollouts_view
from foundry_rollouts.operations.policy_views import policy_view
from foundry_rollouts.operations.views import (
    Remaining,
    VersionView,
    agent_view,
    measurement_view,
    rollout_view,
)
from foundry_rollouts.ports import AgentFilter, AgentKnown, Queue, Record, RolloutFilter
from foundry_rollouts.store.store import SqlStore

PROGRESSING = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON)


def test_a_rollout_shows_where_it_stands() -> None:
    view = rollout_view(replace(PROGRESSING, because="well so far", verdict="pass"), NOON)

    assert (view.phase, view.step, view.steps) == (Phase.PROGRESSING, 1, 3)
    assert view.weights == {"1": 90, "2": 10}
    assert (view.because, view.verdict, view.policy) == ("well so far", "pass", "support")


def test_what_remains_grows_less_with_time() -> None:
    view = rollout_view(PROGRESSING, NOON + timedelta(seconds=45))

    assert view.remaining == Remaining(step_seconds=15, limit_seconds=555, deadline_seconds=6 * 3600 - 45)


def test_what_remains_is_never_less_than_nothing() -> None:
    view = rollout_view(PROGRESSING, NOON + timedelta(days=2))

    assert view.remaining == Remaining(step_seconds=0, limit_seconds=0, deadline_seconds=0)


def test_time_stands_still_in_a_pause() -> None:
    paused = replace(PROGRESSING, phase=Phase.PAUSED, paused_at=NOON + timedelta(seconds=20))

    soon, late = (rollout_view(paused, NOON + timedelta(seconds=after)) for after in (30, 3000))

    assert soon.remaining == late.remaining
    assert soon.remaining is not None
    assert soon.remaining.step_seconds == 40


def test_an_approval_has_no_limit_of_its_own() -> None:
    policy = a_policy(steps=(WeightStep(10), ApprovalStep(), WeightStep(100)))

    view = rollout_view(replace(PROGRESSING, step=2, policy=policy), NOON)

    assert view.remaining == Remaining(step_seconds=0, limit_seconds=None, deadline_seconds=6 * 3600)


@pytest.mark.parametrize(
    "rollout", [a_rollout(), replace(PROGRESSING, phase=Phase.ROLLED_BACK)], ids=["not begun", "ended"]
)
def test_nothing_remains_before_the_first_step_and_after_the_end(rollout: object) -> None:
    assert rollout_view(rollout, NOON).remaining is None  # type: ignore[arg-type]


AGENT = AgentKnown(
    "support-agent",
    stable="1",
    latest="3",
    latest_status="creating",
    routing=Routing.of({"1": 90, "2": 10}),
    policy="support",
)


def test_an_agent_shows_each_version_that_matters() -> None:
    view = agent_view(AGENT, Queue(PROGRESSING), NOON)

    assert view.versions == (
        VersionView("1", weight=90, is_stable=True, status=None),
        VersionView("2", weight=10, is_stable=False, status=None),
        VersionView("3", weight=0, is_stable=False, status="creating"),
    )


def test_an_agent_shows_the_rollout_in_hand_and_how_many_wait() -> None:
    view = agent_view(AGENT, Queue(PROGRESSING, waiting=1), NOON)

    assert view.rollout is not None
    assert (view.rollout.id, view.queued) == ("r-1", 1)


def test_an_agent_that_was_never_seen_has_no_routing() -> None:
    view = agent_view(AgentKnown("support-agent"), Queue(), NOON)

    assert (view.routing, view.rollout, view.versions, view.queued) == (None, None, (), 0)


def test_a_policy_shows_its_steps_with_the_weight_reached() -> None:
    policy = a_policy(steps=(WeightStep(10, min=timedelta(minutes=1)), ApprovalStep(), WeightStep(100)))

    view = policy_view(policy)

    assert [(step.weight, step.approval) for step in view.steps] == [(10, False), (10, True), (100, False)]
    assert view.steps[0].min_seconds == 60
    assert view.steps[0].max_seconds is None
    assert [gate.name for gate in view.gates] == ["error-rate"]


def a_measurement() -> Measurement:
    fast, slow = bucket_of(timedelta(milliseconds=100)), bucket_of(timedelta(seconds=2))
    counts = Counts(calls=20, failures=2, causes=(("HTTP 500", 2),), latencies=((fast, 15), (slow, 5)))
    return Measurement("probe", Window(NOON, NOON + timedelta(seconds=10)), canary=counts)


def test_a_measurement_shows_latencies_in_seconds() -> None:
    view = measurement_view(a_measurement())

    assert (view.canary.calls, view.canary.failures, view.canary.causes) == (20, 2, {"HTTP 500": 2})
    assert view.canary.median_seconds == pytest.approx(0.1, rel=0.1)
    assert view.canary.p95_seconds == pytest.approx(2.0, rel=0.1)
    assert view.stable.median_seconds is None


async def test_agents_are_listed_with_the_rollout_in_hand(store: SqlStore) -> None:
    await store.see_agents([AgentKnown("aardvark"), AgentKnown("support-agent")], NOON)
    await stand(store, a_rollout(id="r-0", phase=Phase.PROMOTED, canary="0"))
    await stand(store, PROGRESSING)

    listed = (await agents_page(store, AgentFilter(), NOON)).items

    assert [(agent.name, agent.rollout.id if agent.rollout else None) for agent in listed] == [
        ("aardvark", None),
        ("support-agent", "r-1"),
    ]


async def test_pages_follow_one_another_until_all_is_shown(store: SqlStore) -> None:
    for number in range(5):
        created = NOON + timedelta(seconds=number)
        await stand(store, a_rollout(id=f"r-{number}", canary=f"c{number}", created_at=created))

    shown, before = [], None
    for expected in (2, 2, 1):
        page = await rollouts_view(store, RolloutFilter(limit=2, before=before), NOON)
        assert len(page.items) == expected
        shown += [rollout.id for rollout in page.items]
        before = page.next

    assert shown == ["r-4", "r-3", "r-2", "r-1", "r-0"]
    assert before is None


async def test_history_and_measurements_of_an_unknown_rollout_are_refused(store: SqlStore) -> None:
    with pytest.raises(NotFoundError):
        await history(store, "nothing")
    with pytest.raises(NotFoundError):
        await measurements_page(store, "nothing", None, 5)


async def test_measurements_are_listed(store: SqlStore) -> None:
    rollout = await stand(store, PROGRESSING)
    await record(store, rollout.agent, Record(rollout=rollout, measurements=(a_measurement(),)))

    [view] = (await measurements_page(store, "r-1", None, 5)).items

    assert (view.source, view.canary.calls) == ("probe", 20)
