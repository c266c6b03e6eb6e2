"""The hot loop against a plain Gymnasium loop, bit for bit, and what it refuses."""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numba
import numpy as np
import pytest
from toy_envs import WALK, Doubled, Walk

from zorl.common.errors import ConfigurationError, EnvironmentFailure, NonFiniteRewardError
from zorl.common.streams import action_rng
from zorl.envs import Task, make_task, native_recorder
from zorl.policies.mlp import LinearPolicy, MlpPolicy
from zorl.policies.normalization import Moments, Normalizer
from zorl.policies.spaces import ActionDecoder, ObservationEncoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.env_runner import EnvRunner
from zorl.rollout.local import step_batch
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.step_batch import CompiledStepBatch, StepBatch

SEEDS = (11, 2**31 - 1, 7, 123456, 42, 5)
FIGURES = ("returns", "native_returns", "lengths", "successes")


@dataclass(frozen=True)
class Case:
    task: Task
    hidden: tuple[int, ...] = (4,)
    activation: str = "tanh"
    stochastic: bool = False
    mode: str = "off"


def walk(**kwargs: Any) -> Task:
    return make_task(WALK, env_kwargs=kwargs, threshold=-20.0)


CASES = {
    "mountain-car": Case(make_task("MountainCar-v0"), ()),
    "mountain-car-shaped": Case(make_task("MountainCar-v0", ["momentum"]), (8,), mode="running"),
    "cart-pole": Case(make_task("CartPole-v1"), (5, 3), "silu", mode="running"),
    "cart-pole-stochastic": Case(make_task("CartPole-v1"), stochastic=True, mode="bounds"),
    "pendulum": Case(make_task("Pendulum-v1"), (8,), "elu", mode="bounds"),
    "pendulum-stochastic": Case(make_task("Pendulum-v1"), (), stochastic=True),
    "multi-discrete": Case(walk(action="multi-discrete"), activation="sigmoid"),
    "multi-discrete-stochastic": Case(walk(action="multi-discrete"), stochastic=True),
    "multi-binary": Case(walk(action="multi-binary"), (7,), "relu", mode="running"),
    "multi-binary-stochastic": Case(walk(action="multi-binary"), stochastic=True),
    "walk": Case(walk()),
    "box-doubled": Case(make_task(WALK, ["toy_envs:Doubled"], {"action": "box"}), (33,)),
    "discrete-observations": Case(walk(observation="discrete", action="box"), mode="running"),
    "image": Case(walk(observation="image"), (6,), mode="bounds"),
}


@dataclass(frozen=True)
class Setting:
    policy: MlpPolicy
    thetas: np.ndarray
    normalizer: Normalizer
    encoder: ObservationEncoder


@cache
def setting(name: str) -> Setting:
    """The policy of a case, four candidates that do different things, and a used normalizer."""
    case = CASES[name]
    env = case.task.make()
    encoder = ObservationEncoder.for_space(env.observation_space)
    decoder = ActionDecoder.for_space(env.action_space, case.stochastic)
    env.close()
    policy = MlpPolicy(encoder.size, decoder, case.hidden, case.activation)
    rng = np.random.default_rng(3)
    thetas = rng.normal(size=(4, policy.dim))
    if name == "mountain-car":  # pushed where it moves: some reach the goal, some do not
        thetas *= 0.01
        thetas[:3, [1, 5]] += [[-60, 60], [-9, 9], [-30, 32]]
    if name == "cart-pole-stochastic":  # closer to chance
        thetas *= 0.3
    normalizer = Normalizer.create(case.mode, encoder.low, encoder.high)
    if case.mode == "running":
        seen = rng.normal(0.1, 0.6, size=(9, encoder.size))
        mean = seen.mean(axis=0)
        normalizer = normalizer.merge(Moments(9, mean, ((seen - mean) ** 2).sum(axis=0)))
        normalizer = replace(normalizer, clip=0.8)  # on both sides, now and then
    return Setting(policy, thetas, normalizer, encoder)


def encode(observation: Any, encoder: ObservationEncoder) -> np.ndarray:
    """(size,) features, written here a second time: one-hot, or flattened."""
    if encoder.kind == "discrete":
        return np.eye(encoder.size)[observation - encoder.start]
    return np.asarray(observation, np.float64).ravel()


def play(name: str, row: int, seed: int) -> tuple[tuple[Any, ...], np.ndarray]:
    """An episode by a loop as anyone would write it; its figures and all that was acted on."""
    case, here = CASES[name], setting(name)
    env = case.task.make()
    native = native_recorder(env)
    chance = action_rng(seed)
    theta = here.thetas[row].astype(np.float32)[None]
    observation, _ = env.reset(seed=seed)
    seen = []
    total, over, terminated = 0.0, False, False
    while not over:
        seen.append(encode(observation, here.encoder))
        outputs = here.policy.forward(theta, here.normalizer(seen[-1])[None])
        draw = chance.random(outputs.shape[1])[None] if case.stochastic else None
        action = here.policy.decoder.decode(outputs, draw)[0]
        observation, reward, terminated, truncated, info = env.step(action)
        total += float(reward)
        over = terminated or truncated
    own = total if native is None else native.episode_return
    env.close()
    success = case.task.succeeded(own, terminated, info)
    return (total, own, len(seen), success), np.array(seen)


@cache
def expected(name: str) -> dict[tuple[int, int], tuple[tuple[Any, ...], np.ndarray]]:
    return {(row, seed): play(name, row, seed) for row in range(4) for seed in SEEDS}


