"""`minimize` and `maximize`: the plain-function door."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from gate_toys import Patient
from scipy.optimize import Bounds, OptimizeResult
from search_toys import CENTER, sphere, spheres

import zorl
from zorl.common.errors import ConfigurationError, DivergedError, UnknownNameError
from zorl.common.streams import Purpose
from zorl.common.types import Matrix, Vector
from zorl.optimizers import CMAES, SGD, GradientSearch


def rosenbrock(x: Vector) -> float:
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


class Counted:
    """The sphere, and how often it was called."""

    count = 0

    def __call__(self, x: Vector) -> float:
        self.count += 1
        return sphere(x)


def test_it_finds_the_minimum_and_says_that_it_converged() -> None:
    result = zorl.minimize(sphere, np.zeros(3), seed=1)
    assert isinstance(result, OptimizeResult)
    assert result.success and result.status == 1 and "converged" in result.message
    np.testing.assert_allclose(result.x, CENTER, atol=1e-5)
    np.testing.assert_allclose(result.theta, CENTER, atol=1e-5)
    assert result.fun == sphere(result.x) < 1e-10
    assert result.nfev <= 4000 and result.nit == result.state.generation


def test_rosenbrock_to_the_target() -> None:
    result = zorl.minimize(
        rosenbrock, np.zeros(5), options={"sigma0": 0.1}, target=1e-8, max_evaluations=20_000
    )
    assert result.success and result.status == 0 and result.fun <= 1e-8


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("cma-es", {}),
        ("spsa", {"learning_rate": 0.05}),
        ("mpge", {"learning_rate": 0.2}),
        ("openai-es", {"learning_rate": 0.05, "sigma": 0.1, "m": 8}),
    ],
)
def test_maximising_the_negative_is_minimising_bit_for_bit(
    method: str, options: dict[str, Any]
) -> None:
    settings: dict[str, Any] = {"options": options, "max_evaluations": 2000, "seed": 5, "tol": None}
    low = zorl.minimize(sphere, np.zeros(3), method, **settings)
    high = zorl.maximize(lambda x: -sphere(x), np.zeros(3), method, **settings)
    np.testing.assert_array_equal(low.x, high.x)
    assert low.fun == -high.fun < 0.05
    assert low.nfev == high.nfev


def test_batched_and_single_calls_agree_bit_for_bit() -> None:
    def squares(xs: Matrix) -> Vector:
        return np.array([sphere(x) for x in xs])

    one = zorl.minimize(sphere, np.zeros(3), max_evaluations=500, seed=2)
    many = zorl.minimize(squares, np.zeros(3), max_evaluations=500, seed=2, batched=True)
    np.testing.assert_array_equal(one.x, many.x)
    assert (one.nfev, one.fun) == (many.nfev, many.fun)


def test_evaluations_are_counted_exactly_and_the_best_of_all_is_returned() -> None:
    seen: list[tuple[float, Vector]] = []

    def watched(x: Vector) -> float:
        seen.append((sphere(x), x.copy()))
        return seen[-1][0]

    result = zorl.minimize(
        watched,
        np.zeros(3),
        "random-search",
        max_evaluations=1e2,  # type: ignore[arg-type]
    )
    assert result.nfev == len(seen)
    assert 100 <= result.nfev < 100 + 18  # whole generations; the start and theta at the end
    best, x = min(seen, key=lambda pair: pair[0])
    assert result.fun == best
    np.testing.assert_array_equal(result.x, x)
    assert result.status == 2 and not result.success


@pytest.mark.parametrize(("budget", "generations"), [(12, 3), (13, 3), (14, 4)])
def test_a_budget_that_is_met_exactly_buys_no_further_generation(
    budget: int, generations: int
) -> None:
    """The start is one evaluation, and the final point is one."""
    optimizer = CMAES(popsize=4)
    result = zorl.minimize(sphere, np.zeros(3), optimizer, max_evaluations=budget)
    assert (result.nit, result.nfev) == (generations, 1 + 4 * generations + 1)
    assert result.status == 2


def test_no_result_is_worse_than_the_start() -> None:
    result = zorl.minimize(sphere, CENTER, "random-search", max_evaluations=50)
    assert result.fun == 0.0
    np.testing.assert_array_equal(result.x, CENTER)
    assert zorl.minimize(sphere, CENTER, target=0.0).nit == 0


def test_a_gates_evaluations_are_counted_and_charged() -> None:
    calls = Counted()
    result = zorl.minimize(
        calls,
        np.zeros(3),
        "spsa",
        options={"learning_rate": 0.05},
        gate="paired",
        gate_options={"episodes": 1},
        max_evaluations=200,
    )
    assert result.nfev == calls.count <= 204
    assert result.state.counters.gate_episodes > 0


def test_a_gate_may_be_given_as_an_object() -> None:
    settings: dict[str, Any] = {"options": {"learning_rate": 0.05}, "max_evaluations": 300}
    kept, refused = (
        zorl.minimize(sphere, np.zeros(3), "spsa", gate=Patient(patience), **settings)
        for patience in (0, 10_000)
    )
    assert kept.state.counters.accepted == kept.state.counters.updates
    assert refused.state.counters.accepted < refused.state.counters.updates
    with pytest.raises(ConfigurationError, match="belong to a gate given by name"):
        zorl.minimize(sphere, np.zeros(3), gate=Patient(), gate_options={"patience": 1})


def test_both_functions_have_the_same_arguments_and_refuse_others() -> None:
    low, high = zorl.minimize, zorl.maximize
    assert inspect.signature(low) == inspect.signature(high)
    assert list(inspect.signature(low).parameters)[:3] == ["fun", "x0", "method"]
    assert (low.__name__, high.__name__) == ("minimize", "maximize")
    with pytest.raises(TypeError, match="unexpected keyword argument 'sense'"):
        low(sphere, np.zeros(3), sense=1.0)  # type: ignore[call-arg]


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    runs = [zorl.minimize(sphere, np.zeros(3), seed=s, max_evaluations=300) for s in (3, 3, 4)]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    assert not np.array_equal(runs[0].x, runs[2].x)


def test_an_optimizer_made_of_parts_serves_as_method() -> None:
    parts = GradientSearch(SGD(0.1, momentum=0.5), 0.1, 4, "orthogonal")
    result = zorl.minimize(spheres, np.zeros(3), parts, batched=True, target=1e-6)
    assert result.success
    with pytest.raises(ConfigurationError, match="options belong to a method given by name"):
        zorl.minimize(spheres, np.zeros(3), parts, options={"radius": 1.0})


# -- noise ---------------------------------------------------------------------------------------


def test_a_noisy_function_gets_its_own_point_and_a_fresh_mean() -> None:
    rng = np.random.default_rng(0)
    calls: list[int] = []

    def noisy(x: Vector) -> float:
        calls.append(1)
        return sphere(x) + rng.normal()

    result = zorl.minimize(noisy, np.zeros(3), noisy=True, repeats=3, max_evaluations=3000)
    assert result.nfev == len(calls)
    np.testing.assert_array_equal(result.x, result.theta)
    # The luckiest candidate would claim about −2; a fresh mean of 20 is honest.
    assert abs(result.fun - sphere(result.x)) < 4.5 * result.fun_error < 1.8
    assert result.fun_error == pytest.approx(1 / np.sqrt(20), rel=0.5)


def test_luck_does_not_reach_a_noisy_target() -> None:
    def noisy(x: Vector, seed: int) -> float:
        return float(x @ x) + np.random.default_rng([seed, *np.abs(1e9 * x).astype(int)]).normal()

    settings: dict[str, Any] = {"seeded": True, "max_evaluations": 2000, "seed": 1}
    seen: list[Any] = []
    below = zorl.minimize(noisy, np.ones(2), target=-1.0, callback=seen.append, **settings)
    assert not below.success and below.status == 2  # single values reach −1 all the time
    assert np.mean([standing.fun for standing in seen[-50:]]) > -0.2
    near = zorl.minimize(noisy, np.ones(2), target=0.5, **settings)
    assert near.success and near.nfev < 2000 and near.fun < 1


def test_seeded_noise_is_common_to_a_generation_and_fresh_in_the_next() -> None:
    by_generation: list[int] = []

    def seeded(xs: Matrix, seed: int) -> Vector:
        by_generation.append(seed)
        return spheres(xs) + np.random.default_rng(seed).normal()

    result = zorl.minimize(
        seeded, np.zeros(3), batched=True, seeded=True, repeats=2, max_evaluations=400
    )
    search = by_generation[:-20]  # the last ones are those of the final estimate
    assert len(search) == 2 * result.nit == len(set(search))
    assert not set(search) & set(by_generation[-20:])
    # Noise that all candidates share does not hinder the search at all.
    assert sphere(result.x) < 0.1


def test_fresh_values_are_at_seeds_that_the_search_never_saw() -> None:
    """The search's own seeds are lucky, so that each generation asks whether the target is met."""
    seen: list[int] = []
    values: list[float] = []

    def lucky(x: Any, seed: int) -> float:
        seen.append(seed)
        values.append(float(x @ x) + seed % 3 - 1000 * (seed >> 28 == Purpose.EPISODES))
        return values[-1]

    result = zorl.minimize(lucky, [1.0, 1.0], seeded=True, target=-900.0, max_evaluations=150)
    assert not result.success and result.fun == pytest.approx(np.mean(values[-20:]), rel=1e-12)
    error = np.std(values[-20:], ddof=1) / np.sqrt(20)
    assert result.fun_error == pytest.approx(error, rel=1e-12) and error > 0
    purposes = [seed >> 28 for seed in seen]
    assert purposes[-20:] == [Purpose.HELD_OUT] * 20 and Purpose.HELD_OUT not in purposes[:-20]
    fresh = [seed for seed in seen if seed >> 28 == Purpose.VALIDATION]
    assert len(set(fresh)) == len(fresh) == 20 * result.nit > 20
    assert set(purposes) == {Purpose.EPISODES, Purpose.VALIDATION, Purpose.HELD_OUT}


