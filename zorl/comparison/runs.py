"""The runs of a comparison: a folder and a process each.

The folders are all that there is to know: tables are made from them, and a comparison that was
interrupted goes on from them.
"""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zorl.agents.base import FAMILIES
from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import agent_of, config_from_json
from zorl.agents.resuming import resume as resume_training
from zorl.agents.training import train
from zorl.common.errors import RunFolderError
from zorl.common.locks import LOCK_NAME, FolderLock
from zorl.common.stop_signals import StopSignals
from zorl.common.storage import read_json, write_json
from zorl.common.subprocesses import available_cores, run_in_processes
from zorl.common.types import Stop
from zorl.comparison.spec import Comparison
from zorl.rollout.backend import Resources
from zorl.runs.folder import RunFolder
from zorl.runs.result import RunResult

_CANNOT_WRITE = 74  # the exit status of a run that cannot even say in its folder what was wrong


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison, as its folder tells it.

    Attributes:
        label: its agent's.
        seed: its seed.
        folder: where everything of it lies.
        result: what result.json holds, if the run was finished or stopped; else None.
        error: why it failed, if it did.
    """

    label: str
    seed: int
    folder: RunFolder
    result: RunResult | None = None
    error: str | None = None

    @property
    def status(self) -> str:
        """One of "finished", "failed", "interrupted", "missing"."""
        if self.error is not None:
            return "failed"
        return "missing" if self.result is None else self.result.status

    def __str__(self) -> str:
        """What became of it, in a line."""
        text = f"{self.label} seed {self.seed}: "
        if self.error is not None:
            return f"{text}failed: {self.error.splitlines()[0]}"
        if self.result is None:
            return f"{text}not run"
        held_out = self.result.held_out
        if held_out is None:
            return f"{text}stopped after {self.result.env_steps.training:,} env steps"
        return (
            f"{text}held-out return {held_out.native_return.estimate:.4g}, "
            f"success {held_out.success_rate.estimate:.0%}, {self.result.seconds:.1f} s"
        )


def read_run(label: str, seed: int, folder: RunFolder) -> ComparedRun:
    """A run as its folder has it now."""
    if _failure(folder).exists():
        error = str(read_json(_failure(folder)).get("error"))
        return ComparedRun(label, seed, folder, error=error)
    result = RunResult.read(folder.result) if folder.result.exists() else None
    return ComparedRun(label, seed, folder, result)


def read_runs(comparison: Comparison, out: str | Path) -> list[ComparedRun]:
    """All runs of a comparison, done or not; seed by seed, so that any part of it is balanced."""
    return [
        read_run(agent.label, seed, RunFolder(Path(out) / "runs" / f"{agent.folder_name}__{seed}"))
        for seed in comparison.seeds
        for agent in comparison.agents
    ]


def run_comparison(
    comparison: Comparison,
    out: str | Path,
    jobs: int | None = None,
    resume: bool = False,
    stop: Stop = lambda: False,
    report: Callable[[str], None] = lambda line: None,
    lanes: int | None = None,
) -> list[ComparedRun]:
    """Train what is to be compared, each run in a spawned process with one numerical thread.

    A run that fails does not stop the others. A script that calls this needs the guard
    `if __name__ == "__main__":`, as with all spawned processes.

    Args:
        comparison: what to train.
        out: folder; the run folders go to its subfolder runs/.
        jobs: runs at a time; None for one a core.
        resume: keep the finished runs in `out`, go on with searches that were stopped, and start
            the rest from the beginning.
        stop: asked several times a second; at True the runs under way are saved and stopped.
        report: called with a line about every run that ends.
        lanes: of each run; see `zorl.Resources`.

    Raises:
        ConfigurationError: an agent or an option that cannot be.
        RunFolderError: `out` is not empty, is in use, or has runs of another configuration to
            resume. Neither comes after any training.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise RunFolderError(f"{out} is not a folder")
    configurations = comparison.configurations()  # refuses bad options before there is a folder
    with FolderLock(out).held():
        return _run_comparison(comparison, configurations, out, jobs, resume, stop, report, lanes)


