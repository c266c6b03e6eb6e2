"""`check_optimizer`: a right optimizer passes, and each broken one fails with its fault named."""

from __future__ import annotations

from typing import Any

import broken_optimizers as bad
import numpy as np
import pytest
from broken_optimizers import Right

from zorl.common.errors import ConfigurationError
from zorl.common.types import frozen
from zorl.optimizers import CMAES, METHODS, SGD, GradientSearch, ars, mpge
from zorl.optimizers.nes import SNES
from zorl.testing import (
    INVARIANCES,
    check_estimator,
    check_optimizer,
    detect_invariances,
    linear_relative_mse,
)


def test_the_right_one_passes_and_its_invariances_are_found() -> None:
    found = detect_invariances(Right())
    assert found == tuple(INVARIANCES)
    check_optimizer(Right, invariances=found, budget=1000)
    check_optimizer(lambda: Right(n=6), dim=2, budget=1000)


class Lazy:
    """Directions that are a matrix only when asked for one."""

    def __init__(self, rows: Any) -> None:
        self.rows, self.shape = rows, rows.shape

    def dense(self) -> Any:
        return self.rows

    def combine(self, weights: Any) -> Any:
        return weights @ self.rows


def test_structured_candidates_are_checked_too() -> None:
    search = GradientSearch(SGD(0.1), 0.1, 4, lambda rng, m, d: Lazy(rng.standard_normal((m, d))))
    check_optimizer(search, invariances=("offset", "translation", "rotation"), budget=1000)
    check_estimator(search, draws=400, theory=lambda dim: linear_relative_mse("gaussian", dim, 4))


BROKEN = [
    (bad.StartsElsewhere, "values", r"init\(theta\).theta ="),
    (bad.ListTheta, "values", "an array of shape"),
    (bad.InfiniteTheta, "values", "state.theta = .*inf.*finite numbers"),
    (bad.AsksAMatrix, "values", "ask returned a ndarray; expected: an Asked"),
    (bad.Transposed, "values", r"candidates of shape \(10, 3\)"),
    (bad.NoSigma, "values", "asked.sigma = nan; expected: a number > 0"),
    (bad.WrongLength, "values", r"len\(asked\) = 3; expected: n, 10"),
    (bad.SingleCandidates, "values", "candidates of float32"),
    (bad.NaNCandidate, "values", "candidates that are not finite"),
    (bad.WritableCandidates, "values", "asked.candidates can be written to"),
    (bad.MovesTheStart, "purity", "init changed theta"),
    (bad.ChangesStateInAsk, "purity", "after ask: state.sigma is"),
    (bad.FreezesReturns, "purity", "tell made returns read-only"),
    (
        bad.RingOfBuffers,
        "purity",
        "generations after it was made, at t = 1: state.theta is",
    ),
    (bad.RingOfCandidates, "purity", "generations after it was made, at t = 0: asked"),
    (bad.AnotherType, "resume", "the same type"),
    (bad.RoundsInStorage, "resume", "gone on from the state of t = 5, restored"),
    (
        bad.ChangesDtype,
        "resume",
        "the state of t = 5, restored by zorl.common.storage: state.extra",
    ),
    (bad.ListsAreWorse, "determinism", "told the same returns as a list"),
    (
        bad.AcceptsAnotherDimension,
        "refusals",
        "candidates of another dimension was accepted",
    ),
    (bad.AllFaultsAreNaN, "flat", "told nan for every candidate, theta became"),
    (bad.MovesOnTheSecondFlat, "flat", "after 2 flat generations, theta became"),
    (bad.WidensOnFlat, "flat", "candidates that are not finite after flat returns"),
    (bad.StopsAbove, "ascent", "a linear function climbed by"),
    (bad.OnlyMutableState, "values", "Mutable.*frozen dataclass"),
    (bad.WritableState, "values", "state.theta can be written to"),
    (bad.Single, "values", "state.theta of float32"),
    (bad.Unstorable, "values", "state.extra is a list, which zorl.common.storage cannot keep"),
    (bad.NoneInState, "values", "state.extra is a NoneType"),
    (bad.WrongTag, "values", "asked.t = 1; expected: state.t, 0"),
    (bad.KeepsTheStart, "purity", "with the array that init was given"),
    (bad.FreezesTheStart, "purity", "caller's theta read-only"),
    (bad.SortsReturns, "purity", "tell changed returns"),
    (bad.MutatesState, "purity", "after tell: state.theta is"),
    (bad.MutatesCandidates, "purity", r"after tell: asked.(thetas|candidates) is"),
    (bad.ReusesItsBuffer, "purity", "state.theta is"),
    (bad.GlobalNumpy, "randomness", "numpy's global random state"),
    (bad.GlobalPython, "randomness", "Python's global random state"),
    (bad.OwnGenerator, "determinism", "a second search with the same generators"),
    (
        bad.IgnoresGenerator,
        "determinism",
        "the same candidates from nine different generators",
    ),
    (bad.NoteInSelf, "determinism", "told after other states had asked"),
    (bad.CountsInSelf, "determinism", "a second search"),
    (bad.StartsAtOne, "t", "state.t = 1 after 0 tells"),
    (bad.CountsTwice, "t", "state.t = 2 after 1 tells"),
    (bad.FlatDoesNotCount, "t", "t = 0 after tell 1, a flat one"),
    (bad.GrowingHistory, "resume", r"FileFormatError: state.extra has shape \(5,\)"),
    (bad.AcceptsBadStarts, "refusals", "a start with NaN was accepted"),
    (bad.AcceptsAnyReturns, "refusals", "one return too few was accepted"),
    (bad.RaisesAnotherError, "refusals", "one return too few raised IndexError"),
    (bad.AcceptsForeignCandidates, "refusals", "asked by an earlier state was accepted"),
    (bad.LeaksNaN, "non-finite", "told nan.*finite theta"),
    (bad.InfinityWins, "non-finite", "told inf.*worst finite return instead"),
    (bad.MovesOnFlat, "flat", r"told 0.0 for every candidate, theta became"),
    (bad.DividesByTheSpread, "flat", "theta became.*nan"),
    (bad.StopsAfterFlat, "flat", "squared distance.*after ten flat generations"),
    (bad.Descends, "flat|ascent", "of the squared distance to the optimum left"),
    (bad.Stays, "flat|ascent", "1 of the squared distance to the optimum left"),
]


