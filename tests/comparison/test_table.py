"""The table of a comparison, from runs that are made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toy_results import CARTPOLE, LABELS, PLAN, fake, lost, mixed

from zorl.common.stats import bootstrap, paired_difference
from zorl.comparison import ComparedRun, Comparison, summarize, write_figures, write_table
from zorl.runs.folder import RunFolder


def test_figures_of_many_runs_are_what_they_are_called() -> None:
    compared, runs = mixed()
    ars, ppo = summarize(compared, runs)
    assert ars.held_out_mean is not None
    assert ars.held_out_mean.estimate == pytest.approx(45.8)
    assert ars.held_out_iqm is not None
    assert ars.held_out_iqm.estimate == pytest.approx((29 + 30 + 60) / 3)
    # Nothing that was played returned less than 9 or more than 100.
    assert ars.held_out_iqm == bootstrap([10, 29, 30, 60, 100], "iqm").within(9, 100)
    # Pairs are those of seeds 1, 3 and 4; by position it would be others.
    difference = paired_difference([29, 60, 100], [20, 70, 50])
    assert ars.difference == difference.within(9 - 70, 100 - 9)
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
    ars, ppo = (dict(zip(cells[0], row, strict=True)) for row in cells[2:4])
    assert ars == {
        "agent": "ars",
        "runs": "5",
        "held-out return, mean": str(bootstrap([10, 29, 30, 60, 100]).within(9, 100)),
        "IQM": str(bootstrap([10, 29, 30, 60, 100], "iqm").within(9, 100)),
        "minus ppo": "16.33",  # of three pairs
        "last validation": "45.8",
        "success": "46%",
        "solved": "3/5",
    }
    assert (ppo["runs"], ppo["minus ppo"]) == ("3 (1 failed, 1 unfinished)", "–")
    assert (ppo["success"], ppo["solved"]) == ("47%", "2/4")  # one that failed has not solved it
    assert cells[6] == ["ars", "3/5", "400", "4.0", "1,002", "4.0", "51"]
    assert "ppo seed 2: failed: EnvironmentFailure: broken" in text


def test_a_comparison_without_finished_runs_has_a_table(tmp_path: Path) -> None:
    runs = [lost(agent, seed) for seed in (0, 1) for agent in LABELS]
    runs = [ComparedRun(r.label, r.seed, RunFolder(tmp_path / "x")) for r in runs]
    compared = Comparison.create(CARTPOLE, LABELS, PLAN, range(2))
    assert "0 (2 unfinished)" in write_table(compared, runs, tmp_path)
    assert write_figures(compared, runs, tmp_path) == []


def test_no_interval_reaches_beyond_what_any_episode_returned() -> None:
    """Four runs at MountainCar's least return and one far above: the bootstrap goes below it."""
    values = [-200.0, -200.0, -200.0, -200.0, -98.0]
    assert bootstrap(values).low < -200
    compared = Comparison.create(CARTPOLE, LABELS, PLAN, range(5))
    runs = [fake(label, seed, value) for label in LABELS for seed, value in enumerate(values)]
    for run in runs:
        assert run.result is not None
        run.result.curve[0]["native_return"] = -200.0
    ars, _ = summarize(compared, runs)
    assert ars.held_out_mean is not None
    assert ars.held_out_mean.low == -200
    assert ars.held_out_mean.estimate == pytest.approx(-179.6)
    assert -179 < ars.held_out_mean.high <= -98
    assert ars.difference is not None
    assert (ars.difference.low, ars.difference.high) == (0, 0)


def test_of_few_runs_only_the_mean_is_printed(tmp_path: Path) -> None:
    runs = [fake("ars", seed, value) for seed, value in enumerate((10.0, 20.0, 60.0))]
    runs = [ComparedRun(r.label, r.seed, RunFolder(tmp_path / r.label), r.result) for r in runs]
    text = write_table(Comparison.create(CARTPOLE, ["ars"], PLAN, range(3)), runs, tmp_path)
    assert "| ars   | 3    | 30 " in text
    assert "of fewer than 5 runs, which are too few for one, only the mean is shown" in text
