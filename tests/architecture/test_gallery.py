"""The gallery of policies: each is in order, fits the traffic that it names, and its page says what the plans say."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from foundry_rollouts.cli.policy_plan import warnings_in
from foundry_rollouts.core.forecast.expectation import Traffic
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.policy import OnFailure, WeightStep
from foundry_rollouts.core.model.ties import ties
from foundry_rollouts.policies.load import policies_in
from tools import gallery
from tools.repository import ROOT

FILES = sorted(gallery.GALLERY.glob("*.yaml"))
#: Too quick to prove much, which its page says.
QUICK = "emulator"


def test_the_page_says_what_the_plans_say() -> None:
    assert gallery.PAGE.read_text("utf-8") == gallery.page(), "run: python -m tools.gallery"


def test_the_page_and_the_table_name_every_policy() -> None:
    names = {path.stem for path in FILES}
    assert set(gallery.TRAFFIC) == names == {policy.name for policy in policies_in(gallery.GALLERY)}
    assert set(re.findall(r"\]\(([\w-]+)\.yaml\)", gallery.PAGE.read_text("utf-8"))) == names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_policy_is_clean_at_the_defaults_of_lint(path: Path) -> None:
    warned = list(warnings_in([path], Traffic(2.0, 0.01)))
    assert bool(warned) == (path.stem == QUICK), warned


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_editor_finds_the_schema_and_no_fault(path: Path) -> None:
    text = path.read_text("utf-8")
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named
    schema = json.loads((path.parent / named[1]).read_text("utf-8"))
    jsonschema.validate(YAML(typ="safe").load(text), schema, jsonschema.Draft202012Validator)


def test_no_agent_belongs_to_two_of_our_policies() -> None:
    assert list(ties(policies_in(gallery.GALLERY, ROOT / "deploy" / "policies"))) == []


def test_nothing_moves_by_itself_where_a_person_only_looks() -> None:
    (policy,) = policies_in(gallery.GALLERY / "only-looking.yaml")
    kinds = [type(step) for step in policy.steps]
    assert kinds == [ApprovalStep, WeightStep] * 3, "a person is asked before each weight"
    assert policy.on_failure is OnFailure.PAUSE
