"""The README is short and its examples are true; the reference page is made from the code."""

import re
from pathlib import Path

from foundry_rollouts.policies.load import policies_in
from tools import events, reference
from tools.repository import ROOT

SCREENS = 3 * 40  #: Lines of three screens.
COLUMNS = 112


def test_it_fits_on_three_screens() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= SCREENS
    assert [line for line in lines if len(line) > COLUMNS] == []


def test_its_policy_is_in_order(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(found) == 1
    (tmp_path / "policy.yaml").write_text(found[0], "utf-8")
    assert [policy.name for policy in policies_in(tmp_path)] == ["support-agent"]


def test_the_reference_page_is_what_the_code_says() -> None:
    assert reference.PAGE.read_text("utf-8") == reference.reference()
    assert reference.PROBLEMS.read_text("utf-8") == reference.problems()


def test_the_reference_has_every_kind_of_event_that_the_code_makes() -> None:
    assert events.kinds() == set(events.MEANINGS)
