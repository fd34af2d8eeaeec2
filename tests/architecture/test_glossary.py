"""One word for each thing: what people read on the command line and in the API stands in the glossary."""

import re

from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.rollout import Phase
from tools.commands import commands
from tools.repository import ROOT


def words() -> set[str]:
    """Return the words that the glossary explains."""
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    terms = re.findall(r"^\| \*\*(.+?)\*\*", text, re.MULTILINE)
    return {word.strip() for term in terms for word in term.split(",")}


def test_it_holds_the_last_word_of_every_command() -> None:
    assert {command.name.split()[-1] for command in commands()} - words() == set()


def test_it_holds_every_phase_verdict_and_verb() -> None:
    assert {each.value for kind in (Phase, Verdict, Verb) for each in kind} - words() == set()
