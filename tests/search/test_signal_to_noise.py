"""The signal-to-noise ratio of updates."""

from __future__ import annotations

import numpy as np
import pytest

from zorl.common.types import Matrix
from zorl.search.signal_to_noise import BETA, UpdateSignal


def after(updates: Matrix, scale: float = 1.0) -> UpdateSignal:
    signal = UpdateSignal.create(updates.shape[1])
    for update in updates:
        signal = signal.take(update, scale)
    return signal


def test_the_moments_by_hand() -> None:
    updates = np.random.default_rng(0).normal(size=(5, 3))
    signal = after(updates)
    weights = BETA * (1 - BETA) ** np.arange(5)[::-1]
    np.testing.assert_allclose(signal.mean, weights @ updates, rtol=1e-12)
    assert signal.square == pytest.approx(weights @ (updates**2).sum(axis=1))


@pytest.mark.parametrize("count", [3, 10, 200])
@pytest.mark.parametrize("ratio", [0.0, 0.1, 1.0])
def test_signal_and_scatter_are_estimated_without_bias(count: int, ratio: float) -> None:
    d = 40
    signal_part: list[float] = []
    scatter_part: list[float] = []
    for seed in range(400):
        noise = np.random.default_rng(seed).normal(size=(count, d))
        signal = after(np.sqrt(ratio) + noise)  # ‖mean‖² = ratio · d, scatter = d
        value = signal.ratio
        first = 1 - (1 - BETA) ** count
        scatter = signal.square / first / (1 + value)
        scatter_part.append(scatter)
        signal_part.append(value * scatter)
    for found, expected in ((scatter_part, d), (signal_part, ratio * d)):
        error = np.std(found) / np.sqrt(len(found))
        assert abs(np.mean(found) - expected) < 4.5 * error


def test_the_ratio_does_not_see_units_and_takes_a_scale() -> None:
    updates = np.random.default_rng(1).normal(size=(20, 3)) + 0.5
    assert after(updates * 1e6).ratio == pytest.approx(after(updates).ratio)
    shrinking = updates * 0.5 ** np.arange(20)[:, None]
    signal = UpdateSignal.create(3)
    for k, update in enumerate(shrinking):
        signal = signal.take(update, 0.5**k)
    assert signal.ratio == pytest.approx(after(updates).ratio)


def test_what_cannot_be_told_is_nan() -> None:
    assert np.isnan(UpdateSignal.create(2).ratio)
    assert np.isnan(after(np.ones((2, 2))).ratio)
    assert np.isnan(after(np.ones((50, 2))).ratio)  # nothing scatters
    assert np.isnan(after(np.zeros((50, 2))).ratio)


def test_its_mean_is_read_only() -> None:
    assert not after(np.ones((2, 2))).mean.flags.writeable
