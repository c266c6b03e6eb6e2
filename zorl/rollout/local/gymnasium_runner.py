"""The rollout loop: a queue of episodes played in lockstep by a few Gymnasium environments.

Each environment is a lane. At every step one batched forward pass decides for all lanes, then each
environment takes its step. A lane whose episode ends gets the next job of the queue at once, so
nothing steps a finished episode and nothing waits for the longest one. An episode's numbers depend
on its theta and its seed alone: neither the number of lanes nor the other lanes change a bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError, EnvironmentFailure, NonFiniteRewardError
from zorl.common.stop_signals import raise_if_overdue
from zorl.common.streams import action_rng
from zorl.common.validation import api_hint, as_reward
from zorl.envs import NativeReturn, Task, native_recorder
from zorl.envs.ids import close_env
from zorl.policies.observations import ObservationEncoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.env_runner import EnvRunner
from zorl.rollout.local.bare_steps import reported, steps_and_limit, without_checkers
from zorl.rollout.local.step_batch import BatchPolicy, StepBatch, step_batch_class, warm

DEFAULT_LANES = 64
_SLOW = 5e-3  # seconds: if making an environment takes longer, open fewer
_SLOW_LANES = 8
_WARM = 20_000  # steps until compiled code is worth loading
_SINGLE, _BYTES = np.dtype(np.float32), {bytes}


class GymnasiumRunner(EnvRunner):
    """Environments of one task, kept between calls.

    The first environment has Gymnasium's own checks (of spaces, of types, of the order of calls);
    the others are the same and run without.

    Args:
        task: the task.
        policy: decides.
        lanes: environments stepped side by side, which share one forward pass; None: 64 of
            them, or 8 where making one takes longer than 5 ms.
        uniforms: numbers in [0, 1) that a stochastic policy takes per step; 0: deterministic.
        allow_non_finite: end an episode whose reward or observation is not finite with a NaN
            return, instead of raising.
        compiled: whether compiled code decides, bit-identical: True, False, or None: as soon as
            that pays, after some 20,000 steps.

    It calls `heartbeat` after every step and every reset.
    """

    def __init__(
        self,
        task: Task,
        policy: BatchPolicy,
        lanes: int | None = None,
        *,
        uniforms: int = 0,
        allow_non_finite: bool = False,
        compiled: bool | None = None,
    ) -> None:
        if lanes is not None and lanes < 1:
            raise ConfigurationError(f"lanes must be ≥ 1, got {lanes}")
        self.task = task
        self.policy = policy
        self.lanes = lanes
        self.uniforms = uniforms
        self.allow_non_finite = allow_non_finite
        self.compiled = compiled
        self.steps = 0
        self._most = lanes or DEFAULT_LANES
        self.envs: list[gym.Env[Any, Any]] = []

    def _open(self) -> None:
        """Make another environment."""
        began = time.perf_counter()
        env = self.task.make()
        seconds = time.perf_counter() - began
        if self.envs and seconds > _SLOW and self.lanes is None:  # the first may import things
            self._most = max(_SLOW_LANES, len(self.envs) + 1)
        self.envs.append(without_checkers(env) if self.envs else env)

    def close(self) -> None:
        """Close the environments; a later `run` opens new ones."""
        for env in self.envs:
            close_env(env)
        self.envs = []

    @property
    def env_id(self) -> str:
        """See `EnvRunner`."""
        return self.task.env_id

    def prepare(self) -> None:
        """Compile the policy's code now, which may take some seconds."""
        if self.compiled is not False:
            warm(self.policy)

    def step_batch_class(self) -> type[StepBatch]:
        """The class that decides in the next run."""
        compiled = self.steps >= _WARM if self.compiled is None else self.compiled
        return step_batch_class(self.policy) if compiled else StepBatch

    def run(self, batch: EpisodeBatch, jobs: Iterable[int], results: EpisodeResults) -> None:
        """See `EnvRunner`.

        Raises:
            NonFiniteRewardError: a NaN or infinite reward or observation.
            EnvironmentFailure: the environment raised; the message has the seed that replays it.
            TooManySteps: these jobs alone take more steps than the batch may.
        """
        queue = iter(jobs)
        first: list[int] = []
        while len(first) < self._most and (job := next(queue, None)) is not None:
            if len(first) == len(self.envs):
                self._open()
            first.append(job)
        if first:
            _Play(self, batch, first, queue, results).run()


