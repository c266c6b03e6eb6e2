"""Print the tables of docs/mountain_car.md from the runs of one or more `zorl compare`.

A run is solved if the held-out success rate of its final policy is at least 95 %. The time to the
solution is the first point of its learning curve with a success rate of at least 95 % on the run's
own validation episodes.

    python -m zorl.studies.mountain_car comparisons/native comparisons/shaped
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from zorl.common.stats import bootstrap
from zorl.runs.curves import first_reaching

SOLVED = 0.95
HEADER = (
    "| agent | solved | episodes to it | env steps to it | seconds to it | held-out native return "
    "| worst run | best run |"
)


def results(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the finished runs below a comparison's folder, by the agent's label."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((folder / "runs").glob("*/result.json")):
        result = json.loads(path.read_text())
        if result["status"] == "finished":
            found.setdefault(path.parent.name.rpartition("__")[0], []).append(result)
    return found


def row(label: str, runs: list[dict[str, Any]]) -> str:
    """Format a row of the table."""
    held_out = np.array([run["held_out"]["native_return"]["estimate"] for run in runs])
    solved = sum(run["held_out"]["success_rate"]["estimate"] >= SOLVED for run in runs)
    when = [first_reaching(run["curve"], "success_rate", SOLVED) for run in runs]
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
