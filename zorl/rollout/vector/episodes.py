"""The loop over a vector environment: one forward pass and one call a step, all lanes at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import EnvironmentFailure, NonFiniteRewardError
from zorl.envs.task import Task
from zorl.envs.vector.lanes import Lanes
from zorl.policies.spaces import ObservationEncoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.local.step_batch import StepBatch


class VectorEpisodes:
    """Episodes under way, one a row; each row goes on to the next job, and ends when there is none.

    Args:
        task: what is played.
        lanes: where.
        step_batch: decides; it has a place for every row.
        batch: what the jobs are of.
        first: the first job of each row.
        results: takes the results.
        allow_non_finite: see `VectorRunner`.

    Attributes:
        playing: n, the number of rows.
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
        self._seen, self._totals = step_batch.state[:, :-1], step_batch.state[:, -1]
        n = self.playing = len(first)
        self._step_count = 0
        self._started = np.zeros(n, np.int64)
        self._jobs = np.zeros(n, np.int64)
        self._late = np.zeros(n, np.bool_)  # the next step only starts the episode
        self._void = np.zeros(n, np.bool_)  # written down already; the environment plays on
        self._terminated = self.over = np.zeros(n, np.bool_)
        self._info: Mapping[str, Any] = {}
        for row, job in enumerate(first):
            self._assign(row, job)
        self._look(self._guarded("reset", lanes.begin, self._seeds(np.arange(n))))

    def step(self) -> None:
        """One step in every row."""
        n = self.playing
        state = self._step_batch.state[:n]
        if not math.isfinite(np.vdot(state, state)):  # of large finite numbers it overflows too
            self._end_bad()
        choices = np.asarray(self._step_batch.decide(n, None), self._action_dtype)
        actions = choices.reshape(n, *self._action_shape)
        observations, rewards, terminated, truncated = self._guarded("step", self._step, actions)
        self._step_count += 1
        self._look(observations)
        with np.errstate(all="ignore"):  # infinite rewards may cancel; returns are looked at later
            self._totals[:n] += self._column("rewards", rewards, "fiu")
        self._terminated = self._column("terminations", terminated, "b")
        self.over = self._terminated | self._column("truncations", truncated, "b")
        late = np.flatnonzero(self._late[:n])
        if late.size:  # that was no step of the episodes that it started
            self.over[late] = False
            self._late[late] = False
            self._start(late)

    def _step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, Any]:
        """Step the lanes and keep their info."""
        observations, rewards, terminated, truncated, self._info = self._lanes.step(actions)
        return observations, rewards, terminated, truncated

    def finish(self, queue: Iterator[int]) -> None:
        """Write down the episodes that are over, and begin the next ones in their rows."""
        over = np.flatnonzero(self.over)
        for row in over[~self._void[over]].tolist():
            self._end(row)
        following = list(islice(queue, len(over)))
        rows = over[: len(following)]
        if following:
            for row, job in zip(rows.tolist(), following, strict=True):
                self._assign(row, job)
            observations = self._guarded("reset", self._lanes.begin_next, rows, self._seeds(rows))
            if observations is not None:
                self._look(observations)
            if self._lanes.late:
                self._late[rows] = True
                self._step_batch.state[rows] = 0.0  # nobody acts on what an episode ended with
        for row in over[len(following) :][::-1].tolist():
            self._drop(row)

    def _assign(self, row: int, job: int) -> None:
        """Give a row its next job."""
        self._jobs[row] = job
        self._void[row] = False
        self._step_batch.assign(row, self._batch.job(job)[0])
        self._start(row)

    def _start(self, rows: Any) -> None:
        """Count from here on what belongs to the episodes of these rows."""
        self._totals[rows] = 0.0
        self._step_batch.sums[rows] = 0.0
        self._step_batch.squares[rows] = 0.0
        self._started[rows] = self._step_count

    def _drop(self, row: int) -> None:
        """End a row; the last one moves into its place."""
        self._lanes.remove(row)
        last = self.playing = self.playing - 1
        self._step_batch.move(row, last)
        # Jobs go to the first rows that are free, so a row that starts late is never moved.
        for values in (self._started, self._jobs, self._void):
            values[row] = values[last]

    def _end(self, row: int) -> None:
        """Write an episode down, if its return is finite."""
        total = float(self._totals[row])
        if not math.isfinite(total):
            self._end_as_nan(row, "reward")
            return
        task, results, job = self._task, self._results, self._jobs[row]
        results.returns[job] = results.native_returns[job] = total
        info = self._lanes.final_info(self._info, row) if task.success == "info" else None
        results.successes[job] = task.succeeded(total, bool(self._terminated[row]), info)
        self._close(row)

    def _end_bad(self) -> None:
        """End episodes whose observation or return is not finite.

        The environment's own cannot be ended: their rows play on, from now on for nothing.
        """
        finite = np.isfinite(self._step_batch.state[: self.playing])
        for row in np.flatnonzero(~finite.all(axis=1)).tolist():
            if not self._void[row]:
                self._end_as_nan(row, "observation" if finite[row, -1] else "reward")
                self._void[row] = True
            self._step_batch.state[row] = 0.0

    def _end_as_nan(self, row: int, what: str) -> None:
        """Write an episode down with a NaN return, or raise."""
        length = self._step_count - int(self._started[row])
        job = int(self._jobs[row])
        # A reset that is not finite is no candidate's doing.
        if not self._allow_non_finite or not length:
            seed = self._batch.job(job)[1]
            replay = "" if self._lanes.seeded else ", which does not replay it,"
            error = NonFiniteRewardError(
                f"{self._task.env_id} returned a NaN or infinite {what} after {length} steps: the "
                f"episode with seed {seed}{replay} cannot be scored; mend the environment, or let "
                "such candidates count as the worst of their generation (search agents: train "
                "anew with --non-finite worst)"
            )
            error.job = job
            raise error
        self._results.void(job)
        self._close(row)

    def _close(self, row: int) -> None:
        """Note an episode's length and moments."""
        job = self._jobs[row]
        self._results.lengths[job] = self._step_count - self._started[row]
        if self._batch.normalizer.learns:
            self._results.sums[job] = self._step_batch.sums[row]
            self._results.squares[job] = self._step_batch.squares[row]

    def _seeds(self, rows: NDArray[np.int64]) -> list[int]:
        return [self._batch.job(job)[1] for job in self._jobs[rows].tolist()]

    def _look(self, observations: Any) -> None:
        """Take in the observations of all rows."""
        encoder, n = self._encoder, self.playing
        values = np.asarray(observations)
        if values.shape != (n, *encoder.shape):
            raise EnvironmentFailure(
                f"{self._task.env_id}: the observations of {n} lanes have shape "
                f"{values.shape}, but the space says {(n, *encoder.shape)}"
            )
        if encoder.kind == "box":
            self._seen[:n] = values.reshape(n, -1)
            return
        index = values.astype(np.int64) - encoder.start
        if not ((index >= 0) & (index < encoder.size)).all():
            raise EnvironmentFailure(
                f"{self._task.env_id}: the observations {values} are not all in "
                f"{{{encoder.start}, …, {encoder.start + encoder.size - 1}}}"
            )
        self._seen[:n] = 0.0
        self._seen[np.arange(n), index] = 1.0

    def _column(self, name: str, values: Any, kinds: str) -> NDArray[Any]:
        """One value per row, of one of these kinds of numpy's."""
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
        except Exception as error:
            seeds = sorted(set(self._seeds(np.arange(self.playing))))
            raise EnvironmentFailure(
                f"the vector environment of {self._task.env_id} raised "
                f"{type(error).__name__} in {verb}() of {self.playing} lanes, with episodes of the "
                f"seeds {seeds[:8]}{'…' if len(seeds) > 8 else ''}: {error}"
            ) from error
