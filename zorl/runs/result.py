"""The result of a training run: what `zorl.train` returns and result.json holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from zorl.common.errors import FileFormatError, NonFiniteRewardError
from zorl.common.stats import Interval, mean_interval, proportion_interval
from zorl.common.storage import read_json
from zorl.rollout.evaluation import Evaluation
from zorl.runs.curves import Row, first_reaching
from zorl.search.records import Counters


@dataclass(frozen=True)
class HeldOut:
    """The estimate of a policy on held-out episodes; intervals are of 95 %.

    Attributes:
        episodes: how many were played.
        native_return: mean return of the task's own reward.
        shaped_return: mean return of the reward that was trained on; "return" in files.
        success_rate: share of the episodes that succeeded.
        native_returns: of each episode.
        lengths: env steps of each episode.
        successes: of each episode.
    """

    episodes: int
    native_return: Interval
    shaped_return: Interval
    success_rate: Interval
    native_returns: tuple[float, ...]
    lengths: tuple[int, ...]
    successes: tuple[bool, ...]

    @classmethod
    def from_evaluation(cls, evaluation: Evaluation) -> HeldOut:
        """The estimate from the episodes of one policy, arrays (1, e).

        Raises:
            NonFiniteRewardError: an episode has a NaN or infinite return, so that there is no mean.
        """
        native, shaped = evaluation.native_returns.ravel(), evaluation.returns.ravel()
        successes = evaluation.successes.ravel()
        bad = int((~np.isfinite(native) | ~np.isfinite(shaped)).sum())
        if bad:
            raise NonFiniteRewardError(
                f"{bad} of {len(native)} held-out episodes of the policy have a NaN or infinite "
                "return, so that there is no estimate of it; mend the environment or its wrappers"
            )
        return cls(
            episodes=len(native),
            native_return=mean_interval(native),
            shaped_return=mean_interval(shaped),
            success_rate=proportion_interval(int(successes.sum()), len(successes)),
            native_returns=tuple(native.tolist()),
            lengths=tuple(evaluation.lengths.ravel().tolist()),
            successes=tuple(successes.tolist()),
        )

    def to_json(self) -> dict[str, Any]:
        """The estimate as JSON types."""
        return {
            "episodes": self.episodes,
            "native_return": asdict(self.native_return),
            "return": asdict(self.shaped_return),
            "success_rate": asdict(self.success_rate),
            "native_returns": list(self.native_returns),
            "lengths": list(self.lengths),
            "successes": list(self.successes),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> HeldOut:
        """The inverse of `to_json`, also of what a file gives back."""
        values = dict(values)
        values["shaped_return"] = values.pop("return")
        for name in ("native_return", "shaped_return", "success_rate"):
            values[name] = _interval(values[name])
        for name in ("native_returns", "lengths", "successes"):
            values[name] = tuple(values[name])
        return cls(**values)


@dataclass(frozen=True)
class Spent:
    """What was played for each purpose, in env steps or in episodes.

    Attributes:
        training: charged to the budget.
        validation: for the learning curve.
        held_out: for the final estimate; None where there is none.
    """

    training: int
    validation: int
    held_out: int | None = None

    @property
    def total(self) -> int:
        """All of it."""
        return self.training + self.validation + (self.held_out or 0)

    def to_json(self) -> dict[str, int]:
        """The counts and their total by name."""
        return {**_present(asdict(self)), "total": self.total}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Spent:
        """The inverse of `to_json`."""
        return cls(**{name: value for name, value in values.items() if name != "total"})


@dataclass(frozen=True)
class WorkersUsed:
    """The worker processes of a run.

    Attributes:
        count: how many.
        startup_seconds: until they were ready; None if they never started.
        replaced: how many died and were replaced.
    """

    count: int
    startup_seconds: float | None
    replaced: int


@dataclass(frozen=True)
class RunResult:
    """The result of a training run.

    Attributes:
        status: "finished", or "interrupted" if the run was stopped early.
        agent: the agent's name.
        env_id: the task's environment.
        shaped: whether the reward that was trained on differs from the native one.
        success: what counts as a success, see `Task`.
        seed: of the run.
        parameters: number of parameters of the policy.
        threshold: native return that counts as solved, or None.
        total_timesteps: the budget of env steps; "budget" in files.
        resumable: whether an interrupted run can go on.
        seconds: of training, validation excluded.
        curve: the learning curve, see `zorl.runs.curves`.
        env_steps: env steps by purpose.
        episodes: episodes by purpose.
        held_out: the final estimate; None unless the run was finished, and of episodes without end.
        counters: of a search.
        claimed_return: the score that a search's gate holds of its policy; NaN if it holds none.
        compile_seconds: what compiling took, where compiled code played the episodes.
        workers: the worker processes, where there were some.
        select: which policy the final one is: "best" by validation, or "last".
        given_up: why a search ended before its budget; None where it did not.
        caution: what episodes of a search were not the task's own; None: all were.
        more: fields of other families of agents.
    """

    status: str
    agent: str
    env_id: str
    shaped: bool
    success: str
    seed: int
    parameters: int
    threshold: float | None
    total_timesteps: int
    resumable: bool
    seconds: float
    curve: tuple[Row, ...]
    env_steps: Spent
    episodes: Spent
    held_out: HeldOut | None = None
    counters: Counters | None = None
    claimed_return: float | None = None
    compile_seconds: float | None = None
    workers: WorkersUsed | None = None
    select: str | None = None
    given_up: str | None = None
    caution: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.status == "finished"

    @property
    def reached_threshold(self) -> Row | None:
        """The first point of the curve at or above the threshold."""
        if self.threshold is None:
            return None
        return first_reaching(self.curve, "native_return", self.threshold)

    def to_json(self) -> dict[str, Any]:
        """The result as JSON types; what is None is left out, but for the threshold."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        more, threshold = values.pop("more"), values.pop("threshold")
        values["budget"] = values.pop("total_timesteps")
        values["curve"] = [dict(row) for row in self.curve]
        for name in ("env_steps", "episodes", "held_out"):
            values[name] = None if values[name] is None else values[name].to_json()
        for name in ("counters", "workers"):
            values[name] = None if values[name] is None else asdict(values[name])
        found = {**_present(values), "threshold": threshold}
        if threshold is not None:
            found["reached_threshold"] = self.reached_threshold
        return {**found, **more}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunResult:
        """The inverse of `to_json`, also of what a file gives back.

        Raises:
            FileFormatError: something is missing or of the wrong form.
        """
        try:
            given = dict(values)
            given.pop("reached_threshold", None)  # follows from the curve
            given["total_timesteps"] = given.pop("budget")
            given["curve"] = tuple(
                {name: _number(value) for name, value in row.items()} for row in given["curve"]
            )
            for name in ("env_steps", "episodes"):
                given[name] = Spent.from_json(given[name])
            if "held_out" in given:
                given["held_out"] = HeldOut.from_json(given["held_out"])
            if "counters" in given:
                given["counters"] = Counters(**given["counters"])
            if "claimed_return" in given:
                given["claimed_return"] = _number(given["claimed_return"])
            if "workers" in given:
                given["workers"] = WorkersUsed(**given["workers"])
            known = {item.name for item in fields(cls)}
            more = {name: given.pop(name) for name in [*given] if name not in known}
            return cls(**given, more=more)
        except (KeyError, TypeError, AttributeError) as error:
            raise FileFormatError(f"not the result of a training run: {error}") from error

    @classmethod
    def read(cls, path: str | Path) -> RunResult:
        """The result in a file.

        Raises:
            FileFormatError: the file is missing, or is not a result's.
        """
        try:
            return cls.from_json(read_json(path))
        except FileFormatError as error:
            raise FileFormatError(f"{path}: {error}") from error


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _number(value: float | None) -> float:
    """JSON has no NaN and no infinity: they are null there, and NaN here."""
    return math.nan if value is None else value


def _interval(values: Mapping[str, Any]) -> Interval:
    """An interval; bounds that are null were infinite."""
    low, high = values["low"], values["high"]
    bounds = {
        "low": -math.inf if low is None else low,
        "high": math.inf if high is None else high,
    }
    return Interval(**{**values, **bounds})
