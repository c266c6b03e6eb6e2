"""Training from end to end: learn, watch progress on validation seeds, save, estimate honestly.

Search agents and baselines go through the same code: the same validation and held-out seeds, the
same evaluation, the same files.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import zorl
from zorl.agents.base import Agent
from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import agent_of, config_from_json, load_agent
from zorl.agents.search.agent import SearchAgent
from zorl.agents.search.backend_choice import Resources
from zorl.common.errors import FileFormatError, NonFiniteRewardError, RunFolderError
from zorl.common.storage import read_json, remove_leftovers, write_json
from zorl.common.streams import Streams, held_out_seeds
from zorl.common.types import Stop
from zorl.recorders.base import Recorder, Recorders, Run
from zorl.rollout.evaluation import Evaluation
from zorl.runs.curves import Row, first_reaching, read_curve, write_curve
from zorl.runs.folder import RunFolder

CHECKPOINT_SECONDS = 10.0
COLUMNS = (
    "env_steps",
    "episodes",
    "seconds",
    "native_return",
    "return",
    "success_rate",
    "validation_steps",
)  # of the learning curve
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
) -> dict[str, Any]:
    """Train an agent by a plan.

    Args:
        agent: a fresh one, or one that goes on from a checkpoint; the caller closes it.
        plan: budget, validation, final estimate.
        folder: where checkpoints, the learning curve and the result go; None keeps nothing.
        recorders: consumers of the run's records.
        stop: asked after every generation; True ends the run with everything saved.

    Returns:
        The result, as result.json has it: status, counts, seconds, learning curve and, unless
        the run was stopped early, the held-out estimate.
    """
    if folder is not None:
        return _Training(agent, plan, folder, folder.best, recorders, stop).run()
    with TemporaryDirectory() as scratch:  # the best policy by validation has to be somewhere
        return _Training(agent, plan, None, Path(scratch) / "best.zip", recorders, stop).run()


def resume(
    folder: RunFolder,
    recorders: Iterable[Recorder] = (),
    stop: Stop | None = None,
    **resources: Any,
) -> dict[str, Any]:
    """Go on with an interrupted run, to the same bits as an unbroken one.

    Args:
        folder: the run's.
        recorders: consumers of the run's records.
        stop: asked after every generation; True ends the run with everything saved.
        resources: fields of `zorl.agents.Resources`: workers, timeout, ray, lanes.

    Raises:
        RunFolderError: there is no checkpoint, it is another configuration's, the run is over, or
            it is a baseline's (stable-baselines3 does not save what that would need).
    """
    saved = folder.read_config()
    try:
        config, plan = config_from_json(saved["agent"]), TrainingPlan.from_json(saved["plan"])
    except KeyError as error:
        raise FileFormatError(f"{folder.config}: {error} is missing") from error
    if folder.agent.exists():
        raise RunFolderError(f"{folder.path} is finished: nothing is left to resume")
    if saved["agent"]["family"] != "search":
        raise RunFolderError(
            f"{folder.path} is a run of {config.agent}: baselines cannot be resumed, because "
            "stable-baselines3 keeps no state of environments and random numbers; train anew"
        )
    if not folder.checkpoint.exists():  # stopped before the first generation was saved
        agent = agent_of(config, Resources(**resources))
    else:
        agent = load_agent(folder.checkpoint, **resources)
    if agent.config != saved["agent"]:
        raise RunFolderError(
            f"{folder.checkpoint} was written by another configuration than {folder.config}; "
            "one of the two was replaced"
        )
    for path in (folder.path, folder.failures):
        remove_leftovers(path)
    try:
        return train(agent, plan, folder, recorders, stop)
    finally:
        agent.close()


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
        self.agent = self._with_failures_in(folder, agent)
        self.plan = plan
        self.folder = folder
        self.best = best
        self.recorders = Recorders(recorders)
        self.stop = stop
        self.why = "interrupted"
        steps = agent.num_timesteps
        rows = self._rows_before()
        # Rows from beyond the checkpoint will be measured again, to the same values.
        self.rows: list[Row] = [row for row in rows if row["env_steps"] <= steps]
        self.spent = self._seconds_before()
        self.paused = 0.0
        self.began = self.saved = time.perf_counter()

    @staticmethod
    def _with_failures_in(folder: RunFolder | None, agent: Agent) -> Agent:
        if folder is not None and isinstance(agent, SearchAgent):
            agent.failures = folder.failures
        return agent

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
            known.append(float(read_json(self.folder.result).get("seconds") or 0.0))
        return max(known, default=0.0)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, validation excluded."""
        return self.spent + time.perf_counter() - self.began - self.paused

    def run(self) -> dict[str, Any]:
        agent, plan = self.agent, self.plan
        first = agent.state.generation if isinstance(agent, SearchAgent) else 0
        config = run_config(agent, plan)
        path = None if self.folder is None else self.folder.path
        name = agent.name if path is None else path.name
        run = Run(
            name, agent, agent.task, config, plan.total_timesteps, path, first, agent.num_timesteps
        )
        left = plan.total_timesteps - agent.num_timesteps
        with self.recorders as recorders:
            recorders.result["status"] = "failed"
            recorders.start(run)
            try:
                if not self.rows:
                    self._validate()
                if left > 0 and not self._goal_reached():
                    agent.learn(left, recorders=[recorders], stop=self._after_record)
                if agent.num_timesteps >= plan.total_timesteps:
                    self.why = "finished"
                if self.why == "finished" and self.rows[-1]["env_steps"] < agent.num_timesteps:
                    self._validate()
            finally:
                # Also after an error: the state is that of the last whole generation.
                self._checkpoint()
            result = self._result()
            recorders.result.update(result)
        if self.folder is not None:
            write_json(self.folder.result, result)
            if result["status"] == "finished":  # last of all: with this file a run is over
                self.agent.save(self.folder.agent)
        if not isinstance(agent, SearchAgent) and self.agent is not agent:
            self.agent.close()  # else the two share what is to be closed
        return result

    def _after_record(self) -> bool:
        """Between two generations: watch, save, and say whether to stop."""
        # The last point is measured after learning: PPO still updates after its last step.
        if self._next_validation() <= self.agent.num_timesteps < self.plan.total_timesteps:
            self._validate()
        if time.perf_counter() - self.saved > CHECKPOINT_SECONDS:
            self._checkpoint()
        return self._goal_reached() or (self.stop is not None and self.stop())

    def _next_validation(self) -> int:
        interval = self.plan.interval
        return (int(self.rows[-1]["env_steps"]) // interval + 1) * interval

    def _goal_reached(self) -> bool:
        goal = self.plan.stop_at
        if goal is None or not self.rows or self.rows[-1]["native_return"] < goal:
            return False
        self.why = "finished"
        return True

    def _validate(self) -> None:
        """Add a point to the learning curve."""
        seconds, began = self.seconds, time.perf_counter()
        seeds = Streams(self.agent.config["seed"]).validation(self.plan.validate_episodes)
        evaluation = self.agent.evaluate(seeds)
        row: Row = {
            "env_steps": self.agent.num_timesteps,
            "episodes": self.agent.num_episodes,
            "seconds": seconds,
            "native_return": float(evaluation.native_returns.mean()),
            "return": float(evaluation.returns.mean()),
            "success_rate": float(evaluation.successes.mean()),
            "validation_steps": evaluation.env_steps,
        }
        # A NaN, which --non-finite worst lets through, is never better than what there is.
        best = max((_score(r) for r in self.rows), default=-np.inf)
        self.rows.append(row)
        if self.plan.select == "best" and _score(row) >= best:
            self.agent.save(self.best)  # before the row, which says that this was considered
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

    def _result(self) -> dict[str, Any]:
        agent, plan, seconds = self.agent, self.plan, self.seconds
        trained_steps, trained_episodes = agent.num_timesteps, agent.num_episodes
        steps = {
            "training": trained_steps,
            "validation": int(sum(row["validation_steps"] for row in self.rows)),
        }
        episodes = {
            "training": trained_episodes,
            "validation": plan.validate_episodes * len(self.rows),
        }
        result: dict[str, Any] = {
            "status": self.why,
            "agent": agent.name,
            "env_id": agent.task.env_id,
            "shaped": agent.task.shaped,
            "success": agent.task.success,
            "seed": agent.config["seed"],
            "parameters": agent.parameters,
            "threshold": agent.task.threshold,
            "budget": plan.total_timesteps,
            "resumable": isinstance(agent, SearchAgent),
            "seconds": seconds,
            "curve": self.rows,
        }
        if isinstance(agent, SearchAgent):
            result["counters"] = asdict(agent.counters)
            result["claimed_return"] = agent.state.claimed  # what the gate believes
            if agent.compile_seconds is not None:
                result["compile_seconds"] = agent.compile_seconds
            if agent.processes is not None:
                result["workers"] = {
                    "count": agent.processes.workers,
                    "startup_seconds": agent.processes.startup_seconds,
                    "replaced": agent.processes.replaced,
                }
        if agent.task.threshold is not None:
            result["reached_threshold"] = first_reaching(
                self.rows, "native_return", agent.task.threshold
            )
        if self.why == "finished":
            if plan.select == "best":
                self.agent = (
                    agent.as_saved(self.best)
                    if isinstance(agent, SearchAgent)
                    else load_agent(self.best)
                )
            evaluation = self.agent.evaluate(held_out_seeds(plan.held_out))
            steps["held_out"], episodes["held_out"] = evaluation.env_steps, evaluation.episodes
            result["held_out"] = held_out_summary(evaluation)
        result["env_steps"] = {**steps, "total": sum(steps.values())}
        result["episodes"] = {**episodes, "total": sum(episodes.values())}
        return result


def _score(row: Row) -> float:
    value = row["native_return"]
    return value if np.isfinite(value) else -np.inf


def held_out_summary(evaluation: Evaluation) -> dict[str, Any]:
    """Means with 95 % intervals, and every episode's figures, of an evaluation (1, e).

    Raises:
        NonFiniteRewardError: an episode has a NaN or infinite return, so that there is no mean.
    """
    from zorl.common.stats import mean_interval, proportion_interval

    native, shaped = evaluation.native_returns.ravel(), evaluation.returns.ravel()
    successes = evaluation.successes.ravel()
    bad = int((~np.isfinite(native) | ~np.isfinite(shaped)).sum())
    if bad:
        raise NonFiniteRewardError(
            f"{bad} of {len(native)} held-out episodes of the policy have a NaN or infinite "
            "return, so that there is no estimate of it; mend the environment or its wrappers"
        )
    return {
        "episodes": len(native),
        "native_return": asdict(mean_interval(native)),
        "return": asdict(mean_interval(shaped)),
        "success_rate": asdict(proportion_interval(int(successes.sum()), len(successes))),
        "native_returns": native.tolist(),
        "lengths": evaluation.lengths.ravel().tolist(),
        "successes": successes.tolist(),
    }
