"""What grows is split before it hurts. Complexity and arguments are held by the linter."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.repository import EMULATOR, PACKAGE

FILE_LINES = 300
FUNCTION_LINES = 40


def too_long(folder: Path) -> Iterator[str]:
    """Yield a line for each file and each function of ``folder`` that is over the budget."""
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text("utf-8")
        if (lines := len(text.splitlines())) > FILE_LINES:
            yield f"{path.name}: {lines} lines"
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and (lines := body_lines(node)) > FUNCTION_LINES
            ):
                yield f"{path.name}:{node.lineno} {node.name}: {lines} lines"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines the body takes, its docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("package", [PACKAGE, EMULATOR], ids=lambda path: path.name)
def test_no_file_and_no_function_is_longer_than_its_budget(package: Path) -> None:
    assert list(too_long(package)) == []


def test_the_budget_sees_a_file_and_a_function_that_are_too_long(tmp_path: Path) -> None:
    long = "def f():\n    '''Say.'''\n" + "    x = 1\n" * 41
    (tmp_path / "long.py").write_text(long, "utf-8")
    (tmp_path / "longer.py").write_text("x = 1\n" * 301, "utf-8")
    assert list(too_long(tmp_path)) == ["long.py:1 f: 41 lines", "longer.py: 301 lines"]


def test_no_drawer_of_odds() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
    assert [path.name for package in (PACKAGE, EMULATOR) for path in package.rglob("*") if path.stem in drawers] == []
