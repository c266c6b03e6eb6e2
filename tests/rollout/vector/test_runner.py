"""Rollouts in vector environments: every episode whole, from its own seed where that can be."""

from __future__ import annotations

import pickle
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pytest
from toy_envs import WALK
from toy_vector_envs import COUNTDOWN, VECTOR_WALK

from zorl.common.errors import (
    ConfigurationError,
    EnvironmentFailure,
    NonFiniteRewardError,
    UnknownNameError,
)
from zorl.common.streams import Streams
from zorl.envs import Task, make_task
from zorl.optimizers import spsa
from zorl.policies.mlp import MlpPolicy
from zorl.policies.normalization import Normalizer
from zorl.policies.observations import ObservationEncoder
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.env_runner import EnvRunner
from zorl.rollout.evaluator import RolloutEvaluator
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend
from zorl.rollout.vector.runner import VectorRunner, check_vector
from zorl.search.loop import Search

MODES = ("NextStep", "SameStep", "Disabled")
SEEDS = (11, 2**31 - 1, 7, 123456, 42)
ROWS = 9


def countdown(success: Any = "terminated", **kwargs: Any) -> Task:
    return make_task(COUNTDOWN, env_kwargs=kwargs, success=success)


@cache
def policy_of(env_id: str, hidden: tuple[int, ...]) -> tuple[MlpPolicy, ObservationEncoder]:
    env = make_task(env_id).make()
    encoder = ObservationEncoder.for_space(env.observation_space)
    policy = MlpPolicy(encoder.size, ActionDecoder.for_space(env.action_space), hidden)
    env.close()
    return policy, encoder


def choosing() -> np.ndarray:
    """(ROWS, 9) linear policies of Countdown: row i always takes action i mod 3."""
    thetas = np.zeros((ROWS, 9))
    thetas[np.arange(ROWS), 6 + np.arange(ROWS) % 3] = 1.0
    return thetas


def play(
    runner: EnvRunner, thetas: Any, seeds: Any = SEEDS, mode: str = "running", jobs: Any = None
) -> tuple[EpisodeBatch, EpisodeResults]:
    policy = runner.policy  # type: ignore[attr-defined]
    low = np.zeros(policy.inputs)
    normalizer = Normalizer.create(mode, low, low + 4)  # its center is 2
    batch = EpisodeBatch(np.ascontiguousarray(thetas, np.float32), tuple(seeds), normalizer)
    results = EpisodeResults.empty(batch)
    runner.run(batch, range(len(batch)) if jobs is None else jobs, results)
    return batch, results


def run_countdown(task: Task, lanes: int = 4, **kwargs: Any) -> tuple[EpisodeBatch, EpisodeResults]:
    policy, _ = policy_of(COUNTDOWN, ())
    return play(VectorRunner(task, policy, lanes=lanes, **kwargs), choosing())