def test_repeats_of_a_function_without_noise_cost_nothing() -> None:
    calls = Counted()
    result = zorl.minimize(calls, [0.0] * 3, repeats=5, max_evaluations=50)
    assert 50 <= calls.count == result.nfev < 60


# -- stopping ------------------------------------------------------------------------------------


def test_the_callback_sees_how_things_stand_and_stops() -> None:
    seen: list[Any] = []

    def callback(standing: OptimizeResult[Any]) -> bool:
        seen.append(standing)
        return len(seen) == 5

    result = zorl.minimize(sphere, np.zeros(3), callback=callback)
    assert result.nit == 5 and result.status == 3 and not result.success
    assert [standing.nit for standing in seen] == [1, 2, 3, 4, 5]
    assert all(standing.fun == sphere(standing.x) for standing in seen)
    assert [s.fun for s in seen] == sorted((s.fun for s in seen), reverse=True)
    assert np.isfinite(seen[-1].signal_to_noise)


@pytest.mark.parametrize(
    ("answer", "generations"), [(True, 1), (np.True_, 1), (None, 5), (False, 5), (0.5, 5)]
)
def test_only_true_stops(answer: Any, generations: int) -> None:
    result = zorl.minimize(sphere, np.zeros(3), callback=lambda r: answer, max_evaluations=35)
    assert result.nit == generations


