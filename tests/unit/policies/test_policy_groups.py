"""Groups in policy files: what is read, and what is refused with its place."""

from pathlib import Path

import pytest

from foundry_rollouts.core.model.group import Group
from foundry_rollouts.core.model.policy_hash import policy_hash
from foundry_rollouts.policies.export import as_written
from foundry_rollouts.policies.load import policies_in
from foundry_rollouts.policies.projects import bound_to
from unit.policies.policy_files import problems_of

GROUP = "group: {name: checkout, agents: [cart, payment, shipping]}\n"


def a_policy(name: str, agents: str, group: str = GROUP, weights: str = "{weight: 10}, {weight: 100}") -> str:
    return f"---\nname: {name}\nagents: [{agents}]\nsteps: [{weights}]\n{group}"


def test_a_group_is_read_and_written_and_part_of_the_hash(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(a_policy("checkout", "cart, payment, shipping"))
    (policy,) = policies_in(file)
    assert policy.group == Group("checkout", ("cart", "payment", "shipping"))
    assert as_written(policy)["group"] == {"name": "checkout", "agents": ["cart", "payment", "shipping"]}
    file.write_text(a_policy("checkout", "cart, payment, shipping", ""))
    (without,) = policies_in(file)
    assert "group" not in as_written(without)
    assert policy_hash(without) != policy_hash(policy)


def test_the_policies_of_a_group_may_be_several_with_times_of_their_own(tmp_path: Path) -> None:
    slow = "{weight: 10, min: 1h}, {weight: 100}"
    mixed = GROUP.replace("cart, payment", "payment, cart")
    (tmp_path / "p.yaml").write_text(a_policy("a", "cart, payment") + a_policy("b", "shipping", mixed, slow))
    assert {policy.name for policy in policies_in(tmp_path)} == {"a", "b"}


def test_names_of_a_projects_own_policy_are_those_of_its_agents(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(a_policy("checkout", "cart, payment, shipping"))
    bound = bound_to("sales", policies_in(tmp_path)[0])
    assert bound.group is not None
    assert bound.matches("sales/cart") is not None
    assert bound.group.others("sales/cart") == ("sales/payment", "sales/shipping")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (a_policy("a", '"car*", payment'), ":3:10: agents[0]: 'car*' is a pattern, and a group knows its agents: name"),
        (a_policy("a", "stock"), ":3:10: agents[0]: 'stock' is not in the group: add it to group.agents, or leave"),
        (a_policy("a", "cart", "group: {name: x, agents: [cart]}\n"), ":5:26: group.agents: "),
        (a_policy("a", "cart", "group: {name: x, agents: [cart, cart]}\n"), ":5:33: group.agents[1]: 'cart' appears"),
        (a_policy("a", "cart", "group: {name: x}\n"), ":5:8: group: agents is missing"),
        (a_policy("a", "cart", GROUP + "after: [payment]\n"), ":6:9: after[0]: 'payment' cannot come first and start"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_stands(tmp_path: Path, text: str, problem: str) -> None:
    (line,) = problems_of(tmp_path, text)
    assert problem in line


def test_policies_that_disagree_on_their_group_are_refused_in_one_line_each(tmp_path: Path) -> None:
    other = "group: {name: checkout, agents: [cart, payment]}\n"
    (line,) = problems_of(tmp_path, a_policy("a", "cart") + a_policy("b", "payment", other))
    assert ":10:33: group.agents: group checkout in " in line
    assert "has the agents cart, payment, shipping: write the same list" in line
    steps = "{weight: 20}, {weight: 100}"
    (line,) = problems_of(tmp_path, a_policy("a", "cart") + a_policy("b", "payment", GROUP, steps))
    assert "p.yaml:2 has the steps 10, 100: agents of a group share them" in line
