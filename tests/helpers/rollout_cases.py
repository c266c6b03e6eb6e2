"""Tasks, networks and jobs for the rollout loop, and the same episodes by a plain loop."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from gymnasium import spaces
from toy_envs import WALK

from zorl.common.streams import action_rng
from zorl.envs import Task, make_task, native_recorder
from zorl.policies.normalization import Moments, Normalizer
from zorl.policies.observations import ObservationEncoder
from zorl.policies.source import make_policy
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.env_runner import EnvRunner
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner

SEEDS = (11, 2**31 - 1, 7, 123456, 42, 5)


FIGURES = ("returns", "native_returns", "lengths", "successes")


@dataclass(frozen=True)
class Case:
    task: Task
    hidden: tuple[int, ...] = (4,)
    activation: str = "tanh"
    stochastic: bool = False
    mode: str = "off"
    memory: str | None = None


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
    "pendulum-gru": Case(
        make_task("Pendulum-v1", ["mask-observation(keep=[0, 1])"]),
        (4,),
        mode="running",
        memory="gru:3",
    ),
    "walk-elman-stochastic": Case(walk(action="box"), (), stochastic=True, memory="elman:1"),
    "nested": Case(walk(observation="nested", action="multi-discrete"), (5,), mode="running"),
}


@dataclass(frozen=True)
class Setting:
    policy: Any
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
    policy = make_policy(
        encoder.size, decoder, hidden=case.hidden, activation=case.activation, memory=case.memory
    )
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


def encode(observation: Any, space: spaces.Space[Any]) -> np.ndarray:
    """(size,) features, written here a second time: as Gymnasium flattens, pixels by 255."""
    flat: Any = spaces.flatten_space(space)
    pixels = (flat.low == 0) & (flat.high == 255)
    row = np.asarray(spaces.flatten(space, observation), np.float64)
    return np.where(pixels, row / 255, row)


def play(name: str, row: int, seed: int) -> tuple[tuple[Any, ...], np.ndarray]:
    """An episode by a loop as anyone would write it; its figures and all that was acted on."""
    case, here = CASES[name], setting(name)
    env = case.task.make()
    native = native_recorder(env)
    chance = action_rng(seed)
    theta = here.thetas[row].astype(np.float32)[None]
    observation, _ = env.reset(seed=seed)
    actor = here.policy.bind(theta, np.zeros((1, here.policy.state_size), np.float32))
    seen = []
    total, over, terminated = 0.0, False, False
    while not over:
        seen.append(encode(observation, env.observation_space))
        draw = chance.random((1, here.policy.decoder.outputs)) if case.stochastic else None
        actions: Any = actor(1, here.normalizer(seen[-1])[None], draw)
        observation, reward, terminated, truncated, info = env.step(actions[0])
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
