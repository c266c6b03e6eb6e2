"""Comparisons that are trained: their runs, the table of them, resuming, failures."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_comparison import AGENTS, CARTPOLE, OPTIONS, PLAN, comparison
from toy_envs import WALK

from zorl.agents.plan import TrainingPlan
from zorl.cli.main import main
from zorl.common.errors import RunFolderError, UnknownNameError
from zorl.common.locks import FolderLock
from zorl.common.stats import bootstrap
from zorl.common.streams import Streams
from zorl.comparison import (
    Comparison,
    figures,
    read_runs,
    run_comparison,
    write_table,
)
from zorl.envs import make_task
from zorl.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished comparison; do not change it."""
    out = tmp_path_factory.mktemp("trained")
    lines: list[str] = []
    runs = run_comparison(comparison(), out, jobs=2, report=lines.append)
    write_table(comparison(), runs, out)
    (out / "lines").write_text("\n".join(lines))
    return out


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def test_every_agent_has_the_same_seeds_budget_and_plan(trained: Path) -> None:
    runs = read_runs(comparison(), trained)
    assert [(run.label, run.seed) for run in runs] == [(a, s) for s in (0, 1) for a in AGENTS]
    configs = [run.folder.read_config() for run in runs]
    assert all(config["plan"] == configs[0]["plan"] for config in configs)
    assert all(config["agent"]["task"] == CARTPOLE.to_json() for config in configs)
    assert [config["agent"]["seed"] for config in configs] == [0, 0, 1, 1]
    assert [config["agent"]["hidden"] for config in configs] == [[8], [], [8], []]
    for run in runs:
        result = run.result
        assert result is not None
        assert result.finished
        assert result.seed == run.seed
        assert 1500 <= result.env_steps.training < 3000  # whole generations
        assert result.curve[-1]["env_steps"] == result.env_steps.training
        assert result.held_out is not None
        assert result.held_out.episodes == 5
        assert not list(run.folder.path.glob("events*"))
    returns = [
        run.result.held_out.native_returns for run in runs if run.result and run.result.held_out
    ]
    assert len({tuple(values) for values in returns}) == 4  # seeds and agents are not mixed up


def test_each_finished_run_is_reported(trained: Path) -> None:
    lines = (trained / "lines").read_text().splitlines()
    assert len(lines) == 4
    for number, line in enumerate(lines, 1):
        match = re.fullmatch(
            rf"\[{number}/4\] (.+) seed (\d): held-out return (\S+), success \d+%, \S+ s", line
        )
        assert match, line
        result = load(RunFolder(_folder(trained, match[1], int(match[2]))).result)
        assert float(match[3]) == pytest.approx(
            result["held_out"]["native_return"]["estimate"], rel=1e-3
        )


def _folder(out: Path, label: str, seed: int) -> Path:
    return out / "runs" / f"{label.replace(' ', '_')}__{seed}"


