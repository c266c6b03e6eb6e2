"""Run the contestants of rollout_peers.py as processes, and format their figures."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ALONE = ", rollouts alone"
ROLLOUTS_ONLY = "C by hand"


class Contestant:
    """A process that measures on request."""

    def __init__(self, name: str, command: list[str], scratch: Path) -> None:
        self.name = name
        self.answers: list[dict[str, Any]] = []
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=scratch,  # MuJoCo writes a log into the working directory
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.ready = self._answer(180)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _answer(self, timeout: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self.close()
            raise RuntimeError(f"no answer within {timeout:.0f} s") from None
        if not line:
            self._errors.seek(0)
            said = [text for text in self._errors.read().splitlines() if text.strip()]
            self.close()
            raise RuntimeError(said[-1] if said else "it ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def measure(self, seconds: float) -> None:
        """Measure once and store the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        self.answers.append(self._answer(60 + 20 * seconds))

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass
class Row:
    """The figures of one contestant in one cell."""

    cell: str
    name: str
    env_steps: list[float]
    counted: list[float]
    length: float
    compile_seconds: float
    ratios: list[float] = field(default_factory=list)
    counted_ratios: list[float] = field(default_factory=list)


def spread(values: list[float], form: str) -> str:
    """Format a median with its range."""
    if not values:
        return "–"
    middle, low, high = np.median(values), min(values), max(values)
    return f"{middle:{form}} ({low:{form}}–{high:{form}})"


def table(rows: list[Row]) -> str:
    """Format the rows as a Markdown table."""
    lines = [
        "| generation | contestant | million env steps/s | masked ones counted "
        "| zorl ÷ contestant | masked ones counted | steps an episode | compiling, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        useful = spread([x / 1e6 for x in row.env_steps], ".3g")
        masked = row.counted != row.env_steps
        counted = f"{np.median(row.counted) / 1e6:.3g}" if masked else "–"
        lines.append(
            f"| {row.cell} | {row.name} | {useful} | {counted} | {spread(row.ratios, '.3g')} "
            f"| {spread(row.counted_ratios if masked else [], '.3g')} | {row.length:.0f} "
            f"| {row.compile_seconds:.1f} |"
        )
    return "\n".join(lines).replace("| nan |", "| – |")


def figure(rows: list[Row], path: Path) -> None:
    """Draw horizontal bars on a log scale, one panel per cell, with the range over rotations."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    cells = list(dict.fromkeys(row.cell for row in rows))
    counts = [sum(row.cell == cell for row in rows) for cell in cells]
    figure, panels = plt.subplots(
        len(cells),
        1,
        figsize=(8, 0.24 * sum(counts) + 0.7 * len(cells) + 0.4),
        sharex=True,
        squeeze=False,
        layout="constrained",
        gridspec_kw={"height_ratios": [count + 1 for count in counts]},
    )
    for axes, cell in zip(panels[:, 0], cells, strict=True):
        some = sorted((r for r in rows if r.cell == cell), key=lambda r: np.median(r.counted))
        for at, row in enumerate(some):
            middle, low, high = (f(row.counted) for f in (np.median, min, max))
            colour = "C1" if row.name.startswith("zorl") else "C7"
            if row.name == ROLLOUTS_ONLY or row.name.startswith("env.step"):
                colour = "C0"
            axes.barh(at, middle, color=colour, height=0.72)
            axes.plot([low, high], [at, at], color="k", linewidth=1)
            axes.text(high * 1.12, at, f"{middle / 1e6:.3g} M", va="center", fontsize=7)
        axes.set_yticks(range(len(some)), [row.name for row in some], fontsize=7)
        axes.set_title(cell, fontsize=9, loc="left")
        axes.set_xscale("log")
        axes.margins(y=0.02)
        axes.spines[["top", "right"]].set_visible(False)
    low = min(min(row.counted) for row in rows)
    high = max(max(row.counted) for row in rows)
    panels[0, 0].set_xlim(low / 2, high * 4)
    panels[-1, 0].set_xlabel("env steps per second, masked ones counted; line: range of rotations")
    figure.savefig(path, dpi=150)
    plt.close(figure)