def test_stop_iteration_stops_too() -> None:
    def callback(standing: OptimizeResult[Any]) -> None:
        raise StopIteration

    assert zorl.minimize(sphere, np.zeros(3), callback=callback).nit == 1


def test_a_flat_function_is_no_convergence() -> None:
    result = zorl.minimize(lambda x: 7.0, np.zeros(3))
    assert not result.success and result.status == 4 and "no signal" in result.message
    np.testing.assert_array_equal(result.theta, np.zeros(3))
    assert result.fun == 7.0


def test_without_tol_the_whole_budget_is_spent() -> None:
    result = zorl.minimize(sphere, np.zeros(3), tol=None, max_evaluations=5000)
    assert result.nfev >= 5000 and result.status == 2


def test_a_function_that_is_never_finite_is_no_signal() -> None:
    result = zorl.minimize(lambda x: np.nan, np.zeros(2))
    assert result.status == 4 and not result.success and result.non_finite > 100


def test_zero_has_no_sign() -> None:
    assert str(zorl.minimize(lambda x: float(abs(x[0])), [0.0], max_evaluations=20).fun) == "0.0"


def test_values_that_are_not_finite_are_counted_and_said() -> None:
    def holes(x: Vector) -> float:
        return np.nan if x[0] > 0.9 else sphere(x)

    result = zorl.minimize(holes, np.zeros(3), max_evaluations=2000)
    assert result.non_finite > 0
    assert f"{result.non_finite} values were not finite" in result.message
    assert sphere(result.x) < 1e-6