class _Play:
    """One call of `GymnasiumRunner.run`.

    Lists and arrays have an entry for each lane. `_begin` writes an episode's first observation
    into the step batch, through its view `observations`; `_observe` writes all later
    ones. Active lanes come first: a lane without a next job is filled by the last active one.
    """

    def __init__(
        self,
        runner: GymnasiumRunner,
        batch: EpisodeBatch,
        first: list[int],
        queue: Iterator[int],
        results: EpisodeResults,
    ) -> None:
        self._runner, self._batch, self._queue, self._results = runner, batch, queue, results
        lanes = len(first)
        self._envs = runner.envs[:lanes]
        self._natives: list[NativeReturn | None] = [native_recorder(env) for env in self._envs]
        self._limit, self._steps = steps_and_limit(self._envs)
        if runner.heartbeat is not None:  # one step of all lanes may take long
            self._steps = [reported(step, runner.heartbeat) for step in self._steps]
        self._due = self._limit  # the first step at which an episode may have reached it
        self._encoder = ObservationEncoder.for_space(self._envs[0].observation_space)
        # Arrays are features as they are; all else is encoded at once, lane by lane.
        self._encode = None if self._encoder.kind == "box" else self._encoder.encode
        self._shape = self._encoder.shape if self._encode is None else (self._encoder.size,)
        # Whether observations are what the space says, and their bytes can be taken as they are.
        self._plain = self._encode is None and self._encoder.dtype == "float32"
        kind = runner.step_batch_class()
        self._step_batch = kind(
            runner.policy, batch.thetas, batch.normalizer, lanes, self._encoder.size
        )
        self._jobs = [0] * lanes
        self._seeds = [0] * lanes
        self._started = [0] * lanes
        self._rngs = [action_rng(0)] * lanes
        self._step_count = 0
        self._rewards: list[Any] = []  # of the last step
        for lane, job in enumerate(first):
            self._begin(lane, job)
        self._active = lanes

    def run(self) -> None:
        """Play until no job is left."""
        runner, step_batch = self._runner, self._step_batch
        draw = self._draw if runner.uniforms else None
        array, reads_info = np.ndarray, runner.task.success == "info"
        single = _SINGLE if self._plain else None  # no array's dtype
        encode = self._encode
        before, most = runner.steps, self._batch.most_steps
        last = math.inf if most is None else before + most
        while self._active:
            raise_if_overdue()
            n = self._active
            actions = step_batch.decide(n, draw)
            if actions is None:
                self._end_bad()
                continue
            observations: list[Any] = []
            rewards: list[Any] = []
            infos: list[Any] = []
            ends: list[tuple[int, bool, Any]] = []
            add_observation, add_reward, add_info = (
                observations.append,
                rewards.append,
                infos.append,
            )
            try:
                for step, action in zip(self._steps, actions, strict=False):
                    observation, reward, terminated, truncated, info = step(action)
                    # A copy, now: environments may share the memory of what they return.
                    if type(observation) is array and observation.dtype is single:
                        observation = observation.tobytes()
                    elif encode is not None:
                        observation = encode(observation)
                    elif isinstance(observation, (array, list)):
                        observation = observation.copy()
                    add_observation(observation)
                    add_reward(reward)
                    if reads_info:
                        info = {**info}
                    add_info(info)
                    if terminated or truncated:
                        ends.append((len(rewards) - 1, bool(terminated), info))
            except (Exception, SystemExit) as error:  # pygame's way to close a window
                raise self._failure("step", len(rewards), error) from error
            self._step_count += 1
            runner.steps += n
            if runner.steps > last:
                self._batch.check_steps(runner.steps - before)
            self._rewards = rewards
            self._observe(observations, rewards)
            if self._step_count >= self._due:
                self._add_late(ends, infos)
            if ends:
                step_batch.flush()
                # Backwards, because the last active lane moves into one that is left empty.
                for lane, terminated, info in reversed(ends):
                    self._end(lane, terminated, info)

    def _add_late(self, ends: list[tuple[int, bool, Any]], infos: list[Any]) -> None:
        """Add the episodes that reached the time limit to those that end."""
        ended = {lane for lane, _, _ in ends}
        for lane, info in enumerate(infos):
            if self._step_count - self._started[lane] >= self._limit and lane not in ended:
                ends.append((lane, False, info))
        ends.sort(key=lambda end: end[0])
        going = [self._step_count, *self._started[: len(infos)]]
        self._due = (
            min(start for start in going if start > self._step_count - self._limit) + self._limit
        )

    def _observe(self, observation_list: list[Any], reward_list: list[Any]) -> None:
        """Write what the environments returned into the step batch.

        All lanes at once where their observations have one form, which is the usual and fast case.
        Single precision comes as bytes.
        """
        n, encoder = len(observation_list), self._encoder
        try:
            # In double precision: numpy's float32 would sum in single.
            rewards = np.array(reward_list, np.float64)
            kinds = set(map(type, observation_list))
            if self._plain and kinds == _BYTES:
                data = b"".join(observation_list)
                if len(data) == 4 * n * encoder.size and rewards.shape == (n,):
                    observations = np.ndarray((n, encoder.size), np.float32, data)
                    self._step_batch.observe(observations, rewards)
                    return
            own = map(self._from_bytes, observation_list) if bytes in kinds else observation_list
            values = np.array([*own], np.float64)
            if rewards.shape == (n,) and values.shape == (n, *self._shape):
                self._step_batch.observe(
                    values if values.ndim == 2 else values.reshape(n, -1), rewards
                )
                return
        except (AttributeError, BufferError, TypeError, ValueError):
            pass  # the loop below finds the lane and says what is wrong
        values, rewards = np.empty((n, encoder.size)), np.empty(n)
        for lane in range(n):
            try:
                rewards[lane] = as_reward(reward_list[lane])
                observation = self._from_bytes(observation_list[lane])
                if self._encode is None:
                    encoder.write(values, lane, observation)
                else:
                    values[lane] = observation
            except Exception as error:
                self._step_count -= 1
                raise self._failure("step", lane, error) from error
        self._step_batch.observe(values, rewards)

    def _from_bytes(self, observation: Any) -> Any:
        """An observation of which `run` kept the bytes, in the space's shape if it fits."""
        if type(observation) is not bytes:
            return observation
        values = np.frombuffer(observation, np.float32)
        fits = values.size == self._encoder.size
        return values.reshape(self._encoder.shape) if fits else values

    def _draw(self, n: int) -> NDArray[np.float64]:
        """(n, u) uniform numbers, from each episode's own generator."""
        return np.stack([rng.random(self._runner.uniforms) for rng in self._rngs[:n]])

    def _begin(self, lane: int, job: int) -> None:
        """Start a job in a lane."""
        row, seed = self._batch.job(job)
        self._jobs[lane], self._seeds[lane], self._started[lane] = job, seed, self._step_count
        try:
            observation, _ = self._envs[lane].reset(seed=seed)
            self._encoder.write(self._step_batch.observations, lane, observation)
        except (Exception, SystemExit) as error:
            raise self._failure("reset", lane, error) from error
        if self._runner.heartbeat is not None:
            self._runner.heartbeat()
        self._plain &= getattr(observation, "dtype", None) == np.float32
        self._step_batch.assign(lane, row)
        if self._runner.uniforms:
            self._rngs[lane] = action_rng(seed)

    def _end(self, lane: int, terminated: bool, info: Any) -> None:
        """Write an episode's results, if its returns are finite, and refill its lane."""
        native = self._natives[lane]
        episode_return = float(self._step_batch.returns[lane])
        native_return = episode_return if native is None else native.episode_return
        # The native return too: a wrapper may hide what the environment did.
        for value in (episode_return, native_return):
            if not math.isfinite(value):
                self._end_as_nan(lane, "reward")
                return
        task, results, job = self._runner.task, self._results, self._jobs[lane]
        results.returns[job] = episode_return
        results.native_returns[job] = native_return
        results.successes[job] = task.succeeded(native_return, terminated, info)
        self._close(lane)

    def _end_bad(self) -> None:
        """End episodes whose observation or return is not finite."""
        finite = np.isfinite(self._step_batch.state[: self._active])
        bad = np.flatnonzero(~finite.all(axis=1))
        for lane in bad[::-1].tolist():
            self._end_as_nan(lane, "observation" if finite[lane, -1] else "reward")

    def _end_as_nan(self, lane: int, what: str) -> None:
        """End an episode with a NaN return, or raise."""
        length = self._step_count - self._started[lane]
        if None in self._rewards:  # numpy makes NaN of it
            raise self._failure("step", lane, EnvironmentFailure("a reward is None, not a number"))
        # No candidate causes a reset that is not finite.
        if not self._runner.allow_non_finite or not length:
            error = NonFiniteRewardError(
                f"{self._runner.task.env_id} returned a NaN or infinite {what} after {length} "
                f"steps: the episode with seed {self._seeds[lane]} cannot be scored; mend the "
                "environment or its wrappers, or let such candidates count as the worst of their "
                "generation (search agents: train again with --non-finite worst)"
            )
            error.job = self._jobs[lane]
            raise error
        self._results.set_nan(self._jobs[lane])
        self._close(lane)

    def _close(self, lane: int) -> None:
        """Write an episode's length and moments, and give its lane the next job."""
        job = self._jobs[lane]
        self._results.lengths[job] = self._step_count - self._started[lane]
        if self._batch.normalizer.learns:
            self._results.sums[job] = self._step_batch.sums[lane]
            self._results.squares[job] = self._step_batch.squares[lane]
        following = next(self._queue, None)
        if following is not None:
            self._begin(lane, following)
            return
        # No job is left for this lane: the last active one moves here.
        self._active = last = self._active - 1
        self._step_batch.move(lane, last)
        lists: tuple[list[Any], ...] = (
            self._envs,
            self._natives,
            self._steps,
            self._jobs,
            self._seeds,
            self._started,
            self._rngs,
        )
        for items in lists:
            items[lane], items[last] = items[last], items[lane]

    def _failure(self, verb: str, lane: int, error: BaseException) -> EnvironmentFailure:
        env_id, seed = self._runner.task.env_id, self._seeds[lane]
        at = f" at step {self._step_count - self._started[lane] + 1}" if verb == "step" else ""
        where = f"{verb}(){at} of the episode with seed {seed}"
        if isinstance(error, EnvironmentFailure):  # its message says what is wrong
            failure = EnvironmentFailure(f"{env_id}, in {where}: {error}")
        else:
            failure = EnvironmentFailure(
                f"{env_id} raised {type(error).__name__} in {where}: {error}{api_hint(error)}"
            )
        failure.job = self._jobs[lane]
        return failure
