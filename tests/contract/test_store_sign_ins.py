"""Who is signed in to the dashboard, in both databases."""

from dataclasses import replace
from datetime import timedelta

from builders import NOON
from foundry_rollouts.core.model.access import Role, SignIn, Way
from foundry_rollouts.store.store import SqlStore

A = SignIn("on-call", Role.OPERATOR, Way.TOKEN, "t-1", NOON, NOON)
LATER = NOON + timedelta(hours=1)


async def test_a_sign_in_is_found_by_what_its_secret_hashes_to(store: SqlStore) -> None:
    await store.add_sign_in("a", A)

    assert await store.sign_in("a") == A
    assert await store.sign_in("b") is None


async def test_the_groups_of_a_sign_in_stay_with_it(store: SqlStore) -> None:
    begun = replace(A, groups=("0f4b6a5e", "releases"))
    await store.add_sign_in("a", begun)

    assert await store.sign_in("a") == begun
    assert begun.person.groups == ("0f4b6a5e", "releases")


async def test_its_use_is_noted(store: SqlStore) -> None:
    await store.add_sign_in("a", A)

    await store.note_sign_in_use("a", LATER)

    assert await store.sign_in("a") == replace(A, used_at=LATER)


async def test_one_ends_alone_and_all_of_a_person_together(store: SqlStore) -> None:
    for key, name in (("a", "x"), ("b", "x"), ("c", "x"), ("d", "y")):
        await store.add_sign_in(key, replace(A, name=name))

    await store.end_sign_in("a")
    await store.end_sign_in("a")

    assert [await store.sign_in(key) is None for key in "abcd"] == [True, False, False, False]
    assert await store.end_sign_ins_of("x") == 2
    assert [await store.sign_in(key) is None for key in "abcd"] == [True, True, True, False]


async def test_those_that_began_long_ago_are_forgotten(store: SqlStore) -> None:
    await store.add_sign_in("old", A)
    await store.add_sign_in("new", replace(A, began_at=LATER))

    await store.forget_sign_ins(LATER)

    assert await store.sign_in("old") is None
    assert await store.sign_in("new") is not None
