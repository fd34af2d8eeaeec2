"""The commands around policy files and the database."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from component.cli.conftest import Inside
from foundry_rollouts.policies.export import policy_schema, prompts_schema

POLICY = 'name: a\nagents: ["*"]\nsteps: [{weight: 10, max: 5m}, {approval: {}}, {weight: 100}]\n'
OTHER = "name: b\nagents: [b]\nsteps: [{weight: 100}]\n"


def test_lint_counts_what_is_in_order(tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/a.yaml").write_text(POLICY)
    (tmp_path / "b.yaml").write_text(OTHER)
    assert inside("policy", "lint").out == "1 policy is in order\n"
    assert inside("policy", "lint", "policies", "b.yaml").out == "2 policies are in order\n"


def test_lint_reports_line_by_line_and_fails(tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "p.yaml").write_text(POLICY + "deadline: soon\n")
    done = inside("policy", "lint", "p.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.errors == [
        "p.yaml:4:11: deadline: 'soon' is not a duration: write for example 30s, 10m or 1h30m",
        "error: the policies are not in order, 1 problem: fix what is listed above",
    ]


def test_lint_of_a_folder_without_policies_fails_for_it_looked_at_nothing(inside: Inside) -> None:
    done = inside("policy", "lint", ".")
    assert (done.code, done.errors[0]) == (2, ".:1:1: there is no policy here: write one, as NAME.yaml")


def test_lint_warns_of_globs_that_tie_and_names_an_agent(tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "p.yaml").write_text(POLICY.replace('"*"', '"*-eu"') + "---\n" + OTHER.replace("[b]", '[x, "sup*"]'))
    done = inside("policy", "lint", "p.yaml", "--rps", "1000")
    (warning,) = [line for line in done.errors if "equally" in line]
    assert done.code == 0
    assert warning.startswith("p.yaml:6:13: agents[1]: warning: agents such as 'sup-eu' are named by policies a and b")
    assert inside("policy", "lint", "--strict", "p.yaml", "--rps", "1000").code != 0


def test_the_schemas_are_printed(inside: Inside) -> None:
    assert inside("policy", "schema").out == policy_schema()
    assert inside("policy", "schema", "--prompts").out == prompts_schema()


def test_policies_are_shown_as_a_table_without_colour_in_a_pipe(tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "p.yaml").write_text(POLICY + "---\n" + OTHER)
    done = inside("policy", "show", "--policies", "p.yaml")
    assert done.lines == [
        "NAME  AGENTS  TRIGGER      STEPS              GATES       DEADLINE  ON-FAILURE  ON-NO-EVIDENCE",
        "a     *       new-version  10, approval, 100  error-rate  6h        rollback    hold",
        "b     b       new-version  100                error-rate  6h        rollback    hold",
    ]


def test_policies_are_shown_to_programs_with_every_default(tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "p.yaml").write_text(POLICY + "---\n" + OTHER)
    options = ("--policies", "p.yaml", "--agent", "support")
    as_json = inside("policy", "show", *options, "--output", "json")
    as_yaml = inside("policy", "show", *options, "--output", "yaml")
    (policy,) = json.loads(as_json.out)
    assert (policy["name"], policy["deadline"]) == ("a", "6h")
    assert YAML(typ="safe").load(as_yaml.out) == [policy]


def test_the_database_is_upgraded_and_told_apart_before_and_after(
    tmp_path: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    before = inside("db", "current", "--database-url", url)
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_DATABASE_URL", url)
    refused = inside("db", "check")
    upgraded = inside("db", "upgrade")
    after = inside("db", "current", "--database-url", url)
    checked = inside("db", "check", "--database-url", url)
    assert (before.out, refused.code, upgraded.code, checked.code) == ("none\n", 1, 0, 0)
    assert refused.errors == [f"error: there is no database at {url} yet; run: foundry-rollouts db upgrade"]
    assert upgraded.out == f"the database is at schema {after.out.strip()}, upgraded from an empty database\n"
