"""What import contracts cannot see: who calls the store, and who makes an event or a record."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.repository import ROOT

SRC = ROOT / "src" / "foundry_rollouts"
#: Who may make one: the rooms that exist for it, and the store, which reads rows back.
MAKERS = {
    "Event": {"core/model/event.py", "store/history.py"},
    "Record": {"controller/record.py"},
    "Transition": {"core/deciding/transition.py"},
}


def calls(code: str) -> Iterator[ast.expr]:
    """Yield what is called anywhere in ``code``."""
    return (node.func for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))


def reaches_the_store(code: str) -> list[str]:
    """Return the methods of a store that ``code`` calls itself."""
    return [
        called.attr
        for called in calls(code)
        if isinstance(called, ast.Attribute)
        and isinstance(called.value, ast.Attribute)
        and called.value.attr == "store"
    ]


def makes(code: str, kind: str) -> bool:
    return any(isinstance(called, ast.Name) and called.id == kind for called in calls(code))


def modules(folder: str = "") -> list[Path]:
    return sorted((SRC / folder).rglob("*.py"))


def test_web_hands_the_store_to_operations_and_calls_nothing_of_it() -> None:
    found = {path.name: reached for path in modules("web") if (reached := reaches_the_store(path.read_text()))}
    assert found == {}


@pytest.mark.parametrize("kind", MAKERS)
def test_only_the_rooms_that_exist_for_it_make_one(kind: str) -> None:
    makers = {path.relative_to(SRC).as_posix() for path in modules() if makes(path.read_text(), kind)}
    assert makers == MAKERS[kind]


def test_an_offence_is_seen() -> None:
    assert reaches_the_store("async def page(ours):\n    return await ours.store.rollout('r-1')\n") == ["rollout"]
    assert makes("record = Record(event=None)", "Record")
