"""Which projects a database is of: what it may be used for, and what is refused."""

from pathlib import Path

import pytest

from builders import NOON
from fakes import a_store
from foundry_rollouts.errors import UsageError
from foundry_rollouts.operations.projects import bind, refusal
from foundry_rollouts.ports.projects import BoundProjects

A, B, C = (f"acme.example/api/projects/{name}" for name in "abc")
SEVERAL = BoundProjects(several={"sales": A, "emea": B}, count=2)


@pytest.mark.parametrize(
    ("known", "wanted", "said"),
    [
        (BoundProjects(), {"sales": A, "emea": B}, None),
        (SEVERAL, {"sales": A, "emea": B, "apac": C}, None),
        (SEVERAL, {"sales": A}, None),
        (SEVERAL, {"apac": C}, "is of projects sales, emea, and this service watches none of them (apac)"),
        (SEVERAL, {"sales": C}, f"knows {A} as project sales, and this service watches {C} by that name"),
        (SEVERAL, {"sales": A, "north": B}, f"knows {B} as project emea, and this service calls it north"),
        (BoundProjects(A, count=1), {"sales": A, "emea": B}, f"knows the agents of project {A} by their plain names"),
        (BoundProjects(C, count=1), {"sales": A, "emea": B}, f"is of project {C}, which is none of those"),
    ],
)
def test_a_database_is_used_for_the_projects_that_it_is_of(
    known: BoundProjects, wanted: dict[str, str], said: str | None
) -> None:
    why = refusal(known, wanted)
    assert why is None if said is None else (why or "").startswith(said)


def test_a_database_with_plain_names_says_how_they_are_given_their_project() -> None:
    why = refusal(BoundProjects(A, count=1), {"emea": B, "sales": A})
    assert why is not None
    assert why.endswith("or name its agents by project: foundry-rollouts db project --name sales")


async def test_a_project_that_comes_is_bound_and_one_that_goes_is_named(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        assert await bind(store, {"sales": A, "emea": B}, "db", NOON) == ()
        assert await bind(store, {"sales": A, "apac": C}, "db", NOON) == ("emea",)
        assert await store.projects() == BoundProjects(several={"sales": A, "emea": B, "apac": C}, count=3)
        # A service that knows of one project only leaves it alone, that of the release before, too.
        assert await store.bind_project(A, NOON) == f"sales at {A}"
        with pytest.raises(UsageError, match=r"^the database db is of projects sales, emea, apac, and this service"):
            await bind(store, {"other": "x/api/projects/y"}, "db", NOON)


async def test_a_database_that_another_service_took_meanwhile_is_refused(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        add = store.add_project

        async def too_late(name: str, identity: str, place: int, now: object) -> None:
            assert await store.bind_project(C, NOON) == C
            await add(name, identity, place, NOON)

        store.add_project = too_late  # type: ignore[method-assign]
        with pytest.raises(UsageError, match=f"is of project {C}, which is none of those"):
            await bind(store, {"sales": A, "emea": B}, "db", NOON)
        assert await store.project() == C
