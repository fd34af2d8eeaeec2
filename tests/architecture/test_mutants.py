"""The record of what no test can notice, and the changes that are made to the core."""

import ast
from pathlib import Path

import pytest

from mutation.mutants import mutated
from mutation.record import complaints, recorded
from tools.repository import PACKAGE

SAMPLE = '''"""Words."""

LIMIT: int = 3


def is_many(number: int, names: tuple[str, ...] = ("a", "b")) -> bool:
    """Say whether."""
    return number >= LIMIT and not names
'''


def changes_of(text: str, folder: Path) -> list[str]:
    (folder / "sample.py").write_text(text, "utf-8")
    return [mutant.change for mutant in mutated(folder, "sample.py").mutants]


def test_each_recorded_change_can_be_made_to_the_code_as_it_is() -> None:
    reasons = recorded()
    files = {key[0] for key in reasons}
    there = {mutant.key for file in files for mutant in mutated(PACKAGE, file).mutants}
    assert complaints(reasons, there, reasons) == []


def test_every_place_is_changed_and_nothing_that_only_names_types(tmp_path: Path) -> None:
    assert changes_of(SAMPLE, tmp_path) == [
        "3 becomes 4",
        "drop 'a'",
        "drop 'b'",
        "'a' becomes ''",
        "'b' becomes ''",
        "and becomes or in number >= LIMIT and (not names)",
        "drop number >= LIMIT",
        "drop not names",
        ">= becomes > in number >= LIMIT",
        ">= becomes < in number >= LIMIT",
        "drop not in not names",
    ]


def test_each_change_makes_another_program(tmp_path: Path) -> None:
    made = set()
    for number in range(len(changes_of(SAMPLE, tmp_path))):
        source = mutated(tmp_path, "sample.py")
        source.mutants[number].apply()
        made.add(ast.unparse(source.tree))
    assert len(made) == 11
    assert ast.unparse(ast.parse(SAMPLE)) not in made


def test_changes_that_read_the_same_are_numbered(tmp_path: Path) -> None:
    assert changes_of("x = 1, 1\n", tmp_path) == [
        "drop 1",
        "drop 1 (number 2)",
        "1 becomes 2",
        "1 becomes 2 (number 2)",
    ]


def test_the_record_and_the_survivors_must_be_the_same() -> None:
    kept, noticed, gone, new = (("core/a.py", "f", "x = 1", change) for change in ("kept", "noticed", "gone", "new"))
    elsewhere = ("core/b.py", "f", "x = 1", "kept")
    told = complaints([kept, new], [kept, noticed, new], dict.fromkeys([kept, noticed, gone, elsewhere], "why"))
    assert [line.split(":")[0] for line in told] == [
        "survives without a reason",
        "recorded and noticed by a test",
        "recorded and no longer there",
    ]


def test_a_reason_is_asked_for(tmp_path: Path) -> None:
    record = tmp_path / "survivors.toml"
    record.write_text(
        '[[survivor]]\nfile = "core/a.py"\nwhere = "f"\nline = "x"\nchanges = ["y"]\nreason = " "\n', "utf-8"
    )
    with pytest.raises(ValueError, match="has no reason"):
        recorded(record)
