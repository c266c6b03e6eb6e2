"""The hot loop: queues of episodes run in lockstep through a few environments.

Each environment is a lane. At every turn one batched forward pass decides for all lanes, then each
lane takes one step; a lane whose episode ends is refilled from the queue at once, so nothing steps
a finished episode and nothing waits for the longest one. An episode's numbers depend on its theta
and its seed alone: neither the number of lanes nor its neighbours change a bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from zorl.envs import NativeReturn, Task, native_recorder
from zorl.errors import ConfigurationError, EnvironmentFailure, NonFiniteRewardError
from zorl.policies import Actor
from zorl.rollout.work import Episodes, Work
from zorl.spaces import ObservationEncoder
from zorl.streams import action_rng


class Decider(Protocol):
    """What the hot loop needs of a policy."""

    def bind(self, thetas: NDArray[np.float32]) -> Actor:
        """See `zorl.policies.Policy.bind`."""


class EpisodeRunner:
    """Environments of one task, kept between calls.

    Args:
        task: the task.
        policy: what decides.
        lanes: environments stepped side by side; more of them share one forward pass.
        uniforms: numbers in [0, 1) that a stochastic policy takes per step; 0: deterministic.
        tolerant: let non-finite rewards through to the search's rule instead of raising.
    """

    def __init__(
        self,
        task: Task,
        policy: Decider,
        lanes: int = 8,
        uniforms: int = 0,
        tolerant: bool = False,
    ) -> None:
        if lanes < 1:
            raise ConfigurationError(f"lanes must be ≥ 1, got {lanes}")
        self.task = task
        self.policy = policy
        self.lanes = lanes
        self.uniforms = uniforms
        self.tolerant = tolerant
        self._envs: list[gym.Env[Any, Any]] = []
        self._natives: list[NativeReturn | None] = []

    def _open(self, count: int) -> None:
        """Have at least `count` environments."""
        while len(self._envs) < count:
            env = self.task.make()
            self._envs.append(env)
            self._natives.append(native_recorder(env))

    def close(self) -> None:
        """Close the environments; a later `run` opens new ones."""
        for env in self._envs:
            env.close()
        self._envs, self._natives = [], []

    def run(self, work: Work, jobs: Iterable[int], out: Episodes) -> None:
        """See `Runner`; jobs are taken one by one, as lanes fall free.

        Raises:
            NonFiniteRewardError: a NaN or infinite reward or observation.
            EnvironmentFailure: the environment raised; the message has the seed that replays it.
        """
        queue = iter(jobs)
        first = list(islice(queue, self.lanes))
        lanes = len(first)
        if not lanes:
            return
        self._open(lanes)
        encoder = ObservationEncoder.for_space(self._envs[0].observation_space)
        envs, natives = list(self._envs), list(self._natives)
        normalizer = work.normalizer
        rows = np.ascontiguousarray(work.thetas, dtype=np.float32)
        lane_thetas = np.zeros((lanes, rows.shape[1]), np.float32)
        actor = self.policy.bind(lane_thetas)
        observations = np.zeros((lanes, encoder.size))
        totals = [0.0] * lanes
        job_of = list(first)
        seed_of = [0] * lanes
        started = [0] * lanes
        chances = [action_rng(0)] * lanes
        uniforms = np.zeros((lanes, self.uniforms)) if self.uniforms else None

        normalise = normalizer.active
        learns = normalizer.learns
        center, factor = normalizer.affine()
        clip = normalizer.clip
        shifted, features = np.zeros_like(observations), observations
        if normalise:
            features = np.zeros_like(observations)
        sums, squares = np.zeros_like(observations), np.zeros_like(observations)

        succeeded = self.task.succeeded
        turn = 0

        def begin(lane: int, job: int) -> None:
            """Start a job in a lane."""
            row, seed = work.job(job)
            try:
                observation, _ = envs[lane].reset(seed=seed)
                encoder.write(observations, lane, observation)
            except Exception as error:
                raise self._failure("reset", 0, seed, error) from error
            lane_thetas[lane] = rows[row]
            totals[lane] = 0.0
            job_of[lane] = job
            seed_of[lane] = seed
            started[lane] = turn
            sums[lane] = 0.0
            squares[lane] = 0.0
            if uniforms is not None:
                chances[lane] = action_rng(seed)

        for lane, job in enumerate(first):
            begin(lane, job)
        active = lanes
        steps = [env.step for env in envs]
        lists: tuple[list[Any], ...] = (
            envs,
            natives,
            steps,
            totals,
            job_of,
            seed_of,
            started,
            chances,
        )
        one_row = len(encoder.shape) == 1 and encoder.kind == "box"
        finished: list[tuple[int, bool, Any]] = []
        while active:
            seen = observations[:active]
            if not math.isfinite(np.vdot(seen, seen)):  # before numpy warns of it
                self._reject_observation(seen, seed_of, turn, started)
            if learns:
                np.subtract(seen, center, out=shifted[:active])
                sums[:active] += shifted[:active]
                np.multiply(shifted[:active], shifted[:active], out=features[:active])
                squares[:active] += features[:active]
                np.multiply(shifted[:active], factor, out=features[:active])
            elif normalise:
                np.subtract(seen, center, out=features[:active])
                np.multiply(features[:active], factor, out=features[:active])
            if normalise:
                np.maximum(features[:active], -clip, out=features[:active])
                np.minimum(features[:active], clip, out=features[:active])
            if uniforms is not None:
                for lane in range(active):
                    uniforms[lane] = chances[lane].random(self.uniforms)
                actions = actor(active, features[:active], uniforms[:active])
            else:
                actions = actor(active, features[:active], None)
            lane = 0
            try:
                for lane in range(active):
                    observation, reward, terminated, truncated, info = steps[lane](actions[lane])
                    totals[lane] += float(reward)  # numpy's float32 would sum in single precision
                    if terminated or truncated:
                        finished.append((lane, bool(terminated), info))
                    elif one_row:
                        observations[lane] = observation
                    else:
                        encoder.write(observations, lane, observation)
            except Exception as error:
                at = turn - started[lane] + 1
                raise self._failure("step", at, seed_of[lane], error) from error
            turn += 1
            if not finished:
                continue
            for lane, terminated, info in reversed(finished):
                job = job_of[lane]
                native = natives[lane]
                length = turn - started[lane]
                total = totals[lane]
                own = total if native is None else native.episode_return
                # The native return too: a wrapper may hide what the environment did.
                bad = [x for x in (total, own) if not math.isfinite(x)]
                if bad and not self.tolerant:
                    raise NonFiniteRewardError(
                        f"{self.task.env_id} returned a NaN or infinite reward: an episode of "
                        f"{length} steps with seed {seed_of[lane]} has the return {bad[0]}; "
                        "mend the environment or its wrappers, or let such candidates count as "
                        "the worst of their generation (search agents: train anew with "
                        "--non-finite worst)"
                    )
                out.returns[job] = total
                out.native_returns[job] = own
                out.lengths[job] = length
                out.successes[job] = succeeded(own, terminated, info)
                if learns:
                    out.sums[job] = sums[lane]
                    out.squares[job] = squares[lane]
                following = next(queue, None)
                if following is not None:
                    begin(lane, following)
                    continue
                # Nothing left to run here: the last active lane moves into this place.
                active -= 1
                for buffer in (observations, lane_thetas, sums, squares):
                    buffer[lane] = buffer[active]
                for items in lists:
                    items[lane], items[active] = items[active], items[lane]
            finished.clear()

    def _failure(self, verb: str, step: int, seed: int, error: Exception) -> EnvironmentFailure:
        where = f"{verb}(){f' at step {step}' if step else ''} of the episode with seed {seed}"
        if isinstance(error, EnvironmentFailure):  # the message says already what is wrong
            return EnvironmentFailure(f"{self.task.env_id}, in {where}: {error}")
        return EnvironmentFailure(
            f"{self.task.env_id} raised {type(error).__name__} in {where}: {error}"
        )

    def _reject_observation(
        self,
        seen: NDArray[np.float64],
        seed_of: list[int],
        turn: int,
        started: list[int],
    ) -> None:
        """Raise if an observation is not finite (squares of large finite ones may overflow)."""
        bad = np.flatnonzero(~np.isfinite(seen).all(axis=1))
        if bad.size:
            lane = int(bad[0])
            raise NonFiniteRewardError(
                f"{self.task.env_id} returned a NaN or infinite observation after "
                f"{turn - started[lane]} steps of the episode with seed {seed_of[lane]}"
            )
