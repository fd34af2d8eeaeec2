"""A test file has a name of its own: of two with one name, only the first is run."""

from collections import Counter

from tools.repository import ROOT


def test_no_two_test_files_have_one_name() -> None:
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name: times for name, times in names.items() if times > 1} == {}
    assert len(names) > 100
