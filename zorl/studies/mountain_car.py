"""Print the tables of docs/mountain_car.md from the runs of one or more `zorl compare`.

A run is solved if the held-out success rate of its final policy is at least 95 %. The time to the
solution is the first point of its learning curve with a success rate of at least 95 % on the run's
own validation episodes.

    python -m zorl.studies.mountain_car comparisons/native comparisons/shaped
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from zorl.common.stats import bootstrap
from zorl.runs.curves import first_reaching
from zorl.runs.result import RunResult

SOLVED = 0.95
HEADER = (
    "| agent | solved | episodes to it | env steps to it | seconds to it | held-out native return "
    "| worst run | best run |"
)


def results(folder: Path) -> dict[str, list[RunResult]]:
    """Read the finished runs below a comparison's folder, by the agent's label."""
    found: dict[str, list[RunResult]] = {}
    for path in sorted((folder / "runs").glob("*/result.json")):
        result = RunResult.read(path)
        if result.finished:
            found.setdefault(path.parent.name.rpartition("__")[0], []).append(result)
    return found


def row(label: str, runs: list[RunResult]) -> str:
    """Format a row of the table."""
    estimates = [run.held_out for run in runs if run.held_out is not None]
    held_out = np.array([estimate.native_return.estimate for estimate in estimates])
    solved = sum(estimate.success_rate.estimate >= SOLVED for estimate in estimates)
    when = [first_reaching(run.curve, "success_rate", SOLVED) for run in runs]
    cells = []
    for column, form in (("episodes", ",.0f"), ("env_steps", ",.0f"), ("seconds", ".1f")):
        # An unsolved run counts as infinite, so that failures cannot improve a median.
        values = [np.inf if point is None else point[column] for point in when]
        median = float(np.median(values))
        cells.append(format(median, form) if np.isfinite(median) else "–")
    interval = bootstrap(held_out, "mean")
    return (
        f"| {label} | {solved} of {len(runs)} | {' | '.join(cells)} | {interval} "
        f"| {held_out.min():.1f} | {held_out.max():.1f} |"
    )


def main() -> None:
    """Print one table for each folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of `zorl compare`")
    for folder in parser.parse_args().folders:
        print(f"\n{folder}\n\n{HEADER}\n|{'---|' * 8}")
        for label, runs in results(folder).items():
            print(row(label, runs))


if __name__ == "__main__":
    main()
