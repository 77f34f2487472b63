"""Small mistakes that a test should notice: every place in a module's functions where one can be made.

Left out are texts, annotations, and what only raises, logs or asserts: a wrong word in a message is no wrong answer.
`strict=` of zip is such an assertion; the digits of `round` are how a figure is printed.
"""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
SILENT_CALLS = {"log", "logger", "warnings"}


@dataclass(frozen=True)
class Mutant:
    """One mistake: in which function, where and what; it is made when its code is needed."""

    function: str
    line: int
    what: str
    _module: ast.Module
    _node: ast.AST
    _change: Callable[[Any], None]
    _path: str

    def code(self) -> CodeType:
        """The code of the module with the mistake."""
        return compile(ast.fix_missing_locations(self._changed()), self._path, "exec")

    def defaults(self, names: dict[str, Any]) -> tuple[Any, Any] | None:
        """`__defaults__` and `__kwdefaults__` of the function if the mistake is in them; names: those of the module."""
        before, definition = (dict(_functions(tree))[self.function] for tree in (self._module, self._changed()))
        if not any(each is self._node for each in ast.walk(before.args)):
            return None
        definition.decorator_list, definition.returns, definition.body = [], None, [ast.Pass()]
        for argument in ast.walk(definition.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        made: dict[str, Any] = {}
        module = ast.fix_missing_locations(ast.Module([definition], []))
        exec(compile(module, self._path, "exec"), names, made)
        function = made[definition.name]
        return function.__defaults__, function.__kwdefaults__

    def _changed(self) -> ast.Module:
        changed = copy.deepcopy(self._module)
        self._change(next(each for each in ast.walk(changed) if _same(each, self._node)))
        return changed


def mutants(source: str, path: str) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its lines."""
    tree = ast.parse(source)
    for function, body in _functions(tree):
        for node in _nodes(body):
            for what, change in _changes(node):
                yield Mutant(function, getattr(node, "lineno", 0), what, tree, node, change, path)


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in tree.body:
        for each in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                yield (f"{node.name}." if isinstance(node, ast.ClassDef) else "") + each.name, each


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What of a function can be wrong in a way that matters, parents first."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_comment"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Raise | ast.Assert | ast.JoinedStr):
                continue
            if isinstance(child, ast.keyword) and child.arg == "strict":
                continue
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "round" and child in node.args[1:]:
                continue
            if isinstance(child, ast.Expr) and _is_silent(child.value):
                continue
            if hasattr(child, "lineno"):
                yield child
            yield from _nodes(child)


def _is_silent(value: ast.expr) -> bool:
    """A docstring, `...` or a line of the log."""
    if isinstance(value, ast.Constant):
        return True
    called = value.func if isinstance(value, ast.Call) else None
    return isinstance(called, ast.Attribute) and getattr(called.value, "id", None) in SILENT_CALLS


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], None]]]:
    match node:
        case ast.Compare(ops=[first, *_]) if type(first) in SWAPS:
            yield _name(first), lambda twin: twin.ops.__setitem__(0, SWAPS[type(twin.ops[0])]())
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in SWAPS:
            yield _name(op), lambda twin: setattr(twin, "op", SWAPS[type(twin.op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield f"{type(node.op).__name__} left out", _without_sign
        case ast.Constant(value=bool(flag)):
            yield f"{flag} -> {not flag}", lambda twin: setattr(twin, "value", not twin.value)
        case ast.Constant(value=int() | float() as number):
            yield f"{number} -> {number + 1}", lambda twin: setattr(twin, "value", twin.value + 1)
        case ast.Break() | ast.Continue():
            other = ast.Continue if isinstance(node, ast.Break) else ast.Break
            yield f"{type(node).__name__} -> {other.__name__}", lambda twin: setattr(twin, "__class__", other)
        case ast.Expr():
            yield "call left out", _without_call
        case ast.Return(value=ast.expr()) if not isinstance(node.value, ast.Constant):
            yield "return None", lambda twin: setattr(twin, "value", ast.Constant(None))


def _without_call(twin: Any) -> None:
    """x() -> None, in a function that still has the cells which x() needs, such as that of super()."""
    twin.value = ast.IfExp(ast.Constant(True), ast.Constant(None), twin.value)


def _without_sign(twin: Any) -> None:
    """-x -> +x, not x -> not not x."""
    if isinstance(twin.op, ast.USub):
        twin.op = ast.UAdd()
    else:
        twin.operand = ast.UnaryOp(ast.Not(), twin.operand)


def _name(op: ast.AST) -> str:
    return f"{type(op).__name__} -> {SWAPS[type(op)].__name__}"


def _same(twin: ast.AST, node: ast.AST) -> bool:
    where = ("lineno", "col_offset", "end_lineno", "end_col_offset")
    return type(twin) is type(node) and all(getattr(twin, at, None) == getattr(node, at, None) for at in where)