def test_the_table_says_what_the_result_files_say(trained: Path) -> None:
    with (trained / "table.csv").open(newline="") as file:
        lines = {line["agent"]: line for line in csv.DictReader(file)}
    table = load(trained / "table.json")
    assert list(lines) == [row["agent"] for row in table["agents"]] == AGENTS
    results = {a: [load(_folder(trained, a, s) / "result.json") for s in (0, 1)] for a in AGENTS}
    means = {
        agent: [float(np.mean(r["held_out"]["native_returns"])) for r in results[agent]]
        for agent in AGENTS
    }
    for row in table["agents"]:
        agent, own = row["agent"], results[row["agent"]]
        line, values = lines[agent], means[agent]
        assert row["held_out_mean"]["estimate"] == pytest.approx(np.mean(values))
        seen = [value for r in own for value in r["held_out"]["native_returns"]]
        seen += [point["native_return"] for r in own for point in r["curve"]]
        interval = bootstrap(values).within(min(seen), max(seen))
        assert (row["held_out_mean"]["low"], row["held_out_mean"]["high"]) == pytest.approx(
            (interval.low, interval.high)
        )
        assert float(line["held_out_mean"]) == row["held_out_mean"]["estimate"]
        assert float(line["held_out_mean_high"]) == row["held_out_mean"]["high"]
        successes = [np.mean(r["held_out"]["successes"]) for r in own]
        assert row["success_rate"] == pytest.approx(np.mean(successes))
        assert row["solved"] == sum(value >= 30 for value in values)
        firsts = []
        for result in own:
            above = [point for point in result["curve"] if point["native_return"] >= 30]
            firsts += above[:1]
        assert row["reached"] == len(firsts)
        if firsts:
            steps = [first["env_steps"] for first in firsts]
            assert row["steps_to_threshold"] == np.median(steps)
            assert float(line["steps_to_threshold"]) == np.median(steps)
        else:
            assert row["steps_to_threshold"] is None
            assert line["steps_to_threshold"] == ""
        assert row["env_steps"] == np.mean([r["env_steps"]["training"] for r in own])
        assert row["seconds"] == pytest.approx(np.mean([r["seconds"] for r in own]))
        assert row["parameters"] == own[0]["parameters"]
        assert (row["finished"], row["failed"], row["unfinished"]) == (2, 0, 0)
    first, second = table["agents"]
    assert first["difference"] is None
    assert second["difference"]["estimate"] == pytest.approx(
        np.mean(np.subtract(means[AGENTS[1]], means[AGENTS[0]]))
    )
    assert [run["status"] for run in table["runs"]] == ["finished"] * 4
    raw = table["runs"][1]
    assert (raw["label"], raw["seed"]) == (AGENTS[1], 0)
    assert raw["result"]["curve"] == results[AGENTS[1]][0]["curve"]
    assert (trained / raw["folder"] / "result.json").exists()
    assert table["versions"] == [load(_folder(trained, AGENTS[0], 0) / "config.json")["versions"]]
    assert table["comparison"]["plan"]["total_timesteps"] == 1500


def stamps(out: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("runs/*/agent.zip")}