def _run_comparison(
    comparison: Comparison,
    configurations: Mapping[str, Any],
    out: Path,
    jobs: int | None,
    resume: bool,
    stop: Stop,
    report: Callable[[str], None],
    lanes: int | None,
) -> list[ComparedRun]:
    if any(item.name != LOCK_NAME for item in out.iterdir()) and not resume:
        raise RunFolderError(
            f"{out} is not empty; choose another folder with --out, or go on with what it holds: "
            "--resume"
        )
    runs = read_runs(comparison, out)
    todo = []
    for run in runs:
        shared = configurations[run.label]
        config = {**shared, "agent": {**shared["agent"], "seed": run.seed}}
        _check_same(run.folder, config)
        if run.status != "finished":
            _check_free(run.folder)
            todo.append((run, config))
    done = len(runs) - len(todo)
    if done:
        report(f"kept {done} of {len(runs)} runs, which were finished")
    calls = [(str(run.folder.path), config, lanes) for run, config in todo]
    at_once = available_cores() if jobs is None else jobs
    with closing(run_in_processes(_train, calls, at_once, stop)) as ended:
        for index, code in ended:
            run = todo[index][0]
            stopped = code < 0 and stop()
            error = None
            if code and not stopped and not _failure(run.folder).exists():
                error = _death(code)
                with suppress(OSError):  # a full disk, which the line below tells
                    _write_failure(run.folder, error)
            run = read_run(run.label, run.seed, run.folder)
            if error is not None:
                run = replace(run, error=error)
            done += run.status in ("finished", "failed")
            report(f"[{done}/{len(runs)}] {run}")
    return read_runs(comparison, out)


def finished_results(runs: Iterable[ComparedRun]) -> list[RunResult]:
    """The results of the runs that came to their end."""
    return [r.result for r in runs if r.status == "finished" and r.result is not None]


def return_range(results: Iterable[RunResult]) -> tuple[float, float]:
    """The lowest and the highest return of any held-out episode or validation of some runs.

    An interval of their mean that reaches beyond these comes from few runs, not from the task.
    """
    seen = [
        value
        for result in results
        for values in (
            [row["native_return"] for row in result.curve],
            () if result.held_out is None else result.held_out.native_returns,
        )
        for value in values
        if math.isfinite(value)
    ]
    return min(seen, default=-math.inf), max(seen, default=math.inf)


def _check_same(folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Refuse a folder of another configuration."""
    difference = folder.difference(config) if folder.config.exists() else None
    if difference is not None:
        raise RunFolderError(
            f"{folder.path} is a run of another configuration: {difference}; choose another --out"
        )


def _check_free(folder: RunFolder) -> None:
    """Refuse a folder into which somebody is writing."""
    if folder.path.is_dir():
        with folder.locked():
            pass


def _train(path: str, config: Mapping[str, Any], lanes: int | None = None) -> None:
    """What the process of a run does; errors go to its folder."""
    folder = RunFolder(path)
    with StopSignals() as stop, folder.locked():
        try:
            if _can_go_on(folder, config):
                # Its configuration is ours.
                resume_training(folder, stop=stop, trust=True, lanes=lanes)
                return
            _clear(folder)
            write_json(folder.config, config)
            agent = agent_of(config_from_json(config["agent"]), Resources(lanes=lanes))
            try:
                train(agent, TrainingPlan.from_json(config["plan"]), folder, stop=stop)
            finally:
                agent.close()
        except Exception as error:
            try:
                _write_failure(folder, f"{type(error).__name__}: {error}", traceback.format_exc())
            except OSError:
                sys.exit(_CANNOT_WRITE)
            sys.exit(1)


def _can_go_on(folder: RunFolder, config: Mapping[str, Any]) -> bool:
    """Whether it was stopped in good order and can be resumed, so that its figures are exact."""
    if FAMILIES[config["agent"]["family"]].not_resumable or _failure(folder).exists():
        return False
    stopped = folder.result.exists() and not RunResult.read(folder.result).finished
    return stopped and folder.checkpoint.exists()


def _clear(folder: RunFolder) -> None:
    """Remove a run's files, and nothing else that somebody may have put there."""
    for path in (
        *(folder.config, folder.checkpoint, folder.best, folder.agent, folder.result),
        *(folder.generations, folder.validation, _failure(folder)),
        *folder.path.glob(".*.tmp"),  # a process that is killed leaves what it was writing
    ):
        path.unlink(missing_ok=True)


def _failure(folder: RunFolder) -> Path:
    return folder.path / "failure.json"


def _write_failure(folder: RunFolder, error: str, text: str = "") -> None:
    write_json(_failure(folder), {"error": error, "traceback": text.splitlines()})


def _death(code: int) -> str:
    if code == _CANNOT_WRITE:
        return "its folder cannot be written any more; likely cause: the disk is full"
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return (
        f"its process died ({how}); likely causes: the environment crashed, or the machine ran "
        "out of memory"
    )
