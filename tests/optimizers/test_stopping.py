"""When a run of CMA-ES is over: each reason, one step before it and at it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from zorl.optimizers.cma_es import CMAES
from zorl.optimizers.stopping import (
    REASONS,
    history_length,
    max_iterations,
    reason_to_stop,
    with_generation,
)


def test_a_generations_record():
    history = np.arange(12.0).reshape(3, 4)
    # n = 8: k = 1 + ⌈2.1⌉ = 4, so the best and the fourth best are compared.
    for values, tie in (([1, 9, 5, 9, 9, 0, 9, 2], 1.0), ([1, 9, 5, 9, 8, 0, 9, 2], 0.0)):
        new = with_generation(history, np.array(values, dtype=float))
        np.testing.assert_array_equal(new[:, :3], history[:, 1:])
        np.testing.assert_array_equal(new[:, 3], [9.0, np.median(values), tie])
        assert not new.flags.writeable
    # n = 10: k = 1 + ⌈2.6⌉ = 4.
    values = np.array([9.0, 9, 9, 8, 7, 6, 5, 4, 3, 2])
    assert with_generation(history, values)[2, -1] == 0
    values[3] = 9
    assert with_generation(history, values)[2, -1] == 1


def over(state=None, best=None, median=None, values=None, tied=None, t=None, d=3, tolfun=1e-12):
    """What `reason_to_stop` says of a run at d = 3, n = 10 healthy but for what is given."""
    length = history_length(d, 10)
    state = CMAES(sigma0=1.0).init(np.full(d, 0.5)) if state is None else state
    rising = np.linspace(0, 1, length)
    history = np.array(
        [
            rising if best is None else best,
            rising - 0.1 if median is None else median,
            np.zeros(length) if tied is None else tied,
        ]
    )
    values = np.linspace(0, 1, 10) if values is None else values
    return reason_to_stop(
        replace(state, t=length if t is None else t), history, values, 1.0, tolfun, 1e-12
    )


def test_each_reason_and_no_other():
    d, n = 3, 10
    length, window = history_length(d, n), 10 + 9
    state = CMAES(sigma0=1.0).init(np.full(d, 0.5))
    rising = np.linspace(0, 1, length)
    assert length == math.ceil(0.2 * (100 + 50 * 36 / math.sqrt(10)))
    assert history_length(100, 5) == history_length(10**6, 20) == 20_000
    assert over() == ""

    def ending(last, count):
        return np.concatenate([rising[: length - count], np.full(count, last)])

    assert over(best=ending(2.0, window)) == "flat"
    assert over(best=ending(2.0, window - 1)) == ""
    assert over(best=ending(2.0, window), t=window - 1) == ""

    near = rising.copy()
    near[-window:] = 1 + 1e-13 * (np.arange(window) % 2)
    assert over(best=near, values=np.full(10, 1.0)) == "tolfun"
    assert over(best=near, values=np.append(np.full(9, 1.0), 0.9)) == ""
    assert over(best=near, values=np.full(10, 1.0), tolfun=1e-14) == ""

    tied = np.zeros(length)
    tied[-3:] = 1
    assert over(tied=tied) == ""  # 3 of 10
    tied[-4:] = 1
    assert over(tied=tied) == "ties"

    falling = rising[::-1]
    assert over(best=falling, median=falling) == "stagnation"
    assert over(best=falling) == over(median=falling) == ""  # one of them still improves
    wave = np.arange(length) % 2.0
    assert over(best=wave, median=wave) == "stagnation"  # no better is enough
    assert over(best=falling, median=falling, t=100) == ""  # 120 + 30 d / n = 129 are needed

    tiny = replace(state, sigma=0.99e-12, theta=np.full(d, 1e-20))
    assert over(tiny) == "tolx"
    assert over(replace(tiny, sigma=1.01e-12)) == ""
    assert over(replace(tiny, covariance=np.diag([1.0, 1.0, 1.1]))) == ""
    assert over(replace(state, sigma=1.01e20)) == "tolupsigma"
    assert over(replace(state, sigma=0.99e20)) == ""

    def with_scales(scales):
        scales = np.array(scales)
        return replace(state, scales=scales, covariance=np.diag(scales**2), theta=np.full(d, 1e-9))

    assert over(with_scales([1e-7, 1.0, 1.0])) == "condition"
    assert over(with_scales([1.01e-7, 1.0, 1.0])) == ""
    lost = replace(state, theta=np.array([0.5, 1e17, 0.5]))
    assert over(lost) == "no effect"
    assert over(t=math.ceil(max_iterations(d, n))) == "max iterations"
    assert over(t=math.ceil(max_iterations(d, n)) - 1) == ""


def test_stagnation_looks_back_a_fifth_of_the_run():
    d = 10
    length = history_length(d, 10)
    history = np.linspace(0, 1, length)
    history[-150:] = np.linspace(1, 0.9, 150)  # 120 + 30 d / n = 150 of decline after a long rise
    assert over(best=history, median=history, t=700, d=d) == "stagnation"
    assert over(best=history, median=history, t=2500, d=d) == ""
    assert over(best=history, median=history, t=1500, d=d) == ""


def test_an_axis_without_effect():
    # 0.1 of the short axis is 0.14 ulp in both coordinates; 0.2 of a coordinate's own is 1.7.
    d, large = 2, 2.0**20
    axes = np.array([[1.0, 1.0], [-1.0, 1.0]]) / math.sqrt(2)
    scales = np.array([1.0, 6.0])
    state = replace(
        CMAES(sigma0=1.0).init(np.full(d, large)),
        sigma=2 * np.spacing(large),
        scales=scales,
        eigenbasis=axes,
        covariance=(axes * scales**2) @ axes.T,
    )
    assert over(state, t=110, d=d) == "no effect"  # axis 110 mod 2 = 0
    assert over(state, t=111, d=d) == ""
    assert set(REASONS) >= {"flat", "budget"}
