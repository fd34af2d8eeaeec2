"""Agents that move in lockstep: together up, together back, whoever is killed, paused or late."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.deciding.decide import Situation
from foundry_rollouts.core.deciding.groups import GroupSeen, Member
from foundry_rollouts.core.deciding.reins import Rein, ReinKind
from foundry_rollouts.core.deciding.transition import Transition, transition
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import initial
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.group import Group, InGroup
from foundry_rollouts.core.model.policy import Automatic, OnFailure, Policy, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import routing_of
from foundry_rollouts.errors import BrokenLawError, UsageError

MINUTE = timedelta(minutes=1)
STEPS = tuple(WeightStep(weight) for weight in (10, 50, 100))
NAMES = ("cart", "payment", "shipping")
FREEZE = Rein(ReinKind.FREEZE, "a freeze holds", "the freeze to end")


def policy_of(**but: Any) -> Policy:
    return a_policy(steps=STEPS, deadline=timedelta(days=900), group=Group("checkout", NAMES), agents=NAMES, **but)


@dataclass
class Town:
    """Three agents and what their rollouts wrote down."""

    policy: Policy = field(default_factory=policy_of)
    now: datetime = NOON
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    unwritten: dict[str, Transition] = field(default_factory=dict)  #: Sent, and not written before the process died.
    reins: tuple[Rein, ...] = ()
    told: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in NAMES:
            self.begin(name)

    def begin(self, name: str, canary: str = "2") -> Rollout:
        rollout = a_rollout(id=f"{name}-{canary}", agent=name, canary=canary, policy=self.policy, event_count=1)
        self.rollouts[rollout.id] = replace(rollout, created_at=self.now)
        return self.rollouts[rollout.id]

    def current(self, name: str) -> Rollout | None:
        found = (each for each in self.rollouts.values() if each.agent == name and not each.phase.is_final)
        return next(found, None)

    def __getitem__(self, name: str) -> Rollout:
        """Return the newest rollout of an agent."""
        return [each for each in self.rollouts.values() if each.agent == name][-1]

    def group(self, rollout: Rollout) -> GroupSeen:
        others = [name for name in NAMES if name != rollout.agent]
        run = [self.rollouts[each] for each in rollout.in_group.run]
        of_run = {each.agent: each for each in run}
        return GroupSeen("checkout", tuple(Member(name, self.current(name), of_run.get(name)) for name in others))

    def tick(
        self,
        name: str,
        verdict: Verdict = Verdict.PASS,
        verb: Verb | None = None,
        *,
        is_killed: bool = False,
        waits_for: str | None = None,
    ) -> Rollout:
        self.now += MINUTE
        self._settle(name)
        rollout = self.current(name)
        if rollout is None:
            return self[name]
        analysis = Analysis(verdict, f"{name} is {verdict}", initial(rollout.policy, ())) if rollout.step else None
        asked = (
            (Command(f"c-{self.now}", rollout.id, verb, 1, self.now, "kim", f"kim wants to {verb}"),) if verb else ()
        )
        group, routing = self.group(rollout), routing_of(rollout)
        seen = Situation(self.now, analysis, asked, group=group, routing=routing, reins=self.reins, waits_for=waits_for)
        step = transition(rollout, rollout, seen)
        if step.is_step and is_killed:
            self.unwritten[name] = step
        elif not is_killed:
            self._write(step)
        return self.rollouts[rollout.id]

    def _settle(self, name: str) -> None:
        step = self.unwritten.pop(name, None)
        if step is not None:
            self._write(step)

    def _write(self, step: Transition) -> None:
        self.rollouts[step.then.id] = step.then
        if step.event is not None:
            self.told.append((step.then.agent, step.event.kind.removeprefix("rollout."), step.event.because))

    def round(self, verdict: Verdict = Verdict.PASS, times: int = 1, names: Sequence[str] = NAMES) -> None:
        for _ in range(times):
            for name in names:
                self.tick(name, verdict)

    def steps(self) -> list[int]:
        return [self[name].step for name in NAMES]

    def phases(self) -> set[Phase]:
        return {self[name].phase for name in NAMES}


@pytest.fixture
def town() -> Town:
    return Town()


def started(**but: Any) -> Town:
    town = Town(policy_of(**but))
    town.round(Verdict.INSUFFICIENT, 4)
    assert town.steps() == [1, 1, 1]
    return town


def test_all_start_together_rise_together_and_are_promoted_together(town: Town) -> None:
    for _ in range(20):
        town.round()
        steps = town.steps()
        assert max(steps) - min(steps) <= 1
    assert town.phases() == {Phase.PROMOTED}
    assert {kind for _, kind, _ in town.told} == {"started", "advanced", "promoted"}, "usual waits are no news"


def test_nobody_starts_before_the_last_one_may(town: Town) -> None:
    for _ in range(5):
        town.tick("cart")
        town.tick("payment")
        town.tick("shipping", waits_for="version 2 to become active")
    assert town.steps() == [0, 0, 0]
    cart = town["cart"]
    assert cart.held_by == "group"
    assert cart.because == (
        "group checkout starts together: agent shipping, version 2, has not begun: it waits for version 2 to become"
        " active. Once that is over: version 2 is active; 10% of new sessions go to it"
    )
    assert cart.waiting_for == "group checkout: agent shipping, version 2 (version 2 to become active)"
    town.round(times=3)
    assert town.steps() == [1, 1, 1]


def test_an_agent_without_a_new_version_lets_the_others_wait_and_the_history_says_so_once() -> None:
    town = Town()
    del town.rollouts["payment-2"]
    town.tick("cart")
    town.tick("cart")
    assert [kind for _, kind, _ in town.told] == ["held"]
    assert "agent payment has no version on trial" in town["cart"].because
    assert "`rollout start --agent payment --version ...`" in str(town["cart"].waiting_for)
    town.begin("payment")
    town.round(Verdict.INSUFFICIENT, 4)
    assert town.steps() == [1, 1, 1]


def test_who_has_proved_its_step_waits_for_the_others_and_its_deadline_stands() -> None:
    town = started()
    cart = town.tick("cart")
    assert (cart.step, cart.held_by, cart.in_group.ready_at) == (1, "group", 1)
    assert cart.because.startswith("group checkout goes on together: agent payment, version 2, is at 10% and not ready")
    later = cart.age(town.now + timedelta(days=2))
    assert later == cart.age(town.now)
    town.tick("payment")
    assert town.tick("shipping").step == 2
    assert (town.tick("cart").step, town.tick("payment").step) == (2, 2)


def test_what_one_has_proved_counts_no_more_once_it_is_in_doubt() -> None:
    town = started()
    town.tick("cart")
    assert town.tick("cart", Verdict.INSUFFICIENT).in_group.ready_at is None
    town.tick("payment")
    town.tick("shipping")
    assert town.steps() == [1, 1, 1]


@pytest.mark.parametrize("culprit", NAMES)
def test_harm_in_one_brings_all_back_each_with_the_sentence_that_names_it(culprit: str) -> None:
    town = started()
    town.tick(culprit, Verdict.FAIL)
    town.round()
    assert town.phases() == {Phase.ROLLED_BACK}
    for name in NAMES:
        if name != culprit:
            assert town[name].because == f"rolled back together with agent {culprit}, version 2: {culprit} is fail"
            assert town[name].in_group.ended_with == f"{culprit}-2"


def test_who_went_back_with_another_one_is_not_the_one_to_blame() -> None:
    town = started()
    town.tick("shipping", Verdict.FAIL)
    town.tick("cart")
    assert "together with agent shipping, version 2: shipping is fail" in town.tick("payment").because


def test_harm_of_its_own_outweighs_that_of_another_one() -> None:
    town = started(on_failure=OnFailure.DISABLE)
    town.tick("payment", Verdict.FAIL)
    town.tick("cart", Verdict.FAIL)
    town.tick("shipping")
    assert [town[name].phase for name in NAMES] == [Phase.DISABLED, Phase.DISABLED, Phase.ROLLED_BACK]
    assert town["cart"].because == "cart is fail"


def test_harm_that_a_person_is_to_decide_on_holds_the_others_and_an_abort_brings_them_back() -> None:
    town = started(on_failure=OnFailure.PAUSE)
    town.tick("payment", Verdict.FAIL)
    assert town["payment"].phase is Phase.PAUSED
    cart = town.tick("cart")
    assert (cart.step, cart.held_by) == (1, "group")
    assert "agent payment, version 2, is paused: payment is fail" in cart.because
    assert ("cart", "held", cart.because) in town.told
    town.tick("payment", verb=Verb.ABORT)
    town.round()
    assert town.phases() == {Phase.ROLLED_BACK}


def test_whoever_had_not_begun_is_aborted_with_the_others(town: Town) -> None:
    town.round(times=2)
    assert town.steps() == [0, 0, 1]
    town.tick("shipping", Verdict.FAIL)
    for name in ("cart", "payment"):
        ended = town.tick(name)
        assert (ended.phase, ended.step, ended.ended_by) == (Phase.ABORTED, 0, None)
        assert ended.because == (
            "aborted together with agent shipping, version 2: shipping is fail. It had not begun, nothing was moved"
        )


def test_an_end_before_anybody_could_start_lets_the_others_wait_for_the_next_version(town: Town) -> None:
    town.tick("cart")
    town.tick("payment", waits_for="version 2 to become active", verb=Verb.ABORT)
    town.round(times=3)
    assert [town[name].phase for name in NAMES] == [Phase.PENDING, Phase.ABORTED, Phase.PENDING]
    town.begin("payment", "3")
    town.round(Verdict.INSUFFICIENT, 4)
    assert town.steps() == [1, 1, 1]


def test_a_freeze_of_one_holds_all_and_none_goes_back_for_it() -> None:
    town = started()
    for _ in range(3):
        town.reins = (FREEZE,)
        town.tick("payment")
        town.reins = ()
        town.tick("cart")
        town.tick("shipping")
    assert town.steps() == [1, 1, 1]
    assert town["payment"].held_by == "freeze"
    assert "agent payment, version 2, is held (freeze)" in town["cart"].because
    town.reins = (FREEZE,)
    town.tick("cart", Verdict.FAIL)
    town.round()
    assert town.phases() == {Phase.ROLLED_BACK}


def test_a_person_who_promotes_one_moves_it_once_the_others_would_go_on() -> None:
    town = started()
    held = town.tick("cart", Verdict.INSUFFICIENT, Verb.PROMOTE)
    assert (held.step, held.in_group.ready_at) == (1, 1)
    town.tick("payment")
    town.tick("shipping")
    assert town.tick("cart", Verdict.INSUFFICIENT, Verb.PROMOTE).step == 2


def test_a_canary_without_its_stable_version_may_be_promoted_alone_and_the_others_go_on() -> None:
    town = started()
    town.rollouts["cart-2"] = replace(town["cart"], is_stable_gone=True)
    assert town.tick("cart", Verdict.PASS, Verb.PROMOTE).phase is Phase.PROMOTED
    town.round(times=8, names=("payment", "shipping"))
    assert town.phases() == {Phase.PROMOTED}


def test_what_has_no_way_back_is_not_brought_back() -> None:
    town = started()
    town.rollouts["cart-2"] = replace(town["cart"], is_stable_gone=True)
    town.tick("payment", Verdict.FAIL)
    assert town.tick("cart").phase is Phase.PAUSED


def test_a_return_to_the_version_before_waits_for_nobody() -> None:
    town = Town()
    town.rollouts["cart-2"] = replace(town["cart"], is_revert=True)
    assert town.tick("cart").step == 3
    assert "agent cart, version 2, is on trial already, at 100%" in town.tick("payment").because


def test_approvals_are_given_one_by_one_and_taken_together() -> None:
    steps = (WeightStep(10), ApprovalStep(), WeightStep(100))
    town = Town(replace(policy_of(), steps=steps))
    town.round(times=8)
    assert town.steps() == [2, 2, 2]
    for name in ("cart", "payment"):
        assert town.tick(name, verb=Verb.APPROVE).step == 2
    assert "agent shipping, version 2, is at 10% and not ready to go on: it waits for a person" in town["cart"].because
    assert town.tick("shipping", verb=Verb.APPROVE).step == 3


def test_automatic_steps_are_climbed_one_at_a_time() -> None:
    automatic = Automatic(soak=timedelta(0))
    town = Town(replace(policy_of(), automatic=automatic, steps=automatic.steps))
    town.round(times=4)
    assert town.steps() != [0, 0, 0]
    for _ in range(30):
        town.round()
        assert max(town.steps()) - min(town.steps()) <= 1
    assert town.phases() == {Phase.PROMOTED}


def test_other_weights_than_the_others_are_waited_for_by_name(town: Town) -> None:
    town.rollouts["payment-2"] = replace(town["payment"], policy=replace(policy_of(), steps=(WeightStep(100),)))
    assert "agent payment, version 2, has other steps" in town.tick("cart").because


def test_many_that_are_waited_for_are_counted() -> None:
    others = tuple(Member(f"agent-{number}") for number in range(9))
    rollout = a_rollout(policy=policy_of())
    seen = Situation(NOON, group=GroupSeen("checkout", others), routing=routing_of(rollout))
    because = transition(rollout, rollout, seen).then.because
    assert "agent-2" in because
    assert "agent-3" not in because
    assert "; and 6 more. Once" in because


def test_a_group_that_cannot_be_read_holds_and_lets_go_back() -> None:
    town = started()
    seen = GroupSeen("checkout", (), "the database is away")
    cart = town["cart"]
    up = Analysis(Verdict.PASS, "well", initial(cart.policy, ()))
    step = transition(cart, cart, Situation(town.now, up, group=seen, routing=routing_of(cart)))
    assert (step.then.step, step.then.held_by) == (1, "group")
    down = replace(up, verdict=Verdict.FAIL)
    back = transition(cart, cart, Situation(town.now, down, group=seen, routing=routing_of(cart)))
    assert back.then.phase is Phase.ROLLED_BACK
    pending = a_rollout(policy=policy_of())
    assert not transition(pending, pending, Situation(NOON, group=seen, routing=routing_of(pending))).then.step


def test_a_step_that_leaves_the_group_behind_cannot_be_made() -> None:
    town = started()
    cart = town["cart"]
    then = replace(cart, step=2)
    group = town.group(cart)
    up = Analysis(Verdict.PASS, "well", initial(cart.policy, ()))
    made = partial(
        Transition, cart, Decision(Move.ADVANCE, "so"), then, routing_of(cart), routing_of(then), NOON, analysis=up
    )
    assert made(group=group).is_step
    behind = replace(town["payment"], step=0)
    with pytest.raises(BrokenLawError, match="agent payment, which moves with it, is at step 0 only"):
        made(group=_with(group, behind))
    ended = replace(town["payment"], phase=Phase.ROLLED_BACK)
    with pytest.raises(BrokenLawError, match="has ended: it is rolled_back"):
        made(group=_with(group, ended))
    stranger = replace(town["payment"], in_group=InGroup(("x",)))
    with pytest.raises(BrokenLawError, match="has not joined it"):
        made(group=_with(group, stranger))


def _with(group: GroupSeen, of_run: Rollout) -> GroupSeen:
    """Return the group with another rollout of its first agent."""
    return replace(group, others=(Member(of_run.agent, None, of_run), *group.others[1:]))


def test_nobody_starts_alone() -> None:
    rollout = a_rollout(policy=policy_of())
    then = replace(rollout, step=1, phase=Phase.PROGRESSING)
    with pytest.raises(BrokenLawError, match="nobody of its group starts with it"):
        Transition(
            before=rollout,
            decision=Decision(Move.START, "so"),
            then=then,
            seen=routing_of(rollout),
            target=routing_of(then),
            at=NOON,
            group=GroupSeen("checkout", (Member("payment"),)),
        )


def test_names_without_a_project_are_of_the_agents_own() -> None:
    group = Group("checkout", ("cart", "payment", "support/shipping"))
    assert group.others("cart") == ("payment", "support/shipping")
    assert group.others("sales/cart") == ("sales/payment", "support/shipping")
    assert group.others("support/shipping") == ("support/cart", "support/payment")
    assert group.others("stranger") == ()
    for agents in ((), ("cart",), ("cart", "cart", "payment")):
        with pytest.raises(UsageError, match="name at least two agents"):
            Group("checkout", agents)


VERDICTS = st.sampled_from([Verdict.PASS] * 4 + [Verdict.INSUFFICIENT, Verdict.NO_DATA, Verdict.FAIL])
VERBS = st.sampled_from([None] * 8 + [Verb.PAUSE, Verb.RESUME, Verb.PROMOTE, Verb.ABORT])
TICKS = st.tuples(st.sampled_from(NAMES), VERDICTS, VERBS, st.booleans(), st.booleans())


@settings(max_examples=150, deadline=None)
@given(ticks=st.lists(TICKS, max_size=60))
def test_whatever_happens_to_whom_nobody_is_two_steps_ahead_and_no_rollback_waits(
    ticks: list[tuple[str, Verdict, Verb | None, bool, bool]],
) -> None:
    town = Town()
    for name, verdict, verb, is_killed, is_frozen in ticks:
        before = town[name]
        town.reins = (FREEZE,) if is_frozen else ()
        is_open = before.step > 0 and not before.phase.is_final and name not in town.unwritten
        then = town.tick(name, verdict, verb, is_killed=is_killed)
        if is_open and not is_killed and (verdict is Verdict.FAIL or verb is Verb.ABORT):
            assert then.phase is Phase.ROLLED_BACK
        going = [each.step for each in town.rollouts.values() if each.step and not each.phase.is_final]
        assert max(going, default=0) - min(going, default=0) <= 1
        if any(each.step and not each.phase.is_final for each in town.rollouts.values()):
            assert all(town[each].in_group.run or town[each].phase.is_final for each in NAMES)
    town.reins = ()
    has_failed = any(each.step and each.phase is Phase.ROLLED_BACK for each in town.rollouts.values())
    town.round(times=2)
    if has_failed:
        assert all(town[name].phase.is_final for name in NAMES)
        assert not (town.phases() - {Phase.ROLLED_BACK, Phase.ABORTED, Phase.PROMOTED})
