"""Measure time and memory of a generation of network perturbations, by its size.

A generation of a 784-256-128-10 network has three parts: its noise is made, its members are
evaluated on one mini-batch of 50 that all share, and they are summed up into an update. The noise
is of full rank or of low rank; low-rank members never exist as matrices. The yardstick is plain
inference: the network itself on the same number of rows, in the same process and between the
repetitions. Each row of the table has a separate process, so that peak memory can be measured.

    python benchmarks/populations.py
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

# Set before numpy and torch are imported: members run in parallel, not matrix products.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from zorl.common.subprocesses import available_cores
from zorl.networks.classifier import MlpClassifier
from zorl.optimizers.gradient_search import Perturbed

BATCH = 50
MOST_FULL = 1_000  # members of full rank, each with 235,146 numbers
ROWS = 12_800  # rows of plain inference at a time


def seconds(function: Callable[[], object]) -> float:
    """Return the wall-clock seconds of a call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def measure(rank: int, members: int, repeats: int, threads: int) -> dict[str, object]:
    """Measure a row: seconds of a generation's parts and of plain inference, per repetition."""
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    net = MlpClassifier(threads=threads)
    rng = np.random.default_rng(0)
    theta, labels = net.init(rng), rng.integers(0, 10, BATCH)
    images = rng.random((BATCH, 784), dtype=np.float32)
    noise = net.noise(rank or None)
    weights = rng.normal(size=members // 2)
    times = []
    for _ in range(repeats):
        directions = noise(rng, members // 2, net.dim)
        candidates = Perturbed(theta, 0.01, directions, "antithetic")
        made_and_evaluated = seconds(partial(net.losses, candidates, images, labels))
        summed = seconds(partial(directions.combine, weights))
        del directions, candidates
        times.append((made_and_evaluated, summed))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = torch.rand(ROWS, 784)
    torch.set_num_threads(threads)
    yardstick = []
    for _ in range(repeats):
        net.logits(theta, rows)  # warm-up
        once = seconds(partial(net.logits, theta, rows))
        yardstick.append(once * members * BATCH / ROWS)
    return {"times": times, "inference": yardstick, "megabytes": (peak - before) / 1024}


def row(rank: int, members: int, repeats: int, threads: int) -> list[str]:
    """Format a row of the table."""
    command = [sys.executable, __file__, "--one", *map(str, (rank, members, repeats, threads))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout)
    times = np.array(found["times"])
    ratios = np.array(found["inference"]) / times.sum(axis=1)
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    evaluated, summed = np.median(times, axis=0)
    return [
        "full" if rank == 0 else str(rank),
        f"{members:,}",
        f"{1e3 * evaluated:,.1f}",
        f"{1e3 * summed:,.1f}",
        f"{1e6 * (evaluated + summed) / members:,.1f}",
        f"{middle:.2f} ({low:.2f}–{high:.2f})",
        f"{found['megabytes']:,.0f}",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, nargs="+", default=[0, 1, 2, 4], help="0: full")
    parser.add_argument(
        "--members", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000], metavar="N"
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--one", type=int, nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(*args.one)))
        return
    columns = [
        "rank", "members", "noise and evaluation, ms", "update, ms", "µs a member",
        "speed / plain inference (quartiles)", "peak MB beyond the start",
    ]  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for rank in args.ranks:
        for members in args.members:
            if rank or members <= MOST_FULL:
                print(
                    f"| {' | '.join(row(rank, members, args.repeats, args.threads))} |", flush=True
                )


if __name__ == "__main__":
    main()