@pytest.mark.parametrize(
    ("broken", "rule", "message"), BROKEN, ids=lambda x: getattr(x, "__name__", "")
)
def test_a_broken_optimizer_fails_with_the_fault_named(
    broken: Any, rule: Any, message: Any
) -> None:
    expected = rf"(?s)^{broken.__name__} breaks the rule '({rule})'.*{message}"
    with pytest.raises(AssertionError, match=expected):
        check_optimizer(broken(), budget=500)


def test_a_sign_error_is_found_without_the_flat_rule_too() -> None:
    with pytest.raises(AssertionError, match=r"rule 'ascent'.*a wrong sign"):
        check_optimizer(bad.Descends(), budget=500, skip=("flat",))


class Decaying(Right):
    def moved(self, state: Any, theta: Any) -> Any:
        return super().moved(state, frozen(0.9 * theta))


class Raws(Right):
    def told(self, state: Any, asked: Any, values: Any) -> Any:
        step = values @ (asked.thetas - state.theta)
        return self.moved(state, frozen(state.theta + 0.01 * step))


class Clipping(Right):
    """Looks at the size of the returns, not only at their order."""

    def told(self, state: Any, asked: Any, values: Any) -> Any:
        return super().told(state, asked, np.maximum(values, -4.0))


@pytest.mark.parametrize(
    ("optimizer", "invariance", "message"),
    [
        (Clipping(), "monotone", "state.theta is"),
        (Raws(), "scale", "theta differs by"),
        (Raws(), "offset", "theta differs by"),
        (Raws(), "affine", "theta differs by"),
        (mpge(), "affine", "theta differs by"),
        (ars(), "monotone", "state.theta is"),
        (Decaying(), "translation", "theta differs by"),
        (CMAES(covariance="separable"), "rotation", "on rotated quadratics"),
        (SNES(), "rotation", "on rotated quadratics"),
        (GradientSearch(SGD(0.5), 0.1, 1, "coordinate"), "rotation", "on rotated quadratics"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_invariance_that_a_method_lacks_is_not_believed(
    optimizer: Any, invariance: str, message: str
) -> None:
    everything_else = ("values", "purity", "randomness", "determinism", "t", "resume")
    skip = (*everything_else, "refusals", "non-finite", "flat", "ascent")
    with pytest.raises(AssertionError, match=rf"rule '{invariance}'.*{message}"):
        check_optimizer(optimizer, invariances=(invariance,), skip=skip)
    assert invariance not in detect_invariances(optimizer)


def test_a_box_does_not_move_with_the_problem() -> None:
    class Boxed(Right):
        def init(self, theta: Any) -> Any:
            if np.abs(theta).max() > 8:
                raise ConfigurationError("outside")
            return super().init(theta)

    assert "translation" not in detect_invariances(Boxed())


class ForgetsLate(Right):
    """After 20 updates it depends on an attribute that no state keeps."""

    def init(self, theta: Any) -> Any:
        object.__setattr__(self, "late", 0)
        return super().init(theta)

    def moved(self, state: Any, theta: Any) -> Any:
        if state.t > 20:
            object.__setattr__(self, "late", self.late + 1)
            theta = frozen(theta + 1e-3 * self.late)
        return super().moved(state, theta)


def test_an_interruption_can_be_late() -> None:
    check_optimizer(ForgetsLate(), skip=("ascent", "flat"))
    with pytest.raises(AssertionError, match=r"'resume'.*gone on from the state of t = "):
        check_optimizer(ForgetsLate(), skip=("ascent", "flat"), generations=30)


@pytest.mark.parametrize("name", sorted({"ipop-cma-es", "bipop-cma-es"} & METHODS.keys()))
def test_restarts_resume_to_the_same_bits(name: Any) -> None:
    # In two dimensions both restart at t = 67 for the first time, and again before t = 150.
    rules = ("values", "purity", "randomness", "determinism", "t", "refusals", "non-finite")
    check_optimizer(METHODS[name], dim=2, generations=150, skip=(*rules, "flat", "ascent"))


def test_what_has_no_tell_is_no_optimizer() -> None:
    class Half:
        def init(self, theta: Any) -> Any:
            return None

        def ask(self, state: Any, rng: Any) -> Any:
            return None

    with pytest.raises(AssertionError, match="Half is no optimizer: it has no method tell"):
        check_optimizer(Half())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skip": ("flatt",)}, "unknown rule to skip 'flatt'; did you mean 'flat'"),
        ({"invariances": ("monoton",)}, "unknown invariance 'monoton'; did you mean 'monotone'"),
        ({"dim": 1}, "dim must be an integer ≥ 2"),
        ({"budget": 0}, "budget must be an integer ≥ 1"),
        ({"distance": 0.0}, "distance must be a finite number > 0"),
        ({"generations": 1}, "generations must be an integer ≥ 2"),
        ({"progress": 1.0}, r"progress must be in \(0, 1\)"),
    ],
)
def test_bad_arguments_of_the_check_are_no_breach(options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_optimizer(Right(), **options)
