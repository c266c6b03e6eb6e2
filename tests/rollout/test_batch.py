"""A batch numbers its jobs by candidate and seed; results add up in the order of the jobs."""

from __future__ import annotations

import numpy as np
from toy_batches import RUNNING, batch

from zorl.policies.normalization import Moments, Normalizer
from zorl.rollout.batch import EpisodeBatch, EpisodeResults


def test_jobs_are_every_candidate_on_every_seed() -> None:
    task = batch(2, (7, 8, 9))
    assert len(task) == 6
    jobs = [task.job(index) for index in range(6)]
    assert jobs == [(row, seed) for row in (0, 1) for seed in (7, 8, 9)]


def test_room_for_moments_is_there_where_the_normalizer_learns() -> None:
    off = Normalizer.create("off", np.zeros(3), np.zeros(3))
    task = batch(2, (7,))
    assert EpisodeResults.empty(task).sums.shape == (2, 3)
    without = EpisodeResults.empty(EpisodeBatch(task.thetas, task.seeds, off))
    assert without.sums.shape == without.squares.shape == (2, 0)
    assert without.moments(off) is None


def test_nan_returns_are_no_success_and_spare_the_others() -> None:
    results = EpisodeResults.empty(batch(3, (7,)))
    results.successes[:] = True
    results.set_nan(1)
    assert np.isnan(results.returns).tolist() == [False, True, False]
    assert np.isnan(results.native_returns).tolist() == [False, True, False]
    assert results.successes.tolist() == [True, False, True]


def test_moments_are_those_of_all_observations() -> None:
    seen = np.random.default_rng(0).normal(2, 3, size=(9, 3))
    earlier = Moments(2, np.array([1.0, -5.0, 0.5]), np.array([2.0, 3.0, 4.0]))
    normalizer = RUNNING.merge(earlier)  # its center, which the sums are shifted by, is not 0
    results = EpisodeResults.empty(batch(2, (7,)))
    shifted = seen - normalizer.affine()[0]
    for job, rows in enumerate((slice(0, 4), slice(4, 9))):
        results.lengths[job] = len(seen[rows])
        results.sums[job] = shifted[rows].sum(axis=0)
        results.squares[job] = (shifted[rows] ** 2).sum(axis=0)
    moments = results.moments(normalizer)
    assert moments is not None and moments.count == 9
    np.testing.assert_allclose(moments.mean, seen.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.std, seen.std(axis=0), rtol=1e-12)
