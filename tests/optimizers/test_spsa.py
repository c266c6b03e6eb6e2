"""SPSA's variants and the calibration of its gains."""

from __future__ import annotations

import numpy as np
import pytest

from zorl.common.errors import ConfigurationError
from zorl.optimizers import SGD, Clipped, GainSequence, GradientSearch, calibrated_spsa, spsa


def rng_of(seed=0):
    return np.random.default_rng(seed)


def test_spsa_by_hand_over_two_updates_with_gains():
    search = spsa(learning_rate=0.2, radius=0.1, gains=True, stability=3.0)
    state = search.init([1.0, 2.0])
    theta = np.array([1.0, 2.0])
    for t, (plus, minus) in enumerate([(3.0, 1.0), (-4.0, 2.5)]):
        asked = search.ask(state, rng_of(t))
        delta = asked.directions[0]
        gain, c = 0.2 / (3 + t + 1) ** 0.602, 0.1 / (t + 1) ** 0.101
        theta = theta + gain * (plus - minus) / (2 * c) / delta  # Spall divides by ±1
        state = search.tell(state, asked, [plus, minus])
        np.testing.assert_allclose(state.theta, theta, rtol=1e-13)
        assert state.t == t + 1


def test_the_one_measurement_form_is_unbiased_and_by_hand():
    g, search = np.array([1.0, -2.0, 0.5]), spsa(0.1, 0.5, measurements=1)
    state, rng, rows = search.init(np.array([0.3, 0.1, -0.2])), rng_of(), []
    for _ in range(6000):
        asked = search.ask(state, rng)
        value = asked.thetas @ g
        rows.append(search.gradient(state, asked, value))
        delta = asked.directions[0]
        np.testing.assert_allclose(rows[-1], value / (0.5 * delta), rtol=1e-12)  # Spall 1997, eq. 4
    error = np.std(rows, axis=0) / np.sqrt(len(rows))
    assert (np.abs(np.mean(rows, axis=0) - g) < 4.5 * error).all() and error.max() < 0.06


def test_no_update_is_longer_than_max_step():
    search = spsa(10.0, 0.1, max_step=0.25)
    assert search.step_rule == Clipped(SGD(10.0), 0.25)
    state = search.init(np.zeros(4))
    asked = search.ask(state, rng_of())
    moved = search.tell(state, asked, [5.0, -5.0])
    assert np.linalg.norm(moved.theta) == pytest.approx(0.25)
    free = spsa(10.0, 0.1).tell(state, asked, [5.0, -5.0])
    np.testing.assert_allclose(
        free.theta / np.linalg.norm(free.theta), moved.theta / 0.25, rtol=1e-12
    )


def test_calibration_makes_the_first_steps_as_long_as_wished():
    g = np.array([30.0, -10.0, 20.0])

    def measure(thetas):
        return thetas @ g

    search = calibrated_spsa(measure, np.zeros(3), rng_of(), 200, 0.05, radius=0.1, pairs=500)
    assert isinstance(search, GradientSearch) and search.radius == 0.1
    rule = search.step_rule
    assert isinstance(rule, GainSequence)
    assert rule.stability == 20 and rule.alpha == 0.602 and search.radius_decay == 0.101
    steps = []
    for seed in range(400):
        state = search.init(np.zeros(3))
        asked = search.ask(state, rng_of(seed))
        steps.append(np.abs(search.tell(state, asked, measure(asked.thetas)).theta).mean())
    assert np.mean(steps) == pytest.approx(0.05, rel=0.1)


def test_calibration_by_hand():
    calls = []

    def measure(thetas):
        calls.append(thetas)
        return thetas.sum(axis=1) ** 3

    search = calibrated_spsa(measure, [1.0, 2.0], rng_of(3), 50, 0.2, radius=0.5, pairs=4, m=3)
    (asked,) = calls
    assert asked.shape == (2 * 6, 2)  # 4 pairs, rounded up to two averages of 3
    np.testing.assert_allclose(asked[:6] + asked[6:], np.tile([2.0, 4.0], (6, 1)), rtol=1e-12)
    values = asked.sum(axis=1) ** 3
    estimates = [(values[k] - values[6 + k]) / (2 * (asked[k] - [1, 2])) for k in range(6)]
    averages = [sum(estimates[:3]) / 3, sum(estimates[3:]) / 3]
    size = np.mean(np.abs(averages))
    assert search.step_rule.a == pytest.approx(0.2 * 6.0**0.602 / size, rel=1e-12)
    assert search.m == 3


def test_the_radius_is_the_measured_noise():
    rng = rng_of()

    def measure(thetas):
        return thetas[:, 0] + 0.3 * rng.standard_normal(len(thetas))

    search = calibrated_spsa(measure, [0.0], rng_of(), 100, 0.1, pairs=2000)
    assert search.radius == pytest.approx(0.3, rel=0.06)


