"""What the pages on Mountain Car rest on: the searches by hand, conventions, and resampling."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import zorl
from zorl.agents.search.agent import SearchAgent
from zorl.common.streams import Streams, held_out_seeds
from zorl.optimizers.base import Asked
from zorl.optimizers.directions import rademacher
from zorl.optimizers.recipes import mpge, mpge_average
from zorl.studies.mountain_car_luck import single_runs
from zorl.studies.mountain_car_runs import POINTS, PUBLISHED, OwnStarts, search_runs, share
from zorl.studies.spsa_mountain_car import cell
from zorl.studies.spsa_mountain_car_rules import UNGATED


def _agent(seed: int = 0) -> SearchAgent:
    agent = zorl.make_agent(
        "spsa", zorl.make_task("MountainCar-v0", ["momentum"]), seed=seed, workers=1,
        backend="compiled-fast", normalize="off", m=1, episodes=5,
    )  # fmt: skip
    assert isinstance(agent, SearchAgent)
    return agent


def _by_hand(
    seed: int, alpha: float, k: float, iterations: int, gated: bool
) -> tuple[float, float]:
    """Best claimed mean and held-out mean of the report's loop, in a few lines of numpy."""
    agent, streams = _agent(seed), Streams(seed)

    def mean(theta: Any, seeds: Any) -> float:
        rows = np.asarray(theta)[None]
        found = agent.search.evaluator.evaluate(rows, tuple(seeds), agent.state.normalizer)
        return float(found.returns.mean())

    theta = agent.policy.init(streams.init())
    best = mean(theta, streams.validation(20)[:5])
    for g in range(iterations):
        delta = rademacher(streams.search(g), 1, theta.size)[0]
        seeds = streams.episodes(g, 5)
        up, down = mean(theta + k * delta, seeds), mean(theta - k * delta, seeds)
        if up == down:
            continue
        new = theta + alpha * (up - down) / (2 * k) * delta
        score = mean(new, streams.gate(g, 5))
        if score > best or not gated:
            theta = new
        best = max(best, score)
    return best, mean(theta, held_out_seeds(200))


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize(("seed", "gains"), [(4, (0.5, 5.0)), (7, (0.25, 1.0))])
def test_published_loop_is_the_one_by_hand(
    seed: int, gains: tuple[float, float], gated: bool
) -> None:
    """Seed 7's first step is worse than its start, so that the start's score counts."""
    gate = {"gate": "stale-best"} if gated else UNGATED
    runs = search_runs(**cell(*gains, 1, 60, gate, first=seed))
    claimed, shaped = _by_hand(seed, *gains, 60, gated)
    assert runs["claimed"] == [pytest.approx(claimed, abs=1e-9)]
    assert runs["shaped"] == [pytest.approx(shaped, abs=1e-9)]
    assert len(runs["claims"][0]) == len(runs["truth"][0]) == POINTS
    assert runs["claims"][0][-1] == pytest.approx(claimed, abs=1e-3)


def test_runs_twice_and_one_by_one_are_the_same_bits() -> None:
    both = search_runs(**cell(1.0, 5.0, 2, 40))
    assert search_runs(**cell(1.0, 5.0, 2, 40)) == both
    second = search_runs(**cell(1.0, 5.0, 1, 40, first=1))
    assert {name: values[1:] for name, values in both.items()} == second


def test_budget_is_not_exceeded() -> None:
    options = {"m": 8, "episodes": 2, "normalize": "running", "gate": "paired"}
    runs = search_runs("mpge", 0, 2, budget=500, options=options)
    # A generation is 8 · 2 · 2 episodes and, once it moves, the gate's 2 · 5.
    assert all(500 - 42 < spent <= 500 for spent in runs["episodes"])


def test_published_mpge_takes_steps_d_times_as_short() -> None:
    dim, alpha, k = 51, 0.5, 5.0
    rng = np.random.default_rng(3)
    theta, slope = rng.normal(size=dim), rng.normal(size=dim)
    steps = []
    for search in (
        mpge_average(alpha, k),
        mpge(alpha / dim, k / math.sqrt(dim)),
        mpge(alpha, k / math.sqrt(dim)),
    ):
        state = search.init(theta)
        asked: Asked = search.ask(state, np.random.default_rng(5))
        steps.append(search.tell(state, asked, asked.thetas @ slope).theta - theta)
    np.testing.assert_allclose(steps[0], steps[1], rtol=1e-9)
    np.testing.assert_allclose(steps[2], dim * steps[0], rtol=1e-9)
    np.testing.assert_allclose(steps[2], alpha * slope, rtol=1e-9)  # all of an orthogonal basis


