"""What the methods of a MuJoCo task may use, and how that is written in a kernel."""

from __future__ import annotations

import ast
import math
from types import ModuleType
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError

# Of arrays.py, by the function that a task calls.
OURS: dict[Any, str] = {
    np.sum: "total",
    np.mean: "mean",
    np.linalg.norm: "norm",
    math.pow: "power",
    pow: "power",
}
BUILTINS = (abs, min, max, len, range, float, int, bool, round)
NUMPY = frozenset(
    """
    abs absolute all any array ceil clip concatenate copy cross empty fabs float32 float64 floor
    fmax fmin hstack isfinite isnan logical_and logical_not logical_or max maximum min minimum ones
    ravel sign sqrt square stack where zeros zeros_like
    """.split()  # noqa: SIM905  # as a list it would be as long as a page
)
JOINING = ("concatenate", "hstack", "stack")
UFUNCS = frozenset(
    """
    arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt cos cosh exp exp2 expm1 hypot log
    log10 log1p log2 power sin sinh tan tanh
    """.split()  # noqa: SIM905
)
REDUCTIONS = {"sum": "total", "mean": "mean"}
METHODS = (
    *REDUCTIONS,
    *("all", "any", "astype", "copy", "flatten", "max", "min", "ravel", "reshape"),
)
ARRAY_ATTRIBUTES = ("T", "dtype", "flat", "ndim", "shape", "size")
REFUSED = (
    *(ast.Lambda, ast.FunctionDef, ast.ClassDef, ast.Try, ast.With, ast.Import, ast.ImportFrom),
    *(ast.Global, ast.Nonlocal, ast.Delete, ast.Raise, ast.Dict, ast.Set, ast.ListComp),
    *(ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Yield, ast.YieldFrom, ast.Await),
    *(ast.Starred, ast.JoinedStr, ast.NamedExpr, ast.MatMult),
)
# Their memory lies in the arena of MjData, and moves from step to step.
MOVING = ("efc_", "iefc_", "tendon_efcadr", "contact", "island_", "dof_island", "map_")


def is_data(node: ast.AST) -> bool:
    """Whether it is `data.something`."""
    owner = getattr(node, "value", None)
    return isinstance(node, ast.Attribute) and isinstance(owner, ast.Name) and owner.id == "data"


def is_number(value: Any) -> bool:
    """Whether it is a number of Python or numpy."""
    return isinstance(value, (bool, int, float, np.number, np.bool_)) and not isinstance(
        value, ModuleType
    )


def spelled(value: Any) -> str:
    """A number as an expression."""
    if isinstance(value, (bool, np.bool_)):
        return repr(bool(value))
    if isinstance(value, (int, np.integer)):
        return repr(int(value))
    number = float(value)
    text = repr(number) if math.isfinite(number) else f"np.{number!r}".replace("np.-", "-np.")
    return f"np.float32({text})" if isinstance(value, np.float32) else text


def no_array(name: str, found: Any) -> str:
    """Why an attribute of MjData cannot be used."""
    if found is None:
        return "MjData has no such attribute"
    if name == "time":
        return "the simulation's time is no array; let a task end by its limit of steps"
    return "it is no array of a fixed size"


def place(data: Any, view: np.ndarray) -> tuple[str, int]:
    """The array of MjData that a view lies in, and the index of its first number there."""
    at = view.__array_interface__["data"][0]
    for name in dir(data):
        if name.startswith(("_", *MOVING)):
            continue
        array = getattr(data, name)
        if not isinstance(array, np.ndarray) or array.dtype != view.dtype or not array.size:
            continue
        first = at - array.__array_interface__["data"][0]
        if 0 <= first < array.nbytes:
            return name, first // array.itemsize
    raise ConfigurationError("a view of MjData lies in none of its arrays")


def call(name: str, arguments: list[Any]) -> ast.expr:
    """A call of a function."""
    return ast.Call(ast.Name(name, ast.Load()), arguments, [])
