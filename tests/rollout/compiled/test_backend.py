"""Compiled rollouts against environments in lockstep: the same bits, or as close as is stated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compiled_cases import (
    ARRAYS,
    FIGURES,
    drivers,
    mountain_car,
    played,
    same,
    setting,
)
from toy_twins import DRIFT, FAULT

from zorl.common.errors import ConfigurationError, NonFiniteRewardError
from zorl.envs import find_twin, make_task
from zorl.policies.normalization import Normalizer
from zorl.rollout.batch import EpisodeBatch
from zorl.rollout.compiled.backend import CompiledBackend
from zorl.rollout.compiled.parts import LANES
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend


@pytest.mark.parametrize("shaped", [True, False])
def test_exact_mountain_car_is_gymnasiums_to_the_bit(shaped: bool) -> None:
    here = mountain_car(shaped)
    thetas, seeds = drivers(here, 12), range(7, 15)
    mine = here.evaluate(here.compiled(exact=True, threads=2), thetas, seeds)
    truth = here.evaluate(here.in_lockstep(), thetas, seeds)
    for figure in FIGURES:
        assert getattr(mine, figure).tolist() == getattr(truth, figure).tolist(), figure
    assert mine.moments is not None
    assert truth.moments is not None
    assert mine.moments.mean.tolist() == truth.moments.mean.tolist()
    assert mine.moments.m2.tolist() == truth.moments.m2.tolist()
    assert set(truth.successes.ravel().tolist()) == {True, False}
    assert (truth.lengths < 200).any()
    assert (truth.returns != truth.native_returns).all() == shaped


@pytest.mark.parametrize(
    ("env_id", "memory"),
    [
        ("MountainCarContinuous-v0", None),
        ("CartPole-v1", "elman:3"),
        ("Acrobot-v1", None),
        ("Pendulum-v1", "gru:1"),
    ],
)
def test_the_other_exact_tasks_are_gymnasiums_to_the_bit(env_id: str, memory: str | None) -> None:
    task = make_task(env_id, env_kwargs={"max_episode_steps": 120})
    here = setting(task, (), mode="bounds", memory=memory)
    thetas, seeds = here.thetas(4), range(3)
    mine = here.evaluate(here.compiled(exact=True), thetas, seeds)
    truth = here.evaluate(here.in_lockstep(), thetas, seeds)
    for figure in FIGURES:
        assert getattr(mine, figure).tolist() == getattr(truth, figure).tolist(), figure


def test_a_mask_hides_numbers_from_the_policy_and_not_from_the_reward() -> None:
    mask = ("mask-observation", {"keep": [1]})
    task = make_task("MountainCar-v0", ["momentum", mask], {"max_episode_steps": 60})
    here = setting(task, (), mode="running", mean=(0.0,), std=(0.03,))
    thetas, seeds = here.thetas(4), range(2)
    mine = here.evaluate(here.compiled(exact=True), thetas, seeds)
    truth = here.evaluate(here.in_lockstep(), thetas, seeds)
    for figure in FIGURES:
        assert getattr(mine, figure).tolist() == getattr(truth, figure).tolist(), figure
    assert len(np.unique(truth.returns)) > 1
    assert (truth.returns != truth.native_returns).all()


def test_fast_mountain_car_is_close_to_gymnasiums() -> None:
    here = mountain_car()
    thetas, seeds = drivers(here, 40), range(20)
    mine = here.evaluate(here.compiled(exact=False), thetas, seeds)
    exact = here.evaluate(here.compiled(exact=True), thetas, seeds)
    assert (mine.lengths == exact.lengths).mean() > 0.97
    same = mine.lengths == exact.lengths
    assert np.allclose(mine.returns[same], exact.returns[same], rtol=1e-3, atol=1e-2)
    assert mine.moments is not None
    assert exact.moments is not None
    assert np.allclose(mine.moments.mean, exact.moments.mean, rtol=0, atol=1e-3)


@pytest.mark.parametrize("exact", [True, False])
def test_the_same_bits_whoever_plays_beside_whom(exact: bool) -> None:
    here = mountain_car()
    n, seeds = 700, (3, 99, 4)  # 700 ≥ 4 · LANES: an episode of every candidate in one lane …
    thetas = drivers(here, n)
    truth = played(here, exact, thetas, seeds, threads=1)
    assert len(np.unique(truth.returns)) > 300
    for threads in (2, 3, 8):  # … and with more threads in any lane
        same(played(here, exact, thetas, seeds, threads), truth)
    for row in (0, 1, 350, 699):
        alone = played(here, exact, thetas[[row]], seeds, threads=2)
        same(alone, truth, slice(3 * row, 3 * row + 3))
    order = np.random.default_rng(1).permutation(n)
    jobs = (order[:, None] * 3 + np.arange(3)).ravel()
    same(played(here, exact, thetas[order], seeds, threads=2), truth, jobs)
    for count in (LANES // 3, LANES // 3 + 1, LANES, LANES + 1):  # jobs: 63, 66, 192, 195
        same(played(here, exact, thetas[:count], seeds, threads=2), truth, slice(3 * count))
    one_seed = played(here, exact, thetas[:LANES], seeds[1:2], threads=2)  # exactly LANES jobs
    same(one_seed, truth, slice(1, 3 * LANES, 3))


def test_a_backend_that_is_used_again_gives_the_same_and_reads_no_old_arrays() -> None:
    here = mountain_car()
    thetas, seeds = drivers(here, 70), tuple(range(4))
    backend = here.compiled(exact=False, threads=2)
    frozen = thetas.copy()
    frozen.setflags(write=False)
    first = backend.run(EpisodeBatch(frozen, seeds, here.normalizer()))
    again = backend.run(EpisodeBatch(thetas, seeds, here.normalizer()))
    same(again, first)
    spread = np.repeat(thetas, 2, axis=1)[:, ::2]  # not contiguous
    same(backend.run(EpisodeBatch(spread, seeds, here.normalizer())), first)
    other = backend.run(EpisodeBatch(thetas[::-1], seeds[::-1], here.normalizer()))
    same(other, first, np.arange(280)[::-1])
    backend.close()
    backend.close()
    same(backend.run(EpisodeBatch(thetas, seeds, here.normalizer())), first)
    backend.close()


def test_nothing_is_compiled_anew_for_read_only_arrays() -> None:
    here = mountain_car()
    thetas = here.thetas(2)
    fresh = Normalizer.create("running", here.encoder.low, here.encoder.high)
    assert not here.normalizer().affine()[0].flags.writeable
    assert fresh.affine()[0].flags.writeable
    backend = here.compiled(exact=False)
    for normalizer in (fresh, here.normalizer()):
        for frozen in (False, True):
            thetas.setflags(write=not frozen)
            backend.run(EpisodeBatch(thetas, (1,), normalizer))
    (kernel,) = backend._kernels.values()
    assert len(kernel.__wrapped__.signatures) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("exact", [True, False])
def test_work_without_jobs_gives_no_episodes(exact: bool) -> None:
    here = mountain_car()
    none = np.zeros((0, here.policy.dim), np.float32)
    assert len(played(here, exact, none, (1, 2), threads=2).returns) == 0
    assert len(played(here, exact, here.thetas(2), (), threads=2).returns) == 0


def test_the_time_limit_is_the_tasks() -> None:
    for limit in (1, 37):
        task = make_task("MountainCar-v0", env_kwargs={"max_episode_steps": limit})
        here = replace(mountain_car(), task=task)
        result = played(here, False, here.thetas(3), (1, 2), threads=1)
        assert result.lengths.tolist() == [limit] * 6
        assert result.native_returns.tolist() == [-limit] * 6


def test_every_rule_of_success() -> None:
    # On step 3 of Drift or so, some end beyond ±2 and some run out of time.
    rules: list[tuple[Any, float | None]] = [
        ("terminated", None),
        ("threshold", -30.0),
        ("none", None),
    ]
    for success, threshold in rules:
        here = setting(make_task(DRIFT, success=success, threshold=threshold), ())
        thetas, seeds = here.thetas(20), range(5)
        mine = here.evaluate(here.compiled(exact=True), thetas, seeds)
        truth = here.evaluate(here.in_lockstep(), thetas, seeds)
        assert mine.successes.tolist() == truth.successes.tolist()
        found = set(truth.successes.ravel().tolist())
        assert found == ({False} if success == "none" else {True, False})


SEEDS = tuple(range(12))
BAD = [seed for seed in SEEDS if np.random.default_rng(seed).random() < 0.2]


@pytest.mark.parametrize("fault", [1, 2, 3])
def test_what_is_not_finite_raises_with_its_seed_or_counts_as_nan(fault: int) -> None:
    here = setting(
        make_task(FAULT, env_kwargs={"fault": fault}, success="threshold", threshold=1.0), ()
    )
    sound = setting(replace(here.task, env_kwargs={"fault": 0}), ())
    assert 0 < len(BAD) < len(SEEDS)
    batch = EpisodeBatch(here.thetas(10), SEEDS, here.normalizer())
    with pytest.raises(NonFiniteRewardError, match=rf"toy/Fault.*seed {BAD[0]};.*worst") as caught:
        here.compiled(exact=False).run(batch)
    assert caught.value.job == BAD[0]
    result = here.compiled(exact=False, allow_non_finite=True).run(batch)
    expected = sound.compiled(exact=False).run(batch)
    bad = np.tile(np.isin(SEEDS, BAD), 10)
    for values in (result.returns, result.native_returns):
        assert np.isnan(values).tolist() == bad.tolist()
        assert values[~bad].tolist() == expected.returns[~bad].tolist()
    assert not result.successes[bad].any()
    assert result.successes[~bad].tolist() == expected.successes[~bad].tolist()
    assert expected.successes.any()


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("fault", [1, 2, 3, 4, 5])
def test_what_is_not_finite_ends_an_episode_where_it_does_in_gymnasium(
    fault: int, exact: bool
) -> None:
    task = make_task(FAULT, env_kwargs={"fault": fault}, success="threshold", threshold=1.0)
    here = setting(task, (), mode="running", mean=(0.5,), std=(0.3,))
    batch = EpisodeBatch(here.thetas(10), SEEDS, here.normalizer())
    truth = SerialBackend(GymnasiumRunner(task, here.policy, allow_non_finite=True)).run(batch)
    mine = here.compiled(exact, allow_non_finite=True).run(batch)
    # Nobody acts on the last observation, whatever it is.
    assert np.isnan(truth.returns).any() == (fault != 5)
    for name in ARRAYS:
        expected, found = getattr(truth, name), getattr(mine, name)
        assert np.isfinite(expected).all() or "returns" in name
        if exact or name in ("lengths", "successes"):
            assert found.tobytes() == expected.tobytes(), name
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("exact", [False, True])
def test_a_start_that_is_not_finite_raises_even_where_faults_are_counted(exact: bool) -> None:
    here = setting(make_task(FAULT, env_kwargs={"fault": 6}), ())
    batch = EpisodeBatch(here.thetas(2), SEEDS, here.normalizer())
    with pytest.raises(
        NonFiniteRewardError, match=rf"after 0 steps of .* seed {BAD[0]};"
    ) as caught:
        here.compiled(exact, allow_non_finite=True).run(batch)
    assert caught.value.job == BAD[0]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Gymnasium's, of what it is made to return
def test_actions_that_are_not_finite_leave_the_moments_finite() -> None:
    here = setting(make_task("Pendulum-v1"))
    normalizer = Normalizer.create("running", here.encoder.low, here.encoder.high)
    thetas = here.thetas(3)
    thetas[0] = np.nan  # as after an overflow
    batch = EpisodeBatch(thetas, (1, 2), normalizer)
    truth = SerialBackend(GymnasiumRunner(here.task, here.policy, allow_non_finite=True)).run(batch)
    mine = here.compiled(exact=True, allow_non_finite=True).run(batch)
    assert np.isnan(truth.returns).tolist() == [True] * 2 + [False] * 4
    for name in ARRAYS:
        assert getattr(mine, name).tobytes() == getattr(truth, name).tobytes(), name


def test_parameters_that_are_not_finite_do_no_harm_to_others() -> None:
    here = mountain_car()
    thetas, seeds = drivers(here, 6), (1, 2)
    truth = played(here, False, thetas, seeds, threads=1)
    for value in (np.nan, np.inf, 3e38):
        spoilt = thetas.copy()
        spoilt[2] = value
        result = played(here, False, spoilt, seeds, threads=1)
        kept = [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]
        assert result.returns[kept].tolist() == truth.returns[kept].tolist()


@pytest.mark.parametrize(
    ("twin", "words"),
    [
        ("short-state", r"ShortState.step must return \(state.*a state of 2 numbers"),
        ("long-observation", r"observe must return a tuple of 2 numbers.*got \("),
        ("few-parameters", "FewParameters.step takes 2 numbers, expected 3: 2 of the state.*1 of"),
        ("no-tuple", r"NoTuple.step must return \(state, reward, terminated\)"),
        ("text-reward", "TextReward.step must return numbers as reward.*much"),
        ("no-reset", "NoReset.reset must return a tuple of numbers, got 0"),
        ("loops", "For"),
    ],
)
def test_a_twin_that_does_not_fit_is_refused_when_the_backend_is_made(
    twin: str, words: str
) -> None:
    here = setting(make_task(DRIFT, env_kwargs={"twin": twin}))
    with pytest.raises(ConfigurationError, match=words):
        here.compiled(exact=True)


def test_what_numba_cannot_compile_is_said_to_be_the_twins_fault() -> None:
    here = setting(make_task(DRIFT, env_kwargs={"twin": "undefined"}))
    with pytest.raises(ConfigurationError, match=r"(?s)the twin Undefined cannot be compiled.*num"):
        played(here, False, here.thetas(1), (1,), threads=1)


def test_a_reward_that_does_not_fit_the_observations_is_refused() -> None:
    here = setting(make_task("CartPole-v1"))
    twin = find_twin(make_task("MountainCar-v0", ["momentum"]))
    cart_pole = find_twin(here.task)
    assert twin is not None and cart_pole is not None
    mixed = replace(cart_pole, rewards=twin.rewards)
    with pytest.raises(ConfigurationError, match=r"Momentum\.reward takes 4 numbers, expected 6"):
        CompiledBackend(here.task, mixed, here.policy, here.encoder)


def test_arrays_of_another_size_are_refused_for_memory_would_be_read_beyond_them() -> None:
    here, other = mountain_car(), setting(make_task("CartPole-v1"))
    backend = here.compiled(exact=False)
    for thetas, normalizer in [
        (other.thetas(1), here.normalizer()),
        (here.thetas(1)[0], here.normalizer()),
        (here.thetas(1), other.normalizer()),
    ]:
        with pytest.raises(ConfigurationError, match="expected thetas of shape"):
            backend.run(EpisodeBatch(thetas, (1,), normalizer))
    with pytest.raises(ConfigurationError, match="as many as the policy has inputs, 2"):
        CompiledBackend(here.task, find_twin(here.task), here.policy, other.encoder)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="threads must be ≥ 1, got 0"):
        here.compiled(exact=False, threads=0)


def test_two_wrappers_of_one_kind_keep_their_own_options() -> None:
    wrappers = ["momentum(step_cost=7)", "momentum(speed_weight=0, height_weight=0, step_cost=2)"]
    here = setting(make_task("MountainCar-v0", wrappers, {"max_episode_steps": 5}))
    thetas, seeds = here.thetas(2), range(2)
    mine = here.evaluate(here.compiled(exact=True), thetas, seeds)
    assert mine.returns.tolist() == [[-10.0] * 2] * 2
