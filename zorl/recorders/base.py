"""Recorders consume the records of a run; the training loop itself writes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError
from zorl.envs import Task

UNLIMITED = 10**12  # env steps, where seconds alone are the budget


class Record(Protocol):
    """One generation of a search, or one report of a gradient baseline."""

    @property
    def index(self) -> int:
        """Its number, from 0."""

    @property
    def env_steps(self) -> int:
        """Env steps charged to training so far."""

    @property
    def scalars(self) -> Mapping[str, float]:
        """Figures by "group/name"; groups are search/, gate/, task/, time/, train/.

        Not every record has all of them: some need several records first, or more than one episode.
        """

    @property
    def histograms(self) -> Mapping[str, NDArray[np.float64]]:
        """Distributions by "group/name"."""


class Predictor(Protocol):
    """What recorders need of an agent: its current policy."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, Any]:
        """The action for an observation, as SB3 has it."""


@dataclass(frozen=True)
class Run:
    """What a recorder is told at the start.

    Attributes:
        name: the run's name.
        agent: its policy changes as training goes on.
        task: what it is trained on.
        config: the resolved configuration, JSON types.
        total_timesteps: the budget of env steps.
        folder: where files go, or None.
        start_index: number of the first record, > 0 after a resume.
        start_steps: env steps before the first record.
        description: what a user should know before training starts, or None.
        seed: of the run.
        seconds: the budget of seconds, or None.
    """

    name: str
    agent: Predictor
    task: Task
    config: Mapping[str, Any]
    total_timesteps: int
    folder: Path | None = None
    start_index: int = 0
    start_steps: int = 0
    description: str | None = None
    seed: int = 0
    seconds: float | None = None

    def pace(self, points: int) -> float:
        """Seconds between `points` points along a budget of seconds; infinite without one."""
        return math.inf if self.seconds is None else self.seconds / points


def budget_words(total_timesteps: int, seconds: float | None) -> str:
    """A budget of env steps, of seconds, or of what is spent first."""
    steps = f"{total_timesteps:,} env steps"
    if seconds is None:
        return steps
    return f"{seconds:g} s" if total_timesteps >= UNLIMITED else f"{steps} or {seconds:g} s"


class Recorder(Protocol):
    """A consumer of records. Nothing that it does may change the training.

    Attributes:
        started: whether it is between `start` and `finish`. What starts recorders leaves one alone
            that is started: who started it finishes it.
    """

    started: bool

    def start(self, run: Run) -> None:
        """Called once before the first record."""

    def record(self, record: Record) -> None:
        """Called for every record, in order."""

    def validation(self, env_steps: int, figures: Mapping[str, float]) -> None:
        """Called when the current policy was measured on the run's validation seeds.

        `figures` has "eval/native_return_mean", "eval/return_mean" and "eval/success_rate".
        """

    def finish(self, result: Mapping[str, Any]) -> None:
        """Called once at the end, also after an interruption or an error, with what is known."""


class BaseRecorder:
    """A recorder that ignores everything; override what matters.

    `start` and `finish` keep account of `started`; call them from those that override them.
    """

    started: bool = False

    def start(self, run: Run) -> None:
        """See `Recorder`."""
        self.started = True

    def record(self, record: Record) -> None:
        """See `Recorder`."""

    def validation(self, env_steps: int, figures: Mapping[str, float]) -> None:
        """See `Recorder`."""

    def finish(self, result: Mapping[str, Any]) -> None:
        """See `Recorder`."""
        self.started = False


def folder_of(run_folder: Path | None, recorder: str) -> Path:
    """The folder that a recorder writes to where it was given no place of its own.

    Raises:
        ConfigurationError: the run has no folder either.
    """
    if run_folder is None:
        raise ConfigurationError(
            f"the recorder {recorder!r} writes into the run's folder, and this run has none: give "
            "the recorder a path, or the run a folder"
        )
    return run_folder


def checked_recorder(recorder: Any, name: str | None = None) -> Recorder:
    """The object, if it is a recorder.

    Args:
        recorder: the object.
        name: what the message calls it; by default its class's name.

    Raises:
        ConfigurationError: it lacks something, or is a class.
    """
    found: Recorder = recorder
    if isinstance(recorder, type):
        raise ConfigurationError(f"a recorder is an object, got the class {recorder.__name__}")
    for part in ("started", "start", "record", "validation", "finish"):
        if not hasattr(recorder, part):
            raise ConfigurationError(
                f"the recorder {name or type(recorder).__name__!r} has no {part!r}; derive it from "
                "zorl.recorders.BaseRecorder, which has all that is needed"
            )
    return found


class Recorders(BaseRecorder, AbstractContextManager["Recorders"]):
    """Several recorders as one; as a context manager it finishes them whatever happens.

    A recorder that is started already is handed the records, and left to whoever started it.

    Attributes:
        result: handed to `finish` at the end of the context; the trainer fills it.

    Raises:
        ConfigurationError: one of them is no recorder.
    """

    def __init__(self, recorders: Iterable[Recorder] = ()) -> None:
        self._recorders = [checked_recorder(recorder) for recorder in recorders]
        self._own = self._recorders
        self.result: dict[str, Any] = {}

    def start(self, run: Run) -> None:
        """See `Recorder`."""
        super().start(run)
        self._own = [recorder for recorder in self._recorders if not recorder.started]
        for recorder in self._own:
            recorder.start(run)

    def record(self, record: Record) -> None:
        """See `Recorder`."""
        for recorder in self._recorders:
            recorder.record(record)

    def validation(self, env_steps: int, figures: Mapping[str, float]) -> None:
        """See `Recorder`."""
        for recorder in self._recorders:
            recorder.validation(env_steps, figures)

    def finish(self, result: Mapping[str, Any]) -> None:
        """See `Recorder`; a recorder that fails does not keep the others from finishing."""
        super().finish(result)
        errors = []
        for recorder in self._own:
            try:
                recorder.finish(result)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def __exit__(self, *exc: object) -> None:
        """Finish all."""
        self.finish(self.result)


@dataclass(frozen=True)
class PlainRecord:
    """A record made of figures alone."""

    index: int
    env_steps: int
    scalars: Mapping[str, float]
    histograms: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
