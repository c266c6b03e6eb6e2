"""From the methods of a MuJoCo task to the source of functions on numpy arrays.

Methods are taken as they are, for numba knows numpy. What does not depend on the state of the
simulation (parameters, names of bodies, sizes of the model, options) is computed now and becomes a
constant; `data` becomes a tuple of the arrays of `MjData` that are read or written; and functions
whose bits numba does not share with numpy become those of `arrays.py`.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.envs.mujoco.task import CompiledMujoco
from zorl.rollout.compiled.mujoco.loops import kind
from zorl.rollout.compiled.mujoco.vocabulary import (
    ARRAY_ATTRIBUTES,
    BUILTINS,
    JOINING,
    METHODS,
    MOVING,
    NUMPY,
    OURS,
    REDUCTIONS,
    REFUSED,
    UFUNCS,
    call,
    is_data,
    is_number,
    no_array,
    place,
    spelled,
)
from zorl.rollout.compiled.translate import parsed


class MujocoTranslation:
    """The functions of one task, as text.

    Attributes:
        fields: the arrays of `MjData` that they use, in the order of their first use.
        constants: names and texts of constant arrays.
        sources: the functions' texts, helpers before those who call them.
    """

    def __init__(self, task: CompiledMujoco) -> None:
        import mujoco

        self.task = task
        self.data = mujoco.MjData(task.model)
        self.fields: list[str] = []
        self.constants: dict[str, str] = {}
        self.sources: list[str] = []
        self._names: dict[Any, str] = {}
        self._owners: list[Any] = []
        self._open: list[Any] = []

    def add(self, function: Callable[..., Any], name: str) -> str:
        """Translate a bound method or plain function, and give it a name in the kernel.

        Raises:
            ConfigurationError: it uses something that a kernel cannot do; says what and where.
        """
        owner = getattr(function, "__self__", None)
        plain = getattr(function, "__func__", function)
        key = (plain, id(owner))
        if key in self._open:
            raise ConfigurationError(f"{plain.__qualname__} calls itself, which is not compiled")
        if key in self._names:
            return self._names[key]
        self._names[key] = name
        self._owners.append(owner)  # so that its id stays its own
        self._open.append(key)
        tree = parsed(plain)
        writer = _Writer(self, plain, owner)
        arguments = tree.args.posonlyargs + tree.args.args
        if tree.args.vararg or tree.args.kwarg or tree.args.kwonlyargs or tree.args.defaults:
            writer.refuse(tree, "parameters other than plain positional ones")
        if owner is not None:
            writer.self_name = arguments[0].arg
            arguments = arguments[1:]
        writer.locals = {a.arg for a in arguments} | {
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        tree.args = ast.arguments(
            [], [ast.arg(f"{a.arg}_") for a in arguments], None, [], [], None, []
        )
        tree.name, tree.returns = name, None
        tree.decorator_list = [ast.Name("inlined", ast.Load())]
        tree.body = writer.block(tree.body) or [ast.Pass()]
        self.sources.append(ast.unparse(ast.fix_missing_locations(tree)))
        self._open.pop()
        return name

    def field(self, name: str) -> str:
        """Note that an array of MjData is used."""
        if name not in self.fields:
            self.fields.append(name)
        return name

    def constant(self, array: np.ndarray) -> str:
        """The name of a constant array."""
        text = f"constant('{array.tobytes().hex()}', '{array.dtype.str}', {array.shape})"
        for name, known in self.constants.items():
            if known == text:
                return name
        name = f"K{len(self.constants)}"
        self.constants[name] = text
        return name

    def ufunc(self, name: str) -> str:
        """The name of a function that computes what numpy's ufunc does."""
        self.constants[f"numpy_{name}"] = f"like_numpy({name!r}, {kind(name)!r})"
        return f"numpy_{name}"


