"""Tables and figures of made-up runs, whose figures are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from zorl.agents.plan import TrainingPlan
from zorl.common.stats import Interval, bootstrap, iqm, paired_difference
from zorl.comparison import ComparedRun, Comparison, figures, summarize, write_figures, write_table
from zorl.envs import make_task
from zorl.runs.curves import Row
from zorl.runs.folder import RunFolder
from zorl.runs.result import HeldOut, RunResult, Spent

CARTPOLE = make_task("CartPole-v1", threshold=30)
PLAN = TrainingPlan(1500)
LABELS = ["ars", "ppo"]


def fake(label: str, seed: int, held_out: float, reached: float | None = None) -> ComparedRun:
    """A finished run, made up."""
    curve: list[Row] = [{"env_steps": 0.0, "seconds": 0.1, "native_return": 9.0}]
    if reached is not None:
        curve.append({"env_steps": reached, "seconds": reached / 100, "native_return": 30.0})
    end = {"env_steps": 500.0, "seconds": 0.1 + seed, "native_return": held_out}
    curve.append(end if reached is None else {**end, "env_steps": 950.0, "seconds": 9.5})
    some = Interval(held_out, held_out, held_out, 0.95)
    rate = Interval(held_out / 100, 0.0, 1.0, 0.95)
    result = RunResult(
        status="finished",
        agent=label,
        env_id=CARTPOLE.env_id,
        shaped=False,
        success=CARTPOLE.success,
        seed=seed,
        parameters=51,
        threshold=30.0,
        total_timesteps=PLAN.total_timesteps,
        resumable=True,
        seconds=2.0 + seed,
        curve=tuple(curve),
        env_steps=Spent(1000 + seed, 0, 0),
        episodes=Spent(10, 0, 1),
        held_out=HeldOut(1, some, some, rate, (held_out,), (1,), (True,)),
    )
    return ComparedRun(label, seed, RunFolder(f"out/runs/{label}__{seed}"), result)


def lost(label: str, seed: int, error: str | None = None) -> ComparedRun:
    return ComparedRun(label, seed, RunFolder(f"out/runs/{label}__{seed}"), error=error)


def mixed(
    reached: Sequence[float | None] = (None, None, 400.0, 100.0, 900.0),
) -> tuple[Comparison, list[ComparedRun]]:
    ars = [10.0, 29.0, 30.0, 60.0, 100.0]
    runs = [fake("ars", s, value, reached[s]) for s, value in enumerate(ars)]
    runs += [fake("ppo", 4, 50.0), lost("ppo", 2, "EnvironmentFailure: broken\nmore")]
    runs += [fake("ppo", 1, 20.0), lost("ppo", 0), fake("ppo", 3, 70.0)]
    return Comparison.create(CARTPOLE, LABELS, PLAN, range(5)), runs


def test_figures_of_many_runs_are_what_they_are_called() -> None:
    compared, runs = mixed()
    ars, ppo = summarize(compared, runs)
    assert ars.held_out_mean is not None
    assert ars.held_out_mean.estimate == pytest.approx(45.8)
    assert ars.held_out_iqm is not None
    assert ars.held_out_iqm.estimate == pytest.approx((29 + 30 + 60) / 3)
    assert ars.held_out_iqm == bootstrap([10, 29, 30, 60, 100], "iqm")
    # Pairs are those of seeds 1, 3 and 4; by position it would be others.
    assert ars.difference == paired_difference([29, 60, 100], [20, 70, 50])
    assert ars.pairs == 3
    assert (ars.solved, ars.reached) == (3, 3)
    assert (ars.steps_to_threshold, ars.seconds_to_threshold) == (400, 4)
    assert ars.success_rate == pytest.approx(0.458)
    assert (ars.env_steps, ars.seconds, ars.parameters) == (1002, 4, 51)
    assert (ppo.finished, ppo.failed, ppo.unfinished) == (3, 1, 1)
    assert ppo.held_out_mean is not None
    assert ppo.held_out_mean.estimate == pytest.approx(140 / 3)
    assert (ppo.difference, ppo.steps_to_threshold, ppo.reached) == (None, 500, 2)
    (low,) = summarize(Comparison.create(CARTPOLE, ["ars"], PLAN, [0]), [fake("ars", 0, 29.0)])
    assert (low.steps_to_threshold, low.seconds_to_threshold, low.reached) == (None, None, 0)


def test_the_markdown_shows_them(tmp_path: Path) -> None:
    compared, runs = mixed()
    runs = [
        ComparedRun(r.label, r.seed, RunFolder(tmp_path / r.folder.path.name), r.result, r.error)
        for r in runs
    ]
    for run, version in zip(runs, ("1.0", "1.0", "1.1"), strict=False):
        RunFolder.create(run.folder.path, {"versions": {"zorl": version}})
    text = write_table(compared, runs, tmp_path)
    assert "not all made with the same versions" in text
    assert json.loads((tmp_path / "table.json").read_text())["versions"] == [
        {"zorl": "1.0"},
        {"zorl": "1.1"},
    ]
    assert text == (tmp_path / "table.md").read_text()
    grids = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in grids]
    assert len({len(line) for line in grids[:4]}) == 1  # padded
    ars, ppo = cells[2], cells[3]
    assert ars[:3] == ["ars", "5", str(bootstrap([10, 29, 30, 60, 100]))]
    assert ars[4:] == [str(paired_difference([29, 60, 100], [20, 70, 50])), "46%", "3/5"]
    assert ppo[:2] == ["ppo", "3 (1 failed, 1 unfinished)"]
    assert ppo[4:] == ["–", "47%", "2/4"]  # a run that failed has not solved the task
    assert cells[6] == ["ars", "3/5", "400", "4.0", "1,002", "4.0", "51"]
    assert "ppo seed 2: failed: EnvironmentFailure: broken" in text
    assert "minus ppo" in grids[0]


def test_a_comparison_without_finished_runs_has_a_table(tmp_path: Path) -> None:
    runs = [lost(agent, seed) for seed in (0, 1) for agent in LABELS]
    runs = [ComparedRun(r.label, r.seed, RunFolder(tmp_path / "x")) for r in runs]
    compared = Comparison.create(CARTPOLE, LABELS, PLAN, range(2))
    assert "0 (2 unfinished)" in write_table(compared, runs, tmp_path)
    assert write_figures(compared, runs, tmp_path) == []


# Figures


def test_figures_show_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    save = figures._save
    monkeypatch.setattr(figures, "_save", lambda f, path: (drawn.append(f), save(f, path)))  # type: ignore[func-returns-value]
    compared, runs = mixed([None] * 5)
    files = write_figures(compared, runs, tmp_path)
    assert [file.name for file in files] == list(figures.FILES)
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    steps, seconds, held_out = (figure.axes[0] for figure in drawn)
    labels = [text.get_text() for text in steps.get_legend().get_texts()]
    assert labels == ["ppo (3/5)", "ars"]  # as they end, from top to bottom; some runs are missing
    lines = {line.get_label(): line for line in steps.lines}
    ars, ppo = lines["ars"].get_ydata(), lines["ppo (3/5)"].get_ydata()
    assert ars[0] == 9
    assert ars[-1] == pytest.approx(iqm([10, 29, 30, 60, 100]))
    assert ppo[-1] == pytest.approx(140 / 3)
    x = lines["ars"].get_xdata()
    assert (x[0], x[-1]) == (0, 500)
    assert np.all(ars[x < 500] == 9)  # the last known value, not one between
    assert any(np.all(np.asarray(line.get_ydata()) == 30) for line in steps.lines)  # threshold
    # Seed 4 takes until 4.1 s: before that, finished runs count with the value they have kept.
    line = next(line for line in seconds.lines if line.get_label() == "ars")
    x, y = line.get_xdata(), line.get_ydata()
    assert x[-1] == pytest.approx(4.1)
    assert y[np.searchsorted(x, 3.5)] == pytest.approx(iqm([10, 29, 30, 60, 9]))
    dots = [group for group in held_out.collections if isinstance(group, PathCollection)]
    points = np.concatenate([group.get_offsets() for group in dots if group.get_alpha() == 0.5])
    assert sorted(points[:, 0]) == [10, 20, 29, 30, 50, 60, 70, 100]
    assert [label.get_text() for label in held_out.get_yticklabels()] == ["ars", "ppo (3/5)"]


def test_times_that_differ_much_are_drawn_on_a_logarithmic_axis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(figures, "_save", lambda figure, path: drawn.append(figure))
    runs = [fake("ars", 0, 50.0), fake("ppo", 0, 40.0)]
    assert runs[1].result is not None
    runs[1].result.curve[-1]["seconds"] = 30.0
    write_figures(Comparison.create(CARTPOLE, LABELS, PLAN, [0]), runs, tmp_path)
    assert [figure.axes[0].get_xscale() for figure in drawn] == ["linear", "log", "linear"]