@pytest.mark.parametrize("own_seeds", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lanes", [1, 4, 64])
def test_every_episode_is_whole(mode: str, own_seeds: bool, lanes: int) -> None:
    task = countdown(mode=mode, own_seeds=own_seeds)
    batch, results = run_countdown(task, lanes)
    action = np.array([batch.job(job)[0] % 3 for job in range(len(batch))])
    x = (
        results.returns - 100
    ) / results.lengths - 1000 * action  # the start, if nothing was lost or added
    assert (x >= 0).all() and (x < 1).all()
    assert (results.lengths == 2 + np.floor(8 * x + 1e-9) + 3 * action).all()
    assert (results.successes == (x > 0.5)).all()
    assert (results.native_returns == results.returns).all()
    # The observations acted on are [x, t], t = 0, 1, …, length − 1.
    np.testing.assert_allclose(results.sums[:, 0], (x - 2) * results.lengths, rtol=1e-9)
    assert (results.sums[:, 1] == results.lengths * (results.lengths - 5) / 2).all()
    expected = [((np.arange(length) - 2) ** 2).sum() for length in results.lengths]
    assert (results.squares[:, 1] == expected).all()


@pytest.mark.parametrize("lanes", [1, 7, 45, 64])
def test_own_seeds_give_the_bits_of_single_environments(lanes: int) -> None:
    policy, _ = policy_of(COUNTDOWN, (4,))
    rng = np.random.default_rng(3)
    thetas = rng.normal(size=(ROWS, policy.dim))
    task = countdown(mode="Disabled", own_seeds=True)
    _, expected = play(GymnasiumRunner(countdown(), policy, 3), thetas)
    for compiled in (False, True):
        runner = VectorRunner(task, policy, lanes=lanes, compiled=compiled)
        assert runner.seeded
        _, results = play(runner, thetas)
        for name, values in vars(expected).items():
            np.testing.assert_array_equal(getattr(results, name), values, name)
    assert len(set(expected.lengths)) > 5


@pytest.mark.parametrize(
    ("observation", "action"),
    [
        ("box", "discrete"),
        ("discrete", "box"),
        ("image", "multi-discrete"),
        ("box", "multi-binary"),
        ("nested", "discrete"),
    ],
)
def test_gymnasium_s_own_vectors_of_every_space(observation: str, action: str) -> None:
    spaces = {"observation": observation, "action": action}
    task = make_task(VECTOR_WALK, env_kwargs=spaces, threshold=-10.0)
    check_vector(task, "vector", workers=2)
    env = task.make()
    encoder = ObservationEncoder.for_space(env.observation_space)
    policy = MlpPolicy(encoder.size, ActionDecoder.for_space(env.action_space), (3,))
    thetas = np.random.default_rng(0).normal(size=(6, policy.dim))
    _, expected = play(GymnasiumRunner(task, policy, 4), thetas)
    _, results = play(VectorRunner(task, policy, lanes=8), thetas)
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(getattr(results, name), values, name)
    assert 0 < expected.successes.sum() < expected.successes.size


@pytest.mark.parametrize("mode", MODES)
def test_one_generator_gives_equal_results_to_equal_calls(mode: str) -> None:
    task = countdown(mode=mode)
    policy, _ = policy_of(COUNTDOWN, ())
    runner = VectorRunner(task, policy, lanes=4)
    assert not runner.seeded
    _, first = play(runner, choosing())
    _, fewer = play(runner, choosing(), jobs=range(20, 27))  # leaves the generator elsewhere
    _, again = play(runner, choosing())
    np.testing.assert_array_equal(first.returns, again.returns)
    assert len(set(first.returns)) == first.returns.size  # no common random numbers
    assert (fewer.lengths > 0).nonzero()[0].tolist() == list(range(20, 27))
    _, other = play(runner, choosing(), seeds=(5, 6, 7, 8, 9))
    assert not (other.returns == first.returns).any()
    listing = VectorRunner(countdown(mode=mode, fault="list-for-all"), policy, lanes=4)
    assert not listing.seeded


def test_a_search_with_one_generator_resumes_to_the_same_bits() -> None:
    policy, _ = policy_of("CartPole-v1", ())

    def search() -> Search:
        runner = VectorRunner(make_task("CartPole-v1"), policy, lanes=6)
        evaluator = RolloutEvaluator(SerialBackend(runner))
        return Search(spsa(learning_rate=0.1, radius=0.5), evaluator, Streams(0), episodes=4)

    whole = list(islice(search().run(search().init(np.zeros(policy.dim))), 6))
    rest = list(islice(search().run(whole[2].state), 3))  # in a new environment
    for a, b in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(a.state.theta, b.state.theta)
        np.testing.assert_array_equal(a.evaluation.returns, b.evaluation.returns)
    assert len({generation.state.theta.tobytes() for generation in whole}) > 3


@pytest.mark.parametrize("mode", MODES)
def test_info_says_success_at_the_last_step(mode: str) -> None:
    task = countdown(success="info", mode=mode)
    batch, results = run_countdown(task)
    action = np.array([batch.job(job)[0] % 3 for job in range(len(batch))])
    x = (results.returns - 100) / results.lengths - 1000 * action
    assert (results.successes == (x <= 0.5)).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", ["nan-reward", "nan-observation"])
@pytest.mark.parametrize("lanes", [4, 45])
def test_a_number_that_is_not_finite_ends_its_episode(mode: str, fault: str, lanes: int) -> None:
    task = countdown(mode=mode, fault=fault)
    with pytest.raises(NonFiniteRewardError, match=r"after 2 steps.*does not replay it"):
        run_countdown(task)
    batch, sound = run_countdown(countdown(mode=mode), lanes)
    _, results = run_countdown(task, lanes, allow_non_finite=True)
    action = np.array([batch.job(job)[0] % 3 for job in range(len(batch))])
    x = (sound.returns - 100) / sound.lengths - 1000 * action
    # A fault at the last step's observation is nobody's; of its reward, it is.
    bad = (x < 1 / 3) & ((fault == "nan-reward") | (sound.lengths > 2))
    assert 5 < bad.sum() < 40
    assert np.isnan(results.returns[bad]).all() and (results.lengths[bad] == 2).all()
    assert not results.successes[bad].any()
    assert (results.sums[bad, 1] == -3).all()  # t − 2 for t = 0 and 1
    for name, values in vars(sound).items():
        np.testing.assert_array_equal(getattr(results, name)[~bad], values[~bad], name)


def test_a_start_that_is_not_finite_raises_even_where_faults_are_counted() -> None:
    with pytest.raises(NonFiniteRewardError, match="observation after 0 steps"):
        run_countdown(countdown(fault="nan-reset"), allow_non_finite=True)
    task = countdown(mode="Disabled", own_seeds=True, fault="nan-observation")
    with pytest.raises(NonFiniteRewardError, match=r"episode with seed \d+ cannot") as caught:
        run_countdown(task)
    assert caught.value.job is not None


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", r"raised RuntimeError in step\(\) of 4 lanes.*seeds \[7, 11.*step is broken"),
        ("wrong-shape", r"4 observations have shape \(4, 1\).*\(4, 2\)"),
        ("one-reward", r"rewards of 4 lanes must be numbers of shape \(4,\), got .*\(1,\)"),
        ("float-flags", r"truncations of 4 lanes must be booleans.*float64"),
        ("four-values", "not enough values"),
    ],
)
def test_a_broken_environment_is_said_to_be(fault: str, message: str) -> None:
    policy, _ = policy_of(COUNTDOWN, ())
    runner = VectorRunner(countdown(fault=fault), policy, lanes=4)
    for _ in range(2):  # the second time in a new environment
        with pytest.raises(EnvironmentFailure, match=message):
            play(runner, choosing())


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"fault": "no-mode"}, ConfigurationError, "must say in metadata"),
        ({"mode": "Disabled", "fault": "ignores-mask"}, ConfigurationError, "outside of the mask"),
        ({"mode": "Disabled", "fault": "no-mask"}, EnvironmentFailure, "KeyError at reset"),
        ({"nonsense": 1}, EnvironmentFailure, "cannot make vectors of .*nonsense"),
    ],
)
def test_environments_that_cannot_be_trusted_are_refused(
    kwargs: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_vector(countdown(**kwargs), "vector")


@pytest.mark.parametrize(
    ("task", "kind", "message"),
    [
        (make_task("MountainCar-v0"), "vector", "no vector environment of its own"),
        (make_task("CartPole-v1", ["clip-reward"]), "vector", "clip-reward; leave them out"),
        (make_task("MountainCar-v0", ["momentum"]), "envpool", "momentum; leave them out"),
        (Task("phys2d/CartPole-v1"), "vector", "does not move its other lanes"),
    ],
)
def test_tasks_that_do_not_fit_are_refused(task: Task, kind: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_vector(task, kind)


def test_settings_that_do_not_fit_are_refused() -> None:
    policy, _ = policy_of(COUNTDOWN, ())
    with pytest.raises(UnknownNameError, match="did you mean"):
        check_vector(countdown(), "vectors")
    with pytest.raises(UnknownNameError, match="did you mean"):
        VectorRunner(countdown(), policy, kind="envpol")
    with pytest.raises(ConfigurationError, match="lanes must be ≥ 1, got 0"):
        VectorRunner(countdown(), policy, lanes=0)
    with pytest.raises(ConfigurationError, match="threads must be ≥ 1, got 0"):
        VectorRunner(countdown(), policy, threads=0)
    with pytest.raises(ConfigurationError, match="deterministically"):
        check_vector(countdown(), "vector", stochastic=True)
    with pytest.raises(ConfigurationError, match="with 2 workers their timing"):
        check_vector(countdown(), "vector", workers=2)
    check_vector(countdown(), "vector")
    check_vector(countdown(mode="Disabled", own_seeds=True), "vector", workers=2)


def test_a_runner_travels_to_a_worker_after_it_has_run() -> None:
    policy, _ = policy_of(COUNTDOWN, ())
    runner = VectorRunner(countdown(), policy, lanes=4)
    _, first = play(runner, choosing())
    copy = pickle.loads(pickle.dumps(runner))
    assert "no common random numbers" in copy.description and "4 lanes" in copy.description
    np.testing.assert_array_equal(play(copy, choosing())[1].returns, first.returns)
    _, none = play(copy, choosing(), jobs=())
    assert not none.lengths.any()


def balancing() -> tuple[MlpPolicy, np.ndarray]:
    """Linear policies of CartPole-v1 that fall at very different times."""
    policy, _ = policy_of("CartPole-v1", ())
    thetas = np.zeros((4, policy.dim))
    weights = [[0, 0, 0, 0], [0, -0.3, 1, 0.2], [-0.3, 0, 1, 0.2], [0, 0, 1, 0.15]]
    thetas[:, 4:8] = np.array(weights)
    thetas[0, 9] = 1.0  # always to the right
    return policy, thetas


def spread(runner: EnvRunner, thetas: np.ndarray, seed: int, episodes: int) -> np.ndarray:
    """(2, n) mean returns and their standard errors."""
    seeds = Streams(seed).episodes(0, episodes)
    _, results = play(runner, thetas, seeds, mode="off")
    returns = results.returns.reshape(len(thetas), episodes)
    assert (results.lengths == results.returns).all()  # CartPole pays 1 a step
    return np.stack([returns.mean(axis=1), returns.std(axis=1, ddof=1) / episodes**0.5])


def test_cart_pole_of_its_own_is_the_same_task() -> None:
    task = make_task("CartPole-v1")
    check_vector(task, "vector")
    policy, thetas = balancing()
    single = spread(GymnasiumRunner(task, policy, 16), thetas, 0, 60)
    vector = spread(VectorRunner(task, policy, lanes=64), thetas, 1, 60)
    assert single[0, 0] < 10 < single[0, 2] < 0.8 * single[0, 1]
    assert single[0, 3] == vector[0, 3] == 500
    tolerance = 4 * np.hypot(single[1], vector[1]) + 1e-9
    assert (abs(single[0] - vector[0]) < tolerance).all(), (single, vector)
    assert (tolerance < 0.5 * single[0]).all()


class TestEnvPool:
    """EnvPool's environments."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("envpool")

    @pytest.mark.parametrize("mode", ["off", "running"])
    def test_neither_lanes_nor_blocks_nor_order_change_a_bit(self, mode: str) -> None:
        task = make_task("CartPole-v1")
        policy, thetas = balancing()
        seeds = Streams(0).episodes(0, 6)
        runners = [
            VectorRunner(task, policy, "envpool", lanes, threads)
            for lanes, threads in ((24, 1), (1, 1), (5, 2))
        ]
        assert all(runner.seeded for runner in runners)
        assert "not where Gymnasium's starts" in runners[0].description
        _, first = play(runners[0], thetas, seeds, mode)
        assert len(set(first.returns)) > 2
        for runner in runners[1:]:
            _, other = play(runner, thetas, seeds, mode, reversed(range(24)))
            for name, values in vars(first).items():
                np.testing.assert_array_equal(getattr(other, name), values, name)

    def test_candidates_meet_the_same_starts(self) -> None:
        policy, thetas = balancing()
        runner = VectorRunner(make_task("CartPole-v1"), policy, "envpool")
        twice = np.repeat(thetas[1:2], 2, axis=0)
        _, results = play(runner, twice, Streams(0).episodes(0, 6), "off")
        assert (results.returns[:6] == results.returns[6:]).all()
        assert len(set(results.returns)) > 2

    @pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "MountainCar-v0"])
    def test_it_plays_the_same_task(self, env_id: str) -> None:
        task = make_task(env_id)
        check_vector(task, "envpool", workers=2)
        policy, _ = policy_of(env_id, (8,))
        rng = np.random.default_rng(1)
        thetas = np.stack([policy.init(rng) * 3 for _ in range(3)])
        single, pool = (
            play(runner, thetas, Streams(seed).episodes(0, 60), mode="off")[1]
            for seed, runner in enumerate(
                [GymnasiumRunner(task, policy, 16), VectorRunner(task, policy, "envpool")]
            )
        )
        a, b = (results.returns.reshape(3, 60) for results in (single, pool))
        error = np.hypot(a.std(axis=1), b.std(axis=1)) / 60**0.5
        assert (abs(a.mean(axis=1) - b.mean(axis=1)) <= 4 * error + 1e-6).all()
        if env_id != "CartPole-v1":
            assert set(pool.lengths) <= set(range(1, 201)) and pool.lengths.max() == 200

    def test_its_time_limit_is_the_task_s(self) -> None:
        task = make_task("Pendulum-v1", env_kwargs={"max_episode_steps": 7})
        policy, _ = policy_of("Pendulum-v1", ())
        _, results = play(VectorRunner(task, policy, "envpool"), np.zeros((2, policy.dim)))
        assert (results.lengths == 7).all() and (results.returns < 0).all()

    @pytest.mark.parametrize(
        ("task", "error", "message"),
        [
            (make_task(WALK), UnknownNameError, "environment of EnvPool"),
            (Task("CartPole-v1", {"colour": 3}), ConfigurationError, "EnvPool cannot make.*colour"),
        ],
    )
    def test_what_it_does_not_have(self, task: Task, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            check_vector(task, "envpool")


def test_without_envpool_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "envpool", None)
    with pytest.raises(ConfigurationError, match=r"pip install \"zorl\[envpool\]\""):
        check_vector(make_task("CartPole-v1"), "envpool")
