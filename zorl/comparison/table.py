"""The table of a comparison: figures of each agent over its runs, as markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zorl.common.stats import Interval, bootstrap, paired_difference
from zorl.common.storage import write_atomically, write_json
from zorl.comparison.runs import ComparedRun, finished_results, return_range
from zorl.comparison.spec import Comparison

FILES = ("table.md", "table.csv", "table.json")
FEW = 5  # fewer runs say too little for an interval that is printed
_LONG = ("native_returns", "lengths", "successes")  # one number per episode; in result.json


@dataclass(frozen=True)
class AgentRow:
    """An agent's figures over its finished runs; None where there is nothing to measure.

    Attributes:
        agent: its label.
        finished: how many runs were finished.
        failed: how many failed.
        unfinished: how many were stopped or never started.
        held_out_mean: mean over runs of a run's mean held-out native return.
        held_out_iqm: their interquartile mean.
        difference: mean of the agent's minus the reference's, paired by seed.
        pairs: how many pairs that is.
        last_validation: mean over runs of the last point of the learning curve, a native return.
        success_rate: mean over runs of the held-out success rate.
        solved: how many finished runs have a mean held-out native return at or above the task's
            threshold.
        reached: how many finished runs' learning curves reached the threshold.
        steps_to_threshold: median of these runs' env steps until then.
        seconds_to_threshold: median of these runs' training seconds until then.
        env_steps: mean over runs of the env steps of training.
        seconds: mean over runs of the seconds of training.
        parameters: of the policy.
    """

    agent: str
    finished: int
    failed: int
    unfinished: int
    held_out_mean: Interval | None
    held_out_iqm: Interval | None
    difference: Interval | None
    pairs: int
    last_validation: float | None
    success_rate: float | None
    solved: int
    reached: int
    steps_to_threshold: float | None
    seconds_to_threshold: float | None
    env_steps: float | None
    seconds: float | None
    parameters: int | None


def summarize(comparison: Comparison, runs: Sequence[ComparedRun]) -> list[AgentRow]:
    """A row of figures for each agent, from what its runs have come to."""
    reference = [run for run in runs if run.label == comparison.reference]
    return [
        _row(agent.label, comparison, [run for run in runs if run.label == agent.label], reference)
        for agent in comparison.agents
    ]


def _returns(runs: Sequence[ComparedRun], label: str) -> dict[int, float]:
    """Mean held-out native return of an agent's finished runs, by seed."""
    return {
        run.seed: held_out.native_return.estimate
        for run in runs
        if run.label == label
        and run.result is not None
        and (held_out := run.result.held_out) is not None
    }


def _row(
    label: str, comparison: Comparison, runs: Sequence[ComparedRun], others: Sequence[ComparedRun]
) -> AgentRow:
    results = finished_results(runs)
    reference = _returns(others, comparison.reference)
    (low, high), (least, most) = return_range(results), return_range(finished_results(others))
    estimates = [r.held_out for r in results if r.held_out is not None]
    failed = sum(run.status == "failed" for run in runs)
    own = _returns(runs, label)
    values = list(own.values())
    pairs = [seed for seed in own if seed in reference and label != comparison.reference]
    solved = sum(value >= comparison.task.require_threshold() for value in values)
    firsts = [first for r in results if (first := r.reached_threshold) is not None]

    def over(statistic: Callable[[list[float]], Any], numbers: list[float]) -> float | None:
        return float(statistic(numbers)) if numbers else None

    return AgentRow(
        agent=label,
        finished=len(results),
        failed=failed,
        unfinished=len(runs) - len(results) - failed,
        held_out_mean=bootstrap(values).within(low, high) if values else None,
        held_out_iqm=bootstrap(values, "iqm").within(low, high) if values else None,
        difference=paired_difference([own[s] for s in pairs], [reference[s] for s in pairs]).within(
            low - most, high - least
        )
        if pairs
        else None,
        pairs=len(pairs),
        last_validation=over(np.mean, [r.curve[-1]["native_return"] for r in results if r.curve]),
        success_rate=over(np.mean, [e.success_rate.estimate for e in estimates]),
        solved=solved,
        reached=len(firsts),
        steps_to_threshold=over(np.median, [first["env_steps"] for first in firsts]),
        seconds_to_threshold=over(np.median, [first["seconds"] for first in firsts]),
        env_steps=over(np.mean, [r.env_steps.training for r in results]),
        seconds=over(np.mean, [r.seconds for r in results]),
        parameters=results[0].parameters if results else None,
    )


def write_table(
    comparison: Comparison,
    runs: Sequence[ComparedRun],
    out: str | Path,
    command: Mapping[str, Any] | None = None,
) -> str:
    """Write table.md, table.csv and table.json into a folder.

    Args:
        comparison: what was compared.
        runs: its runs, finished or not.
        out: the folder.
        command: what else table.json is to say of how the runs were made.

    Returns:
        The markdown.
    """
    rows, out = summarize(comparison, runs), Path(out)
    text = markdown(comparison, rows, runs)
    write_atomically(out / "table.md", text.encode())
    write_atomically(out / "table.csv", _csv(rows).encode())
    write_json(
        out / "table.json",
        {
            "comparison": comparison.to_json(),
            "command": dict(command or {}),
            "versions": _versions(runs),
            "agents": [asdict(row) for row in rows],
            "runs": [_raw(run, out) for run in runs],
        },
    )
    return text


def _raw(run: ComparedRun, out: Path) -> dict[str, Any]:
    """A run's own figures, all but those of single episodes."""
    result = {} if run.result is None else run.result.to_json()
    if "held_out" in result:
        held_out = result["held_out"]
        result["held_out"] = {k: v for k, v in held_out.items() if k not in _LONG}
    return {
        "label": run.label,
        "seed": run.seed,
        "status": run.status,
        "error": run.error,
        "folder": run.folder.path.relative_to(out).as_posix(),
        "result": result or None,
    }


