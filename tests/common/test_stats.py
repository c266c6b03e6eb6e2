"""zorl.common.stats against hand-computed numbers, scipy, and simulated coverage."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.stats

from zorl.common import stats
from zorl.common.errors import ConfigurationError
from zorl.common.stats import (
    Interval,
    bootstrap,
    curve_band,
    iqm,
    mean_interval,
    paired_difference,
    proportion_interval,
    step_interpolate,
)

RUNS = np.array([-104.1, -99.7, -110.3, -101.2, -103.6, -200.0, -98.9, -107.4])


@pytest.mark.parametrize(
    ("interval", "spec", "text"),
    [
        (Interval(-104.61, -105.32, -103.93, 0.95), "", "-104.6 [-105.3, -103.9]"),
        (Interval(0.9, 0.59585, 0.98212, 0.95), "", "0.90 [0.60, 0.98]"),
        (Interval(-1234.5, -1300.2, -1100.4, 0.95), "", "-1234 [-1300, -1100]"),
        (Interval(0.1, 0.1 - 1e-17, 0.1 + 2e-17, 0.95), "", "0.1 [0.1, 0.1]"),
        (Interval(-104.61, -math.inf, math.inf, 0.95), "", "-104.6 [n/a]"),
        (Interval(-104.61, -math.inf, math.inf, 0.95), ".0f", "-105 [n/a]"),
        (Interval(-104.61, -105.32, -103.93, 0.95), ".3f", "-104.610 [-105.320, -103.930]"),
    ],
)
def test_intervals_print_with_the_digits_that_their_width_supports(
    interval: Any, spec: str, text: str
) -> None:
    assert format(interval, spec) == text
    if not spec:
        assert str(interval) == text


def test_intervals_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        mean_interval([1.0, 2.0]).low = 0.0  # type: ignore[misc]


def test_iqm_drops_a_quarter_at_each_end_of_the_flattened_values() -> None:
    assert iqm([100.0, 1.0, 3.0, -50.0]) == 2.0
    assert iqm([0.0, 3.0, 9.0]) == 4.0  # ⌊3/4⌋ = 0: nothing to drop
    matrix = np.random.default_rng(3).exponential(size=(7, 3))
    assert iqm(matrix) == pytest.approx(scipy.stats.trim_mean(matrix.ravel(), 0.25), abs=1e-12)
    assert iqm(matrix) != pytest.approx(scipy.stats.trim_mean(matrix, 0.25).mean(), abs=1e-3)


# In these the smallest and the largest value of the statistic each have more than 2.5 % of the
# resamples, so the percentile interval is known without chance, and only the stretch is tested.
@pytest.mark.parametrize(
    ("values", "statistic", "center", "reach", "t"),
    [
        ([0.0, 2.0], "mean", 1.0, (1.0, 1.0), 12.70620 * math.sqrt(2)),
        ([0.0, 1.0, 3.0], "median", 1.0, (1.0, 2.0), 4.302653 * math.sqrt(3 / 2)),
        ([0.0, 2.0, 4.0], "iqm", 2.0, (2.0, 2.0), 4.302653 * math.sqrt(3 / 2)),
        ([0.0, 1.0, 2.0, 3.0], "iqm", 1.5, (1.5, 1.5), 3.182446),  # no √(n / (n - 1))
    ],
)
def test_stretch_by_hand(values: Any, statistic: str, center: float, reach: Any, t: Any) -> None:
    interval = bootstrap(values, statistic)  # type: ignore[arg-type]
    assert interval.estimate == center
    assert interval.level == 0.95
    assert interval.low == pytest.approx(center - reach[0] * t / 1.959964, rel=1e-6)
    assert interval.high == pytest.approx(center + reach[1] * t / 1.959964, rel=1e-6)


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize(
    ("statistic", "function"),
    [
        ("mean", np.mean),
        ("iqm", lambda x, axis=-1: scipy.stats.trim_mean(x, 0.25, axis=axis)),
        ("median", np.median),
    ],
)
def test_unstretched_it_is_scipys_percentile_bootstrap(
    statistic: str, function: Any, level: float
) -> None:
    runs = np.random.default_rng(8).gamma(2.0, size=40)
    ours = bootstrap(runs, statistic, level, resamples=20_000)  # type: ignore[arg-type]
    scipys = scipy.stats.bootstrap(
        (runs,),
        function,
        confidence_level=level,
        n_resamples=20_000,
        method="percentile",
        random_state=np.random.default_rng(1),
    ).confidence_interval
    stretch = scipy.stats.t.ppf((1 + level) / 2, 39) / scipy.stats.norm.ppf((1 + level) / 2)
    if statistic != "iqm":
        stretch *= math.sqrt(40 / 39)
    assert ours.estimate == pytest.approx(float(function(runs)), abs=1e-12)
    tolerance = 0.02 * (scipys.high - scipys.low)  # Monte Carlo error of both
    for mine, theirs in ((ours.low, scipys.low), (ours.high, scipys.high)):
        unstretched = ours.estimate + (mine - ours.estimate) / stretch
        assert unstretched == pytest.approx(theirs, abs=tolerance)


def test_a_function_gives_what_its_name_gives() -> None:
    assert bootstrap(RUNS, np.median, resamples=500) == bootstrap(RUNS, "median", resamples=500)
    # An integer from the first resample, here (1, 1), must not truncate those that follow.
    mixed = bootstrap([0.5, 1.0], lambda x: 1 if x.min() == 1 else x.mean())
    assert mixed == bootstrap([0.5, 1.0], "mean")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statistic", "data", "n", "least", "most"),
    [
        ("mean", "normal", 3, 0.93, 0.97),  # the percentile bootstrap covers 0.74
        ("mean", "normal", 5, 0.93, 0.97),  # 0.84
        ("mean", "normal", 10, 0.93, 0.97),  # 0.90
        ("iqm", "normal", 5, 0.935, 0.97),  # 0.90
        ("iqm", "lognormal", 5, 0.93, 0.97),  # 0.89
        ("mean", "lognormal", 5, 0.80, 0.88),  # short of nominal, as the docstring admits
    ],
)
def test_coverage_of_the_nominal_95_percent(
    statistic: str, data: str, n: int, least: float, most: float
) -> None:
    rng = np.random.default_rng(2024)
    samples = rng.standard_normal((1500, n))
    truth = 0.0
    if data == "lognormal":
        samples = np.exp(samples)
        # The population's IQM, by a fine grid of quantiles; its mean is exp(1/2).
        quantiles = np.exp(scipy.stats.norm.ppf(0.25 + (np.arange(100_000) + 0.5) / 200_000))
        truth = float(quantiles.mean()) if statistic == "iqm" else math.exp(0.5)
    intervals = [bootstrap(x, statistic, resamples=500, seed=i) for i, x in enumerate(samples)]  # type: ignore[arg-type]
    coverage = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert least <= coverage <= most  # the standard error at 1,500 samples is 0.006


def test_the_interval_follows_the_skew() -> None:
    interval = bootstrap(RUNS)  # one run at -200
    assert interval.estimate - interval.low > 1.2 * (interval.high - interval.estimate)


def test_the_seed_alone_decides() -> None:
    np.random.seed(1)  # noqa: NPY002  rliable ignores its random_state for this global one
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    first = bootstrap(RUNS, "iqm", seed=5)
    band = curve_band(np.outer(RUNS, [1.0, 2.0]), seed=5)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert bootstrap(RUNS, "iqm", seed=5) == first
    np.testing.assert_array_equal(curve_band(np.outer(RUNS, [1.0, 2.0]), seed=5), band)
    assert bootstrap(RUNS, "iqm", seed=6) != first


def test_memory_is_bounded_and_the_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = np.random.default_rng(0).normal(size=(5, 7))
    whole = curve_band(curves), bootstrap(RUNS)
    for block in (64, 5_000):
        monkeypatch.setattr(stats, "_BLOCK", block)
        np.testing.assert_array_equal(curve_band(curves), whole[0])
        assert bootstrap(RUNS) == whole[1]
    monkeypatch.undo()
    episodes = np.random.default_rng(0).normal(size=20_000)
    tracemalloc.start()
    bootstrap(episodes, resamples=1_000)  # 160 MB of resampled values, and as much of indices
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6


def test_one_value_has_no_bounds() -> None:
    for interval in (bootstrap([3.0]), mean_interval([3.0]), paired_difference([5.0], [2.0])):
        assert (interval.estimate, interval.low, interval.high) == (3.0, -math.inf, math.inf)
    center, low, high = curve_band([[1.0, 2.0]])
    np.testing.assert_array_equal(center, [1.0, 2.0])
    assert np.isneginf(low).all() and np.isposinf(high).all()


def test_mean_interval_is_students() -> None:
    test = scipy.stats.ttest_1samp(RUNS, 0.0).confidence_interval(0.9)
    interval = mean_interval(RUNS, level=0.9)
    assert interval.estimate == pytest.approx(RUNS.mean(), abs=1e-12)
    assert (interval.low, interval.high) == pytest.approx((test.low, test.high), abs=1e-9)
    by_hand = mean_interval([1.0, 2.0, 3.0])  # s = 1, t(2) = 4.302653
    assert by_hand.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert by_hand.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17:857; the last mirrors the third
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_wilson_against_newcombe(successes: int, n: int, low: float, high: float) -> None:
    interval = proportion_interval(successes, np.int64(n))  # type: ignore[arg-type]
    assert interval.estimate == successes / n
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5.1e-5)


def test_wilson_by_hand_at_another_level() -> None:
    z = 0.674490  # level 0.5
    interval = proportion_interval(1, 2, level=0.5)
    assert interval.high - 0.5 == pytest.approx(z / 2 / math.sqrt(2 + z**2), abs=1e-6)
    assert interval.low + interval.high == pytest.approx(1.0, abs=1e-12)
    assert interval.level == 0.5


def test_pairing_removes_what_the_runs_share() -> None:
    rng = np.random.default_rng(4)
    shared = 50 * rng.standard_normal(10)
    a, b = shared + 2 + 0.5 * rng.standard_normal(10), shared + 0.5 * rng.standard_normal(10)
    interval = paired_difference(a, b, seed=3)
    assert interval == bootstrap(a - b, seed=3)
    assert interval.estimate == pytest.approx(a.mean() - b.mean(), abs=1e-9)
    assert 0 < interval.low < 2 < interval.high < 4
    narrower = paired_difference(a, b, level=0.5, seed=3)
    assert interval.low < narrower.low < narrower.high < interval.high


@pytest.mark.parametrize("statistic", ["iqm", "mean"])
def test_each_point_of_a_band_is_its_bootstrap(statistic: str) -> None:
    curves = np.random.default_rng(7).exponential(size=(6, 4)).cumsum(axis=1)
    center, low, high = curve_band(curves, 0.9, statistic, seed=2)  # type: ignore[arg-type]
    assert center.shape == low.shape == high.shape == (4,)
    for j in range(4):
        point = bootstrap(curves[:, j], statistic, 0.9, resamples=2_000, seed=2)  # type: ignore[arg-type]
        assert (center[j], low[j], high[j]) == pytest.approx(
            (point.estimate, point.low, point.high), abs=1e-12
        )
    assert not np.allclose(low[0], low[1])


def test_curve_band_defaults_to_the_iqm() -> None:
    curves = np.array([[0.0], [1.0], [2.0], [97.0]])
    assert curve_band(curves)[0] == [1.5]
    assert curve_band(curves, statistic="mean")[0] == [25.0]


def test_interpolation_carries_the_last_value_forward() -> None:
    result = step_interpolate(
        [10, 20, 20, 50], [1.0, 2.0, 3.0, 4.0], [0, 9, 10, 19, 20, 49, 50, 99]
    )
    np.testing.assert_array_equal(result, [np.nan, np.nan, 1, 1, 3, 3, 4, 4])
    np.testing.assert_array_equal(step_interpolate([5], [7.0], [6, 4]), [7.0, np.nan])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: iqm([]), "values is empty"),
        (lambda: iqm([1.0, math.nan, math.inf]), "2 of 3 numbers are NaN or infinite"),
        (lambda: iqm(["a"]), "array of numbers"),
        (lambda: bootstrap([]), "values is empty"),
        (lambda: bootstrap([[1.0, 2.0]]), r"1 dimension\(s\), got shape \(1, 2\)"),
        (lambda: bootstrap([1.0, -math.inf]), "1 of 2 numbers"),
        (lambda: bootstrap(RUNS, "iqr"), "did you mean 'iqm'"),  # type: ignore[arg-type]
        (lambda: bootstrap(RUNS, lambda x: x), "one finite number"),  # type: ignore[arg-type, return-value]
        (lambda: bootstrap(RUNS, lambda x: math.nan), "one finite number"),
        (lambda: bootstrap(RUNS, level=95), "95 % is 0.95"),
        (lambda: bootstrap(RUNS, level=0.99, resamples=199), "at least 200 resamples"),
        (lambda: bootstrap(RUNS, seed=-1), "seed must be an integer"),
        (lambda: bootstrap(RUNS, seed=None), "seed must be an integer"),  # type: ignore[arg-type]
        (lambda: mean_interval([]), "values is empty"),
        (lambda: mean_interval([1.0, 2.0], level=0.0), "between 0 and 1"),
        (lambda: mean_interval([1.0, math.nan]), "1 of 2"),
        (lambda: proportion_interval(3, 2), "3 of 2"),
        (lambda: proportion_interval(-1, 2), "-1 of 2"),
        (lambda: proportion_interval(0, 0), "0 of 0"),
        (lambda: proportion_interval(0.5, 2), "whole"),  # type: ignore[arg-type]
        (lambda: proportion_interval(1, 2, level=1.0), "between 0 and 1"),
        (lambda: paired_difference([1.0, 2.0], [1.0]), "got 2 and 1 runs"),
        (lambda: paired_difference([1.0], [math.nan]), "b: 1 of 1"),
        (lambda: curve_band([1.0, 2.0]), r"2 dimension\(s\)"),
        (lambda: curve_band([[1.0, math.nan], [1.0, 2.0]]), "curves: 1 of 4"),
        (lambda: curve_band(np.empty((0, 3))), "curves is empty"),
        (lambda: step_interpolate([1, 2], [1.0], [1]), "2 and 1"),
        (lambda: step_interpolate([2, 1], [1.0, 2.0], [1]), "must not decrease"),
        (lambda: step_interpolate([1, 2], [1.0, 2.0], []), "grid is empty"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        call()


def test_the_smallest_number_of_resamples_is_accepted() -> None:
    assert bootstrap(RUNS, level=0.9, resamples=20).low < RUNS.mean()
