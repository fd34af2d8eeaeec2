"""The policies of several projects: whose they are, what they are called, and what is wrong with them."""

from pathlib import Path

import pytest

from foundry_rollouts.errors import NotFoundError, PolicyError
from foundry_rollouts.policies.folder import PolicyFolder
from foundry_rollouts.policies.projects import ProjectPolicies


def a_folder(path: Path, **policies: str) -> PolicyFolder:
    path.mkdir()
    for name, globs in policies.items():
        (path / f"{name}.yaml").write_text(f"name: {name}\nagents: [{globs}]\nsteps: [{{weight: 100}}]\n")
    return PolicyFolder(path)


@pytest.fixture
def policies(tmp_path: Path) -> ProjectPolicies:
    shared = a_folder(tmp_path / "shared", standard="'*'", careful="'apac/support-*'")
    return ProjectPolicies(shared, {"sales": a_folder(tmp_path / "sales", standard="'support-*'")})


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("sales/support-eu", "sales/standard"),
        ("sales/billing", None),
        ("emea/support-eu", "standard"),
        ("apac/support-eu", "careful"),
        ("apac/billing", "standard"),
    ],
)
def test_a_project_has_its_own_policies_or_else_the_shared_ones(
    policies: ProjectPolicies, agent: str, name: str | None
) -> None:
    found = policies.policy_for(agent)
    assert (found.name if found else None) == name
    project = policies.of(agent.partition("/")[0])
    assert project.policy_for(agent) == found
    # What no policy of its project names is tied by none of another's.
    assert any(each.matches(agent) is not None for each in project.all()) is (name is not None)


def test_policies_of_one_name_in_two_folders_are_told_apart(policies: ProjectPolicies) -> None:
    assert sorted(policy.name for policy in policies.all()) == ["careful", "sales/standard", "standard"]
    assert policies.named("sales/standard").agents == ("sales/support-*",)
    assert policies.of("emea").named("standard").agents == ("*",)
    with pytest.raises(NotFoundError, match="there is no policy named emea/standard"):
        policies.named("emea/standard")


def test_an_own_policy_that_names_another_project_is_refused(tmp_path: Path) -> None:
    own = a_folder(tmp_path / "sales", all="'emea/*'")
    with pytest.raises(PolicyError, match=r"policy all names agents 'emea/\*', and these policies are"):
        ProjectPolicies(None, {"sales": own})


def test_a_changed_file_is_in_force_and_a_broken_one_is_reported(policies: ProjectPolicies, tmp_path: Path) -> None:
    file = tmp_path / "sales" / "standard.yaml"
    file.write_text(file.read_text().replace("support-*", "billing"))
    policies.own["sales"].reload()
    assert policies.policy_for("sales/support-eu") is None
    assert policies.of("sales").policy_for("sales/billing") is not None
    file.write_text("{")
    policies.own["sales"].reload()
    assert len(policies.problems) == len(policies.of("sales").problems) == 1
    assert policies.policy_for("sales/billing") is not None