def test_candidates_with_their_own_starts() -> None:
    agent = _agent()
    play, normalizer = agent.search.evaluator, agent.state.normalizer
    theta, seeds = agent.state.theta, agent.search.streams.episodes(7, 5)
    pair = np.stack([theta, theta])
    own = OwnStarts(play).evaluate(pair, seeds, normalizer)
    assert own.returns.shape == own.lengths.shape == (2, 5)
    shared = play.evaluate(pair, seeds, normalizer)
    np.testing.assert_array_equal(shared.returns[0], shared.returns[1])
    np.testing.assert_array_equal(own.returns[0], shared.returns[0])
    assert not np.intersect1d(own.returns[0], own.returns[1]).size
    again = OwnStarts(play).evaluate(np.stack([-theta, theta]), seeds, normalizer)
    np.testing.assert_array_equal(again.returns[1], own.returns[1])


def test_failures_of_the_report_are_the_returns_of_a_constant_push() -> None:
    """Mountain Car by hand under one action; its means of five are the report's failing cells."""
    agent = _agent()
    push = np.zeros((3, agent.parameters))
    push[[0, 1, 2], [48, 49, 50]] = 1.0  # the biases of the outputs
    seeds = tuple(range(200))
    found = agent.search.evaluator.evaluate(push, seeds, agent.state.normalizer).returns
    env = gym.make("MountainCar-v0")
    for action in range(3):
        for at in range(4):
            (x, v), total = map(float, env.reset(seed=seeds[at])[0]), 0.0
            for _ in range(200):
                v = float(np.clip(v + (action - 1) * 0.001 - 0.0025 * math.cos(3 * x), -0.07, 0.07))
                x = float(np.clip(x + v, -1.2, 0.6))
                v = 0.0 if x == -1.2 and v < 0 else v
                total += 5 * abs(v) + 0.2 * (math.sin(3 * x) + 1) - 1
            assert found[action, at] == pytest.approx(total, abs=1e-2)
    # Where 200 of the 450 runs with starts of their own end.
    held_out = agent.search.evaluator.evaluate(push, held_out_seeds(200), agent.state.normalizer)
    assert held_out.returns[0].mean() == pytest.approx(-184.9, abs=0.1)
    fives = found[[0, 2]].reshape(-1, 5).mean(axis=1)
    failures = [value for value in PUBLISHED.values() if -190 < value < -180]
    assert len(failures) == 3
    assert fives.min() < min(failures) < max(failures) < fives.max()


def test_tables_of_single_runs_resample_the_cells() -> None:
    published = np.array([-5.0, 1.0, 2.0])
    fixed = np.repeat(published[:, None], 4, axis=1)
    same, counts, ours, theirs, best = single_runs(fixed, published, 50, np.random.default_rng(0)).T
    assert same.all()
    assert (counts == 2).all()
    assert (ours == 1).all()
    assert (theirs == 1).all()
    assert best.all()
    # Cells that are positive in 1, 2 and 3 of 4 runs: P(−, +, +) = 3/4 · 2/4 · 3/4.
    mixed = np.array([[1.0, -1, -2, -3], [4, 5, -4, -5], [6, 7, 8, -6]])
    same, counts, *_ = single_runs(mixed, published, 40_000, np.random.default_rng(1)).T
    assert same.mean() == pytest.approx(9 / 32, abs=0.01)
    assert counts.mean() == pytest.approx(1.5, abs=0.02)


def test_share_is_wilsons_interval() -> None:
    # (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n) of 16 in 50, by hand.
    n, p, z = 50, 0.32, 1.959964
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((p + z**2 / (2 * n) + side * half) / (1 + z**2 / n) for side in (-1, 1))
    assert (
        share([True] * 16 + [False] * 34) == f"16 of 50: 32 % [{100 * low:.0f}, {100 * high:.0f}]"
    )