def test_the_noise_of_few_measurements_is_not_underestimated():
    """The variance of 0 and 1 is 1/2: that of the sample, 1/4, is half of it on average."""

    def measure(thetas):
        return np.arange(len(thetas)) % 2 + (thetas[:, 0] > 0)

    search = calibrated_spsa(measure, [0.0], rng_of(), 100, 0.1, pairs=2, m=1)
    assert search.radius == pytest.approx(np.sqrt(1 / 2), rel=1e-12)


@pytest.mark.parametrize("m", [1, 4, 16])
@pytest.mark.parametrize("slope", ["one", "even", "sparse", "generic"])
def test_first_steps_are_as_long_as_wished_for_every_average(m, slope):
    """On linear functions; 600 pairs leave 4 % of error or less, 200 searches 6 % at the most.

    Averages of m pairs are smaller than single ones by a factor that depends on d, m and, in few
    dimensions, on the gradient: 1/√m overshoots by up to √m, √((1 + (d − 1)/m)/d) by 1.37.
    """
    g = {
        "one": np.array([-3.0]),
        "even": np.array([2.0, 2.0]),
        "sparse": np.eye(20)[3],
        "generic": rng_of(5).normal(size=20),
    }[slope]

    def measure(thetas):
        return thetas @ g + 4.0

    start = np.zeros(len(g))
    search = calibrated_spsa(measure, start, rng_of(1), 100, 0.05, radius=0.1, pairs=600, m=m)
    steps = []
    for seed in range(200):
        state = search.init(start)
        asked = search.ask(state, rng_of(100 + seed))
        steps.append(np.abs(search.tell(state, asked, measure(asked.thetas)).theta).mean())
    assert np.mean(steps) == pytest.approx(0.05, rel=1e-9 if slope == "one" else 0.15)


def test_noise_is_averaged_as_in_the_search():
    """Nothing but noise: averages of 16 are a quarter as large, in one dimension too."""
    noise = rng_of(2)
    search = calibrated_spsa(
        lambda thetas: noise.normal(size=len(thetas)), [0.0], rng_of(), 9, 0.1, 0.5, 16 * 400, 16
    )
    # E|f⁺ − f⁻| / 2c of 16 pairs averaged is √(2/π) · √2 / √16; 400 averages leave 3.8 %.
    size = np.sqrt(2 / np.pi) * np.sqrt(2) / np.sqrt(16)
    assert search.step_rule.a == pytest.approx(0.1 * 1.9**0.602 / size, rel=0.12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: spsa(measurements=3), "measurements must be 1 or 2"),
        (lambda: spsa(stability=2.0), "needs gains=True"),
        (lambda: spsa(max_step=0.0), "max_norm must be"),
        (lambda: calibrated_spsa(lambda x: np.zeros(len(x)), [0.0], rng_of(), 9, 0.1), "radius"),
        (
            lambda: calibrated_spsa(lambda x: np.zeros(len(x)), [0.0], rng_of(), 9, 0.1, 0.5),
            "flat around theta",
        ),
        (
            lambda: calibrated_spsa(lambda x: x[:, 0] * np.nan, [0.0], rng_of(), 9, 0.1, 0.5),
            "50 of 50 measurements are NaN or infinite",
        ),
        (
            lambda: calibrated_spsa(
                lambda x: x[:, 0] / np.ones(25) * np.nan, [0.0], rng_of(), 9, 1
            ),
            "25 of 25 measurements are NaN or infinite",
        ),
        (lambda: calibrated_spsa(np.sum, [0.0], rng_of(), 9, 0.1, 0.5), r"\(50,\), got \(\)"),
        (lambda: calibrated_spsa(lambda x: ["a"] * 50, [0.0], rng_of(), 9, 1, 1), "return numbers"),
        (
            lambda: calibrated_spsa(3.0, [0.0], rng_of(), 9, 1),
            "measure must be a function.*got 3.0",
        ),
        (
            lambda: calibrated_spsa(len, [0.0], rng_of(), 9, 1, m=0),
            "directions m must be an integer",
        ),
        (lambda: spsa(gains="no"), "gains must be True or False, got 'no'"),
        (lambda: spsa(measurements=True), "measurements must be 1 or 2 .* got True"),
        (lambda: spsa(stability="a"), "stability .* must be a finite number ≥ 0, got 'a'"),
        (lambda: calibrated_spsa(len, [0.0], rng_of(), 0, 0.1, 0.5), "iterations must be"),
        (lambda: calibrated_spsa(len, [0.0], rng_of(), 5, -1.0, 0.5), "first_step must be"),
    ],
)
def test_settings_that_cannot_work_are_refused(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()
