"""The loop over a vector environment: one forward pass and one call per step, all lanes at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import EnvironmentFailure, NonFiniteRewardError
from zorl.common.stop_signals import raise_if_overdue
from zorl.envs.task import Task
from zorl.envs.vector.lanes import Lanes
from zorl.policies.observations import ObservationEncoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.local.step_batch import StepBatch


class VectorEpisodes:
    """Episodes being played, one in each lane; a lane whose episode ends gets the next job.

    All observations are written into the step batch through its view `observations`, and rewards
    are added to its view `returns`. Lanes without a next job are removed: the last one moves into
    their place.

    Args:
        task: what is played.
        lanes: the vector environment.
        step_batch: decides; it has a lane for every lane.
        batch: what the jobs are numbers of.
        first: the first job of each lane.
        results: the episodes' results are written here.
        allow_non_finite: see `VectorRunner`.

    Attributes:
        playing: n, the number of lanes.
        over: (n,) whether the environment's episode ended at the last step.
    """

    def __init__(
        self,
        task: Task,
        lanes: Lanes,
        step_batch: StepBatch,
        batch: EpisodeBatch,
        first: list[int],
        results: EpisodeResults,
        allow_non_finite: bool,
    ) -> None:
        self._task, self._lanes, self._step_batch = task, lanes, step_batch
        self._batch, self._results, self._allow_non_finite = batch, results, allow_non_finite
        space = lanes.single_action_space
        self._action_dtype, self._action_shape = space.dtype, space.shape or ()
        self._encoder = ObservationEncoder.for_space(lanes.single_observation_space)
        n = self.playing = len(first)
        self._step_count = 0
        self._steps = 0  # of the episodes, without those that only start one
        self._started = np.zeros(n, np.int64)
        self._jobs = np.zeros(n, np.int64)
        self._late = np.zeros(n, np.bool_)  # the next step only starts the episode
        self._written = np.zeros(n, np.bool_)  # results are written; the environment plays on
        self._terminated = self.over = np.zeros(n, np.bool_)
        self._info: Mapping[str, Any] = {}
        for lane, job in enumerate(first):
            self._assign(lane, job)
        self._observe(self._guarded("reset", lanes.begin, self._seeds(np.arange(n))))

    def step(self) -> None:
        """Take one step in every lane."""
        raise_if_overdue()
        n = self.playing
        if self._batch.most_steps is not None:
            self._steps += n - int((self._late[:n] | self._written[:n]).sum())
            self._batch.check_steps(self._steps)
        state = self._step_batch.state[:n]
        if not math.isfinite(np.vdot(state, state)):  # of large finite numbers it overflows too
            self._end_bad()
        choices = np.asarray(self._step_batch.decide(n, None), self._action_dtype)
        actions = choices.reshape(n, *self._action_shape)
        observations, rewards, terminated, truncated = self._guarded("step", self._step, actions)
        self._step_count += 1
        self._observe(observations)
        with np.errstate(all="ignore"):  # infinite rewards may cancel; returns are checked later
            self._step_batch.returns[:n] += self._column("rewards", rewards, "fiu")
        self._terminated = self._column("terminations", terminated, "b")
        self.over = self._terminated | self._column("truncations", truncated, "b")
        late = np.flatnonzero(self._late[:n])
        if late.size:  # this step only started their episodes
            self.over[late] = False
            self._late[late] = False
            self._start(late)

    def _step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, Any]:
        """Step the lanes and keep their info."""
        observations, rewards, terminated, truncated, self._info = self._lanes.step(actions)
        return observations, rewards, terminated, truncated

    def finish(self, queue: Iterator[int]) -> None:
        """Write the results of episodes that are over, and begin the next ones in their lanes."""
        over = np.flatnonzero(self.over)
        for lane in over[~self._written[over]].tolist():
            self._end(lane)
        following = list(islice(queue, len(over)))
        refilled = over[: len(following)]
        if following:
            for lane, job in zip(refilled.tolist(), following, strict=True):
                self._assign(lane, job)
            observations = self._guarded(
                "reset", self._lanes.begin_next, refilled, self._seeds(refilled)
            )
            if observations is not None:
                self._observe(observations)
            if self._lanes.late:
                self._late[refilled] = True
                # Their last observations may not be finite, and nobody acts on them.
                self._step_batch.state[refilled] = 0.0
        for lane in over[len(following) :][::-1].tolist():
            self._remove(lane)

    def _assign(self, lane: int, job: int) -> None:
        """Give a lane its next job."""
        self._jobs[lane] = job
        self._written[lane] = False
        self._step_batch.assign(lane, self._batch.job(job)[0])
        self._start(lane)

    def _start(self, lanes: Any) -> None:
        """Count returns, moments, lengths and memory of these lanes' episodes from here on."""
        self._step_batch.begin(lanes)
        self._started[lanes] = self._step_count

    def _remove(self, lane: int) -> None:
        """Remove a lane; the last one moves into its place."""
        self._lanes.remove(lane)
        last = self.playing = self.playing - 1
        self._step_batch.move(lane, last)
        # Jobs go to the first free lanes, so a lane that starts late is never moved.
        for values in (self._started, self._jobs, self._written):
            values[lane] = values[last]

    def _end(self, lane: int) -> None:
        """Write an episode's results, if its return is finite."""
        episode_return = float(self._step_batch.returns[lane])
        if not math.isfinite(episode_return):
            self._end_as_nan(lane, "reward")
            return
        task, results, job = self._task, self._results, self._jobs[lane]
        results.returns[job] = results.native_returns[job] = episode_return
        info = self._lanes.final_info(self._info, lane) if task.success == "info" else None
        results.successes[job] = task.succeeded(episode_return, bool(self._terminated[lane]), info)
        self._close(lane)

    def _end_bad(self) -> None:
        """End episodes whose observation or return is not finite.

        The environment cannot be told to end them: their lanes play on, and nothing is recorded.
        """
        finite = np.isfinite(self._step_batch.state[: self.playing])
        for lane in np.flatnonzero(~finite.all(axis=1)).tolist():
            if not self._written[lane]:
                self._end_as_nan(lane, "observation" if finite[lane, -1] else "reward")
                self._written[lane] = True
            self._step_batch.state[lane] = 0.0

    def _end_as_nan(self, lane: int, what: str) -> None:
        """Give an episode a NaN return, or raise."""
        length = self._step_count - int(self._started[lane])
        job = int(self._jobs[lane])
        # No candidate causes a reset that is not finite.
        if not self._allow_non_finite or not length:
            seed = self._batch.job(job)[1]
            replay = "" if self._lanes.seeded else ", which does not replay it,"
            error = NonFiniteRewardError(
                f"{self._task.env_id} returned a NaN or infinite {what} after {length} steps: the "
                f"episode with seed {seed}{replay} cannot be scored; mend the environment, or let "
                "such candidates count as the worst of their generation (search agents: train "
                "again with --non-finite worst)"
            )
            error.job = job
            raise error
        self._results.set_nan(job)
        self._close(lane)

    def _close(self, lane: int) -> None:
        """Write an episode's length and moments."""
        job = self._jobs[lane]
        self._results.lengths[job] = self._step_count - self._started[lane]
        if self._batch.normalizer.learns:
            self._results.sums[job] = self._step_batch.sums[lane]
            self._results.squares[job] = self._step_batch.squares[lane]

    def _seeds(self, lanes: NDArray[np.int64]) -> list[int]:
        return [self._batch.job(job)[1] for job in self._jobs[lanes].tolist()]

    def _observe(self, observations: Any) -> None:
        """Write the observations of all lanes into the step batch."""
        try:
            features = self._encoder.rows(observations, self.playing)
        except EnvironmentFailure as error:
            raise EnvironmentFailure(f"{self._task.env_id}: {error}") from None
        self._step_batch.observations[: self.playing] = features

    def _column(self, name: str, values: Any, kinds: str) -> NDArray[Any]:
        """One value per lane, of one of these numpy kinds."""
        column = np.asarray(values)
        if column.shape != (self.playing,) or column.dtype.kind not in kinds:
            wanted = "booleans" if kinds == "b" else "numbers"
            raise EnvironmentFailure(
                f"{self._task.env_id}: the {name} of {self.playing} lanes must be {wanted} of "
                f"shape ({self.playing},), got {column.dtype} of shape {column.shape}"
            )
        return column

    def _guarded(self, verb: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run an author's code, which may raise anything."""
        try:
            return call(*arguments)
        except (Exception, SystemExit) as error:
            seeds = sorted(set(self._seeds(np.arange(self.playing))))
            raise EnvironmentFailure(
                f"the vector environment of {self._task.env_id} raised "
                f"{type(error).__name__} in {verb}() of {self.playing} lanes, with episodes of the "
                f"seeds {seeds[:8]}{'…' if len(seeds) > 8 else ''}: {error}"
            ) from error
