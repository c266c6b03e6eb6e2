"""Compare the score that each gate claims with the truth, from the runs of a `zorl compare`.

The claim is the score that the gate has stored for the policy it kept. The truth is that policy's
mean on 100 held-out episodes. The runs must use final policies (`--select last`) and an unshaped
task.

    python -m zorl.studies.gates comparisons/gates
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.common.stats import bootstrap
from zorl.runs.result import RunResult

HEADER = (
    "| agent | kept updates | gate's share of env steps | claimed return | held-out return "
    "| claimed − held-out | held-out success |"
)


def row(label: str, folders: list[Path]) -> str:
    """Format a row of the table."""
    claimed, held_out, kept, share, success = [], [], [], [], []
    for folder in folders:
        result = RunResult.read(folder / "result.json")
        counters, estimate = result.counters, result.held_out
        if counters is None or estimate is None:
            raise ConfigurationError(f"{folder} is not a finished run of a search")
        kept.append(counters.accepted / max(counters.updates, 1))
        share.append(counters.gate_steps / result.env_steps.training)
        claim = result.claimed_return
        claimed.append(np.nan if claim is None else claim)
        held_out.append(estimate.native_return.estimate)
        success.append(estimate.success_rate.estimate)
    cells = [label, f"{np.mean(kept):.0%}", f"{np.mean(share):.0%}"]
    if np.isfinite(claimed).all():
        difference = np.subtract(claimed, held_out)
        cells += [f"{np.mean(claimed):.1f}", str(bootstrap(held_out)), str(bootstrap(difference))]
    else:
        cells += ["–", str(bootstrap(held_out)), "–"]
    return f"| {' | '.join([*cells, f'{np.mean(success):.0%}'])} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of a `zorl compare`")
    runs: dict[str, list[Path]] = {}
    for path in sorted((parser.parse_args().folder / "runs").iterdir()):
        if (path / "result.json").is_file():
            runs.setdefault(path.name.rpartition("__")[0], []).append(path)
    print(f"{HEADER}\n|{'---|' * 7}")
    for label, folders in runs.items():
        print(row(label, folders))


if __name__ == "__main__":
    main()
