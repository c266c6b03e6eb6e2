"""Figures of a comparison: learning curves over env steps and over time, and held-out returns.

matplotlib is imported where it is used; without pyplot, so that no window system is touched and
figures are drawn with Agg whatever the user's backend is.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from zorl.common.plotting import COLORS, GREY, MARKERS, STYLE
from zorl.common.stats import Array, bootstrap, curve_band, step_interpolate
from zorl.common.storage import write_atomically
from zorl.comparison.runs import ComparedRun, finished_results, return_range
from zorl.comparison.spec import Comparison
from zorl.runs.curves import Row
from zorl.runs.result import RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILES = ("curves_steps.png", "curves_seconds.png", "held_out.png")
_LOG_RATIO = 12  # agents whose times differ by more share no linear axis
_POINTS = 241  # of a curve
_FEW = 3  # so few runs are drawn one by one: their intervals would cover everything


@dataclass(frozen=True)
class _Group:
    """The finished runs of one agent, and how it is drawn."""

    label: str
    results: list[RunResult]
    color: str
    marker: str

    def title(self, comparison: Comparison) -> str:
        """The label in lines of legible length, and how many runs there are if some are missing."""
        finished, planned = len(self.results), len(comparison.seeds)
        text = self.label if finished == planned else f"{self.label} ({finished}/{planned})"
        return textwrap.fill(text, 26, break_long_words=False, break_on_hyphens=False)


def write_figures(
    comparison: Comparison, runs: Sequence[ComparedRun], out: str | Path
) -> list[Path]:
    """Draw the finished runs into a folder; returns the files, none if no run was finished."""
    import matplotlib

    groups = [
        _Group(agent.label, results, COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)])
        for i, agent in enumerate(comparison.agents)
        if (results := finished_results(run for run in runs if run.label == agent.label))
    ]
    if not groups:
        return []
    paths = [Path(out) / name for name in FILES]
    with matplotlib.rc_context(STYLE):
        _save(_curves(comparison, groups, "env_steps"), paths[0])
        _save(_curves(comparison, groups, "seconds"), paths[1])
        _save(_held_out(comparison, groups), paths[2])
    return paths


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), layout="constrained")
    return figure, figure.add_subplot()


def _save(figure: Figure, path: Path) -> None:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=160)
    write_atomically(path, data.getvalue())


def _curves(
    comparison: Comparison, groups: list[_Group], over: Literal["env_steps", "seconds"]
) -> Figure:
    """Learning curves; a run that has ended keeps its last value while others go on."""
    figure, axes = _figure(4.4)
    ends = [max(result.curve[-1][over] for result in group.results) for group in groups]
    logarithmic = over == "seconds" and max(ends) > _LOG_RATIO * min(ends)
    threshold = comparison.task.require_threshold()
    axes.axhline(threshold, color=GREY, linewidth=1.2, linestyle=":")
    values, last = [threshold], {}
    for group, end in zip(groups, ends, strict=True):
        curves = [result.curve for result in group.results]
        start = max(curve[0][over] for curve in curves)
        if logarithmic:
            start = max(start, min(ends) / 50)
        grid = (np.geomspace if logarithmic else np.linspace)(start, end, _POINTS)
        grid = np.clip(grid, start, end)  # rounding may lead to before the first value
        returns = [_on_grid(curve, over, grid) for curve in curves]
        center, low, high = curve_band(returns)
        low, high = np.clip((low, high), *return_range(group.results))
        (line,) = axes.plot(
            grid, center, color=group.color, linewidth=1.9, drawstyle="steps-post",
            marker=group.marker, markersize=5.5, markeredgecolor="white", markeredgewidth=0.6,
            markevery=[*range(_POINTS // 6, _POINTS - 1, _POINTS // 6), _POINTS - 1],
            label=group.title(comparison), zorder=3,
        )  # fmt: skip
        if len(curves) > _FEW:
            axes.fill_between(
                grid, low, high, step="post", color=group.color, alpha=0.13, linewidth=0
            )
        elif len(curves) > 1:
            axes.plot(
                grid, np.transpose(returns), color=group.color, linewidth=0.8, alpha=0.45,
                drawstyle="steps-post",
            )  # fmt: skip
        last[line] = center[-1]
        values += [row["native_return"] for curve in curves for row in curve]
    # Bands may reach beyond any return that can occur; the axis follows the runs.
    margin = 0.06 * (max(values) - min(values)) or 1.0
    axes.set_ylim(min(values) - margin, max(values) + margin)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(min(ends) / 50, 1.1 * max(ends))
    else:
        axes.set_xlim(0, 1.015 * max(ends))
        axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(_plain)
    axes.yaxis.set_major_formatter(_plain)
    axes.set_xlabel(f"{over.replace('env_steps', 'environment steps')} of training")
    axes.set_ylabel("mean return of validation episodes")
    _titles(axes, comparison, _meaning(groups))
    order = sorted(last, key=lambda line: -last[line])  # as the lines end, from top to bottom
    axes.legend(handles=order, loc="center left", bbox_to_anchor=(1, 0.5), handlelength=2.6)
    return figure


def _on_grid(curve: Sequence[Row], over: str, grid: Array) -> Array:
    xs, ys = ([row[name] for row in curve] for name in (over, "native_return"))
    return step_interpolate(xs, ys, grid)


def _held_out(comparison: Comparison, groups: list[_Group]) -> Figure:
    """Each run's mean held-out return, with mean and interval of each agent."""
    figure, axes = _figure(1.5 + 0.55 * len(groups))
    threshold = comparison.task.require_threshold()
    axes.axvline(threshold, color=GREY, linewidth=1.2, linestyle=":")
    everything = [threshold]
    for y, group in enumerate(groups):
        returns = [r.held_out.native_return.estimate for r in group.results if r.held_out]
        interval = bootstrap(returns).within(*return_range(group.results))
        everything += returns
        heights = [y + 0.24] * len(returns)
        axes.scatter(returns, heights, s=24, color=group.color, alpha=0.5, linewidth=0)
        if len(returns) > 1:
            axes.hlines(y, interval.low, interval.high, color=group.color, linewidth=2.2)
        axes.scatter(
            interval.estimate,
            y,
            s=58,
            marker=group.marker,
            color=group.color,
            edgecolor="white",
            zorder=3,
        )
        axes.annotate(
            _minus(str(interval)), (1, y), (8, 0), xycoords=axes.get_yaxis_transform(),
            textcoords="offset points", va="center", fontsize=9, color="#262626",
        )  # fmt: skip
    # With two or three runs an interval may be many times as wide as all that was measured.
    span = max(everything) - min(everything) or 1.0
    axes.set_xlim(min(everything) - 0.35 * span, max(everything) + 0.35 * span)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_yticks(range(len(groups)), [group.title(comparison) for group in groups])
    axes.tick_params(axis="y", length=0, labelcolor="#262626")
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(_plain)
    axes.set_xlabel(f"mean return of {comparison.plan.held_out} held-out episodes")
    _titles(
        axes,
        comparison,
        "marker and bar: mean and its 95 % interval (bootstrap, widened for few runs); dots: runs",
    )
    return figure


def _titles(axes: Axes, comparison: Comparison, meaning: str) -> None:
    task = comparison.task
    axes.set_title(f"{task.env_id}{''.join(f' + {name}' for name, _ in task.wrappers)}", pad=22)
    axes.annotate(
        f"{meaning}; dotted: threshold {_plain(task.require_threshold())}", (0, 1), (0, 8),
        xycoords="axes fraction", textcoords="offset points", fontsize=9, color=GREY,
    )  # fmt: skip


def _meaning(groups: list[_Group]) -> str:
    """What lines and bands are; of fewer than four runs the interquartile mean is the mean."""
    counts = {len(group.results) for group in groups}
    runs = " to ".join(str(count) for count in sorted({min(counts), max(counts)}))
    if max(counts) > _FEW:
        return f"interquartile mean of {runs} runs, with its 95 % interval (bootstrap)"
    return "one run each" if max(counts) == 1 else f"mean of {runs} runs; thin: the runs"


def _plain(value: float, _: float = 0) -> str:
    """A number in full, with thousands separators, as −0.5, 120 or 150,000."""
    return _minus(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}")


def _minus(text: str) -> str:
    """With the typographic minus."""
    return text.replace("-", "−")
