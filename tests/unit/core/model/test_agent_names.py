"""Agents of several projects: their names, and which globs are on them."""

import pytest

from foundry_rollouts.core.model.agent_names import full_name, is_of, plain_name, project_in
from foundry_rollouts.core.model.globs import EXACT, exactness_for


def test_a_name_is_taken_apart_and_put_together() -> None:
    assert (full_name("sales", "support"), full_name("", "support")) == ("sales/support", "support")
    for name, project, plain in (("sales/support", "sales", "support"), ("support", "", "support")):
        assert (project_in(name), plain_name(name)) == (project, plain)
    assert [is_of("sales/support", project) for project in ("", "sales", "sale")] == [True, True, False]
    assert not is_of("support", "sales")


@pytest.mark.parametrize(
    ("glob", "agent", "exactness"),
    [
        ("support", "sales/support", EXACT),
        ("sales/support", "sales/support", EXACT + 1),
        ("sup*", "sales/support", 3),
        ("*", "sales/support", 0),
        ("sales/*", "sales/support", 6),
        ("s*/sup*", "sales/support", 5),
        ("emea/*", "sales/support", None),
        ("sales*", "sales/support", None),
        ("*/x", "sales/support", None),
        ("sales/*", "support", None),
        ("support", "support", EXACT),
    ],
)
def test_a_glob_without_a_slash_is_on_the_plain_name(glob: str, agent: str, exactness: int | None) -> None:
    assert exactness_for(glob, agent) == exactness
