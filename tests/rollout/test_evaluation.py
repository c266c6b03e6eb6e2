"""Plain functions as evaluators."""

from __future__ import annotations

import numpy as np
import pytest
from search_toys import sphere

from zorl.common.errors import ConfigurationError
from zorl.rollout.evaluation import FunctionEvaluator


def test_a_function_is_maximised_unless_told_otherwise() -> None:
    thetas = np.array([[0.5, -1.0, 2.0], [0.5, -1.0, 4.0]])
    assert FunctionEvaluator(sphere).evaluate(thetas).returns.tolist() == [[0.0], [4.0]]
    least = FunctionEvaluator(sphere, minimise=True).evaluate(thetas, seeds=(1, 2))
    assert least.returns.tolist() == [[0.0, 0.0], [-4.0, -4.0]]
    assert least.native_returns.tolist() == least.returns.tolist()
    assert least.env_steps == 0
    assert not least.successes.any()
    with pytest.raises(ConfigurationError, match=r"shape \(2,\), got \(3,\)"):
        FunctionEvaluator(lambda t: np.zeros(3), batched=True).evaluate(thetas)


def test_a_function_of_a_seed_is_called_for_each_and_a_noisy_one_too() -> None:
    thetas = np.zeros((2, 3))
    seeded = FunctionEvaluator(lambda theta, seed: float(seed), seeded=True)
    assert seeded.evaluate(thetas, seeds=(4, 5)).returns.tolist() == [[4.0, 5.0], [4.0, 5.0]]
    calls: list[int] = []
    for noisy in (False, True):
        calls.clear()
        FunctionEvaluator(lambda theta: calls.append(1) or 0.0, noisy=noisy).evaluate(  # type: ignore[func-returns-value]
            thetas, seeds=(4, 5, 6)
        )
        assert len(calls) == (6 if noisy else 2)
