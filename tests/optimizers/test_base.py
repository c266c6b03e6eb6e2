"""What all optimizers share: starts, candidates, returns, and what an optimizer is."""

from __future__ import annotations

import numpy as np
import pytest

from zorl.common.errors import ConfigurationError
from zorl.optimizers import CMAES, SGD, SNES, Averaged, Bounded, LearningRateAdaptation, Restarts
from zorl.optimizers.base import Asked, finite_returns, missing_methods
from zorl.optimizers.spsa import spsa


def rng_of(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("theta", "message"),
    [
        ([], "non-empty vector"),
        (1.0, "non-empty vector"),
        ([[1.0, 2.0]], r"got shape \(1, 2\)"),
        ([0.0, np.nan, 1.0], r"theta\[1\] is nan"),
        ([0.0, 1.0, -np.inf], r"theta\[2\] is -inf"),
    ],
)
def test_a_start_that_is_no_finite_vector_is_refused(theta, message):
    with pytest.raises(ConfigurationError, match=message):
        spsa().init(theta)


def test_a_start_may_be_integers_or_float32_and_becomes_float64():
    for theta in ([1, 2], np.float32([1, 2]), (1, 2)):
        state = spsa().init(theta)
        assert state.theta.dtype == np.float64 and state.theta.tolist() == [1.0, 2.0]


def test_asked_counts_and_freezes():
    asked = Asked(np.zeros((3, 2)), 0, np.ones((3, 2)), sigma=1.0)
    assert len(asked) == 3 and asked.thetas is asked.candidates
    assert not (asked.thetas.flags.writeable or asked.directions.flags.writeable)
    assert spsa(m=4).init(np.zeros(2)).recent.shape == (0, 0)


@pytest.mark.parametrize(
    "returns", [[1.0], np.zeros(3), np.zeros((2, 1)), 1.0, []], ids=lambda r: str(np.shape(r))
)
def test_returns_of_another_shape_are_refused(returns):
    search = spsa()
    state = search.init(np.ones(4))
    with pytest.raises(ConfigurationError, match=r"one return per candidate, shape \(2,\)"):
        search.tell(state, search.ask(state, rng_of()), returns)


def test_candidates_of_another_state_are_refused():
    search = spsa()
    state = search.init(np.ones(4))
    asked = search.ask(state, rng_of())
    later = search.tell(state, asked, [1.0, 2.0])
    with pytest.raises(ConfigurationError, match=r"asked at update 0 .* state is at update 1"):
        search.tell(later, asked, [1.0, 2.0])
    foreign = search.ask(search.init(np.ones(5)), rng_of())
    with pytest.raises(ConfigurationError, match=r"\(d = 5\), but the state .* \(d = 4\)"):
        search.tell(state, foreign, [1.0, 2.0])


def test_returns_may_be_any_sequence_of_numbers():
    search = spsa()
    state = search.init(np.ones(3))
    asked = search.ask(state, rng_of())
    thetas = [
        search.tell(state, asked, returns).theta
        for returns in ([3, 1], (3.0, 1.0), np.float32([3, 1]), np.array([3, 1]))
    ]
    for theta in thetas[1:]:
        np.testing.assert_array_equal(theta, thetas[0])


def test_faults_count_as_the_worst_finite_return_or_as_zero():
    values = np.array([3.0, np.nan, -2.0, np.inf, -np.inf])
    assert finite_returns(values).tolist() == [3.0, -2.0, -2.0, -2.0, -2.0]
    assert finite_returns(np.array([np.nan, np.inf])).tolist() == [0.0, 0.0]


def test_an_optimizer_is_an_instance_with_init_ask_and_tell():
    assert missing_methods(CMAES()) == []
    assert missing_methods(SGD(0.1)) == ["ask", "tell"]
    assert missing_methods(CMAES) == missing_methods("cma-es") == ["init", "ask", "tell"]


@pytest.mark.parametrize("wrapper", [Averaged, Bounded, LearningRateAdaptation, Restarts])
def test_what_is_no_optimizer_cannot_be_wrapped(wrapper):
    for given in ("cma-es", CMAES, SGD(0.1), None):
        name = rf"{wrapper.__name__} needs an optimizer, e\.g\. CMAES\(\), not"
        with pytest.raises(ConfigurationError, match=name):
            wrapper(given)
    if wrapper in (LearningRateAdaptation, Restarts):
        with pytest.raises(ConfigurationError, match=r"works around CMAES\(…\) alone, got SNES"):
            wrapper(SNES())
