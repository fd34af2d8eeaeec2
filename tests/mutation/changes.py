"""The small changes that are made to a module, one at a time.

Left out, for no test could ever notice them: annotations and names of types, docstrings, decorators (``frozen``,
``slots``), the ``assert_never`` behind the last case of a ``match``, ``zip(strict=True)``, whose sides are as long
by construction, and ``timedelta()`` in place of ``timedelta(0)``. Text is emptied as a whole: how a sentence is
worded is a matter for review, that it is said is not.
"""

import ast
from collections.abc import Callable, Iterator
from functools import partial

BEYOND: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OTHER: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Div,
    ast.Pow: ast.Mult,
}
SIGNS: dict[type[ast.AST], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.And: "and",
    ast.Or: "or",
}
TWINS = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}

Change = tuple[str, Callable[[], None]]


def is_unreachable(case: ast.match_case) -> bool:
    match case.body:
        case [ast.Expr(value=ast.Call(func=ast.Name(id="assert_never")))]:
            return True
    return False


def is_of_zip(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "zip"


def statement_changes(node: ast.stmt, beside: list[ast.stmt]) -> Iterator[Change]:
    match node:
        case ast.If() | ast.While() if _is_plain(node.test):
            yield f"not {_short(node.test)}", lambda: _negate(node, "test")
        case ast.AugAssign() | ast.Expr():
            yield f"drop {_short(node)}", lambda: _put(beside, node, ast.Pass())
        case ast.Return(value=ast.Name() | ast.Attribute()):
            yield "return None", lambda: setattr(node, "value", ast.Constant(None))
        case ast.Break():
            yield "break becomes continue", lambda: _put(beside, node, ast.Continue())
        case ast.Continue():
            yield "continue becomes break", lambda: _put(beside, node, ast.Break())
        case ast.Match():
            for number, case in enumerate(node.cases):
                if not is_unreachable(case) and len(node.cases) > 1:
                    yield f"drop case {_short(case.pattern)}", partial(node.cases.__delitem__, number)
    if isinstance(node, ast.AugAssign) and type(node.op) in OTHER:
        other = OTHER[type(node.op)]
        yield f"{SIGNS[type(node.op)]}= becomes {SIGNS[other]}=", lambda: setattr(node, "op", other())


def expression_changes(node: ast.expr, *, is_text: bool) -> Iterator[Change]:
    match node:
        case ast.Constant():
            yield from _constant_changes(node)
        case ast.JoinedStr() if not is_text:
            yield f"no text {_short(node)}", lambda: setattr(node, "values", [])
        case ast.Compare():
            yield from _comparison_changes(node)
        case ast.BoolOp():
            yield from _logic_changes(node)
        case ast.IfExp() if _is_plain(node.test):
            yield f"not {_short(node.test)}", lambda: _negate(node, "test")
        case ast.Call():
            yield from _call_changes(node)
        case ast.GeneratorExp() | ast.ListComp() | ast.SetComp() | ast.DictComp():
            yield from _condition_changes(node)
        case ast.BinOp() | ast.UnaryOp():
            yield from _operator_changes(node)
        case ast.Tuple() | ast.List() | ast.Set() | ast.Dict():
            yield from _element_changes(node)


def _operator_changes(node: ast.BinOp | ast.UnaryOp) -> Iterator[Change]:
    match node:
        case ast.BinOp() if type(node.op) in OTHER:
            other = OTHER[type(node.op)]
            yield (
                f"{SIGNS[type(node.op)]} becomes {SIGNS[other]} in {_short(node)}",
                lambda: setattr(node, "op", other()),
            )
        case ast.UnaryOp(op=ast.Not()):
            yield f"drop not in {_short(node)}", lambda: _negate(node, "operand")
        case ast.UnaryOp(op=ast.USub()):
            yield f"drop - in {_short(node)}", lambda: setattr(node, "op", ast.UAdd())


def _element_changes(node: ast.Tuple | ast.List | ast.Set | ast.Dict) -> Iterator[Change]:
    if isinstance(node, ast.Dict):
        for number, key in enumerate(node.keys):
            yield f"drop {_short(key)}", partial(_drop_pair, node, number)
    elif isinstance(getattr(node, "ctx", ast.Load()), ast.Load) and len(node.elts) > 1:
        for number, element in enumerate(node.elts):
            yield f"drop {_short(element)}", partial(node.elts.__delitem__, number)


def _constant_changes(node: ast.Constant) -> Iterator[Change]:
    match node.value:
        case bool():
            new: object = not node.value
        case int():
            new = node.value + 1
        case float():
            new = 2 * node.value or 1.0
        case str():
            new = "" if node.value else "XX"
        case _:
            return
    yield f"{_cut(repr(node.value))} becomes {new!r}", lambda: setattr(node, "value", new)


def _comparison_changes(node: ast.Compare) -> Iterator[Change]:
    for number, sign in enumerate(node.ops):
        for other in BEYOND[type(sign)]:
            change = f"{SIGNS[type(sign)]} becomes {SIGNS[other]} in {_short(node)}"
            yield change, partial(node.ops.__setitem__, number, other())


def _logic_changes(node: ast.BoolOp) -> Iterator[Change]:
    is_and = isinstance(node.op, ast.And)
    other = ast.Or() if is_and else ast.And()
    yield f"{SIGNS[type(node.op)]} becomes {SIGNS[type(other)]} in {_short(node)}", lambda: setattr(node, "op", other)
    for number, value in enumerate(node.values):
        neutral = ast.Constant(is_and)
        yield f"drop {_short(value)}", partial(node.values.__setitem__, number, neutral)


def _call_changes(node: ast.Call) -> Iterator[Change]:
    for number, keyword in enumerate([] if is_of_zip(node) else node.keywords):
        yield f"drop {keyword.arg}=", partial(node.keywords.__delitem__, number)
    if node.args and not _is_no_time(node):
        yield f"drop {_short(node.args[-1])} of {_short(node.func)}()", lambda: node.args.__delitem__(-1)
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in TWINS:
            field = "id" if isinstance(node.func, ast.Name) else "attr"
            yield f"{name} becomes {TWINS[name]}", lambda: setattr(node.func, field, TWINS[name])


def _is_no_time(node: ast.Call) -> bool:
    return ast.unparse(node) == "timedelta(0)"


def _condition_changes(node: ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp) -> Iterator[Change]:
    for each in node.generators:
        for number, condition in enumerate(each.ifs):
            if _is_plain(condition):
                negated = ast.UnaryOp(ast.Not(), condition)
                yield f"not {_short(condition)}", partial(each.ifs.__setitem__, number, negated)


def _is_plain(test: ast.expr) -> bool:
    """Whether a condition is changed by nothing else than being turned round."""
    return not isinstance(test, ast.Compare | ast.BoolOp) and not (
        isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    )


def _negate(node: ast.AST, field: str) -> None:
    setattr(node, field, ast.UnaryOp(ast.Not(), getattr(node, field)))


def _put(beside: list[ast.stmt], node: ast.stmt, new: ast.stmt) -> None:
    beside[beside.index(node)] = ast.copy_location(new, node)


def _drop_pair(node: ast.Dict, at: int) -> None:
    del node.keys[at], node.values[at]


def _short(node: ast.AST | None) -> str:
    return _cut(ast.unparse(node)) if node else "**"


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
