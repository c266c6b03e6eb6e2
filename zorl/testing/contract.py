"""The rules of the contract of `zorl.optimizers.Optimizer`, one function each."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.common.types import Vector
from zorl.common.validation import is_finite
from zorl.optimizers.base import Asked
from zorl.testing.progress import Case, ascent
from zorl.testing.rules import (
    Breach,
    Snapshot,
    global_randomness,
    leaves,
    require,
    require_same,
    restored,
    same,
    snapshot,
)

_STORABLE = (np.ndarray, np.generic, bool, int, float, str)
_FLAT = (0.0, 0.1, -200.0, 1e100, np.nan, np.inf, -np.inf)


def _values(case: Case) -> None:
    """States and candidates are read-only float64 values of the documented shapes."""
    optimizer = case.optimizer
    state = optimizer.init(case.start)
    found = f"init(theta).theta = {state.theta}"
    require(np.array_equal(state.theta, case.start), found, f"theta, {case.start}")
    for _ in range(4):
        _check_state(state, case.dim)
        asked = optimizer.ask(state, case.rng(state.t))
        _check_asked(asked, state, case.dim)
        state = optimizer.tell(state, asked, case.returns(asked))


def _check_state(state: Any, dim: int) -> None:
    parameters = getattr(type(state), "__dataclass_params__", None)
    frozen = parameters is not None and parameters.frozen
    require(frozen, f"a state of type {type(state).__name__}", "a frozen dataclass")
    require(
        isinstance(state.theta, np.ndarray) and state.theta.shape == (dim,),
        f"state.theta of shape {np.shape(state.theta)}",
        f"an array of shape (d,) = ({dim},)",
    )
    require(state.theta.dtype == np.float64, f"state.theta of {state.theta.dtype}", "float64")
    require(bool(np.isfinite(state.theta).all()), f"state.theta = {state.theta}", "finite numbers")
    for name, leaf in leaves(state, "state"):
        require(
            isinstance(leaf, _STORABLE) and not getattr(leaf, "dtype", np.dtype(float)).hasobject,
            f"{name} is a {type(leaf).__name__}, which zorl.common.storage cannot keep",
            "arrays, numbers, bools, strings and frozen dataclasses of them",
        )
        if isinstance(leaf, np.ndarray):
            require(not leaf.flags.writeable, f"{name} can be written to", "a read-only array")


def _check_asked(asked: Any, state: Any, dim: int) -> None:
    require(isinstance(asked, Asked), f"ask returned a {type(asked).__name__}", "an Asked")
    require(asked.t == state.t, f"asked.t = {asked.t}", f"state.t, {state.t}")
    thetas = asked.thetas
    require(
        thetas.ndim == 2 and thetas.shape[1] == dim and len(thetas) >= 1,
        f"candidates of shape {thetas.shape}",
        f"(n, d) with d = {dim} and n ≥ 1",
    )
    sigma = asked.sigma
    positive = is_finite(sigma) and sigma > 0
    require(positive, f"asked.sigma = {sigma!r}", "a number > 0, the size of the perturbations")
    require(len(asked) == len(thetas), f"len(asked) = {len(asked)}", f"n, {len(thetas)}")
    require(thetas.dtype == np.float64, f"candidates of {thetas.dtype}", "float64")
    require(bool(np.isfinite(thetas).all()), "candidates that are not finite", "finite numbers")
    for name, array in (("candidates", thetas), ("directions", asked.directions)):
        if isinstance(array, np.ndarray):
            require(not array.flags.writeable, f"asked.{name} can be written to", "read-only")


def _purity(case: Case) -> None:
    """`init`, `ask` and `tell` change nothing that they are given, nor anything given out."""
    optimizer, start = case.optimizer, case.start
    state = optimizer.init(start)
    require(bool((start == case.start).all()), "init changed theta", "theta as it was")
    require(start.flags.writeable, "init made the caller's theta read-only", "theta left alone")
    start += 1
    require(
        np.array_equal(state.theta, case.start),
        "state.theta changed with the array that init was given: it is that array",
        "a copy",
    )
    history: list[tuple[Any, Snapshot, Asked, Snapshot]] = []
    for _ in range(6):
        before = snapshot(state, "state")
        asked = optimizer.ask(state, case.rng(state.t))
        require_same(before, snapshot(state, "state"), "after ask", "as before")
        candidates = _asked_snapshot(asked)
        returns = case.returns(asked)
        kept = returns.copy()
        told = optimizer.tell(state, asked, returns)
        require(same(kept, returns), f"tell changed returns to {returns}", f"as told, {kept}")
        require(returns.flags.writeable, "tell made returns read-only", "returns left alone")
        require_same(before, snapshot(state, "state"), "after tell", "as before")
        require_same(candidates, _asked_snapshot(asked), "after tell", "as before")
        history.append((state, before, asked, candidates))
        state = told
    for old, before, asked, candidates in history:
        because = f"generations after it was made, at t = {old.t}"
        require_same(before, snapshot(old, "state"), because, "as it was made")
        require_same(candidates, _asked_snapshot(asked), because, "as it was made")


def _asked_snapshot(asked: Asked) -> Snapshot:
    return snapshot(asked, "asked") | {"asked.thetas": asked.thetas.copy()}


def _determinism(case: Case) -> None:
    """Equal states and generators give equal bits, whatever the optimizer did in between."""
    optimizer = case.optimizer
    untouched = copy.deepcopy(optimizer)
    first = case.search(optimizer, 6)
    for because, again in (
        ("a second search with the same generators", case.search(optimizer, 6)),
        ("a search by a copy made before the first", case.search(untouched, 6)),
    ):
        for one, other in zip(first, again, strict=True):
            require_same(
                snapshot(one, "state"), snapshot(other, "state"), because, "as in the first"
            )
    state, later = first[2], first[5]
    asked = optimizer.ask(state, case.rng(2))
    told = snapshot(optimizer.tell(state, asked, case.returns(asked)), "state")
    other = optimizer.ask(later, case.rng(77))
    optimizer.tell(later, other, case.returns(other))
    optimizer.ask(state, case.rng(78))
    late = snapshot(optimizer.tell(state, asked, case.returns(asked)), "state")
    require_same(told, late, "told after other states had asked and been told", "as told at once")
    listed = snapshot(optimizer.tell(state, asked, case.returns(asked).tolist()), "state")
    require_same(told, listed, "told the same returns as a list", "as from an array")
    others = [optimizer.ask(state, case.rng(80 + i)).thetas for i in range(8)]
    require(
        any(not np.array_equal(other, asked.thetas) for other in others),
        "the same candidates from nine different generators",
        "candidates drawn from rng",
    )


def _randomness(case: Case) -> None:
    """Random numbers come from the `rng` given to `ask`, never from a global state."""
    with global_randomness("init, ask or tell"):
        case.search(case.optimizer, 4)


def _t(case: Case) -> None:
    """`t` counts the updates: 0 after init, one more after every tell, a flat one too."""
    optimizer = case.optimizer
    state = optimizer.init(case.start)
    for t in range(5):
        require(_is_count(state.t, t), f"state.t = {state.t!r} after {t} tells", f"the integer {t}")
        asked = optimizer.ask(state, case.rng(t))
        flat = optimizer.tell(state, asked, np.zeros(len(asked)))
        require(
            _is_count(flat.t, t + 1), f"t = {flat.t!r} after tell {t + 1}, a flat one", str(t + 1)
        )
        state = optimizer.tell(state, asked, case.returns(asked))


def _is_count(value: object, expected: int) -> bool:
    return isinstance(value, (int, np.integer)) and value == expected


def _resume(case: Case) -> None:
    """A state kept by `zorl.common.storage`, pickled or copied goes on to the same bits."""
    optimizer = case.optimizer
    states = case.search(optimizer, case.generations)
    template = optimizer.init(case.start + 1)
    for at in (0, case.generations // 2):
        for how, back in (
            ("restored by zorl.common.storage", restored(states[at], template, "state")),
            ("pickled", pickle.loads(pickle.dumps(states[at]))),
            ("copied", copy.deepcopy(states[at])),
        ):
            because = f"the state of t = {at}, {how}"
            require(type(back) is type(states[at]), f"{because}: a {type(back)}", "the same type")
            require_same(snapshot(states[at], "state"), snapshot(back, "state"), because, "as kept")
            gone_on = case.search(optimizer, case.generations - at, back)[-1]
            expected = "as without the interruption"
            end = snapshot(states[-1], "state")
            require_same(end, snapshot(gone_on, "state"), f"gone on from {because}", expected)


def _refusals(case: Case) -> None:
    """Bad starts, foreign candidates and wrong numbers of returns raise ConfigurationError."""
    optimizer = case.optimizer
    bad = case.start
    bad[-1] = np.nan
    for what, theta in (
        ("a start with NaN", bad),
        ("an infinite start", np.full(case.dim, np.inf)),
        ("an empty start", np.zeros(0)),
        ("a start of two axes", np.zeros((2, case.dim))),
        ("a start that is a single number", np.float64(1.0)),
    ):
        _refused(what, optimizer.init, theta)
    states = case.search(optimizer, 2)
    asked = optimizer.ask(states[1], case.rng(1))
    returns = case.returns(asked)
    for what, wrong in (
        ("one return too few", returns[:-1]),
        ("one return too many", np.append(returns, 0.0)),
        ("returns of two axes", returns[None]),
        ("a single number as returns", 1.0),
    ):
        _refused(what, optimizer.tell, states[1], asked, wrong)
    _refused("candidates asked by an earlier state", optimizer.tell, states[2], asked, returns)
    wider = optimizer.init(np.ones(case.dim + 1))
    asked = optimizer.ask(wider, case.rng(0))
    returns = np.arange(float(len(asked)))
    _refused("candidates of another dimension", optimizer.tell, states[0], asked, returns)


def _refused(what: str, call: Callable[..., Any], *arguments: Any) -> None:
    expected = "a zorl.common.errors.ConfigurationError that says what was wrong"
    try:
        call(*arguments)
    except ConfigurationError:
        return
    except Exception as error:
        raise Breach(
            f"found: {what} raised {type(error).__name__}: {error}; expected: {expected}"
        ) from error
    raise Breach(f"found: {what} was accepted; expected: {expected}")


def _non_finite(case: Case) -> None:
    """A NaN or infinite return counts as the worst finite one of its generation."""
    optimizer = case.optimizer
    for state in case.search(optimizer, 4)[::2]:
        asked = optimizer.ask(state, case.rng(50 + state.t))
        returns = case.returns(asked)
        n = len(returns)
        if n < 2:
            continue
        for fault in (np.nan, np.inf, -np.inf):
            for bad in {(int(returns.argmax()),), (0, n - 1)}:
                keep = np.ones(n, bool)
                keep[list(bad)] = False
                worst = returns[keep].min() if keep.any() else 0.0
                with_fault, mended = np.where(keep, returns, fault), np.where(keep, returns, worst)
                told = optimizer.tell(state, asked, with_fault)
                finite = bool(np.isfinite(told.theta).all())
                because = f"told {fault} for candidate {' and '.join(map(str, bad))}"
                require(finite, f"{because}: theta = {told.theta}", "a finite theta")
                instead = snapshot(optimizer.tell(state, asked, mended), "state")
                expected = "as when told the worst finite return instead"
                require_same(instead, snapshot(told, "state"), because, expected)


def _flat(case: Case) -> None:
    """Equal returns move nothing, and the search goes on when returns differ again."""
    optimizer = case.optimizer
    for state in (case.search(optimizer, 5)[-1], optimizer.init(case.start)):
        asked = optimizer.ask(state, case.rng(60))
        for value in _FLAT:
            if len(asked) > 1 or not np.isfinite(value):  # one finite return is never flat
                told = optimizer.tell(state, asked, np.full(len(asked), value))
                _unmoved(state.theta, told.theta, f"told {value} for every candidate")
        if len(asked) == 1:
            continue
        then = state
        for repeat in range(10):
            asked = optimizer.ask(then, case.rng(70 + repeat))
            finite = bool(np.isfinite(asked.thetas).all())
            require(finite, "candidates that are not finite after flat returns", "finite ones")
            then = optimizer.tell(then, asked, np.full(len(asked), -3.0))
            _unmoved(state.theta, then.theta, f"after {repeat + 1} flat generations")
    if len(asked) > 1:
        ascent(case, then, "after ten flat generations")


def _unmoved(before: Vector, after: Vector, because: str) -> None:
    require(np.array_equal(before, after), f"{because}, theta became {after}", f"{before}, unmoved")


def _ascent(case: Case) -> None:
    """The search climbs a sphere and a linear function within its budget."""
    ascent(case)


RULES: dict[str, Callable[[Case], None]] = {
    "values": _values,
    "purity": _purity,
    "randomness": _randomness,
    "determinism": _determinism,
    "t": _t,
    "resume": _resume,
    "refusals": _refusals,
    "non-finite": _non_finite,
    "flat": _flat,
    "ascent": _ascent,
}
