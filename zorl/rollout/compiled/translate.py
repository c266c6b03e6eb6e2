"""From a twin's Python methods to the source of functions on `real` numbers.

Each method is rewritten so that the same text serves in both precisions: numbers become `real(…)`,
parameters of `self` and constants of the module become numbers, and functions become those of
`exact.py` and `fast.py`. What has no place in a kernel is refused.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError

# Names in exact.py and fast.py, by the object that a twin calls.
FUNCTIONS: dict[Any, str] = {
    math.sin: "sin",
    np.sin: "sin",
    math.cos: "cos",
    np.cos: "cos",
    math.tanh: "tanh",
    np.tanh: "tanh",
    math.exp: "exp",
    np.exp: "exp",
    math.sqrt: "sqrt",
    np.sqrt: "sqrt",
    math.log: "log",
    np.log: "log",
    math.atan2: "atan2",
    np.arctan2: "atan2",
    math.floor: "floor",
    np.floor: "floor",
    math.pow: "power",
    pow: "power",
    math.fabs: "absolute",
    abs: "absolute",
    np.abs: "absolute",
    np.square: "square",
    np.sign: "sign",
    min: "least",
    max: "greatest",
    np.minimum: "least",
    np.maximum: "greatest",
    np.clip: "clipped",
    np.float32: "single",
    float: "real",
    np.float64: "real",
    bool: "truth",
}
_ARGUMENTS = {"atan2": 2, "power": 2, "least": 2, "greatest": 2, "clipped": 3}  # others: 1
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)


class Translation:
    """The functions of one twin, as text.

    Attributes:
        sources: their texts, helpers before those who call them.
    """

    def __init__(self) -> None:
        self.sources: list[str] = []
        self._names: dict[Any, str] = {}
        self._owners: list[Any] = []  # kept, so that the ids in `_names` stay theirs
        self._open: list[Any] = []

    def add(self, function: Callable[..., Any], name: str) -> str:
        """Translate a bound method or plain function, and give it a name in the kernel.

        Raises:
            ConfigurationError: it uses something that a kernel cannot do; says what and where.
        """
        owner = getattr(function, "__self__", None)
        plain = getattr(function, "__func__", function)
        key = (plain, id(owner))  # the parameters of `self` become numbers: one function for each
        if key in self._open:
            raise ConfigurationError(
                f"{plain.__qualname__} calls itself, which a compiled twin cannot"
            )
        if key in self._names:
            return self._names[key]
        self._names[key] = name
        self._owners.append(owner)
        self._open.append(key)
        tree = parsed(plain)
        writer = _Writer(self, plain, owner, name)
        tree.name = name
        tree.decorator_list = [ast.Name("inlined", ast.Load())]
        tree.returns = None
        arguments = tree.args.posonlyargs + tree.args.args
        if owner is not None:
            writer.self_name = arguments[0].arg
            arguments = arguments[1:]
        if tree.args.vararg or tree.args.kwarg or tree.args.kwonlyargs or tree.args.defaults:
            writer.refuse(tree, "parameters other than plain positional ones")
        names = [ast.arg(_local(a.arg)) for a in arguments]
        tree.args = ast.arguments([], names, None, [], [], None, [])
        writer.locals = {a.arg for a in arguments} | _assigned(tree)
        if not any(isinstance(node, ast.Return) and node.value for node in ast.walk(tree)):
            writer.refuse(tree, "a function that returns nothing")
        body = [s for s in tree.body if not _is_text(s)]
        tree.body = [writer.visit(statement) for statement in body]
        self.sources.append(ast.unparse(ast.fix_missing_locations(tree)))
        self._open.pop()
        return name


class _Writer(ast.NodeTransformer):
    """Rewrites the body of one function."""

    def __init__(self, translation: Translation, function: Any, owner: Any, name: str) -> None:
        self.translation = translation
        self.function = function
        self.owner = owner
        self.name = name
        self.self_name = ""
        self.locals: set[str] = set()
        variables = inspect.getclosurevars(function)
        self.outside = {**vars(builtins), **variables.globals, **variables.nonlocals}

    def refuse(self, node: ast.AST, what: str) -> None:
        line = getattr(node, "lineno", 0)
        raise ConfigurationError(
            f"{self.function.__qualname__}, line {line} of it: a compiled twin cannot use {what}; "
            "it can use arithmetic, comparisons, if, min, max, abs, numbers, parameters of self, "
            "helper functions written alike, and of math "
            "sin, cos, tanh, exp, sqrt, log, atan2, floor, pow and fabs"
        )

    def generic_visit(self, node: ast.AST) -> Any:
        allowed = (
            ast.Return,
            ast.Assign,
            ast.AugAssign,
            ast.If,
            ast.IfExp,
            ast.Tuple,
            ast.UnaryOp,
            ast.operator,
            ast.unaryop,
            ast.cmpop,
            ast.expr_context,
            ast.Pass,
        )
        if not isinstance(node, allowed):
            self.refuse(node, f"{type(node).__name__} ({ast.unparse(node)[:60]})")
        return super().generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return ast.Pass()
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        if not isinstance(node.target, ast.Name):
            self.refuse(node, "assignment to anything but a name")
        left = ast.Name(node.target.id, ast.Load())  # type: ignore[union-attr]
        value = ast.copy_location(ast.BinOp(left, node.op, node.value), node)
        return ast.Assign([self.visit(node.target)], self.visit(value), lineno=node.lineno)

    def visit_Constant(self, node: ast.Constant) -> Any:
        if not isinstance(node.value, (bool, int, float)):
            self.refuse(node, f"the constant {node.value!r}")
        return self.number(node.value)

    def number(self, value: Any) -> ast.expr:
        if isinstance(value, (bool, np.bool_)):
            value = int(value)
        text = repr(float(value))
        if math.isinf(float(value)) or math.isnan(float(value)):
            text = {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}[text]
        return ast.parse(f"real({text})", mode="eval").body

    def visit_Name(self, node: ast.Name) -> Any:
        if node.id in self.locals:
            return ast.Name(_local(node.id), node.ctx)
        if node.id not in self.outside:
            self.refuse(node, f"the unknown name {node.id}")
        return self.value(node, self.outside[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        if not isinstance(node.ctx, ast.Load):
            self.refuse(node, f"assignment to {ast.unparse(node)}")
        return self.value(node, self.resolved(node))

    def resolved(self, node: ast.expr) -> Any:
        """The object that a name or dotted name stands for at translation."""
        if isinstance(node, ast.Name):
            if node.id == self.self_name:
                return self.owner
            if node.id in self.locals or node.id not in self.outside:
                self.refuse(node, f"{node.id} in this place")
            return self.outside[node.id]
        if isinstance(node, ast.Attribute):
            owner = self.resolved(node.value)
            if not hasattr(owner, node.attr):
                self.refuse(node, f"{ast.unparse(node)}, which does not exist")
            return getattr(owner, node.attr)
        self.refuse(node, ast.unparse(node))
        return None

    def value(self, node: ast.expr, found: Any) -> ast.expr:
        if isinstance(found, (bool, int, float, np.number, np.bool_)):
            return self.number(found)
        self.refuse(node, f"{ast.unparse(node)}, which is {found!r}")
        return node

    def visit_Call(self, node: ast.Call) -> Any:
        if node.keywords:
            self.refuse(node, "named arguments in a call")
        function = self.resolved(node.func)
        arguments = [self.visit(argument) for argument in node.args]
        try:
            known = FUNCTIONS.get(function)
        except TypeError:
            known = None
        if known in ("least", "greatest") and len(arguments) > 2:  # min(a, b, c)
            first = arguments[0]
            for argument in arguments[1:]:
                first = _call(known, [first, argument])
            return first
        if known is not None and len(arguments) != _ARGUMENTS.get(known, 1):
            self.refuse(node, f"{ast.unparse(node)}, with {len(arguments)} arguments")
        if known == "power":
            base, exponent = node.args
            return self.power(base, exponent)
        if known is None:
            if hasattr(function, "__wrapped__"):
                self.refuse(node, f"the decorated function {ast.unparse(node.func)}")
            if not inspect.isroutine(function) or inspect.isbuiltin(function):
                self.refuse(node, f"the function {ast.unparse(node.func)}")
            count = len(self.translation._names)
            name = f"helper{count}_{getattr(function, '__name__', 'f')}"
            known = self.translation.add(function, name)
        return _call(known, arguments)

    def power(self, base: ast.expr, exponent: ast.expr, kind: str = "") -> ast.expr:
        if isinstance(exponent, ast.Constant) and exponent.value == 2:
            return _call(f"{kind}squared_power", [self.visit(base)])
        return _call(f"{kind}power", [self.visit(base), self.visit(exponent)])

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        if isinstance(node.op, ast.Pow):
            base = node.left
            # numpy's np.float32(x) ** y is a power in single precision.
            single = isinstance(base, ast.Call) and self.resolved(base.func) is np.float32
            return self.power(base, node.right, "single_" * single)
        if isinstance(node.op, ast.Mod):
            return _call("modulo", [self.visit(node.left), self.visit(node.right)])
        if not isinstance(node.op, _OPERATORS):
            self.refuse(node, f"the operator in {ast.unparse(node)}")
        return ast.BinOp(self.visit(node.left), node.op, self.visit(node.right))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.Invert):
            self.refuse(node, "~")
        return ast.UnaryOp(node.op, self.visit(node.operand))

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        """Without branches: every part is computed."""
        operator: ast.operator = ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr()
        parts = [_call("truth", [self.visit(value)]) for value in node.values]
        result: ast.expr = parts[0]
        for part in parts[1:]:
            result = ast.BinOp(result, operator, part)
        return result

    def visit_Compare(self, node: ast.Compare) -> Any:
        """Chains, a < b < c, too."""
        if any(isinstance(op, (ast.In, ast.NotIn, ast.Is, ast.IsNot)) for op in node.ops):
            self.refuse(node, ast.unparse(node))
        values = [self.visit(value) for value in (node.left, *node.comparators)]
        parts: list[ast.expr] = [
            ast.Compare(values[i], [op], [values[i + 1]]) for i, op in enumerate(node.ops)
        ]
        result = parts[0]
        for part in parts[1:]:
            result = ast.BinOp(result, ast.BitAnd(), part)
        return result


def parsed(function: Any) -> ast.FunctionDef:
    """The syntax tree of a function's source.

    Raises:
        ConfigurationError: the source cannot be read, or is no `def`.
    """
    try:
        text = textwrap.dedent(inspect.getsource(function))
        tree = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError) as error:
        raise ConfigurationError(
            f"a compiled twin is translated from its source, and that of {function!r} cannot be "
            f"read ({error}); define it in a file or a notebook cell, with def"
        ) from error
    if not isinstance(tree, ast.FunctionDef):
        raise ConfigurationError(f"{function!r} must be defined with def to be compiled")
    return tree


def _assigned(tree: ast.FunctionDef) -> set[str]:
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _local(name: str) -> str:
    """A twin's name for a number, so that it hides none of the kernel's: `sin = math.sin(x)`."""
    return f"{name}_"


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _call(name: str, arguments: list[Any]) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), arguments, [])