def _versions(runs: Sequence[ComparedRun]) -> list[Any]:
    """The versions that the runs were made with; one, unless a comparison was resumed later."""
    found: list[Any] = []
    for run in runs:
        versions = run.folder.read_config().get("versions") if run.folder.config.exists() else None
        if versions is not None and versions not in found:
            found.append(versions)
    return found


def _csv(rows: Sequence[AgentRow]) -> str:
    """One line per agent; an interval is three columns; what is unknown is empty."""
    lines = []
    for row in rows:
        line: dict[str, Any] = {}
        for name, value in vars(row).items():
            line[name] = value.estimate if isinstance(value, Interval) else value
            if name in ("held_out_mean", "held_out_iqm", "difference"):
                bounds = (value.low, value.high) if value is not None else (None, None)
                for end, bound in zip(("low", "high"), bounds, strict=True):
                    known = bound is not None and np.isfinite(bound)
                    line[f"{name}_{end}"] = bound if known else None
        lines.append(line)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def markdown(comparison: Comparison, rows: Sequence[AgentRow], runs: Sequence[ComparedRun]) -> str:
    """Two tables, results and costs, as markdown that also reads well as plain text."""
    task, seeds = comparison.task, comparison.seeds
    wrappers = "".join(f" + {name}" for name, _ in task.wrappers)
    results: dict[str, Callable[[AgentRow], str]] = {
        "agent": lambda row: row.agent,
        "runs": _runs,
        "held-out return, mean": lambda row: _interval(row.held_out_mean, row.finished),
        "IQM": lambda row: _interval(row.held_out_iqm, row.finished),
        f"minus {comparison.reference}": lambda row: _interval(row.difference, row.pairs),
        "last validation": lambda row: _cell(row.last_validation, ".4g"),
        "success": lambda row: _cell(row.success_rate, ".0%"),
        "solved": lambda row: f"{row.solved}/{row.finished + row.failed}",
    }
    costs: dict[str, Callable[[AgentRow], str]] = {
        "agent": lambda row: row.agent,
        "reached": lambda row: f"{row.reached}/{row.finished + row.failed}",
        "env steps until then": lambda row: _cell(row.steps_to_threshold, ",.0f"),
        "seconds until then": lambda row: _cell(row.seconds_to_threshold, ",.1f"),
        "env steps": lambda row: _cell(row.env_steps, ",.0f"),
        "seconds": lambda row: _cell(row.seconds, ",.1f"),
        "parameters": lambda row: _cell(row.parameters, ",d"),
    }
    sections = [
        f"# {task.env_id}{wrappers}: {', '.join(row.agent for row in rows)}",
        f"{comparison.plan.budget} for each run, "
        + (f"seeds {', '.join(map(str, seeds))}." if len(seeds) > 1 else f"seed {seeds[0]}.")
        + f" Threshold: a native return of {task.threshold:g}.",
        _grid(rows, results),
        _grid(rows, costs),
        _notes(comparison),
    ]
    if len(_versions(runs)) > 1:
        sections.append("The runs were not all made with the same versions: see table.json.")
    if failures := [f"- {run} (see runs/{run.folder.path.name})" for run in runs if run.error]:
        sections.append("\n".join(["Runs that failed:", "", *failures]))
    return "\n\n".join(sections) + "\n"


def _runs(row: AgentRow) -> str:
    others = {"failed": row.failed, "unfinished": row.unfinished}
    more = ", ".join(f"{count} {what}" for what, count in others.items() if count)
    return f"{row.finished} ({more})" if more else str(row.finished)


def _interval(value: Interval | None, runs: int) -> str:
    if value is None or runs >= FEW:
        return _cell(value)
    return f"{value.estimate:.4g}"


def _cell(value: Any, spec: str = "") -> str:
    return "–" if value is None else format(value, spec)


def _grid(rows: Sequence[AgentRow], columns: Mapping[str, Callable[[AgentRow], str]]) -> str:
    """A markdown table with padded cells."""
    lines = [list(columns), *([cell(row) for cell in columns.values()] for row in rows)]
    lines = [[text.replace("|", "\\|") for text in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [[text.ljust(w) for text, w in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _notes(comparison: Comparison) -> str:
    plan = comparison.plan
    notes = [
        f"Held-out: {plan.held_out} episodes for each run, from seeds that no training saw and "
        "that are the same for all runs; policies act deterministically. Brackets: 95 % bootstrap "
        f"interval over runs, within what episodes returned; of fewer than {FEW} runs, which are "
        "too few for one, only the mean is shown.",
        (
            "The held-out return is of the best policy by validation (--select best)"
            if plan.select == "best"
            else "The held-out return is of the last policy (--select last)"
        )
        + "; last validation is the mean return of the last one on validation episodes.",
        f"Minus {comparison.reference}: mean difference of runs with the same seed.",
        "Success: share of held-out episodes, mean over runs. Solved: runs whose mean held-out "
        "return is at or above the threshold.",
        "Reached: runs whose learning curve (the mean native return of "
        f"{plan.validate_episodes} validation episodes, every {plan.points}) came "
        "to the threshold; env steps and seconds until then are medians of these runs.",
        "Env steps and seconds: training alone, mean over runs. Each run is a process with one "
        "numerical thread; runs side by side share the machine.",
        "A search ends with the generation that spends its budget, and so may use up to a "
        "generation more than it: see env steps.",
        "Runs that failed or were not finished are in no mean, median or interval.",
    ]
    return "\n".join(f"- {note}" for note in notes)
