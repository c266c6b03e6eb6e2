"""The hot loop: queues of episodes run in lockstep through a few environments.

Each environment is a lane. At every turn one batched forward pass decides for all lanes, then each
lane takes one step; a lane whose episode ends is refilled from the queue at once, so nothing steps
a finished episode and nothing waits for the longest one. An episode's numbers depend on its theta
and its seed alone: neither the number of lanes nor its neighbours change a bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError, EnvironmentFailure, NonFiniteRewardError
from zorl.common.streams import action_rng
from zorl.envs import NativeReturn, Task, native_recorder
from zorl.policies.spaces import ObservationEncoder
from zorl.rollout.batch import Episodes, Work
from zorl.rollout.local.batch_step import Decider, Turn, turn_kind, warm

LANES = 64
_DEAR = 5e-3  # seconds: of environments that take longer to make, fewer are opened
_DEAR_LANES = 8
_WARM = 20_000  # steps until compiled code is worth loading
_DTYPE, _SINGLE = attrgetter("dtype"), {np.dtype(np.float32)}


class EpisodeRunner:
    """Environments of one task, kept between calls.

    The first environment has Gymnasium's own checks, of spaces, of types and of the order of
    calls; the others, which are the same, do without.

    Args:
        task: the task.
        policy: what decides.
        lanes: environments stepped side by side, which share one forward pass; None: `LANES` of
            them, or 8 where making one takes longer than 5 ms.
        uniforms: numbers in [0, 1) that a stochastic policy takes per step; 0: deterministic.
        tolerant: end an episode whose reward or observation is not finite, with a NaN return,
            instead of raising.
        compiled: whether compiled code decides, to the same bits: True, False, or None for as
            soon as that pays, after some 20,000 steps.

    Attributes:
        beat: called after every step and every reset.
    """

    beat: Callable[[], object] | None = None

    def __init__(
        self,
        task: Task,
        policy: Decider,
        lanes: int | None = None,
        uniforms: int = 0,
        tolerant: bool = False,
        compiled: bool | None = None,
    ) -> None:
        if lanes is not None and lanes < 1:
            raise ConfigurationError(f"lanes must be ≥ 1, got {lanes}")
        self.task = task
        self.policy = policy
        self.lanes = lanes
        self.uniforms = uniforms
        self.tolerant = tolerant
        self.compiled = compiled
        self.steps = 0
        self._most = lanes or LANES
        self.envs: list[gym.Env[Any, Any]] = []

    def _open(self) -> None:
        """Make one environment more."""
        began = time.perf_counter()
        env = self.task.make()
        seconds = time.perf_counter() - began
        if self.envs and seconds > _DEAR and self.lanes is None:  # the first may import things
            self._most = max(_DEAR_LANES, len(self.envs) + 1)
        self.envs.append(_lean(env) if self.envs else env)

    def close(self) -> None:
        """Close the environments; a later `run` opens new ones."""
        for env in self.envs:
            env.close()
        self.envs = []

    def prepare(self) -> None:
        """Have compiled code now: to make it may take some seconds."""
        if self.compiled is not False:
            warm(self.policy)

    def turn_kind(self) -> type[Turn]:
        """What decides in the next run."""
        compiled = self.steps >= _WARM if self.compiled is None else self.compiled
        return turn_kind(self.policy) if compiled else Turn

    def run(self, work: Work, jobs: Iterable[int], out: Episodes) -> None:
        """See `Runner`; jobs are taken one by one, as lanes fall free.

        Raises:
            NonFiniteRewardError: a NaN or infinite reward or observation.
            EnvironmentFailure: the environment raised; the message has the seed that replays it.
        """
        queue = iter(jobs)
        first: list[int] = []
        while len(first) < self._most and (job := next(queue, None)) is not None:
            if len(first) == len(self.envs):
                self._open()
            first.append(job)
        if first:
            _Play(self, work, first, queue, out).to_the_end()


class _Play:
    """One call of `EpisodeRunner.run`; lists and arrays have a place for each lane."""

    def __init__(
        self,
        runner: EpisodeRunner,
        work: Work,
        first: list[int],
        queue: Iterator[int],
        out: Episodes,
    ) -> None:
        self._runner, self._work, self._queue, self._out = runner, work, queue, out
        lanes = len(first)
        self._envs = runner.envs[:lanes]
        self._natives: list[NativeReturn | None] = [native_recorder(env) for env in self._envs]
        self._limit, self._steps = _steps(self._envs)
        if runner.beat is not None:  # lanes step one after the other: a turn may take long
            self._steps = [_reported(step, runner.beat) for step in self._steps]
        self._due = self._limit  # the first turn at which an episode may have reached it
        self._encoder = ObservationEncoder.for_space(self._envs[0].observation_space)
        # Whether observations are what the space says, and their bytes can be taken as they are.
        self._plain = self._encoder.kind == "box" and self._encoder.dtype == "float32"
        kind = runner.turn_kind()
        self._turn = kind(runner.policy, work.thetas, work.normalizer, lanes, self._encoder.size)
        self._observations = self._turn.state[:, :-1]
        self._totals = self._turn.state[:, -1]  # beside them, so that one check serves both
        self._jobs = [0] * lanes
        self._seeds = [0] * lanes
        self._started = [0] * lanes
        self._rngs = [action_rng(0)] * lanes
        self._turns = 0
        for lane, job in enumerate(first):
            self._begin(lane, job)
        self._active = lanes

    def to_the_end(self) -> None:
        """Play until nothing is left."""
        runner, turn = self._runner, self._turn
        draw = self._draw if runner.uniforms else None
        while self._active:
            n = self._active
            actions = turn.decide(n, draw)
            if actions is None:
                self._end_bad()
                continue
            observations: list[Any] = []
            rewards: list[Any] = []
            infos: list[Any] = []
            ends: list[tuple[int, bool, Any]] = []
            see, gain, hear = observations.append, rewards.append, infos.append
            try:
                for step, action in zip(self._steps, actions, strict=False):
                    observation, reward, terminated, truncated, info = step(action)
                    see(observation)
                    gain(reward)
                    hear(info)
                    if terminated or truncated:
                        ends.append((len(rewards) - 1, bool(terminated), info))
            except Exception as error:
                raise self._failure("step", len(rewards), error) from error
            self._turns += 1
            runner.steps += n
            self._take(observations, rewards)
            if self._turns >= self._due:
                self._add_late(ends, infos)
            if ends:
                turn.settle()
                # From the last lane on, whose place a later one takes.
                for lane, over, info in reversed(ends):
                    self._end(lane, over, info)

    def _add_late(self, ends: list[tuple[int, bool, Any]], infos: list[Any]) -> None:
        """Add to the episodes that end those whose time is over."""
        ended = {lane for lane, _, _ in ends}
        for lane, info in enumerate(infos):
            if self._turns - self._started[lane] >= self._limit and lane not in ended:
                ends.append((lane, False, info))
        ends.sort(key=lambda end: end[0])
        going = [self._turns, *self._started[: len(infos)]]
        self._due = min(start for start in going if start > self._turns - self._limit) + self._limit

    def _take(self, observations: list[Any], rewards: list[Any]) -> None:
        """Take in what the environments returned, all lanes at once where they agree on a form."""
        n, encoder = len(observations), self._encoder
        if encoder.kind == "box":
            try:
                # In double precision: numpy's float32 would sum in single.
                gains = np.array(rewards, np.float64)
                if self._plain and set(map(_DTYPE, observations)) == _SINGLE:
                    data = b"".join(observations)
                    if len(data) == 4 * n * encoder.size and gains.shape == (n,):
                        self._turn.take(np.ndarray((n, encoder.size), np.float32, data), gains)
                        return
                seen = np.array(observations, np.float64)
                if gains.shape == (n,) and seen.shape == (n, *encoder.shape):
                    self._turn.take(seen if seen.ndim == 2 else seen.reshape(n, -1), gains)
                    return
            except (AttributeError, BufferError, TypeError, ValueError):
                pass  # of which lane, is said below
        seen, gains = np.empty((n, encoder.size)), np.empty(n)
        for lane in range(n):
            try:
                gains[lane] = float(rewards[lane])
                encoder.write(seen, lane, observations[lane])
            except Exception as error:
                self._turns -= 1
                raise self._failure("step", lane, error) from error
        self._turn.take(seen, gains)

    def _draw(self, n: int) -> NDArray[np.float64]:
        """(n, u) uniform numbers, from each episode's own generator."""
        return np.stack([rng.random(self._runner.uniforms) for rng in self._rngs[:n]])

    def _begin(self, lane: int, job: int) -> None:
        """Start a job in a lane."""
        row, seed = self._work.job(job)
        self._jobs[lane], self._seeds[lane], self._started[lane] = job, seed, self._turns
        try:
            observation, _ = self._envs[lane].reset(seed=seed)
            self._encoder.write(self._observations, lane, observation)
        except Exception as error:
            raise self._failure("reset", lane, error) from error
        if self._runner.beat is not None:
            self._runner.beat()
        self._plain &= getattr(observation, "dtype", None) == np.float32
        self._totals[lane] = 0.0
        self._turn.seat(lane, row)
        if self._runner.uniforms:
            self._rngs[lane] = action_rng(seed)

    def _end(self, lane: int, terminated: bool, info: Any) -> None:
        """Write an episode down, if its returns are finite, and fill its lane."""
        native = self._natives[lane]
        total = float(self._totals[lane])
        own = total if native is None else native.episode_return
        # The native return too: a wrapper may hide what the environment did.
        for value in (total, own):
            if not math.isfinite(value):
                self._end_as_nan(lane, "reward")
                return
        task, out, job = self._runner.task, self._out, self._jobs[lane]
        out.returns[job] = total
        out.native_returns[job] = own
        out.successes[job] = task.succeeded(own, terminated, info)
        self._close(lane)

    def _end_bad(self) -> None:
        """End episodes whose observation or return is not finite."""
        finite = np.isfinite(self._turn.state[: self._active])
        bad = np.flatnonzero(~finite.all(axis=1))
        for lane in bad[::-1].tolist():
            self._end_as_nan(lane, "observation" if finite[lane, -1] else "reward")

    def _end_as_nan(self, lane: int, what: str) -> None:
        """End an episode with a NaN return, or raise."""
        length = self._turns - self._started[lane]
        # A reset that is not finite is no candidate's doing.
        if not self._runner.tolerant or not length:
            error = NonFiniteRewardError(
                f"{self._runner.task.env_id} returned a NaN or infinite {what} after {length} "
                f"steps: the episode with seed {self._seeds[lane]} cannot be scored; mend the "
                "environment or its wrappers, or let such candidates count as the worst of their "
                "generation (search agents: train anew with --non-finite worst)"
            )
            error.job = self._jobs[lane]
            raise error
        self._out.void(self._jobs[lane])
        self._close(lane)

    def _close(self, lane: int) -> None:
        """Note an episode's length and moments, and give its lane the next job."""
        job = self._jobs[lane]
        self._out.lengths[job] = self._turns - self._started[lane]
        if self._work.normalizer.learns:
            self._out.sums[job] = self._turn.sums[lane]
            self._out.squares[job] = self._turn.squares[lane]
        following = next(self._queue, None)
        if following is not None:
            self._begin(lane, following)
            return
        # Nothing left to run here: the last active lane moves into this place.
        self._active = last = self._active - 1
        self._turn.move(lane, last)
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

    def _failure(self, verb: str, lane: int, error: Exception) -> EnvironmentFailure:
        env_id, seed = self._runner.task.env_id, self._seeds[lane]
        at = f" at step {self._turns - self._started[lane] + 1}" if verb == "step" else ""
        where = f"{verb}(){at} of the episode with seed {seed}"
        if isinstance(error, EnvironmentFailure):  # the message says already what is wrong
            failure = EnvironmentFailure(f"{env_id}, in {where}: {error}")
        else:
            failure = EnvironmentFailure(
                f"{env_id} raised {type(error).__name__} in {where}: {error}"
            )
        failure.job = self._jobs[lane]
        return failure


def _steps(envs: list[gym.Env[Any, Any]]) -> tuple[float, list[Callable[[Any], Any]]]:
    """The `step` of every environment, without a time limit that is outermost, and that limit."""
    if all(type(env) is TimeLimit for env in envs):
        limits = {env._max_episode_steps for env in envs if isinstance(env, TimeLimit)}
        if len(limits) == 1:
            return limits.pop(), [env.env.step for env in envs if isinstance(env, TimeLimit)]
    return math.inf, [env.step for env in envs]


def _reported(step: Callable[[Any], Any], beat: Callable[[], object]) -> Callable[[Any], Any]:
    """A step that is reported once it is made."""

    def made(action: Any) -> Any:
        result = step(action)
        beat()
        return result

    return made


def _lean(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """An environment without the wrappers that only check how it is used."""
    if isinstance(env, gym.Wrapper):
        inner = _lean(env.env)
        if isinstance(env, (PassiveEnvChecker, OrderEnforcing)):
            return inner
        env.env = inner
    return env
