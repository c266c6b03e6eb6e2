"""Tasks with twins, networks of every kind, and what compiled code makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from toy_twins import ECHO

from zorl.envs import Task, find_twin, make_task
from zorl.policies.mlp import MlpPolicy
from zorl.policies.normalization import Moments, Normalizer
from zorl.policies.observations import ObservationEncoder
from zorl.policies.source import make_policy
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.compiled.backend import CompiledBackend
from zorl.rollout.evaluation import Evaluation
from zorl.rollout.evaluator import RolloutEvaluator
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend

FIGURES = ("returns", "native_returns", "lengths", "successes")


ARRAYS = (*FIGURES, "sums", "squares")


@dataclass(frozen=True)
class Setting:
    """A task and a network for it."""

    task: Task
    policy: MlpPolicy
    encoder: ObservationEncoder
    mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def thetas(self, n: int, seed: int = 0) -> np.ndarray:
        """(n, d) networks whose units are neither dead nor saturated."""
        rng = np.random.default_rng(seed)
        if self.policy.state_size:
            return rng.normal(0, 0.8, (n, self.policy.dim)).astype(np.float32)
        parts = []
        for results, fan_in in self.policy.layers:
            size = results * (fan_in + self.policy.bias)
            parts.append(rng.normal(0, 1.5 / np.sqrt(fan_in), (n, size)))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def normalizer(self) -> Normalizer:
        """One that has seen something, if it learns, and clips now and then."""
        normalizer = Normalizer.create(self.mode, self.encoder.low, self.encoder.high)
        if self.mode == "running":
            mean, squares = np.array(self.mean), 9 * np.array(self.std) ** 2
            nothing = np.zeros_like(mean)
            normalizer = normalizer.merge(Moments.of_shifted_sums(9, mean, nothing, squares))
        return replace(normalizer, clip=0.8)

    def compiled(self, exact: bool, threads: int = 1, **kwargs: Any) -> CompiledBackend:
        twin = find_twin(self.task)
        assert twin is not None
        return CompiledBackend(
            self.task, twin, self.policy, self.encoder, exact=exact, threads=threads, **kwargs
        )

    def in_lockstep(self) -> SerialBackend:
        return SerialBackend(GymnasiumRunner(self.task, self.policy, compiled=False))

    def evaluate(self, backend: Any, thetas: np.ndarray, seeds: range) -> Evaluation:
        try:
            return RolloutEvaluator(backend).evaluate(thetas, tuple(seeds), self.normalizer())
        finally:
            backend.close()


def setting(
    task: Task,
    hidden: tuple[int, ...] = (8,),
    activation: str = "tanh",
    bias: bool = True,
    mode: str = "off",
    mean: tuple[float, ...] = (-0.4, 0.0, 0.2),
    std: tuple[float, ...] = (0.5, 0.4, 0.6),
    memory: str | None = None,
    squash: bool = False,
) -> Setting:
    env = task.make()
    encoder = ObservationEncoder.for_space(env.observation_space)
    decoder = ActionDecoder.for_space(env.action_space)
    env.close()
    policy: Any = make_policy(
        encoder.size, decoder, None, hidden, activation, bias, memory=memory, squash=squash
    )
    return Setting(task, policy, encoder, mode, mean, std)


def echo(action: str, single: bool) -> Task:
    return make_task(ECHO, env_kwargs={"action": action, "single": single})


# Every activation, layer shape, way of normalising and kind of action, each with some other.
NETWORKS: dict[str, Callable[[], Setting]] = {
    "linear": lambda: setting(echo("box", True), ()),
    "one-unit": lambda: setting(echo("two", False), (1,), "tanh", False, "bounds"),
    "gru": lambda: setting(echo("wide", False), (8,), "elu", True, "running", memory="gru:9"),
    "three-layers": lambda: setting(echo("seven", True), (5, 7, 3), "silu", True, "running"),
    "two-layers": lambda: setting(echo("box", True), (32, 32), "relu", False, "off"),
    "broad": lambda: setting(echo("wide", False), (70,), "sigmoid", True, "bounds", squash=True),
}


@cache
def mountain_car(shaped: bool = True) -> Setting:
    task = make_task("MountainCar-v0", ["momentum(goal_reward=50)"] if shaped else [])
    return setting(task, mode="running", mean=(-0.5, 0.0), std=(0.3, 0.03))


def drivers(here: Setting, n: int) -> np.ndarray:
    """Half of them push where the car moves, and most of these reach the goal."""
    thetas = here.thetas(n)
    # A first unit for the velocity, which decides between left and right.
    w = here.policy.inputs * 8
    thetas[::2, :w:2] *= 0.01
    thetas[::2, 1:w:2] = 3.0
    thetas[::2, w : w + 8] *= 0.1
    last = thetas[::2, w + 8 :]
    last[:, :8], last[:, 8:16], last[:, 16:24], last[:, 24:] = -1.0, 0.0, 1.0, 0.0
    return thetas


def played(
    here: Setting, exact: bool, thetas: np.ndarray, seeds: Any, threads: int
) -> EpisodeResults:
    backend = here.compiled(exact, threads)
    try:
        return backend.run(EpisodeBatch(thetas, tuple(seeds), here.normalizer()))
    finally:
        backend.close()


def same(mine: EpisodeResults, truth: EpisodeResults, jobs: Any = slice(None)) -> None:
    for name in ARRAYS:
        assert getattr(mine, name).tobytes() == getattr(truth, name)[jobs].tobytes(), name