def test_resume_runs_only_what_is_missing(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    gone = _folder(out, AGENTS[0], 1)
    result = load(gone / "result.json")
    (gone / "result.json").unlink()  # as after a crash
    (gone / ".checkpoint.zip.abc.tmp").write_bytes(b"half")
    before = stamps(out)
    assert main(["compare", *OPTIONS, "--out", str(out), "--resume"]) == 0
    printed = capsys.readouterr()
    assert "kept 3 of 4 runs" in printed.err
    assert f"[4/4] {AGENTS[0]} seed 1: held-out return" in printed.err
    assert printed.out.startswith((out / "table.md").read_text())
    after = stamps(out)
    assert {name for name in after if after[name] != before[name]} == {gone.name}
    assert load(gone / "result.json")["held_out"] == result["held_out"]
    assert sorted(path.name for path in out.glob("*.png")) == sorted(figures.FILES)


def test_the_command_rebuilds_the_same_table_from_finished_runs(
    trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    (out / "table.md").unlink()
    before = stamps(out)
    done = subprocess.run(
        [sys.executable, "-m", "zorl", "compare", *OPTIONS, "--out", str(out),
         "--resume"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert stamps(out) == before
    table = (trained / "table.md").read_text()
    assert table in done.stdout
    assert (out / "table.md").read_text() == table


def test_a_folder_in_use_is_left_alone(trained: Path, tmp_path: Path) -> None:
    before = stamps(trained)
    with pytest.raises(RunFolderError, match=r"is not empty.*--resume"):
        run_comparison(comparison(), trained)
    other = Comparison.create(CARTPOLE, AGENTS, TrainingPlan(1600), range(2))
    with pytest.raises(RunFolderError, match=r"plan\.held_out is 5 there and 100 here"):
        run_comparison(other, trained, resume=True)
    shaped = Comparison.create(make_task("CartPole-v1", threshold=31), AGENTS, PLAN, range(2))
    with pytest.raises(RunFolderError, match=r"agent\.task is"):
        run_comparison(shaped, trained, resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="is not a folder"):
        run_comparison(comparison(), tmp_path / "file", resume=True)
    assert stamps(trained) == before


def test_a_folder_into_which_somebody_writes_is_left_alone(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    run = _folder(out, AGENTS[0], 1)
    (run / "result.json").unlink()  # else there would be nothing to do in it
    before = stamps(out)
    for used in (out, run):
        with (
            FolderLock(used).held(),
            pytest.raises(RunFolderError, match=f"^{re.escape(str(used))} is in use"),
        ):
            run_comparison(comparison(), out, resume=True)
        assert stamps(out) == before


def test_unknown_agents_are_refused_by_the_function_too(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="'cma-es'"):
        run_comparison(comparison(agents=["cmaes"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails_is_recorded_and_stops_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fatal = Streams(1).episodes(0, 1)[0]  # an episode of run 1, and of no other
    out = tmp_path / "out"
    options = [
        *("--agents", "random-search", "--env", WALK, "--threshold=-5", "--seeds", "2"),
        *("--env-set", "fault=raise-step", "--env-set", f"fault_seed={fatal}", "--env-set", "at=1"),
        *("--timesteps", "1000", "--validate-episodes", "2", "--held-out", "3", "--jobs", "1"),
        *("--out", str(out)),
    ]
    assert main(["compare", *options]) == 1
    printed = capsys.readouterr()
    assert "seed 1: failed: EnvironmentFailure: " in printed.err
    assert "[2/2]" in printed.err
    assert "1 (1 failed)" in printed.out
    assert f"--out {out} --resume" in printed.err
    failure = load(out / "runs" / "random-search__1" / "failure.json")
    assert "the step is broken" in "\n".join(failure["traceback"])
    table = load(out / "table.json")
    assert [run["status"] for run in table["runs"]] == ["finished", "failed"]
    assert "EnvironmentFailure" in table["runs"][1]["error"]
    assert table["agents"][0]["finished"] == 1


def test_a_process_that_dies_is_a_failure_and_is_run_anew(tmp_path: Path) -> None:
    kwargs = {"fault": "kill", "fault_seed": Streams(0).episodes(0, 1)[0], "at": 1}
    task = make_task(WALK, env_kwargs=kwargs, threshold=-5)
    compared = Comparison.create(task, ["random-search"], TrainingPlan(500, held_out=2), [0])
    (run,) = run_comparison(compared, tmp_path / "out")
    assert run.status == "failed"
    assert run.error is not None
    assert "its process died (signal 9)" in run.error
    lines: list[str] = []
    (run,) = run_comparison(compared, tmp_path / "out", resume=True, report=lines.append)
    assert lines == [f"[1/1] random-search seed 0: failed: {run.error}"]


def test_folders_of_its_own_making_do_not_collide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zorl.runs.folder.time.strftime", lambda text: "NOW")
    options = [
        *("--agents", "random-search", "--env", WALK, "--threshold=-5", "--seeds", "1"),
        *("--env-set", "action=box", "--timesteps", "100", "--validate-episodes", "1"),
        *("--held-out", "2", "--jobs", "1"),
    ]
    assert [main(["compare", *options]) for _ in range(2)] == [0, 0]
    name = f"{WALK.replace(':', '-').replace('/', '-')}__action=box__random-search__NOW"
    found = sorted(path.name for path in (tmp_path / "comparisons").iterdir())
    assert found == [name, f"{name}-2"]
    assert main(["compare", *options, "--agents", "random-search(x=1)"]) == 2
    assert len(list((tmp_path / "comparisons").iterdir())) == 2


def test_a_run_that_cannot_write_into_its_folder_says_so_by_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from zorl.comparison import runs

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    config = comparison().configurations()[AGENTS[0]]
    monkeypatch.setattr("zorl.common.storage._write", full)
    with pytest.raises(SystemExit) as caught:
        runs._train(str(tmp_path / "run"), config)
    assert "its folder cannot be written any more" in runs._death(int(caught.value.code or 0))
    assert capfd.readouterr().err == ""
