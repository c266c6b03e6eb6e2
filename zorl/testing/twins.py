"""`check_compiled_twin`: a twin against the environment whose place it takes, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError
from zorl.common.validation import at_least

if TYPE_CHECKING:
    import gymnasium as gym

    from zorl.envs import Task

_HOLD = 10  # longest run of one random action: uncorrelated ones leave most of a state space unseen


@dataclass(frozen=True)
class TwinReport:
    """How a twin compares with its environment; of the fast twin of a MuJoCo task it says NaN.

    Attributes:
        steps: env steps compared.
        episodes: episodes compared.
        exact_differences: steps whose observation, reward or termination differ in any bit between
            Gymnasium and the exact twin.
        observation_error: largest absolute error of the fast twin's observation after one step
            from a state of the exact one.
        reward_error: likewise of the reward.
        termination_error: share of steps that the fast twin ends otherwise.
        episodes_differing: share of the episodes whose length or whose return, by more than 10⁻⁴
            of its size, differs when the fast twin plays the same actions on its own.
    """

    steps: int
    episodes: int
    exact_differences: int
    observation_error: float
    reward_error: float
    termination_error: float
    episodes_differing: float


@dataclass(frozen=True)
class _Played:
    """One episode: observations (t + 1, o), rewards (t,) and whether each step terminated."""

    observations: NDArray[Any]
    rewards: NDArray[np.float64]
    ends: NDArray[np.bool_]


def check_compiled_twin(
    env_id: str,
    *,
    steps: int = 100_000,
    env_kwargs: Mapping[str, Any] | None = None,
    tolerance: float = 0.0,
    fast_tolerance: float = 1e-4,
    seed: int = 0,
    policy: Callable[[Any], Any] | None = None,
) -> TwinReport:
    """Check that a registered twin is the same task as its Gymnasium environment.

    Episodes start from Gymnasium's own seeding and take random actions, single ones and ones held
    for a while, or a policy's. The exact twin must give every observation, reward and termination
    to the bit (or within `tolerance`); the fast one each of them within `fast_tolerance` after one
    step from the same state, relative to the largest value seen of each number. The fast twin of a
    MuJoCo task has other physics, and is not compared.

    Example:
        >>> report = check_compiled_twin("CartPole-v1", steps=1000)
        >>> report.exact_differences
        0

    Args:
        env_id: a Gymnasium id, or "module:Id-v0"; its twin must be registered.
        steps: env steps to compare, at least.
        env_kwargs: arguments of the environment and of the twin.
        tolerance: of the exact twin, absolute.
        fast_tolerance: of the fast twin, relative.
        seed: of the actions; the episodes' seeds count up from it.
        policy: the action for an observation, instead of random ones; of an agent
            `lambda observation: agent.predict(observation)[0]`.

    Raises:
        AssertionError: the twin is another task; says in which step of which episode, and how.
        ConfigurationError: there is no twin, or it cannot be translated.
    """
    from zorl.envs import make_task
    from zorl.envs.twins.base import find_twin

    at_least("steps", steps, 1)
    task = make_task(env_id, env_kwargs=env_kwargs)
    twin = find_twin(task)
    if twin is None:
        raise ConfigurationError(
            f"{env_id} has no compiled twin for {dict(task.env_kwargs)}; register one with "
            "zorl.envs.register_twin"
        )
    env = task.make()
    try:
        comparison = _Comparison(task, twin.env, env, policy, tolerance, fast_tolerance)
        return comparison.run(steps, seed)
    finally:
        env.close()


class _Comparison:
    def __init__(
        self,
        task: Task,
        twin: Any,
        env: gym.Env[Any, Any],
        policy: Callable[[Any], Any] | None,
        tolerance: float,
        fast: float,
    ) -> None:
        from zorl.envs.mujoco.task import CompiledMujoco
        from zorl.policies.observations import ObservationEncoder
        from zorl.policies.spaces import ActionDecoder

        self.task, self.twin, self.env, self.policy = task, twin, env, policy
        self.tolerance, self.fast_tolerance = tolerance, fast
        self.decoder = ActionDecoder.for_space(env.action_space)
        self.encoder = ObservationEncoder.for_space(env.observation_space)
        if self.decoder.kind not in ("discrete", "box") or self.encoder.kind != "box":
            raise ConfigurationError(
                f"a compiled twin needs Box observations and Discrete or Box actions; "
                f"{task.env_id} has {env.observation_space} and {env.action_space}"
            )
        self.exact: Any
        self.fast: Any = None
        if isinstance(twin, CompiledMujoco):
            self._compile_mujoco()
        else:
            self._compile()

    def _compile(self) -> None:
        from zorl.envs.twins.base import Twin, rehearse
        from zorl.rollout.compiled.cache import traced

        actions = 1 if self.decoder.kind == "discrete" else self.decoder.outputs
        middle = self.decoder.decode(np.zeros((1, self.decoder.outputs), np.float32))[0]
        parts = np.ravel(middle).astype(float).tolist()
        rehearse(Twin(self.twin, (), 1), parts, self.encoder.size)
        self.exact = traced(self.twin, self.encoder.size, actions, exact=True)
        self.fast = traced(self.twin, self.encoder.size, actions, exact=False)

    def _compile_mujoco(self) -> None:
        from zorl.envs.mujoco.rehearsal import rehearse
        from zorl.rollout.compiled.mujoco.trace import traced

        rehearse(self.twin, self.decoder.outputs, self.encoder.size)
        self.exact = traced(self.twin)

    def run(self, steps: int, seed: int) -> TwinReport:
        rng = np.random.default_rng(seed)
        count = episodes = different = differing = 0
        ends_wrong = 0
        errors: list[NDArray[Any]] = []
        sizes: list[NDArray[Any]] = []
        while count < steps:
            episode_seed = seed + episodes
            actions, truth = self._gymnasium(episode_seed, rng)
            start = self._start(episode_seed)
            states = np.zeros((len(actions) + 1, len(start)))
            states[0] = start
            exact = self._play(self.exact, states, actions, truth, chained=True)
            different += self._compare(exact, truth, episode_seed)
            if self.fast is not None:
                each = self._play(self.fast, states, actions, truth, chained=False)
                alone = states.astype(np.float32)
                own = self._play(self.fast, alone, actions, truth, chained=True)
                differing += self._differs(own, truth)
                ends_wrong += int((each.ends != truth.ends).sum())
                both = [np.c_[p.observations[1:], p.rewards] for p in (each, truth)]
                errors.append(np.abs(both[0] - both[1]).max(axis=0))
                sizes.append(np.abs(both[1]).max(axis=0))
            count += len(actions)
            episodes += 1
        if self.fast is None:
            return TwinReport(count, episodes, different, *[math.nan] * 4)
        worst = self._worst(errors, sizes)
        return TwinReport(
            count,
            episodes,
            different,
            float(worst[:-1].max()),
            float(worst[-1]),
            ends_wrong / count,
            differing / episodes,
        )

    def _worst(self, errors: list[NDArray[Any]], sizes: list[NDArray[Any]]) -> NDArray[Any]:
        """The largest errors of the fast twin; raises where they are too large."""
        worst: NDArray[Any] = np.max(errors, axis=0)
        size: NDArray[Any] = np.max(sizes, axis=0)
        relative = worst / np.maximum(size, 1e-12)
        if not (relative <= self.fast_tolerance).all():
            index = int(np.argmax(~(relative <= self.fast_tolerance)))
            name = "reward" if index == len(worst) - 1 else f"observation[{index}]"
            raise AssertionError(
                f"the fast twin of {self.task.env_id} errs by {worst[index]:.3g} in {name} after "
                f"one step ({relative[index]:.3g} of its size); expected at most "
                f"{self.fast_tolerance:g}. Likely causes: a difference of nearly equal numbers, or "
                "an angle that grows without being wrapped"
            )
        return worst

    def _start(self, seed: int) -> NDArray[np.float64]:
        from gymnasium.utils.seeding import np_random

        from zorl.envs.mujoco.start import start_of

        rng = np_random(seed)[0]
        if self.fast is not None:
            return np.array(self.twin.reset(rng), np.float64)
        return np.concatenate([part.ravel() for part in start_of(self.twin, rng).values()])

    def _gymnasium(self, seed: int, rng: np.random.Generator) -> tuple[NDArray[Any], _Played]:
        """(t, a) actions as real numbers, and what the environment makes of them."""
        env, left = self.env, 0
        held: Any = 0
        observation, _ = env.reset(seed=seed)
        observations, rewards, ends, actions = [observation], [], [], []
        over = False
        while not over:
            if self.policy is not None:
                held = self.policy(observation)
            elif left == 0:
                held, left = self._action(rng), int(rng.integers(1, _HOLD + 1)) * (seed % 2) + 1
            left -= 1
            observation, reward, terminated, truncated, _ = env.step(held)
            observations.append(observation)
            rewards.append(float(reward))
            ends.append(bool(terminated))
            actions.append(np.ravel(held).astype(np.float64))
            over = terminated or truncated
        rows = np.array([np.ravel(row) for row in observations])
        return np.array(actions), _Played(rows, np.array(rewards), np.array(ends))

    def _action(self, rng: np.random.Generator) -> Any:
        """A random action that a policy could take: its bounds too."""
        outputs = 1.5 * rng.uniform(-1, 1, (1, self.decoder.outputs)).astype(np.float32)
        return self.decoder.decode(outputs)[0]

    def _play(
        self, play: Any, states: NDArray[Any], actions: NDArray[Any], like: _Played, chained: bool
    ) -> _Played:
        """The twin's episode with given actions."""
        t, o = len(actions), like.observations.shape[1]
        played = _Played(np.zeros((t + 1, o)), np.zeros(t), np.zeros(t, np.bool_))
        play(states, actions, played.observations, played.rewards, played.ends, chained)
        return played

    def _compare(self, exact: _Played, truth: _Played, seed: int) -> int:
        """Number of steps that differ at all; raises where they differ by more than allowed."""
        dtype = truth.observations.dtype
        seen = exact.observations.astype(dtype)
        wrong = np.zeros(len(truth.rewards) + 1, np.bool_)
        wrong |= ~self._near(seen, truth.observations).all(axis=1)
        wrong[1:] |= ~self._near(exact.rewards, truth.rewards)
        wrong[1:] |= exact.ends != truth.ends
        if wrong.any():
            t = int(np.argmax(wrong))
            where = "after reset" if t == 0 else f"after step {t}"
            pairs = [("observation", seen[t], truth.observations[t])]
            if t:
                pairs.append(("reward", exact.rewards[t - 1], truth.rewards[t - 1]))
                pairs.append(("terminated", exact.ends[t - 1], truth.ends[t - 1]))
            found = "; ".join(f"{name} {mine}, expected {its}" for name, mine, its in pairs)
            raise AssertionError(
                f"the twin of {self.task.env_id} is another task, {where} of the episode with seed "
                f"{seed}: {found}"
            )
        changed = (_bits(seen) != _bits(truth.observations)).any(axis=1)
        changed[1:] |= _bits(exact.rewards) != _bits(truth.rewards)
        return int(changed.sum())

    def _near(self, found: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.bool_]:
        """Where numbers are equal within the tolerance; NaN is like NaN."""
        with np.errstate(invalid="ignore"):
            near = np.abs(found - expected) <= self.tolerance
        alike = (found == expected) | (np.isnan(found) & np.isnan(expected))
        return np.asarray(near | alike, np.bool_)

    def _differs(self, own: _Played, truth: _Played) -> bool:
        """Whether an episode has another length or return when the fast twin plays it alone."""
        if own.ends[:-1].any() or own.ends[-1] != truth.ends[-1]:
            return True
        expected = truth.rewards.sum()
        return bool(abs(own.rewards.sum() - expected) > 1e-4 * max(abs(expected), 1e-12))


def _bits(numbers: NDArray[Any]) -> NDArray[Any]:
    return numbers.view(f"u{numbers.itemsize}") if numbers.dtype.kind == "f" else numbers