def test_a_search_that_diverges_says_so() -> None:
    with pytest.raises(DivergedError, match="lower the learning rate"):
        zorl.minimize(sphere, np.ones(3), "spsa", options={"learning_rate": 1e45})


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"x0": [[0.0]]}, ConfigurationError, "non-empty vector"),
        ({"x0": []}, ConfigurationError, "non-empty vector"),
        ({"x0": [0.0, np.nan, 0.0]}, ConfigurationError, r"theta\[1\] is nan"),
        ({"method": "cma"}, UnknownNameError, "did you mean"),
        ({"options": {"sigma": 1.0}}, UnknownNameError, "did you mean 'sigma0'"),
        ({"options": {"sigma0": -1.0}}, ConfigurationError, "sigma0 must be"),
        ({"max_evaluations": 0}, ConfigurationError, "max_evaluations must be"),
        ({"tol": -1.0}, ConfigurationError, "tol must be"),
        ({"repeats": 0}, ConfigurationError, "repeats must be"),
        ({"repeats": 1.5}, ConfigurationError, "repeats must be"),
        ({"target": np.nan}, ConfigurationError, "target must be a finite"),
        ({"target": "a"}, ConfigurationError, "target must be a finite"),
        ({"options": [1]}, ConfigurationError, "options must be names with values"),
        ({"callback": 3}, ConfigurationError, "callback must be a function"),
        ({"fun": 3}, ConfigurationError, "fun must be a function"),
        ({"method": 3}, ConfigurationError, "a name or an optimizer"),
        ({"method": CMAES}, ConfigurationError, "a name or an optimizer"),
        ({"x0": "abc"}, ConfigurationError, "non-empty vector|vector of numbers"),
        ({"x0": [1, [2, 3]]}, ConfigurationError, "vector of numbers"),
        ({"x0": [1j, 0, 0]}, ConfigurationError, "vector of numbers"),
        ({"x0": [1e39, 0, 0]}, ConfigurationError, "range of float32"),
        ({"bounds": 5}, ConfigurationError, "one .* pair of"),
        ({"bounds": [("a", 1)] * 3}, ConfigurationError, "one .* pair of"),
        ({"bounds": Bounds([0, 0], [1, 1])}, ConfigurationError, "one .* pair of"),
        ({"bounds": [(1, 2)] * 3}, ConfigurationError, "must start inside its bounds"),
        ({"fun": lambda x: ["a"] * len(x), "batched": True}, ConfigurationError, "one number per"),
        ({"gate": "pared"}, UnknownNameError, "mean 'paired'"),
        ({"seed": -1}, ConfigurationError, "seed must be"),
        ({"bounds": [(0, 1)]}, ConfigurationError, "one .* pair of .* each of the d = 3"),
        ({"bounds": [(0, 1, 2)] * 3}, ConfigurationError, "one .* pair of"),
        ({"fun": lambda x: x}, ConfigurationError, "needs batched=True"),
        ({"fun": lambda x: None}, ConfigurationError, "one number, got None"),
        ({"fun": lambda x: 1.0, "batched": True}, ConfigurationError, "one value per candidate"),
    ],
)
def test_bad_input_is_named(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        zorl.minimize(**{"fun": sphere, "x0": np.zeros(3), **settings})


def test_an_error_in_the_objective_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        zorl.minimize(lambda x: 1 / 0, [0.0])


@pytest.mark.slow
def test_it_runs_where_torch_and_gymnasium_are_not_installed() -> None:
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "gymnasium", "stable_baselines3", "tensorboard",
                                  "rich", "matplotlib", "PIL", "safetensors", "cloudpickle"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import zorl
for method in zorl.optimizers.METHODS:
    result = zorl.minimize(lambda x: float(x @ x), [1.0] * 6, method, max_evaluations=200)
    assert result.fun < 6, method
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")
