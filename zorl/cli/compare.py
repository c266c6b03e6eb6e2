"""`zorl compare`: train several agents on equal terms, then write a table and figures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zorl.agents.plan import TrainingPlan
from zorl.cli.arguments import task_words
from zorl.common.errors import ConfigurationError
from zorl.common.output import if_readable, tell
from zorl.common.stop_signals import StopSignals
from zorl.common.subprocesses import available_cores
from zorl.common.types import Stop
from zorl.comparison.figures import write_figures
from zorl.comparison.runs import read_runs, run_comparison
from zorl.comparison.spec import Comparison
from zorl.comparison.table import FILES, write_table
from zorl.envs import Task
from zorl.runs.folder import new_folder, stamped


def compare_from(args: argparse.Namespace, task: Task, plan: TrainingPlan) -> int:
    """`zorl compare`, by the options of `zorl.cli.arguments.compare_parser`.

    Returns:
        0 if every run was finished, 128 + the signal that stopped the command, or else 1.
    """
    if args.resume and args.out is None:
        raise ConfigurationError("--resume needs --out, the folder to go on with")
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    comparison = Comparison.create(task, args.agents, plan, seeds, args.reference)
    out = args.out
    if out is None:
        words = (*task_words(args), ",".join(agent.label for agent in comparison.agents))
        comparison.configurations()  # refuses bad options before there is a folder
        out = new_folder(Path("comparisons") / stamped(task.env_id, *words))
    jobs = args.jobs or available_cores()
    with StopSignals() as signals:
        try:
            run_comparison(
                comparison, out, jobs, args.resume, _Announced(signals), tell, args.lanes
            )
        except KeyboardInterrupt:
            tell("the runs under way were given up")
        runs = read_runs(comparison, out)
        table = write_table(comparison, runs, out, {"jobs": jobs})
        figures = write_figures(comparison, runs, out)
    files = [out / name for name in FILES] + figures
    with if_readable(sys.stdout):
        print(table)
        print("written: " + ", ".join(str(path) for path in files))
    if all(run.status == "finished" for run in runs):
        return 0
    tell(f"to run what is not finished: the same command with --out {out} --resume")
    return 1 if signals.received is None else 128 + int(signals.received)


class _Announced:
    """A stop that says so when it begins."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._told = False

    def __call__(self) -> bool:
        stopped = self._stop()
        if stopped and not self._told:
            self._told = True
            tell("stopping: saving the runs under way; Ctrl-C again gives them up")
        return stopped
