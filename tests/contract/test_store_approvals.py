"""Two people who approve at once, each at a replica of their own: both are kept, on both databases."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from builders import NOON, a_policy, a_rollout, an_event
from foundry_rollouts.core.model.access import Role, Way
from foundry_rollouts.core.model.approval import Approval, ApprovalStep, Approver
from foundry_rollouts.core.model.audit import AuditEntry, AuditOutcome
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import ConflictError, NotAllowedError
from foundry_rollouts.operations.commands import command
from foundry_rollouts.ports import Record
from foundry_rollouts.store.store import SqlStore

OpenStore = Callable[[str], SqlStore]
ABOUT = "0123456789abcdef"
STEPS = (WeightStep(10), ApprovalStep(count=2, not_author=True), WeightStep(100))


async def waiting(store: SqlStore) -> None:
    """Let a rollout wait for two approvals."""
    begun = a_rollout(
        policy=a_policy(steps=STEPS),
        phase=Phase.PROGRESSING,
        step=2,
        started_at=NOON,
        step_started_at=NOON,
        author="ann",
        approvals=(Approval("eve", NOON, "x"),),
        asked_about=ABOUT,
    )
    await store.create(begun, an_event(), None)
    lease = await store.claim(begun.agent, NOON)
    assert lease is not None
    await store.record(lease, Record(rollout=begun, due_at=NOON))


def asked(author: str, generation: int) -> Command:
    return Command(f"c-{author}-{generation}", "r-1", Verb.APPROVE, generation, NOON, author)


async def approve(store: SqlStore, author: str, generation: int) -> str:
    try:
        await command(store, asked(f"somebody via {author}", generation), Approver(author, Role.OPERATOR))
    except ConflictError as error:
        return str(error)
    return "accepted"


async def test_two_who_approve_at_once_are_both_kept_and_neither_twice(store: SqlStore, open_store: OpenStore) -> None:
    await waiting(store)
    assert (await store.rollout("r-1")).approvals == (Approval("eve", NOON, "x"),)
    replicas = (store, open_store("replica-b"))
    first = await asyncio.gather(*(approve(each, who, 1) for each, who in zip(replicas, ("bob", "cyd"), strict=True)))
    # One saw the rollout as the other left it: it asks again, as the answer says.
    assert sorted(each == "accepted" for each in first) == [False, True]
    late = "cyd" if first[0] == "accepted" else "bob"
    assert await approve(replicas[1], late, 2) == "accepted"
    assert "asked to approve already" in await approve(replicas[0], late, 3)
    assert {(each.author, each.about) for each in await store.commands("r-1")} == {("bob", ABOUT), ("cyd", ABOUT)}


async def test_what_was_read_before_a_change_is_not_approved(store: SqlStore) -> None:
    await waiting(store)
    bob = Approver("bob", Role.OPERATOR)
    with pytest.raises(ConflictError, match="was changed since it was read"):
        await command(store, replace(asked("bob", 1), about="fedcba9876543210"), bob)
    await command(store, replace(asked("bob", 1), about=ABOUT), bob)
    assert [each.about for each in await store.commands("r-1")] == [ABOUT]


async def test_a_generation_that_is_still_to_come_is_not_approved_beforehand(store: SqlStore) -> None:
    await waiting(store)
    with pytest.raises(ConflictError, match="names generation 2, but"):
        await command(store, asked("ann", 2), Approver("ann", Role.ADMIN))


async def test_who_joined_the_rollout_asked_for_it_too(store: SqlStore) -> None:
    await waiting(store)
    joined = AuditEntry(
        id="a-1",
        at=NOON,
        author="ci via bob",
        role=Role.OPERATOR,
        way=Way.TOKEN,
        address="127.0.0.1",
        action="rollout.start",
        subject="r-1",
        reason=None,
        generation=None,
        outcome=AuditOutcome.ACCEPTED,
        because=None,
    )
    await store.append_audit(joined)
    await store.append_audit(replace(joined, id="a-2", author="cyd", outcome=AuditOutcome.REFUSED))
    with pytest.raises(NotAllowedError, match="bob asked for this rollout"):
        await command(store, asked("bob", 1), Approver("bob", Role.OPERATOR))
    await command(store, asked("cyd", 1), Approver("cyd", Role.OPERATOR))


async def test_whom_the_policy_does_not_want_is_refused_and_nothing_is_kept(store: SqlStore) -> None:
    await waiting(store)
    with pytest.raises(NotAllowedError, match="ann asked for this rollout"):
        await command(store, asked("bob", 1), Approver("ann", Role.ADMIN))
    assert await store.commands("r-1") == []
