"""What the page on clustering rests on: the loss, its gradient, and the methods on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zorl.common.errors import UnknownNameError
from zorl.optimizers.recipes import mpge, mpge_average
from zorl.studies.clustering import gaps
from zorl.studies.soft_k_means import (
    RATE,
    alternate,
    draw,
    gradient,
    loss,
    memberships,
    ratios,
    search,
)


def test_loss_is_that_of_the_best_memberships() -> None:
    points, centres = draw("2-D", 0)
    squares = ((centres[:, None] - points) ** 2).sum(-1)
    u = np.empty_like(squares)
    for i in range(points.shape[0]):
        for k in range(5):
            u[k, i] = 1 / sum(squares[k, i] / squares[j, i] for j in range(5))
    np.testing.assert_allclose(memberships(points, centres), u, rtol=1e-8)
    assert loss(points, centres) == pytest.approx((u**2 * squares).sum(), rel=1e-9)
    other = u * np.random.default_rng(0).uniform(0.8, 1.2, u.shape)
    other /= other.sum(0)
    assert (other**2 * squares).sum() > loss(points, centres)


@pytest.mark.parametrize("kind", ["2-D", "6-D"])
def test_gradient_is_that_of_differences(kind: str) -> None:
    points, centres = draw(kind, 1)
    found = np.empty(centres.shape)
    for place in np.ndindex(centres.shape):
        step = np.zeros(centres.shape)
        step[place] = 1e-5
        found[place] = (loss(points, centres + step) - loss(points, centres - step)) / 2e-5
    np.testing.assert_allclose(gradient(points, centres), found, rtol=1e-4, atol=1e-2)


def test_data_are_as_published() -> None:
    points, start = draw("6-D", 0)
    assert points.shape == (300, 6) and not points[:, 3:].any() and start.shape == (3, 6)
    near = np.sqrt(((start[:, None] - points) ** 2).sum(-1)).min(1)
    assert (near < 0.6).all() and (near > 0).all()
    points, _ = draw("2-D", 0)
    spread = [points[k::5].std(axis=0, ddof=1) for k in range(5)]
    assert np.mean(spread) == pytest.approx(5, abs=0.4)


def test_alternation_ends_where_descent_does() -> None:
    points, start = draw("2-D", 3)
    end = alternate(points, start, 2000)
    assert np.abs(gradient(points, end)).max() < 1e-5
    descended = search("analytical", points, start, 3000, 0, 0)[-1][1]
    ratio = float(loss(points, descended) / loss(points, end))
    assert 1 <= ratio < 1 + 2e-5  # it creeps along a flat valley


@pytest.mark.parametrize("kind", ["2-D", "6-D"])
def test_alternation_never_increases_the_loss(kind: str) -> None:
    points, centres = draw(kind, 4)
    losses = [float(loss(points, centres))]
    for _ in range(300):
        centres = alternate(points, centres, 1)
        losses.append(float(loss(points, centres)))
    falls = -np.diff(losses)
    assert (falls >= -1e-11 * losses[0]).all() and losses[-1] < 0.9 * losses[0]


def test_search_refuses_an_unknown_method() -> None:
    points, start = draw("2-D", 0)
    with pytest.raises(UnknownNameError, match="SPSA"):
        search("spas", points, start, 1, 0, 0)


def test_gap_of_published_mpge_is_that_of_a_tenth_of_the_rate() -> None:
    points, start = draw("2-D", 0)
    slow, fast = start, start
    for _ in range(100):
        slow = slow - RATE / 10 * gradient(points, slow)
        fast = fast - RATE * gradient(points, fast)
    found = gaps("2-D", 1, [50, 100])
    want = float(loss(points, slow) / loss(points, fast))
    assert found["ratios"][0][1] == pytest.approx(want, rel=1e-4) and found["since"] == [-1]


def test_mpge_on_clusters_by_its_two_conventions() -> None:
    points, start = draw("2-D", 2)

    def objective(thetas: np.ndarray) -> np.ndarray:
        return -loss(points, thetas.reshape(-1, 5, 2))

    steps = []
    for optimizer in (mpge(RATE, 1e-4), mpge_average(RATE, 1e-4)):
        state = optimizer.init(start.ravel())
        asked = optimizer.ask(state, np.random.default_rng(0))
        steps.append(optimizer.tell(state, asked, objective(asked.thetas)).theta - start.ravel())
    want = -RATE * gradient(points, start).ravel()
    np.testing.assert_allclose(steps[0], want, rtol=2e-2, atol=1e-4)
    np.testing.assert_allclose(steps[1], want / 10, rtol=2e-2, atol=1e-5)


def test_searches_pay_for_what_they_take() -> None:
    points, start = draw("2-D", 0)
    trail = search("SPSA", points, start, 0, 100, 0)
    assert [spent for spent, _ in trail] == list(range(0, 101, 2))
    spent = [
        s for s, _ in search("best of 50 starts, MPGE 0.008, CMA-ES", points, start, 0, 600, 0)
    ]
    assert spent[1] == 50 and spent == sorted(spent) and 600 <= spent[-1] < 620


def test_clustering_cells_twice_are_the_same_bits() -> None:
    cell: dict[str, Any] = {"kind": "6-D", "method": "CMA-ES", "draws": 2, "steps": 0,
                            "cost": 200, "rounds": 10}  # fmt: skip
    assert ratios(**cell) == ratios(**cell)
