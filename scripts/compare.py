"""Compare agents on equal terms: the same as `zorl compare`, over the public API.

    python scripts/compare.py --env MountainCar-v0 --agents cma-es ars ppo --seeds 5

With --resume it goes on with what --out holds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zorl.arguments import compare_parser, plan_from, task_from
from zorl.cli import guarded
from zorl.comparison import Comparison, run_comparison, write_figures, write_table
from zorl.runs import StopSignals


def main(args: argparse.Namespace) -> int:
    """Compare what the options say."""
    comparison = Comparison.create(
        task=task_from(args),
        agents=args.agents,  # as "ars" or "ars(m=4, gate=paired)"
        plan=plan_from(args),
        seeds=range(args.first_seed, args.first_seed + args.seeds),
        reference=args.reference,
    )
    out = args.out or Path("comparisons") / comparison.task.env_id.replace("/", "-")

    # Every run is a process of its own. Ctrl-C saves the runs under way; --resume goes on.
    with StopSignals() as stop:
        runs = run_comparison(comparison, out, args.jobs, args.resume, stop, report=print)

    # Tables and figures are made of finished runs, be they all or not.
    print(write_table(comparison, runs, out))
    write_figures(comparison, runs, out)
    return 0 if all(run.status == "finished" for run in runs) else 1


if __name__ == "__main__":  # the processes of the runs import this file: they must not start it
    sys.exit(guarded(main, compare_parser().parse_args()))