def run_jobs(
    runner: EnvRunner, thetas: np.ndarray, jobs: list[tuple[int, int]], normalizer: Normalizer
) -> EpisodeResults:
    """Results of (row, seed) jobs in their order: every job has a column of the work for itself."""
    batch = EpisodeBatch(thetas.astype(np.float32), tuple(seed for _, seed in jobs), normalizer)
    results = EpisodeResults.empty(batch)
    indices = [row * len(jobs) + column for column, (row, _) in enumerate(jobs)]
    runner.run(batch, indices, results)
    return EpisodeResults(*(values[indices] for values in vars(results).values()))


def runner(name: str, lanes: int, compiled: bool = False) -> GymnasiumRunner:
    case, here = CASES[name], setting(name)
    uniforms = here.policy.decoder.outputs if case.stochastic else 0
    return GymnasiumRunner(case.task, here.policy, lanes, uniforms=uniforms, compiled=compiled)


def shuffled(name: str, salt: int) -> list[tuple[int, int]]:
    jobs = list(expected(name))
    random.Random(salt).shuffle(jobs)
    return jobs


def check(name: str, jobs: list[tuple[int, int]], result: EpisodeResults) -> None:
    wanted = [expected(name)[job][0] for job in jobs]
    for index, figure in enumerate(FIGURES):
        assert getattr(result, figure).tolist() == [row[index] for row in wanted], figure


@pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])
@pytest.mark.parametrize("lanes", [1, 3, 64])
@pytest.mark.parametrize("name", CASES)
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


def test_moments_are_the_same_bits_whatever_the_lanes() -> None:
    name = "cart-pole"
    jobs, here = shuffled(name, 1), setting(name)
    results = [
        run_jobs(runner(name, lanes, compiled), here.thetas, jobs, here.normalizer)
        for lanes in (1, 3, 16)
        for compiled in (False, True)
    ]
    for others in results[1:]:
        assert results[0].sums.any()
        assert results[0].sums.tobytes() == others.sums.tobytes()
        assert results[0].squares.tobytes() == others.squares.tobytes()


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


def faulty(
    fault: str,
    allow_non_finite: bool = False,
    lanes: int = 3,
    wrappers: tuple[str, ...] = (),
    **kwargs: Any,
) -> GymnasiumRunner:
    task = make_task(WALK, wrappers, {"fault": fault, "fault_seed": 8, **kwargs}, -20.0)
    return GymnasiumRunner(task, setting("walk").policy, lanes, allow_non_finite=allow_non_finite)


OFF = Normalizer.create("off", np.zeros(3), np.zeros(3))
OFF_OF_TWO = Normalizer.create("off", np.zeros(2), np.zeros(2))
JOBS = [(0, seed) for seed in (1, 2, 8, 3, 4)]


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
@pytest.mark.parametrize("lanes", [1, 3, 8])
@pytest.mark.parametrize("kind", ["nan", "inf"])
@pytest.mark.parametrize("what", ["reward", "observation"])
def test_a_tolerant_runner_ends_what_is_not_finite_and_spares_the_neighbours(
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
    task = make_task("toy_envs:toy/Countdown-v0", env_kwargs=options, success="info")
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


def test_environments_that_are_dear_to_make_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    make = Task.make
    monkeypatch.setattr(Task, "make", lambda self: time.sleep(0.006) or make(self))
    own = GymnasiumRunner(walk(), setting("walk").policy)
    run_jobs(own, setting("walk").thetas, JOBS * 6, OFF)
    assert len(own.envs) == 8
    own = GymnasiumRunner(walk(), setting("walk").policy, 12)  # as told
    run_jobs(own, setting("walk").thetas, JOBS * 6, OFF)
    assert len(own.envs) == 12


def test_compiled_code_is_loaded_when_it_pays() -> None:
    own = GymnasiumRunner(walk(), setting("walk").policy)
    assert own.step_batch_class() is StepBatch
    own.steps = 20_000
    assert own.step_batch_class() is CompiledStepBatch


def test_what_is_prepared_is_all_that_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the types of what the kernel is called with: it is compiled once for each."""
    kernels, called = step_batch._kernels(), set()
    real = kernels.decide

    def decide(*arguments: Any) -> Any:
        called.add(tuple(str(numba.typeof(argument)) for argument in arguments))
        return real(*arguments)

    monkeypatch.setattr(kernels, "decide", decide)
    runner("cart-pole", 4, compiled=False).prepare()
    assert called == set()
    runner("cart-pole", 4, compiled=True).prepare()
    prepared, called = called, set()
    for name in ("cart-pole", "walk", "box-doubled", "image", "pendulum-stochastic"):
        here = setting(name)
        run_jobs(runner(name, 4, compiled=True), here.thetas, JOBS, here.normalizer)
    assert called
    assert called <= prepared


def test_numpy_serves_with_a_notice_where_numba_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(
        sys.modules, "zorl.policies.kernels", None
    )  # importing it raises ImportError
    step_batch._kernels.cache_clear()
    own = runner("cart-pole", 4, compiled=True)
    assert own.step_batch_class() is StepBatch
    assert own.step_batch_class() is StepBatch
    assert caplog.text.count("in numpy, slower but bit-identical") == 1
    step_batch._kernels.cache_clear()


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
    monkeypatch.setattr(Task, "make", lambda self: made.append(1) or make(self))
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