class _Writer(ast.NodeTransformer):
    """Rewrites the body of one function."""

    def __init__(self, translation: MujocoTranslation, function: Any, owner: Any) -> None:
        self.translation = translation
        self.function = function
        self.owner = owner
        self.self_name = ""
        self.locals: set[str] = set()
        variables = inspect.getclosurevars(function)
        self.outside = {**vars(builtins), **variables.globals, **variables.nonlocals}

    def refuse(self, node: ast.AST, what: str) -> Any:
        line = getattr(node, "lineno", 0)
        raise ConfigurationError(
            f"{self.function.__qualname__}, line {line} of it: a compiled MuJoCo task cannot use "
            f"{what}; it can use arithmetic, arrays and sensors of `data`, attributes of self, "
            "loops, helper functions written alike, math, and numpy's elementwise functions, "
            "concatenate, clip, where, sum, mean and linalg.norm"
        )

    # -- statements -----------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt]) -> list[Any]:
        """Statements, without texts and without branches that are decided now."""
        written: list[Any] = []
        for statement in statements:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            result = self.visit(statement)
            written += result if isinstance(result, list) else [result]
            if written and isinstance(written[-1], ast.Return):
                break
        return written

    def visit_If(self, node: ast.If) -> Any:
        known, value = self.known(node.test)
        if known:
            return self.block(node.body if value else node.orelse)
        test = self.visit(node.test)
        return ast.If(test, self.block(node.body) or [ast.Pass()], self.block(node.orelse))

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        known, value = self.known(node.test)
        if known:
            return self.visit(node.body if value else node.orelse)
        return ast.IfExp(*(self.visit(part) for part in (node.test, node.body, node.orelse)))

    def visit_For(self, node: ast.For) -> Any:
        body = self.block(node.body) or [ast.Pass()]
        return ast.For(
            self.visit(node.target), self.visit(node.iter), body, self.block(node.orelse)
        )

    def visit_While(self, node: ast.While) -> Any:
        return ast.While(self.visit(node.test), self.block(node.body), self.block(node.orelse))

    def visit_Assign(self, node: ast.Assign) -> Any:
        targets, value = [self.visit(target) for target in node.targets], self.visit(node.value)
        match targets:
            case [ast.Subscript(owner, ast.Slice() as part)]:
                return ast.Expr(call("assign", [ast.Subscript(owner, part, ast.Load()), value]))
        return ast.Assign(targets, value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return ast.Pass()
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    # -- expressions ----------------------------------------------------------------------------

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, REFUSED):
            self.refuse(node, f"{type(node).__name__} ({ast.unparse(node)[:60]})")
        if (
            isinstance(node, ast.expr)
            and not any(isinstance(part, ast.Slice) for part in (node, *getattr(node, "elts", ())))
            and isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        ):
            known, value = self.known(node)
            if known:
                return self.value(node, value)
        return super().visit(node)

    def known(self, node: ast.expr) -> tuple[bool, Any]:
        """Whether an expression has a value already, and which."""
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                if part.id in self.locals:
                    return False, None
                if part.id != self.self_name and part.id not in self.outside:
                    self.refuse(node, f"the unknown name {part.id}")
            if isinstance(part, ast.Call) and self._is_random(part):
                self.refuse(node, f"{ast.unparse(part)}: chance has its place in reset")
        names = {**self.outside, self.self_name: self.owner} if self.self_name else self.outside
        try:
            code = compile(ast.Expression(node), "<task>", "eval")
            return True, eval(code, {"__builtins__": {}}, names)
        except Exception as error:
            self.refuse(node, f"{ast.unparse(node)}, which raises {error!r}")
            return False, None

    def _is_random(self, node: ast.Call) -> bool:
        text = ast.unparse(node.func)
        return ".random" in text or text.startswith(("random", "time."))

    def value(self, node: ast.expr, found: Any) -> ast.expr:
        """A constant."""
        if isinstance(found, np.ndarray) and found.dtype.kind in "fiub":
            name = self.translation.constant(np.ascontiguousarray(found))
            made = isinstance(node, ast.Call)  # an array of its own, that may be written to
            return ast.parse(f"{name}.copy()" if made else name, mode="eval").body
        if isinstance(found, (list, tuple)) and found and all(map(is_number, found)):
            return ast.Tuple([self.value(node, part) for part in found], ast.Load())
        if isinstance(found, type) and issubclass(found, (np.floating, float)):
            text = f"np.{found.__name__}" if issubclass(found, np.generic) else "float"
            return ast.parse(text, mode="eval").body
        if isinstance(found, range):
            return ast.parse(repr(found), mode="eval").body
        if found is None:
            return node
        if not is_number(found):
            return self.refuse(node, f"{ast.unparse(node)}, which is {found!r}")  # type: ignore[no-any-return]
        return ast.parse(spelled(found), mode="eval").body

    def visit_Name(self, node: ast.Name) -> Any:
        return ast.Name(f"{node.id}_", node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        owner = node.value
        if isinstance(owner, ast.Name) and owner.id == "data":
            return self._field(node, node.attr)
        if isinstance(owner, ast.Call) and is_data(owner.func):
            return self._named(node, owner)
        if node.attr not in ARRAY_ATTRIBUTES:
            hint = "; MuJoCo's state must have the name `data`, in all functions"
            self.refuse(node, ast.unparse(node) + hint * hasattr(self.translation.data, node.attr))
        return ast.Attribute(self.visit(owner), node.attr, node.ctx)

    def _field(self, node: ast.expr, name: str) -> ast.expr:
        found = getattr(self.translation.data, name, None)
        if not isinstance(found, np.ndarray) or name.startswith(MOVING):
            self.refuse(node, f"data.{name}: {no_array(name, found)}")
        self.translation.field(name)
        return ast.Attribute(ast.Name("data_", ast.Load()), name, ast.Load())

    def _named(self, node: ast.Attribute, accessor: ast.Call) -> ast.expr:
        """`data.body("torso").xpos`: a part of the array that it is a view of."""
        kind = accessor.func.attr  # type: ignore[attr-defined]
        known = [self.known(argument) for argument in accessor.args]
        if accessor.keywords or not all(found for found, _ in known):
            self.refuse(node, f"{ast.unparse(accessor)} with a name that is not known beforehand")
        data = self.translation.data
        try:
            view = getattr(getattr(data, kind)(*(value for _, value in known)), node.attr)
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            return self.refuse(node, f"{ast.unparse(node)} ({error})")  # type: ignore[no-any-return]
        if not isinstance(view, np.ndarray):
            return self.refuse(node, f"{ast.unparse(node)}, which is no array")  # type: ignore[no-any-return]
        name, first = place(data, view)
        self.translation.field(name)
        text = f"data_.{name}.reshape(-1)[{first}:{first + view.size}]"
        if view.ndim > 1:
            text += f".reshape({view.shape})"
        return ast.parse(text, mode="eval").body

    def visit_Call(self, node: ast.Call) -> Any:
        function = node.func
        if isinstance(function, ast.Attribute) and not self._outside(function):
            return self._method(node, function)
        known, found = self.known(function)
        if not known:
            self.refuse(node, f"a call of {ast.unparse(function)}")
        arguments = [self.visit(argument) for argument in node.args]
        keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        try:
            ours = OURS.get(found)
        except TypeError:
            ours = None
        if ours is not None:
            if keywords or len(arguments) != (2 if ours == "power" else 1):
                self.refuse(node, f"{ast.unparse(node)}, with other arguments than plain numpy's")
            return call(ours, arguments)
        if found in BUILTINS:
            return ast.Call(ast.Name(found.__name__, ast.Load()), arguments, keywords)
        name = getattr(found, "__name__", "")
        if name in UFUNCS and getattr(np, name) is found:
            if keywords or len(arguments) != found.nin:
                self.refuse(node, f"{ast.unparse(node)}, with other arguments than plain numpy's")
            return call(self.translation.ufunc(name), arguments)
        if name in NUMPY and getattr(np, name, None) is found:
            if name in JOINING and isinstance(arguments[0], ast.List):  # numba joins tuples
                arguments[0] = ast.Tuple(arguments[0].elts, ast.Load())
            return ast.Call(ast.parse(f"np.{name}", mode="eval").body, arguments, keywords)
        if getattr(math, name, None) is found:
            return ast.Call(ast.parse(f"math.{name}", mode="eval").body, arguments, keywords)
        if keywords or not inspect.isroutine(found) or inspect.isbuiltin(found):
            self.refuse(node, f"the function {ast.unparse(function)}")
        helper = f"helper{len(self.translation._names)}_{name}"
        return call(self.translation.add(found, helper), arguments)

    def _outside(self, node: ast.expr) -> bool:
        """Whether a dotted name begins outside of the function."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and node.id not in self.locals

    def _method(self, node: ast.Call, function: ast.Attribute) -> Any:
        if function.attr not in METHODS or is_data(function):
            self.refuse(node, f"{ast.unparse(node)}")
        owner = self.visit(function.value)
        arguments = [self.visit(argument) for argument in node.args]
        if function.attr in REDUCTIONS:
            if arguments or node.keywords:
                self.refuse(node, f"{ast.unparse(node)}, over anything but all numbers")
            return call(REDUCTIONS[function.attr], [owner])
        keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        return ast.Call(ast.Attribute(owner, function.attr, ast.Load()), arguments, keywords)

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Pow):
            return call("power", [left, right])
        if isinstance(node.op, ast.MatMult):
            self.refuse(node, f"{ast.unparse(node)} (write np.sum of a product)")
        return ast.BinOp(left, node.op, right)

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        if isinstance(node.op, (ast.Pow, ast.MatMult)):
            self.refuse(node, ast.unparse(node))
        return ast.AugAssign(self.visit(node.target), node.op, self.visit(node.value))
