"""The words that end a run: what it reached, and what that cost."""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
from pathlib import Path

from zorl.runs.curves import best_row, score
from zorl.runs.result import HeldOut, RunResult


def summary(result: RunResult, folder: Path | None = None, width: int | None = None) -> str:
    """A few lines about a training run's result.

    Args:
        result: of the run.
        folder: where the run is kept, or None.
        width: lines are broken between words so that none is longer; None: they are not. A path or
            a command is never broken.
    """
    shaped = " (shaped)" if result.shaped else ""
    title = (
        f"{result.agent} on {result.env_id}{shaped}, seed {result.seed}, "
        f"{result.parameters:,} parameters: {result.status}"
    )
    lines = [
        *_estimate(result),
        *_selection(result),
        *_threshold(result),
        *_training(result),
        *_search(result),
        *_processes(result),
        *_measured(result),
        *_next(result, folder),
    ]
    text = [title, *(f"  {line}" for line in lines)]
    return "\n".join(text if width is None else [_broken(line, width) for line in text])


def terminal_width() -> int | None:
    """How wide the terminal is to which standard output goes; None: it goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _broken(line: str, width: int) -> str:
    if line.startswith(("  saved in ", "  next: ")):
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def held_out_lines(held_out: HeldOut, shaped: bool, succeeds: bool) -> list[str]:
    """The held-out estimate in words.

    Args:
        held_out: the estimate.
        shaped: whether the reward that was trained on differs from the native one.
        succeeds: whether the task has a notion of success.
    """
    lines = [
        f"held-out native return {held_out.native_return} "
        f"({held_out.episodes} fresh episodes, 95 % interval)"
    ]
    if shaped:
        lines.append(f"held-out shaped return {held_out.shaped_return}")
    if not succeeds:
        return lines
    success = held_out.success_rate
    lines.append(f"held-out success {success.estimate:.0%} [{success.low:.0%}, {success.high:.0%}]")
    return lines


def _estimate(result: RunResult) -> list[str]:
    if result.held_out is None:
        return []
    return held_out_lines(result.held_out, result.shaped, result.success != "none")


def _selection(result: RunResult) -> list[str]:
    """Which policy the final one is, and how the best and the last one compare."""
    best = best_row(result.curve)
    if not result.finished or result.select is None or best is None:
        return []
    if not math.isfinite(score(best)):
        return ["final policy: the last; no validation came to its end"]
    last = result.curve[-1]
    of = f"of {len(result.curve)} validation{'s' * (len(result.curve) > 1)}"
    if best is last:
        return [f"final policy: the last, at {last['env_steps']:,.0f} env steps, and the best {of}"]
    first, second = f"{best['native_return']:.4g}", f"{last['native_return']:.4g}"
    if result.select == "best":
        where = f"the best {of}, at {best['env_steps']:,.0f} env steps"
        return [f"final policy: {where} ({first} there; the last one {second})"]
    where = f"the last, at {last['env_steps']:,.0f} env steps"
    return [f"final policy: {where} ({second} in validation; the best {of} {first})"]


def _threshold(result: RunResult) -> list[str]:
    if result.threshold is None:
        return []
    first = result.reached_threshold
    when = (
        "not reached on the learning curve"
        if first is None
        else f"first reached after {first['env_steps']:,.0f} env steps, "
        f"{first['episodes']:,.0f} episodes, {first['seconds']:.1f} s"
    )
    return [f"threshold {result.threshold:g}: {when}"]


def _training(result: RunResult) -> list[str]:
    steps, seconds = result.env_steps.training, result.seconds
    lines = [
        f"trained {steps:,} env steps, {result.episodes.training:,} episodes, "
        f"{seconds:.1f} s without validation ({steps / max(seconds, 1e-9):,.0f} steps/s)"
    ]
    if result.given_up is not None:
        lines.append(result.given_up)
    if result.caution is not None:
        lines.append(result.caution)
    if steps > 1.2 * result.total_timesteps:
        part = "rollout" if result.counters is None else "generation"
        lines.append(f"the budget was {result.total_timesteps:,}; a whole {part} is the least")
    return lines


def _search(result: RunResult) -> list[str]:
    counters, lines = result.counters, []
    if counters is None:
        return []
    if counters.gate_episodes:
        lines.append(
            f"of these the gate took {counters.gate_steps:,} env steps, "
            f"{counters.gate_episodes:,} episodes"
        )
    if not counters.updates and counters.episodes:
        lines.append(
            "no update moved the parameters: all candidates of every generation scored alike; "
            "try a larger perturbation, other settings, or a shaped reward"
        )
    if counters.non_finite:
        lines.append(f"{counters.non_finite:,} returns were NaN or infinite: scored worst")
    return lines


def _processes(result: RunResult) -> list[str]:
    lines, workers = [], result.workers
    if result.compile_seconds is not None and result.compile_seconds > 1:
        lines.append(
            f"of these seconds {result.compile_seconds:.1f} went into compiling the twin, "
            "which later runs need not"
        )
    if workers is not None and workers.startup_seconds is not None:
        lines.append(
            f"{workers.count} worker processes, ready after {workers.startup_seconds:.1f} s"
            + (f"; {workers.replaced} died and were replaced" if workers.replaced else "")
        )
    return lines


def _measured(result: RunResult) -> list[str]:
    parts = {"validation": result.env_steps.validation, "held-out": result.env_steps.held_out}
    words = ", ".join(f"{steps:,} env steps of {name}" for name, steps in parts.items() if steps)
    return [f"measured as well: {words}"] if words else []


def _next(result: RunResult, folder: Path | None) -> list[str]:
    if folder is None:
        return []
    if result.finished:
        step = f"next: zorl watch {folder}"
        if result.given_up is not None:
            step = f"next: zorl resume {folder} --timesteps STEPS"
    elif result.resumable:
        step = f"next: zorl resume {folder}"
    else:
        step = "baselines cannot be resumed; the policy so far is in checkpoint.zip"
    return [f"saved in {folder}", step]
