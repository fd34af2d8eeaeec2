"""The mutants of a file: every change at every place."""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mutation.changes import expression_changes, is_of_zip, is_unreachable, statement_changes

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file: where it is, in words that outlive a shift of lines, and how it is made."""

    file: str
    where: str  #: The class or function, dotted; "module" outside of all.
    line: str  #: The text of the line.
    change: str
    lines: range  #: Of the statement, without its body.
    is_in_function: bool  #: Else it is made before the module is imported.
    apply: Callable[[], None]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What the record knows it by."""
        return self.file, self.where, self.line, self.change

    def __str__(self) -> str:
        return f"{self.file}:{self.lines.start} {self.where}: {self.change}\n    {self.line}"


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the core, its tree, and the mutants that can be made of it."""

    path: Path
    tree: ast.Module
    mutants: tuple[Mutant, ...]


def mutated(root: Path, file: str) -> Source:
    """Return all mutants of ``file``; two changes that read the same are told apart by their number."""
    path = root / file
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    found, seen = [], Counter[tuple[str, str, str, str]]()
    for mutant in _Walk(file, text.splitlines()).of(tree):
        seen[mutant.key] += 1
        nth = seen[mutant.key]
        found.append(replace(mutant, change=f"{mutant.change} (number {nth})") if nth > 1 else mutant)
    return Source(path, tree, tuple(found))


class _Walk:
    """A walk through a tree that remembers where it is."""

    def __init__(self, file: str, lines: list[str]) -> None:
        self.file, self.lines = file, lines
        self.names: list[str] = []
        self.is_in_function = False

    def of(self, module: ast.Module) -> Iterator[Mutant]:
        for statement in module.body:
            yield from self.statement(statement, module.body)

    def statement(self, node: ast.stmt, beside: list[ast.stmt]) -> Iterator[Mutant]:
        match node:
            case ast.Import() | ast.ImportFrom():
                return
            case ast.ClassDef():
                yield from self.inside(node.name, node.body)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from self.function(node)
            case ast.Expr(value=ast.Constant()):
                return
            case ast.Assign() if _is_of_types(node.value):
                return
            case _:
                yield from self.changes(node, beside)

    def inside(self, name: str, body: list[ast.stmt]) -> Iterator[Mutant]:
        self.names.append(name)
        for statement in body:
            yield from self.statement(statement, body)
        self.names.pop()

    def function(self, node: FunctionNode) -> Iterator[Mutant]:
        # Defaults are made when the function is, not when it is called.
        for default in (*node.args.defaults, *(each for each in node.args.kw_defaults if each)):
            yield from self.expression(default, _header(node))
        outer, self.is_in_function = self.is_in_function, True
        yield from self.inside(node.name, node.body)
        self.is_in_function = outer

    def changes(self, node: ast.stmt, beside: list[ast.stmt]) -> Iterator[Mutant]:
        lines = _header(node)
        for change, apply in statement_changes(node, beside):
            yield self.mutant(node, lines, change, apply)
        for field, value in ast.iter_fields(node):
            if field in {"annotation", "targets", "target"}:
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.stmt):
                    yield from self.statement(child, value)
                elif isinstance(child, ast.match_case):
                    yield from self.case(child)
                elif isinstance(child, ast.expr):
                    yield from self.expression(child, lines)

    def case(self, node: ast.match_case) -> Iterator[Mutant]:
        if is_unreachable(node):
            return
        if node.guard:
            yield from self.expression(node.guard, range(node.guard.lineno, node.guard.lineno + 1))
        for statement in node.body:
            yield from self.statement(statement, node.body)

    def expression(self, node: ast.expr, lines: range, at: ast.expr | None = None) -> Iterator[Mutant]:
        """Yield the changes of an expression; ``at`` is the text it stands in, whose parts have no sure place."""
        for change, apply in expression_changes(node, is_text=at is not None):
            yield self.mutant(at or node, lines, change, apply)
        if isinstance(node, ast.JoinedStr):
            parts = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
            for part in parts:
                yield from self.expression(part, lines, at or node)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.comprehension):
                for condition in child.ifs:
                    yield from self.expression(condition, lines, at)
                yield from self.expression(child.iter, lines, at)
            elif isinstance(child, ast.keyword) and not is_of_zip(node):
                yield from self.expression(child.value, lines, at)
            elif isinstance(child, ast.expr):
                yield from self.expression(child, lines, at)

    def mutant(self, node: ast.stmt | ast.expr, lines: range, change: str, apply: Callable[[], None]) -> Mutant:
        where = ".".join(self.names) or "module"
        text = self.lines[node.lineno - 1].strip()
        return Mutant(self.file, where, text, change, lines, self.is_in_function, apply)


def _header(node: ast.stmt) -> range:
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    if not body:
        return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    first = body[0].pattern if isinstance(body[0], ast.match_case) else body[0]
    return range(node.lineno, max(first.lineno, node.lineno + 1))


def _is_of_types(value: ast.expr) -> bool:
    """Whether a name is given to a type here, as in ``Step = WeightStep | ApprovalStep``."""
    match value:
        case ast.BinOp(op=ast.BitOr()) | ast.Subscript(value=ast.Name(id="tuple" | "dict" | "list" | "Callable")):
            return True
        case ast.Call(func=ast.Name(id="TypeVar")):
            return True
    return False
