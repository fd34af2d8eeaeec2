"""Labels and order in policy files, and agents that would wait for each other."""

from pathlib import Path

import pytest

from foundry_rollouts.core.model.policy_hash import policy_hash
from foundry_rollouts.policies.export import as_written
from foundry_rollouts.policies.folder import PolicyFolder
from foundry_rollouts.policies.load import policies_in
from unit.policies.policy_files import problems_of


def a_policy(name: str, globs: str, after: str = "") -> str:
    return f"---\nname: {name}\nagents: [{globs}]\nsteps: [{{weight: 100}}]\n" + (
        f"after: [{after}]\n" if after else ""
    )


def test_labels_and_order_are_read_and_written_and_part_of_the_hash(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(a_policy("shop", "shop", "base, sales/base, base") + "labels: [payments, ring-0]\n")
    (policy,) = policies_in(file)
    assert (policy.labels, policy.after) == (("payments", "ring-0"), ("base", "sales/base"))
    written = as_written(policy)
    assert (written["labels"], written["after"]) == (["payments", "ring-0"], ["base", "sales/base"])
    file.write_text(a_policy("shop", "shop"))
    (without,) = policies_in(file)
    assert policy_hash(without) != policy_hash(policy)
    assert {"labels", "after"}.isdisjoint(as_written(without))


@pytest.mark.parametrize(
    ("text", "circle"),
    [
        (a_policy("a", "a", "b") + a_policy("b", "b", "a"), "a waits for b, b waits for a"),
        (
            a_policy("a", "x, a", "b") + a_policy("b", "b-*, b", "c") + a_policy("c", "'*'", "x"),
            "x waits for b, b waits for c, c waits for x",
        ),
        (
            a_policy("a", "sales/a", "emea/b") + a_policy("b", "b", "sales/a"),
            "sales/a waits for emea/b, emea/b waits for sales/a",
        ),
        (
            a_policy("a", "sales/a", "b") + a_policy("b", "sales/b", "a"),
            "sales/a waits for sales/b, sales/b waits for sales/a",
        ),
    ],
)
def test_agents_that_wait_for_each_other_are_refused(tmp_path: Path, text: str, circle: str) -> None:
    """Where a circle begins is nobody's business."""
    (line,) = problems_of(tmp_path, text)
    place, said = line.split(": after: ")
    waits, rest = said.split(": ")
    assert rest == "none of them could ever start, take one out of `after`"
    assert sorted(waits.split(", ")) == sorted(circle.split(", "))
    assert place in {"p.yaml:5:8", "p.yaml:10:8", "p.yaml:15:8"}


@pytest.mark.parametrize(
    "text",
    [
        a_policy("all", "'*'", "base") + a_policy("base", "base"),
        a_policy("all", "'*'", "base"),
        a_policy("a", "a", "b") + a_policy("b", "b", "c") + a_policy("c", "'*'"),
    ],
)
def test_an_agent_never_waits_for_itself_and_a_row_is_no_circle(tmp_path: Path, text: str) -> None:
    assert problems_of(tmp_path, text) == []


def test_a_circle_that_is_written_later_leaves_the_good_policies_in_force(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(a_policy("a", "a", "b"))
    (tmp_path / "b.yaml").write_text(a_policy("b", "b"))
    folder = PolicyFolder(tmp_path)
    (tmp_path / "b.yaml").write_text(a_policy("b", "b", "a"))
    assert folder.reload()
    assert [policy.after for policy in folder.all()] == [("b",), ()]
    assert len(folder.problems) == 1


@pytest.mark.parametrize("after", ["'base-*'", "'sales/'", "''", "a/b/c"])
def test_an_order_names_agents_in_full(tmp_path: Path, after: str) -> None:
    (line,) = problems_of(tmp_path, a_policy("a", "a", after))
    assert line.startswith("p.yaml:5:9: after[0]: ")
    assert line.endswith(" cannot be a name here: write the agent's name in full, or project/agent")


@pytest.mark.parametrize("key", ["labels", "notify"])
def test_a_name_that_is_none_is_reported(tmp_path: Path, key: str) -> None:
    (line,) = problems_of(tmp_path, a_policy("a", "a") + f"{key}: ['a b']\n")
    assert line.startswith(f"p.yaml:5:{len(key) + 4}: {key}[0]: 'a b' cannot be a name here: use letters, digits")
