"""The rollout loop against a plain Gymnasium loop, bit for bit, and what it refuses."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rollout_cases import (
    CASES,
    FIGURES,
    JOBS,
    OFF,
    OFF_OF_TWO,
    SEEDS,
    check,
    expected,
    faulty,
    run_jobs,
    runner,
    setting,
    shuffled,
    walk,
)
from toy_envs import WALK, Doubled, Shared, Walk

from zorl.common.errors import ConfigurationError, EnvironmentFailure, NonFiniteRewardError
from zorl.envs import Task, make_task
from zorl.policies.mlp import LinearPolicy
from zorl.policies.normalization import Normalizer
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.step_batch import CompiledStepBatch, StepBatch

# Every case with fewer lanes than jobs; one of each kind also with one lane and with one each.
PLAYED = [(name, 3) for name in CASES]
PLAYED += [(name, n) for name in ("walk", "cart-pole-stochastic", "image") for n in (1, 64)]


@pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])
@pytest.mark.parametrize(("name", "lanes"), PLAYED)
def test_every_episode_equals_a_plain_loop_to_the_bit(
    name: str, lanes: int, compiled: bool
) -> None:
    jobs = shuffled(name, lanes)
    own = runner(name, lanes, compiled)
    assert own.step_batch_class() is (CompiledStepBatch if compiled else StepBatch)
    here = setting(name)
    result = run_jobs(own, here.thetas, jobs, here.normalizer)
    own.close()
    check(name, jobs, result)
    if CASES[name].mode != "running":
        assert result.moments(here.normalizer) is None
        return
    center, _ = here.normalizer.affine()
    for sums, squares, job in zip(result.sums, result.squares, jobs, strict=True):
        shifted = expected(name)[job][1] - center
        np.testing.assert_allclose(sums, shifted.sum(axis=0), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(squares, (shifted**2).sum(axis=0), rtol=1e-12, atol=1e-12)
    moments = result.moments(here.normalizer)
    assert moments is not None
    seen = np.concatenate([expected(name)[job][1] for job in jobs])
    assert moments.count == len(seen)
    np.testing.assert_allclose(moments.mean, seen.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.std, seen.std(axis=0), rtol=1e-9, atol=1e-7)


def test_the_cases_tell_episodes_apart() -> None:
    # A loop that mixes up seeds, candidates or lanes must not pass by luck.
    for name in CASES:
        figures = [episode for episode, _ in expected(name).values()]
        assert len({total for total, *_ in figures}) > 5, name
    lengths = {episode[2] for episode, _ in expected("mountain-car").values()}
    assert len(lengths) > 5
    assert 200 in lengths
    assert {episode[3] for episode, _ in expected("mountain-car").values()} == {True, False}
    shaped = [episode for episode, _ in expected("mountain-car-shaped").values()]
    assert all(total != own for total, own, *_ in shaped)
    doubled = [episode for episode, _ in expected("box-doubled").values()]
    assert [total for total, *_ in doubled] == pytest.approx([2 * own for _, own, *_ in doubled])


@pytest.mark.parametrize("name", ["mountain-car-shaped", "cart-pole-stochastic", "multi-binary"])
@pytest.mark.parametrize("size", [1, 4, 5])
def test_chunks_of_jobs_change_nothing(name: str, size: int) -> None:
    jobs, here = shuffled(name, 99), setting(name)
    own = runner(name, 3)  # keeps its environments from chunk to chunk
    for start in range(0, len(jobs), size):
        piece = jobs[start : start + size]
        check(name, piece, run_jobs(own, here.thetas, piece, here.normalizer))
    own.close()
    check(name, jobs[:4], run_jobs(own, here.thetas, jobs[:4], here.normalizer))  # opens new ones
    own.close()


def test_the_normalizer_is_frozen_during_a_run() -> None:
    name = "mountain-car-shaped"
    here = setting(name)
    before = here.normalizer.moments
    mean, m2 = before.mean.copy(), before.m2.copy()
    job = (0, SEEDS[0])
    own = runner(name, 2)
    # The tenth episode from a seed equals the first: nothing was learned on the way.
    result = run_jobs(own, here.thetas, [job] * 10, here.normalizer)
    check(name, [job] * 10, result)
    assert here.normalizer.moments is before
    assert (before.mean == mean).all()
    assert (before.m2 == m2).all()


def test_candidates_may_be_float64_and_are_not_changed() -> None:
    name = "cart-pole"
    here = setting(name)
    thetas = here.thetas.copy()
    thetas.setflags(write=False)
    run_jobs(runner(name, 4), thetas, shuffled(name, 5), here.normalizer)
    assert (thetas == here.thetas).all()


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (
            "raise-step",
            EnvironmentFailure,
            "RuntimeError in step() at step 3 of .*seed 8: the step",
        ),
        ("raise-reset", EnvironmentFailure, "RuntimeError in reset() of .*seed 8: the reset is"),
        ("wrong-shape", EnvironmentFailure, "in reset() of .*seed 8: an observation has shape"),
        ("nan-reward", NonFiniteRewardError, "infinite reward after 3 steps: .*seed 8 .*worst"),
        ("inf-reward", NonFiniteRewardError, "infinite reward after 3 steps: .*seed 8 .*worst"),
        ("nan-observation", NonFiniteRewardError, "observation after 3 steps: .*seed 8"),
        ("inf-observation", NonFiniteRewardError, "observation after 3 steps: .*seed 8"),
    ],
)
@pytest.mark.parametrize("normalize", ["off", "running"])
def test_a_fault_names_the_environment_the_step_and_the_seed(
    fault: str, kind: type[Exception], words: str, normalize: str
) -> None:
    own = faulty(fault)
    normalizer = Normalizer.create(normalize, np.full(3, -np.inf), np.full(3, np.inf))
    pattern = words.replace("()", r"\(\)")
    with pytest.raises(kind, match=f"toy/Walk-v0.*{pattern}") as caught:
        run_jobs(own, setting("walk").thetas, JOBS, normalizer)
    assert type(caught.value) is kind
    # The runner is as good as new afterwards.
    check("walk", [(1, 11), (2, 7)], run_jobs(own, setting("walk").thetas, [(1, 11), (2, 7)], OFF))


def test_a_wrapper_does_not_hide_an_infinite_reward_of_the_environment() -> None:
    own = faulty("inf-reward", wrappers=("clip-reward(min_reward=-1.0, max_reward=1.0)",))
    with pytest.raises(NonFiniteRewardError, match=r"infinite reward after [0-9]+ steps.*seed 8"):
        run_jobs(own, setting("walk").thetas, JOBS, OFF)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("what", "kind", "lanes"),
    [
        ("reward", "nan", 3),
        ("reward", "inf", 8),
        ("observation", "nan", 1),
        ("observation", "inf", 3),
    ],
)
def test_where_it_is_allowed_what_is_not_finite_ends_its_episode_alone(
    what: str, kind: str, lanes: int, compiled: bool
) -> None:
    learns = Normalizer.create("running", np.full(3, -np.inf), np.full(3, np.inf))
    thetas = setting("walk").thetas
    own = faulty(f"{kind}-{what}", allow_non_finite=True, lanes=lanes)
    own.compiled = compiled
    result = run_jobs(own, thetas, JOBS, learns)
    healthy = run_jobs(faulty("none"), thetas, JOBS, learns)
    for values in (result.returns, result.native_returns):  # infinite is no better than NaN
        assert np.isnan(values).tolist() == [False, False, True, False, False]
    assert result.lengths[2] == 3  # it ends where it went wrong
    assert not result.successes[2]
    assert np.isfinite(result.sums).all()
    assert np.isfinite(result.squares).all()
    kept = [0, 1, 3, 4]
    for name, values in vars(healthy).items():
        assert getattr(result, name)[kept].tobytes() == values[kept].tobytes(), name


def test_a_reset_that_is_not_finite_is_no_candidates_doing() -> None:
    task = make_task("toy_envs:toy/Loose-v0", env_kwargs={"how": "nan-reset"})
    own = GymnasiumRunner(task, setting("walk").policy, allow_non_finite=True)
    with pytest.raises(NonFiniteRewardError, match=r"observation after 0 steps: .*seed [1-8]"):
        run_jobs(own, setting("walk").thetas, JOBS, OFF)


def test_a_hidden_infinite_reward_of_the_environment_is_no_good_score() -> None:
    clipped = ("clip-reward(min_reward=-1.0, max_reward=1.0)",)
    own = faulty("inf-reward", allow_non_finite=True, wrappers=clipped)
    result = run_jobs(own, setting("walk").thetas, JOBS, OFF)
    assert np.isnan(result.returns).tolist() == [False, False, True, False, False]


def test_a_failure_names_its_job_and_keeps_what_the_environment_raised() -> None:
    batch = EpisodeBatch(setting("walk").thetas.astype(np.float32), (1, 8, 2), OFF)
    with pytest.raises(EnvironmentFailure) as caught:
        faulty("raise-step").run(batch, range(len(batch)), EpisodeResults.empty(batch))
    assert caught.value.job == 1
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    "how", ["double", "list", "alternating", "integer", "short", "short-later"]
)
def test_observations_of_another_type_than_the_space_says_are_taken_for_what_they_are(
    how: str,
) -> None:
    task = make_task("toy_envs:toy/Loose-v0", env_kwargs={"how": how}, threshold=0.0)
    plain = make_task("toy_envs:toy/Loose-v0", env_kwargs={"how": "single"}, threshold=0.0)
    here = setting("walk")
    normalizer = Normalizer.create("running", np.full(3, -np.inf), np.full(3, np.inf))
    results = [
        run_jobs(
            GymnasiumRunner(one, here.policy, 2, compiled=compiled), here.thetas, JOBS, normalizer
        )
        for one in (plain, task)
        for compiled in (False, True)
    ]
    for other in results[1:]:
        for name, values in vars(results[0]).items():
            assert getattr(other, name).tobytes() == values.tobytes(), name


def test_a_time_limit_alone_and_one_beneath_a_wrapper_are_the_same() -> None:
    here = setting("walk")
    outermost = GymnasiumRunner(walk(), here.policy, 3)
    beneath = GymnasiumRunner(
        make_task(WALK, ["time-aware-observation"], threshold=-20.0),
        replace(here.policy, inputs=4),
        3,
    )
    thetas = np.zeros((4, replace(here.policy, inputs=4).dim))
    flat = run_jobs(outermost, np.zeros_like(here.thetas), shuffled("walk", 2), OFF)
    deep = run_jobs(
        beneath, thetas, shuffled("walk", 2), Normalizer.create("off", np.zeros(4), np.zeros(4))
    )
    assert 25 in flat.lengths.tolist()  # the limit
    assert len(set(flat.lengths.tolist())) > 3
    for name in FIGURES:
        assert getattr(flat, name).tolist() == getattr(deep, name).tolist()


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_an_episode_out_of_time_is_judged_by_its_own_info(lanes: int) -> None:
    options = {"max_episode_steps": 4}
    task = make_task("toy_vector_envs:toy/Countdown-v0", env_kwargs=options, success="info")
    env = task.make()
    policy = LinearPolicy(2, ActionDecoder.for_space(env.action_space))
    seeds = tuple(range(8))
    batch = EpisodeBatch(np.zeros((1, policy.dim), np.float32), seeds, OFF_OF_TWO)
    results = EpisodeResults.empty(batch)
    GymnasiumRunner(task, policy, lanes).run(batch, range(8), results)
    starts = [np.random.default_rng(seed).random() for seed in seeds]
    assert results.lengths.tolist() == [min(2 + int(8 * x), 4) for x in starts]
    assert results.successes.tolist() == [x <= 0.5 for x in starts]
    assert {x <= 0.5 for x in starts if x > 0.25} == {True, False}  # of those that are late


def test_only_the_first_environment_keeps_gymnasiums_checks() -> None:
    own = GymnasiumRunner(make_task("CartPole-v1"), setting("cart-pole").policy, 3)
    name = "cart-pole"
    run_jobs(own, setting(name).thetas, shuffled(name, 3), setting(name).normalizer)
    kinds = [str(env) for env in own.envs]
    assert "PassiveEnvChecker" in kinds[0]
    assert "OrderEnforcing" in kinds[0]
    assert kinds[1] == kinds[2] == "<TimeLimit<CartPoleEnv<CartPole-v1>>>"
    own.close()


def test_environments_that_are_slow_to_make_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    make = Task.make

    def slow(self: Task) -> Any:
        time.sleep(0.006)
        return make(self)

    monkeypatch.setattr(Task, "make", slow)
    own = GymnasiumRunner(walk(), setting("walk").policy)
    run_jobs(own, setting("walk").thetas, JOBS * 6, OFF)
    assert len(own.envs) == 8
    own = GymnasiumRunner(walk(), setting("walk").policy, 12)  # as told
    run_jobs(own, setting("walk").thetas, JOBS * 6, OFF)
    assert len(own.envs) == 12


def test_an_observation_that_nothing_can_act_on_raises() -> None:
    with pytest.raises(NonFiniteRewardError, match="observation"):
        run_jobs(faulty("nan-observation"), setting("walk").thetas, JOBS, OFF)


def test_single_precision_rewards_are_summed_in_double() -> None:
    env = make_task(WALK, env_kwargs={"single": True}).make()
    here = setting("walk")
    observation, _ = env.reset(seed=5)
    rewards: list[float] = []
    over = False
    while not over:
        action = here.policy.act(here.thetas[:1], observation[None])[0]
        observation, reward, terminated, truncated, _ = env.step(action)
        assert isinstance(reward, np.float32)
        rewards.append(float(reward))
        over = terminated or truncated
    result = run_jobs(faulty("none", single=True), here.thetas, [(0, 5)], OFF)
    assert len(rewards) > 3
    assert result.returns.tolist() == [sum(rewards)]


def test_environments_are_kept_as_many_as_there_was_work_for_until_they_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    make = Task.make

    def counted(self: Task) -> Any:
        made.append(1)
        return make(self)

    monkeypatch.setattr(Task, "make", counted)
    closed = []
    monkeypatch.setattr(Walk, "close", lambda self: closed.append(1))
    own = runner("walk", 16)
    for _ in range(2):
        run_jobs(own, setting("walk").thetas, [(0, 1), (1, 1)], OFF)
    assert len(made) == 2
    run_jobs(own, setting("walk").thetas, [(0, 1)] * 3, OFF)
    assert (len(made), len(closed)) == (3, 0)
    own.close()
    own.close()
    assert len(closed) == 3
    run_jobs(own, setting("walk").thetas, [(0, 1)], OFF)
    assert len(made) == 4


def test_lanes_must_be_positive() -> None:
    with pytest.raises(ConfigurationError, match="lanes must be ≥ 1, got 0"):
        runner("walk", 0)


def test_the_toy_wrapper_is_the_one_that_was_named() -> None:
    env = CASES["box-doubled"].task.make()
    assert isinstance(env, Doubled)


@pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])
@pytest.mark.parametrize("buffer", Shared.buffers)
def test_environments_that_share_what_they_return_give_the_same_bits(
    buffer: str, compiled: bool
) -> None:
    task = make_task("toy_envs:toy/Shared-v0", env_kwargs={"buffer": buffer}, success="info")
    env = task.make()
    network = LinearPolicy(3, ActionDecoder.for_space(env.action_space))
    thetas = np.random.default_rng(0).normal(size=(4, network.dim)).astype(np.float32)
    bounds = np.full(3, np.inf)
    batch = EpisodeBatch(thetas, (1, 2, 3), Normalizer.create("running", -bounds, bounds))
    results = []
    for lanes in (1, 5):
        own = GymnasiumRunner(task, network, lanes, compiled=compiled)
        results.append(EpisodeResults.empty(batch))
        own.run(batch, range(len(batch)), results[-1])
        own.close()
    for name, values in vars(results[0]).items():
        assert values.tobytes() == getattr(results[1], name).tobytes(), name
    assert 0 < results[0].successes.sum() < len(batch)
