"""Luck in the published table on Mountain Car: one run a cell, and the best of many measurements.

This module is not a study; `spsa_mountain_car` uses it.
"""

from __future__ import annotations

import numpy as np
import scipy.stats

import zorl
from zorl.agents.search.agent import SearchAgent
from zorl.common.stats import Array
from zorl.common.streams import Purpose
from zorl.policies.normalization import Normalizer
from zorl.studies.mountain_car_runs import PUBLISHED, Gains, Runs


def single_runs(claimed: Array, published: Array, draws: int, rng: np.random.Generator) -> Array:
    """Resample tables with one run a cell from measured claims (cells, seeds).

    Returns:
        Array (draws, 5): whether exactly the published cells are positive, the number of positive
        cells, Kendall's τ_a with the published table and with another such table, and whether those
        two have the same best cell.
    """
    cells, seeds = claimed.shape
    one, two = claimed[np.arange(cells), rng.integers(seeds, size=(2, draws, cells))]
    i, j = np.triu_indices(cells, 1)
    order = np.sign(one[:, i] - one[:, j])
    return np.stack(
        [
            ((one > 0) == (published > 0)).all(axis=1),
            (one > 0).sum(axis=1),
            (order * np.sign(published[i] - published[j])).mean(axis=1),
            (order * np.sign(two[:, i] - two[:, j])).mean(axis=1),
            one.argmax(axis=1) == two.argmax(axis=1),
        ],
        axis=1,
    )


def chances(grid: dict[Gains, Runs], draws: int) -> dict[str, str]:
    """Return statistics of tables with one run a cell, by name, from a measured grid."""
    claimed = np.array([runs["claimed"] for runs in grid.values()])
    published = np.array([PUBLISHED[gains] for gains in grid])
    tables = single_runs(claimed, published, draws, np.random.default_rng(0))
    same, counts, ours, theirs, best = tables.T
    rates = (claimed > 0).mean(axis=1)
    hits = (claimed > 0).sum(axis=1)
    p = scipy.stats.chi2_contingency([hits, claimed.shape[1] - hits]).pvalue if hits.any() else 1.0
    alike = np.mean(np.equal(grid[1.0, 1.0]["claimed"], grid[0.5, 1.0]["claimed"]))
    return {
        "positive cells: mean": f"{counts.mean():.2f}",
        "at least three positive cells": f"{(counts >= 3).mean():.1%}",
        "exactly three positive cells": f"{(counts == 3).mean():.1%}",
        "exactly the published three": f"{same.mean():.2%}",
        "… by the rates": f"{np.where(published > 0, rates, 1 - rates).prod():.2%}",
        "the likeliest set of positive cells": f"{np.maximum(rates, 1 - rates).prod():.1%}",
        "Kendall's τ with the published table: mean, 5 % to 95 %": spread(ours),
        "Kendall's τ of two such tables: mean, 5 % to 95 %": spread(theirs),
        "two such tables have the same best cell": f"{best.mean():.1%}",
        "cells with equal rates: p of χ²": f"{p:.2f}",
        "largest claim of all runs": f"{claimed.max():.1f}",
        "seeds with equal claims in (1, 1) and (0.5, 1)": f"{alike:.0%}",
    }


def constant_push(episodes: int) -> dict[str, Array]:
    """Return the shaped returns (episodes,) of the policies that always push one way."""
    agent = zorl.make_agent("spsa", zorl.make_task("MountainCar-v0", ["momentum"]), workers=1)
    assert isinstance(agent, SearchAgent)
    thetas = np.zeros((2, agent.parameters))
    thetas[0, -3] = thetas[1, -1] = 1.0  # the outputs' biases come last: left, none, right
    seeds = agent.search.streams.seeds(Purpose.EPISODES, 0, episodes)
    off = Normalizer.create("off", np.zeros(2), np.zeros(2))
    left, right = agent.search.evaluator.evaluate(thetas, seeds, off).returns
    agent.close()
    return {"always left": left, "always right": right}


def best_of(returns: Array, n: int, rng: np.random.Generator) -> Array:
    """Return 1,000 resampled values of the best of n means of five returns."""
    return np.asarray(rng.choice(returns, (1000, n, 5)).mean(axis=2).max(axis=1))


def spread(values: Array) -> str:
    """Format the mean, and the 5 % and 95 % quantiles."""
    low, high = np.quantile(values, [0.05, 0.95])
    return f"{values.mean():.2f}, {low:.2f} to {high:.2f}"
