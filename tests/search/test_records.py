"""The record of a generation, and the counters of a run."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from gate_toys import Scripted
from search_toys import RUNNING, generations, make_search, sphere

import zorl
from zorl.common.errors import ConfigurationError
from zorl.common.streams import Streams
from zorl.optimizers import CMAES, spsa
from zorl.rollout.evaluation import Evaluation, Evaluator, FunctionEvaluator
from zorl.search import Budget, Counters, Search


def test_the_record_says_what_happened() -> None:
    gate = Scripted((True, False), 3)
    first, second = generations(make_search(gate=gate), 2)
    figures = second.scalars
    scores = second.evaluation.returns.mean(axis=1)
    assert figures["search/return_mean"] == pytest.approx(scores.mean())
    assert figures["search/return_max"] == scores.max()
    assert figures["search/return_std"] == pytest.approx(scores.std())
    assert figures["task/native_return_mean"] == pytest.approx(scores.mean() - 1)
    assert figures["task/native_return_max"] == pytest.approx(scores.max() - 1)
    assert figures["task/success_rate"] == second.evaluation.successes.mean()
    assert figures["task/episode_length"] == second.evaluation.lengths.mean()
    assert figures["search/env_steps"] == second.state.counters.search_steps
    assert figures["search/episodes"] == 32
    assert figures["gate/accepted"] == 0
    assert figures["gate/acceptance_rate"] == 0.5
    assert figures["gate/episodes"] == 6
    assert figures["gate/env_steps"] == second.state.counters.gate_steps > 0
    assert figures["gate/claimed_return"] == 7.5
    assert figures["search/update_norm"] == 0
    assert first.scalars["search/update_norm"] == pytest.approx(np.linalg.norm(first.state.theta))
    assert figures["search/theta_norm"] == first.scalars["search/theta_norm"] > 0
    assert 0 < figures["time/optimizer_share"] < 1
    assert figures["time/generation_seconds"] >= second.timing.rollout
    assert second.histograms["search/returns"].tolist() == scores.tolist()
    assert second.histograms["search/theta"].tolist() == first.state.theta.tolist()
    assert (first.histograms["search/update"] == first.state.theta).all()
    assert first.state.claimed == second.state.claimed == 7.5
    assert np.isnan(generations(make_search(), 1)[0].state.claimed)
    held = replace(make_search().init(np.zeros(3), RUNNING), claimed=-3.0)
    assert make_search().step(held).state.claimed == -3.0  # no decision, no new claim
    assert "gate/claimed_return" not in generations(make_search(), 1)[0].scalars


def test_the_size_of_the_perturbations_is_a_figure_of_every_method() -> None:
    first, second = generations(make_search(optimizer=CMAES(sigma0=0.5)), 2)
    assert first.scalars["search/sigma"] == 0.5
    assert second.scalars["search/sigma"] == first.state.optimizer.sigma != 0.5
    decaying = generations(make_search(optimizer=spsa(radius=0.2, gains=True)), 3)
    sizes = [generation.scalars["search/sigma"] for generation in decaying]
    assert sizes == [0.2, 0.2 / 2**0.101, 0.2 / 3**0.101]


def test_the_first_state_is_all_zeros_and_the_counters_add_up() -> None:
    of = zorl.Search(spsa(), FunctionEvaluator(sphere), zorl.Streams(0))
    state = of.init([1.0, 2.0])
    assert state.counters == Counters()
    assert state.generation == 0
    assert state.theta.tolist() == [1.0, 2.0]
    assert not state.normalizer.active
    assert Counters(1, 2, 4, 8).env_steps == 3
    assert Counters(1, 2, 4, 8).episodes == 12
    with pytest.raises(ConfigurationError, match="episodes must be ≥ 1, got 0"):
        make_search(episodes=0)


def test_the_acceptance_rate_counts_only_updates_that_moved_theta() -> None:
    flat_then_slope = iter([0.0, 0.0, 1.0])

    class Scripted(Evaluator):
        def evaluate(self, thetas: Any, seeds: Any, normalizer: Any) -> Evaluation:
            returns = next(flat_then_slope) * thetas[:, :1]
            return Evaluation(
                returns, returns, np.ones(returns.shape, np.int64), np.zeros(returns.shape, bool)
            )

    search = Search(spsa(), Scripted(), Streams(0))
    *_, last = islice(search.run(search.init(np.zeros(3))), 3)
    assert last.state.counters.updates == last.state.counters.accepted == 1
    assert last.scalars["gate/acceptance_rate"] == 1.0


def test_a_budget_is_spent_at_the_first_of_its_bounds() -> None:
    state = make_search().init(np.zeros(3), RUNNING)
    there = replace(state, generation=4, counters=Counters(30, 12, 6, 3))
    spent = {"generations": 4, "total_timesteps": 42, "total_episodes": 9}
    for name, value in spent.items():
        assert Budget(**{name: value})(there)
        assert not Budget(**{name: value + 1})(there)
        assert Budget(**{**dict.fromkeys(spent, 100), name: value})(there)
        with pytest.raises(ConfigurationError, match=rf"{name} must be .*(≥ 1|> 0), got 0"):
            Budget(**{name: 0})
    assert not Budget()(there)
