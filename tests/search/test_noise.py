"""Searches against noise: its measure, the episodes that follow it, and steps that diverge."""

from __future__ import annotations

import numpy as np
import pytest

from zorl.common.errors import ConfigurationError, DivergedError
from zorl.common.streams import Streams
from zorl.optimizers import RandomSearch, spsa
from zorl.rollout.evaluation import Evaluation, FunctionEvaluator
from zorl.search.loop import Search, reliability


def test_a_search_that_diverges_says_so_and_why() -> None:
    evaluator = FunctionEvaluator(lambda x: 1e60 * x[0])
    search = Search(spsa(learning_rate=1.0, radius=1.0), evaluator, Streams(0))
    with pytest.raises(DivergedError, match="lower the learning rate"):
        search.step(search.init(np.zeros(3)))


def test_stability_without_gains_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs gains=True"):
        spsa(stability=10.0)


class TestReliability:
    def test_differences_without_noise_are_certain(self) -> None:
        episodes = np.array([3.0, -8.0, 1.0])  # hard and easy starts are no noise
        assert reliability(np.arange(5.0)[:, None] + episodes) == pytest.approx(1.0)

    def test_matches_the_share_of_variance_that_was_put_in(self) -> None:
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
        assert np.mean(draws) == pytest.approx(expected, abs=0.04)

    def test_pure_noise_is_no_signal(self) -> None:
        rng = np.random.default_rng(1)
        draws = [reliability(rng.standard_normal((30, 5))) for _ in range(300)]
        assert abs(np.median(draws)) < 0.1

    @pytest.mark.parametrize(
        "returns",
        [np.zeros((5, 1)), np.zeros((1, 5)), np.full((4, 4), -200.0), np.full((3, 3), np.nan)],
        ids=["one episode", "one candidate", "all equal", "nan"],
    )
    def test_cannot_be_told(self, returns: np.ndarray) -> None:
        assert reliability(returns) is None


class TestEpisodesFollowNoise:
    def run(self, noise: float, generations: int = 40) -> list[int]:
        """Episodes per candidate of a search on a line with that much noise per episode."""

        class Noisy:
            def evaluate(self, thetas, seeds, normalizer):  # type: ignore[no-untyped-def]
                rng = np.random.default_rng(seeds[0])
                draws = rng.standard_normal((len(thetas), len(seeds)))
                returns = thetas[:, :1] + noise * draws
                lengths = np.ones(returns.shape, np.int64)
                return Evaluation(returns, returns, lengths, np.zeros(returns.shape, bool))

        search = Search(
            RandomSearch(radius=1.0, popsize=20), Noisy(), Streams(0), episodes=2, max_episodes=30
        )
        counts = []
        for generation in search.run(search.init(np.zeros(2))):
            counts.append(generation.evaluation.returns.shape[1])
            if generation.index == generations:
                return counts
        raise AssertionError

    def test_they_stay_few_without_noise(self) -> None:
        assert set(self.run(0.1)) == {2}

    def test_they_grow_to_where_half_the_variance_is_signal(self) -> None:
        # 1 = 3²/e at a reliability of ½, so that e settles about 9.
        assert 6 <= np.mean(self.run(3.0)[20:]) <= 12

    def test_they_stop_at_the_most(self) -> None:
        assert max(self.run(100.0)) == 30
