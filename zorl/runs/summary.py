"""The words that end a run: what it reached, and what that cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zorl.common.stats import Interval


def summary(result: Mapping[str, Any], folder: Path | None = None) -> str:
    """A few lines about a training run's result."""
    shaped = " (shaped)" if result["shaped"] else ""
    lines = [
        f"{result['agent']} on {result['env_id']}{shaped}, seed {result['seed']}, "
        f"{result['parameters']:,} parameters: {result['status']}"
    ]
    if "held_out" in result:
        words = held_out_lines(result["held_out"], result["shaped"], result["success"] != "none")
        lines += [f"  {line}" for line in words]
    if result["threshold"] is not None:
        first = result.get("reached_threshold")
        when = (
            "not reached on the learning curve"
            if first is None
            else f"first reached after {first['env_steps']:,.0f} env steps, "
            f"{first['episodes']:,.0f} episodes, {first['seconds']:.1f} s"
        )
        lines.append(f"  threshold {result['threshold']:g}: {when}")
    steps, episodes = result["env_steps"], result["episodes"]
    seconds = result["seconds"]
    lines.append(
        f"  trained {steps['training']:,} env steps, {episodes['training']:,} episodes, "
        f"{seconds:.1f} s without validation "
        f"({steps['training'] / max(seconds, 1e-9):,.0f} steps/s)"
    )
    if steps["training"] > 1.2 * result["budget"]:
        lines.append(f"  the budget was {result['budget']:,}; a whole generation is the least")
    counters = result.get("counters")
    if counters and counters["gate_episodes"]:
        lines.append(
            f"  of these the gate took {counters['gate_steps']:,} env steps, "
            f"{counters['gate_episodes']:,} episodes"
        )
    if counters and not counters["updates"]:
        lines.append(
            "  no update moved the parameters: all candidates of every generation scored alike; "
            "try a larger perturbation, other settings, or a shaped reward"
        )
    if counters and counters["non_finite"]:
        lines.append(f"  {counters['non_finite']:,} returns were NaN or infinite: scored worst")
    if result.get("compile_seconds", 0) > 1:
        lines.append(
            f"  of these seconds {result['compile_seconds']:.1f} went into compiling the twin, "
            "which later runs need not"
        )
    workers = result.get("workers")
    if workers and workers["startup_seconds"] is not None:
        lines.append(
            f"  {workers['count']} worker processes, ready after {workers['startup_seconds']:.1f} s"
            + (f"; {workers['replaced']} died and were replaced" if workers["replaced"] else "")
        )
    measured = [name for name in ("validation", "held_out") if steps.get(name)]
    lines.append(
        "  measured besides: "
        + ", ".join(f"{steps[n]:,} env steps of {n.replace('_', '-')}" for n in measured)
    )
    if folder is not None:
        lines.append(f"  saved in {folder}")
        if result["status"] == "finished":
            lines.append(f"  next: zorl watch {folder}")
        elif result["resumable"]:
            lines.append(f"  next: zorl resume {folder}")
        else:
            lines.append("  baselines cannot be resumed; the policy so far is in checkpoint.zip")
    return "\n".join(lines)


def held_out_lines(held_out: Mapping[str, Any], shaped: bool, succeeds: bool) -> list[str]:
    """The held-out estimate in words.

    Args:
        held_out: see `zorl.agents.training.held_out_summary`.
        shaped: whether the searched return is another than the native one.
        succeeds: whether the task has a notion of success.
    """
    n = held_out["episodes"]
    lines = [
        f"held-out native return {Interval(**held_out['native_return'])} "
        f"({n} fresh episodes, 95 % interval)"
    ]
    if shaped:
        lines.append(f"held-out shaped return {Interval(**held_out['return'])}")
    if not succeeds:
        return lines
    success = Interval(**held_out["success_rate"])
    lines.append(f"held-out success {success.estimate:.0%} [{success.low:.0%}, {success.high:.0%}]")
    return lines
