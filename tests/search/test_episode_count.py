"""Reliability, and the episodes per candidate that follow it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from search_toys import generations, make_search

from zorl.common.errors import ConfigurationError
from zorl.common.streams import Seeds
from zorl.common.types import Matrix, Vector
from zorl.optimizers import es
from zorl.policies.normalization import Normalizer
from zorl.rollout.evaluation import Evaluation, Evaluator
from zorl.search import reliability


def test_reliability_is_the_share_of_the_variance_that_is_the_candidates_own() -> None:
    rng = np.random.default_rng(0)
    own, easy = rng.normal(size=(400, 1)), 9 * rng.normal(size=(1, 5))
    assert reliability(own + easy) == pytest.approx(1)  # hard and easy starts are no noise
    noisy = own + easy + 2 * rng.normal(size=(400, 5))
    assert reliability(noisy) == pytest.approx(1 / (1 + 4 / 5), abs=0.08)
    assert abs(reliability(easy + rng.normal(size=(400, 5))) or 1) < 0.2
    assert reliability(np.array([[1.0, -1.001], [-1.0, 1.0]])) == -1.0


def test_reliability_of_few_candidates_is_right_on_average() -> None:
    rng = np.random.default_rng(0)
    n, e, signal, noise = 40, 4, 2.0, 3.0
    draws = [
        reliability(
            signal * rng.standard_normal((n, 1))
            + 10 * rng.standard_normal(e)
            + noise * rng.standard_normal((n, e))
        )
        for _ in range(400)
    ]
    expected = signal**2 / (signal**2 + noise**2 / e)
    # The mean of 400 draws with a standard deviation of about 0.13 each.
    assert np.mean([draw for draw in draws if draw is not None]) == pytest.approx(
        expected, abs=0.04
    )


@pytest.mark.parametrize(
    "returns",
    [
        np.arange(5.0)[:, None],
        np.arange(5.0)[None],
        np.full((4, 4), -200.0),
        np.array([[1, np.nan], [2, 3], [4, 5]]),
    ],
    ids=["one episode", "one candidate", "all equal", "nan"],
)
def test_some_returns_say_nothing_about_reliability(returns: Vector) -> None:
    assert reliability(returns) is None


@dataclass
class Table(Evaluator):
    """An evaluator with a given spread between candidates and a given noise of their episodes."""

    spread: float
    noise: float

    def evaluate(self, thetas: Matrix, seeds: Seeds, normalizer: Normalizer) -> Evaluation:
        rng = np.random.default_rng(seeds[0])
        own = self.spread * rng.normal(size=(len(thetas), 1))
        easy = 5 * rng.normal(size=(1, len(seeds)))  # of the episode, the same for all
        returns = own + easy + self.noise * rng.normal(size=(len(thetas), len(seeds)))
        lengths = np.ones(returns.shape, np.int64)
        return Evaluation(returns, returns, lengths, lengths > 0)


def test_episodes_per_candidate_follow_the_noise_between_their_bounds() -> None:
    def counts(spread: float, noise: float, **options: Any) -> list[int]:
        of = make_search(Table(spread, noise), optimizer=es(m=8), **options)
        done = generations(of, 40)
        shapes = [g.evaluation.returns.shape[1] for g in done]
        assert [g.scalars["search/episodes_per_candidate"] for g in done] == shapes
        return shapes

    assert counts(0, 1) == [2] * 40  # not asked to
    drowned = counts(0, 1, max_episodes=9)
    assert drowned[0] == 2
    assert drowned[-1] == max(drowned) == 9
    assert counts(0, 1, episodes=1, max_episodes=9)[-1] == 9  # one could never tell
    assert counts(1, 1e-3, max_episodes=9) == [2] * 40
    settled = counts(1, 2.0, max_episodes=40)[20:]
    assert 2 < np.mean(settled) < 10  # reliability ½ at spread² = noise² / e, so e = 4
    assert 6 <= np.mean(counts(1, 3.0, max_episodes=40)[20:]) <= 12  # so e = 9
    grown = make_search(Table(1, 1e-3), optimizer=es(m=8), max_episodes=9)
    start = replace(grown.init(np.zeros(3)), episodes=9.0)
    assert grown.step(start).state.episodes < 9  # back again when the noise is gone


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_episodes": 1, "episodes": 1}, "max_episodes must be ≥ 2"),
        ({"max_episodes": 3, "episodes": 4}, "≥ episodes = 4, got 3"),
        ({"target": 1.0}, r"target must be in \(0, 1\), got 1.0"),
    ],
)
def test_bounds_of_the_episodes_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make_search(**options)


def test_reliability_of_two_candidates_and_two_episodes_by_hand() -> None:
    """Means 1.5 and 3.5, of variance 2; residuals ±1/2 at one degree of freedom, of variance 1."""
    assert reliability(np.array([[1.0, 2.0], [4.0, 3.0]])) == pytest.approx(
        1 - 1 / 2 / 2, rel=1e-12
    )
