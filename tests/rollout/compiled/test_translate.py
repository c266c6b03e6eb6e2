"""From Python to kernels: what is promised works in both precisions, all else is refused."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from toy_language import Language, squares
from toy_twins import DRIFTS

from zorl.common.errors import ConfigurationError
from zorl.rollout.compiled.cache import traced
from zorl.rollout.compiled.translate import Translation

# ruff: noqa: F841, E731

TWIN = Language()


@functools.cache
def played() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """States, and what plain Python makes of them: observations, rewards, terminations."""
    states = np.random.default_rng(5).uniform(-3, 3, (2000, 2))
    states[:4] = [[1.5, -1.5], [0.75, 0.75], [-3.0, 2.5], [0.0, -0.0]]
    results = [TWIN.step(x, y, 0.0) for x, y in states.tolist()]
    seen = np.array([TWIN.observe(*state) for state in states.tolist()], np.float64)
    return states, seen, np.array([r for _, r, _ in results]), np.array([e for _, _, e in results])


@pytest.mark.parametrize("exact", [True, False])
def test_everything_that_is_promised_means_what_it_means_in_python(exact: bool) -> None:
    states, seen, rewards, ends = played()
    t, o = seen.shape
    # Every step starts from its own state and leaves it, so that observation t + 1 is of state t.
    observations = np.zeros((t + 1, o))
    mine, my_ends = np.zeros(t), np.zeros(t, np.bool_)
    given = np.concatenate([states, states[:1]])
    if not exact:
        given[4:] = given[4:].astype(np.float32)
    play = traced(TWIN, o, 1, exact)
    play(given, np.zeros((t, 1)), observations, mine, my_ends, False)
    assert set(my_ends.tolist()) == {True, False}
    assert my_ends.tolist() == ends.tolist()
    for column in range(o):
        got, expected = observations[1:, column], seen[:, column]
        if exact and column == 0:  # numpy's own, on some processors, in place of the C library's
            assert np.allclose(got, expected, rtol=0, atol=1e-13)
        elif exact:
            assert got.tolist() == expected.tolist(), column
        else:  # the first ones lie on edges, where rounding decides
            close = np.isclose(got[4:], expected[4:], rtol=3e-5, atol=3e-5)
            assert close.mean() > 0.999, (column, got[4:][~close], expected[4:][~close])
    assert np.allclose(mine, rewards, rtol=0 if exact else 1e-6, atol=0 if exact else 1e-6)
    assert len(set(rewards.tolist())) > 1000


def test_zeros_of_modulo_have_the_sign_that_python_gives_them() -> None:
    def observe(x: Any, y: Any) -> Any:
        return (math.atan2(x % y, -1.0),)  # ±π tells the sign of zero

    text = translated(observe)
    assert "modulo(x_, y_)" in text
    from zorl.rollout.compiled import exact

    for x, y in [(-4.0, 2.0), (4.0, -2.0), (4.0, 2.0), (-0.0, 1.0), (-5.5, 2.0), (5.5, -2.0)]:
        assert math.copysign(1, exact.modulo(x, y)) == math.copysign(1, x % y)
        assert exact.modulo(x, y) == x % y


def translated(function: Callable[..., Any]) -> str:
    translation = Translation()
    translation.add(function, "f")
    return "\n".join(translation.sources)


def test_methods_of_two_objects_keep_their_own_parameters() -> None:
    translation = Translation()
    names = [translation.add(Language(gain=g).doubled, f"f{g:.0f}") for g in (2.0, 7.0)]
    assert names == ["f2", "f7"]
    first, second = (next(s for s in translation.sources if f"def {n}(" in s) for n in names)
    assert "real(2.0) *" in first
    assert "real(7.0) *" in second


def test_a_helper_that_is_used_twice_is_translated_once() -> None:
    def twice(x: Any) -> Any:
        a, b = squares(x, x)
        c, d = squares(a, b)
        return a + b + c + d

    assert translated(twice).count("def ") == 2


ARRAY = np.zeros(3)
TEXT = "text"
BOX: Any = type("Box", (), {"value": 1.0})()


def recursive(x: Any) -> Any:
    return x if x < 1 else recursive(x - 1)


def _timed(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return 2 * function(*arguments)

    return call


@_timed
def decorated(x: Any) -> Any:
    return x


def refused() -> dict[str, tuple[Callable[..., Any], str]]:
    """Functions that no kernel can be made of, and words of what is said about each."""

    def loop(x: Any) -> Any:
        for _ in range(3):
            x += 1
        return x

    def while_loop(x: Any) -> Any:
        while x < 3:
            x += 1
        return x

    def comprehension(x: Any) -> Any:
        return sum([x for _ in (1, 2)])

    def string(x: Any) -> Any:
        return x if TEXT == "text" else 0.0

    def own_string(x: Any) -> Any:
        y = "text"
        return x

    def formatted(x: Any) -> Any:
        y = f"{x}"
        return x

    def nothing(x: Any) -> Any:
        y = None
        return x

    def attribute(x: Any) -> Any:
        BOX.value = x
        return x

    def attribute_in_place(x: Any) -> Any:
        BOX.value += x
        return x

    def unpacked_attribute(x: Any) -> Any:
        y, BOX.value = x, x
        return x

    def missing_attribute(x: Any) -> Any:
        return x * BOX.valeu

    def unknown(x: Any) -> Any:
        return x + no_such_name  # type: ignore[name-defined]  # noqa: F821

    def named(x: Any) -> Any:
        return np.clip(x, a_min=0, a_max=1)

    def local_lambda(x: Any) -> Any:
        square = lambda y: y * y
        return square(x)  # type: ignore[no-untyped-call]

    def nested(x: Any) -> Any:
        def inner(y: Any) -> Any:
            return y

        return inner(x)

    def walrus(x: Any) -> Any:
        return (y := x) + y

    def member(x: Any) -> Any:
        return 1.0 if x in (1, 2) else 0.0

    def identity(x: Any) -> Any:
        return 1.0 if x is True else 0.0

    def inverted(x: Any) -> Any:
        return ~x

    def floored(x: Any) -> Any:
        return x // 2

    def shifted(x: Any) -> Any:
        return x << 2

    def bitwise(x: Any) -> Any:
        return (x > 0) | (x < 1)

    def subscript(x: Any) -> Any:
        return ARRAY[0] + x

    def array(x: Any) -> Any:
        return ARRAY + x

    def starred(x: Any) -> Any:
        return max(*(x, x))

    def starred_target(x: Any) -> Any:
        a, *b = x, x, x
        return a

    def default(x: Any, y: Any = 1.0) -> Any:
        return x + y

    def many(*x: Any) -> Any:
        return x[0]

    def by_name(x: Any, *, y: Any) -> Any:
        return x + y

    def printing(x: Any) -> Any:
        print(x)
        return x

    def asserting(x: Any) -> Any:
        assert x > 0
        return x

    def trying(x: Any) -> Any:
        try:
            return 1 / x
        except ZeroDivisionError:
            return 0.0

    def importing(x: Any) -> Any:
        import math as m

        return m.sin(x)

    def changing_the_module(x: Any) -> Any:
        global TEXT
        TEXT = x
        return x

    def gamma(x: Any) -> Any:
        return math.gamma(x)

    def rounding(x: Any) -> Any:
        return round(x)

    def whole(x: Any) -> Any:
        return int(x)

    def calls_decorated(x: Any) -> Any:
        return decorated(x)

    def least_of_one(x: Any) -> Any:
        return min(x)

    def power_of_three(x: Any) -> Any:
        return pow(x, 2, 3)

    def sine_of_two(x: Any) -> Any:
        return math.sin(x, x)  # type: ignore[call-arg]

    def silent(x: Any) -> Any:
        """It does nothing."""

    def bare(x: Any) -> Any:
        x = x + 1
        return

    def calls_a_number(x: Any) -> Any:
        return x(1)

    return {
        "loop": (loop, "For"),
        "while": (while_loop, "While"),
        "comprehension": (comprehension, "sum|ListComp"),
        "string": (string, "TEXT, which is 'text'|constant 'text'"),
        "own-string": (own_string, "the constant 'text'"),
        "formatted": (formatted, "JoinedStr"),
        "nothing": (nothing, "the constant None"),
        "attribute": (attribute, "assignment to BOX.value"),
        "attribute-in-place": (attribute_in_place, "assignment to anything but a name"),
        "unpacked-attribute": (unpacked_attribute, "assignment to BOX.value"),
        "missing-attribute": (missing_attribute, "BOX.valeu, which does not exist"),
        "unknown": (unknown, "the unknown name no_such_name"),
        "named": (named, "named arguments"),
        "lambda": (local_lambda, "Lambda"),
        "nested": (nested, "FunctionDef"),
        "walrus": (walrus, "NamedExpr"),
        "in": (member, r"x in \(1, 2\)"),
        "is": (identity, "x is True"),
        "inverted": (inverted, "~"),
        "floored": (floored, "operator in x // 2"),
        "shifted": (shifted, "operator in x << 2"),
        "bitwise": (bitwise, "operator in"),
        "subscript": (subscript, "Subscript"),
        "array": (array, "ARRAY, which is array"),
        "starred": (starred, "Starred"),
        "starred-target": (starred_target, "Starred"),
        "default": (default, "plain positional ones"),
        "many": (many, "plain positional ones"),
        "by-name": (by_name, "plain positional ones"),
        "printing": (printing, r"Expr \(print"),
        "asserting": (asserting, "Assert"),
        "trying": (trying, "Try"),
        "importing": (importing, "Import"),
        "global": (changing_the_module, "Global"),
        "gamma": (gamma, "the function math.gamma"),
        "rounding": (rounding, "the function round"),
        "whole": (whole, "the function int"),
        "decorated": (calls_decorated, "the decorated function decorated"),
        "least-of-one": (least_of_one, "with 1 arguments"),
        "power-of-three": (power_of_three, "with 3 arguments"),
        "sine-of-two": (sine_of_two, "with 2 arguments"),
        "silent": (silent, "returns nothing"),
        "bare": (bare, "returns nothing"),
        "calls-a-number": (calls_a_number, "x in this place"),
        "recursive": (recursive, "recursive calls itself"),
    }


@pytest.mark.parametrize("name", sorted(refused()))
def test_what_a_kernel_cannot_do_is_refused_by_name(name: str) -> None:
    function, words = refused()[name]
    with pytest.raises(ConfigurationError, match=words) as caught:
        translated(function)
    assert function.__qualname__ in str(caught.value)


def test_what_has_no_source_is_refused() -> None:
    space: dict[str, Any] = {}
    exec(compile("def made(x):\n    return x", "<nowhere>", "exec"), space)
    with pytest.raises(ConfigurationError, match=r"its source.*cannot be read.*in a file"):
        translated(space["made"])
    with pytest.raises(ConfigurationError, match=r"must be defined with def|cannot be read"):
        translated(lambda x: x)
    with pytest.raises(ConfigurationError, match=r"cannot be read"):
        translated(math.sin)


def test_the_message_says_what_may_be_used_and_on_which_line() -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)Loops\.step, line 2 of it.*it can use"):
        translated(DRIFTS["loops"]().step)


def test_a_local_name_hides_no_function_of_the_kernel() -> None:
    def hiding(sin: Any, real: Any, np_: Any) -> Any:
        least = math.sin(sin)
        truth = min(least, real, np_)
        return truth + np.float32(0.5)

    text = translated(hiding)
    assert "least_ = sin(sin_)" in text
    assert "truth_ = least(least(least_, real_), np__)" in text
