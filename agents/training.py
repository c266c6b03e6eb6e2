"""Training from end to end: learn, watch progress on validation seeds, save, estimate honestly.

Search agents and baselines go through the same code: the same validation and held-out seeds, the
same evaluation, the same files.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import zorl
from zorl.agents.agent import Agent
from zorl.agents.plan import TrainingPlan
from zorl.agents.validation import COLUMNS, Validator
from zorl.common.errors import FileFormatError, Interrupted, RunFolderError, TooManySteps
from zorl.common.storage import write_json
from zorl.common.streams import held_out_seeds
from zorl.common.types import Stop
from zorl.recorders.base import Recorder, Recorders, Run
from zorl.rollout.evaluation import Evaluation
from zorl.runs.curves import Row, read_curve, write_curve
from zorl.runs.folder import RunFolder
from zorl.runs.result import HeldOut, RunResult, Spent

log = logging.getLogger("zorl")

CHECKPOINT_SECONDS = 10.0
_LIBRARIES = ("numpy", "scipy", "gymnasium", "stable-baselines3", "torch")


def run_config(agent: Agent, plan: TrainingPlan) -> dict[str, Any]:
    """What config.json holds: all that decides a run, and the versions it ran on."""
    versions = {"zorl": zorl.__version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {"agent": agent.config, "plan": asdict(plan), "versions": versions}


def train(
    agent: Agent,
    plan: TrainingPlan,
    folder: RunFolder | None = None,
    recorders: Iterable[Recorder] = (),
    stop: Stop | None = None,
) -> RunResult:
    """Train an agent by a plan.

    Args:
        agent: a fresh one, or one that goes on from a checkpoint; the caller closes it.
        plan: budget, validation, final estimate.
        folder: where checkpoints, the learning curve and the result go; None keeps nothing.
        recorders: consumers of the run's records; started and finished here, all but those that
            the caller has started.
        stop: asked after every generation; True ends the run with everything saved.

    Returns:
        Status, counts, seconds, learning curve and, unless the run was stopped early, the
        held-out estimate; what result.json holds.

    Raises:
        RunFolderError: another process is writing into the folder.
    """
    if folder is not None:
        with folder.locked():
            return _Training(agent, plan, folder, folder.best, recorders, stop).run()
    with TemporaryDirectory() as scratch:  # the best policy by validation has to be somewhere
        return _Training(agent, plan, None, Path(scratch) / "best.zip", recorders, stop).run()


class _Training:
    """One run of `train`."""

    def __init__(
        self,
        agent: Agent,
        plan: TrainingPlan,
        folder: RunFolder | None,
        best: Path,
        recorders: Iterable[Recorder],
        stop: Stop | None,
    ) -> None:
        self.agent = agent
        self.plan = plan
        self.folder = folder
        self.best = best
        self.recorders = Recorders(recorders)
        self.stop = stop
        self.status = "interrupted"
        if folder is not None:
            agent.failures = folder.failures
        rows = self._rows_before()
        # Rows from beyond the checkpoint will be measured again, to the same values.
        rows = [row for row in rows if row["env_steps"] <= agent.num_timesteps]
        self.validator = Validator(agent, plan, best, rows)
        self.spent = self._seconds_before()
        self.paused = 0.0
        self.began = self.saved = time.perf_counter()

    def _rows_before(self) -> list[Row]:
        """The learning curve of earlier parts of this run."""
        if self.folder is None:
            return []
        rows = read_curve(self.folder.validation)
        if rows and list(rows[0]) != list(COLUMNS):
            raise FileFormatError(
                f"{self.folder.validation}: expected the columns {', '.join(COLUMNS)}, found "
                f"{', '.join(map(str, rows[0]))}"
            )
        return rows

    def _seconds_before(self) -> float:
        """Training seconds of earlier parts of this run, as far as they were written down."""
        known = [row["seconds"] for row in self.rows]
        if self.folder is not None and self.folder.result.exists():
            known.append(RunResult.read(self.folder.result).seconds)
        return max(known, default=0.0)

    @property
    def rows(self) -> list[Row]:
        """The learning curve."""
        return self.validator.rows

    @property
    def seconds(self) -> float:
        """Seconds of training so far, validation excluded."""
        return self.spent + time.perf_counter() - self.began - self.paused

    def run(self) -> RunResult:
        """Train, estimate the final policy, and save all of it.

        Raises:
            RunFolderError: a file of the folder could not be written; says what is left.
        """
        try:
            return self._run()
        except OSError as error:
            folder = self.folder
            if folder is None or not str(error.filename).startswith(f"{folder.path}{os.sep}"):
                raise
            raise RunFolderError(
                f"{error.filename} cannot be written ({error.strerror}); "
                f"{self._what_is_left(folder)}"
            ) from error

    def _what_is_left(self, folder: RunFolder) -> str:
        files = (folder.checkpoint, folder.best, folder.validation)
        whole = [path.name for path in files if path.is_file()]
        text = f"what was saved before is whole: {', '.join(whole) or 'config.json'}"
        if self.agent.not_resumable:
            return text
        begins = "goes on" if folder.checkpoint.is_file() else "begins it again"
        return f"{text}; once that is mended, zorl resume {folder.path} {begins}"

    def _run(self) -> RunResult:
        with self.recorders as recorders:
            recorders.result["status"] = "failed"
            recorders.start(self._description())
            try:
                self._learn()
            except Interrupted:  # in a validation, which a resumed run makes again
                self.status = "interrupted"
            finally:
                # Also after an error: the state is that of the last whole generation.
                self._checkpoint()
            final = self._final()
            try:
                held_out = self._held_out(final)
            except Interrupted:
                self.status, held_out = "interrupted", None
            result = self._result(held_out)
            recorders.result.update(result.to_json())
        if self.folder is not None:
            write_json(self.folder.result, result.to_json())
            if result.finished:  # last of all: with this file a run is over
                final.save(self.folder.agent)
        return result

    def _description(self) -> Run:
        """What recorders are told at the start."""
        agent, path = self.agent, None if self.folder is None else self.folder.path
        return Run(
            name=agent.name if path is None else path.name,
            agent=agent,
            task=agent.task,
            config=run_config(agent, self.plan),
            total_timesteps=self.plan.total_timesteps,
            folder=path,
            seconds=self.plan.seconds,
            start_index=agent.num_records,
            start_steps=agent.num_timesteps,
            description=agent.description,
            seed=agent.seed,
        )

    def _learn(self) -> None:
        agent, budget = self.agent, self.plan.total_timesteps
        # Due: the run was interrupted in that validation.
        if not self.rows or self.validator.due(self.seconds):
            self._validate()
        left = budget - agent.num_timesteps
        if left > 0 and not self._is_over():
            agent.learn(left, recorders=[self.recorders], stop=self._after_record)
        if agent.num_timesteps >= budget or agent.given_up:
            self.status = "finished"
        if self.status == "finished" and self.rows[-1]["env_steps"] < agent.num_timesteps:
            self._validate()

    def _after_record(self) -> bool:
        """Between two generations: validate, save, and say whether to stop."""
        if self.validator.due(self.seconds):
            self._validate()
        if time.perf_counter() - self.saved > CHECKPOINT_SECONDS:
            self._checkpoint()
        return self._is_over() or (self.stop is not None and self.stop())

    def _is_over(self) -> bool:
        """Whether the goal is reached, or the time is up."""
        limit = self.plan.seconds
        if limit is not None and self.seconds >= limit:
            self.status = "finished"
            return True
        return self._goal_reached()

    def _goal_reached(self) -> bool:
        goal = self.plan.stop_at
        if goal is None or not self.rows or not self.rows[-1]["native_return"] >= goal:
            return False
        self.status = "finished"
        return True

    def _validate(self) -> None:
        """Add a point to the learning curve."""
        seconds, began = self.seconds, time.perf_counter()
        try:
            row = self.validator.measure(seconds)
        finally:
            self.paused += time.perf_counter() - began
        began = time.perf_counter()
        if self.folder is not None:
            write_curve(self.folder.validation, self.rows)
        self.recorders.validation(
            self.agent.num_timesteps,
            {
                "eval/native_return_mean": row["native_return"],
                "eval/return_mean": row["return"],
                "eval/success_rate": row["success_rate"],
            },
        )
        self.paused += time.perf_counter() - began

    def _checkpoint(self) -> None:
        if self.folder is not None:
            self.agent.save(self.folder.checkpoint)
        self.saved = time.perf_counter()

    def _final(self) -> Agent:
        """The agent with the final policy, of a run that is finished."""
        if self.status == "finished" and self.plan.select == "best":
            return self.agent.as_saved(self.best)
        return self.agent

    def _held_out(self, final: Agent) -> Evaluation | None:
        """The held-out episodes of the final policy, of a run that is finished.

        None, with a warning, where they do not end.
        """
        if self.status != "finished":
            return None
        began = time.perf_counter()
        try:
            return final.evaluate(held_out_seeds(self.plan.held_out))
        except TooManySteps as error:
            log.warning("the held-out estimate, which is missing now: %s", error)
            return None
        finally:
            self.paused += time.perf_counter() - began

    def _result(self, held_out: Evaluation | None) -> RunResult:
        agent, task, seconds = self.agent, self.agent.task, self.seconds
        estimate, steps, episodes = None, None, None
        if held_out is not None:
            estimate = HeldOut.from_evaluation(held_out)
            steps, episodes = held_out.env_steps, held_out.episodes
        validation_steps = int(sum(row["validation_steps"] for row in self.rows))
        validation_episodes = self.plan.validate_episodes * len(self.rows)
        return RunResult(
            status=self.status,
            agent=agent.name,
            env_id=task.env_id,
            shaped=task.shaped,
            success=task.success,
            seed=agent.seed,
            parameters=agent.parameters,
            threshold=task.threshold,
            total_timesteps=self.plan.total_timesteps,
            resumable=not agent.not_resumable,
            seconds=seconds,
            curve=tuple(self.rows),
            select=self.plan.select,
            env_steps=Spent(agent.num_timesteps, validation_steps, steps),
            episodes=Spent(agent.num_episodes, validation_episodes, episodes),
            held_out=estimate,
            given_up=agent.given_up or None,
            **agent.result_fields,
        )
