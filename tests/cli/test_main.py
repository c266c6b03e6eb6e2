"""The command line: what it prints, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_runs import ROOT, SMALL, Capture, train
from toy_envs import WALK

import zorl
from zorl.agents.registry import load_agent, make_agent
from zorl.cli.main import COMMANDS, main
from zorl.common.storage import read_json
from zorl.common.streams import held_out_seeds


def test_train_prints_progress_and_a_summary(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "run"
    assert (
        train(path, "--wrapper", "toy_envs:Doubled", "--gate", "paired", "--threshold", "-99") == 0
    )
    out, err = capsys.readouterr()
    result = read_json(path / "result.json")
    first, *lines = err.splitlines()
    assert first == "training for 600 env steps; Ctrl-C stops and saves"
    assert len(lines) >= 2
    for line in lines:
        assert [part.split()[0] for part in line.split(" · ")[3:6]] == [
            "shaped",
            "native",
            "success",
        ]
        assert " kept " in line
        assert line.endswith(" left")
        assert "/s · " in line
    assert lines[-1].startswith("100% gen ")
    assert f"{result['env_steps']['training']:,} steps" in lines[-1]
    summary = out.splitlines()
    assert summary[0].startswith(f"spsa on {WALK} (shaped), seed 0, ")
    assert summary[0].endswith(": finished")
    estimate = result["held_out"]["native_return"]["estimate"]
    assert "held-out native return" in summary[1]
    assert "(3 fresh episodes, 95 % interval)" in summary[1]
    assert float(summary[1].split()[3]) == pytest.approx(estimate, abs=0.51)
    assert "held-out shaped return" in summary[2]
    assert "held-out success 100%" in summary[3]
    assert "final policy: the last" in summary[4]
    assert "threshold -99: first reached after 0 env steps" in summary[5]
    steps = result["env_steps"]
    assert f"trained {steps['training']:,} env steps" in out
    assert f"of these the gate took {result['counters']['gate_steps']:,} env steps" in out
    assert f"{steps['validation']:,} env steps of validation" in out
    assert f"{steps['held_out']:,} env steps of held-out" in out
    assert f"saved in {path}" in out
    assert {p.name for p in path.iterdir()} >= {
        *("agent.zip", "checkpoint.zip", "config.json", "generations.jsonl", "result.json"),
        "validation.csv",
    }


def test_a_recorder_is_added_by_name_or_module_also_to_a_resumed_run(
    interrupted: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    assert train(path, "--quiet", "--recorder", "toy_recorders:Tally(every=2)") == 0
    lines = len((path / "generations.jsonl").read_text().splitlines())
    assert (path / "tally.txt").read_text() == str((lines + 1) // 2)
    options = ["--quiet", "--no-tensorboard", "--recorder", "toy_recorders:Tally"]
    assert main(["resume", str(interrupted), *options]) == 0
    assert (interrupted / "tally.txt").read_text() == str(lines - 3)


def test_a_resumed_run_has_the_recorders_that_it_began_with(tmp_path: Path) -> None:
    path = tmp_path / "run"
    assert train(path, "--quiet", "--recorder", "toy_recorders:Tally(every=2)") == 0
    expected = (path / "tally.txt").read_text()
    for name in ("tally.txt", "agent.zip", "result.json", "checkpoint.zip"):
        (path / name).unlink()  # as if it had been stopped before its first checkpoint
    assert main(["resume", str(path), "--quiet", "--no-tensorboard"]) == 0
    assert (path / "tally.txt").read_text() == expected


@pytest.mark.slow
def test_modules_of_this_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from toy_recorders import Tally\n")
    command = [str(Path(sys.executable).with_name("zorl")), "train", "--env", WALK, *SMALL]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT}/tests/helpers"}
    done = subprocess.run(
        [*command, "--recorder", "mine:Taly"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert "unknown class or function of 'mine': 'Taly'" in done.stderr
    assert done.returncode == 2


def test_quiet_prints_the_summary_alone(tmp_path: Path, capsys: Capture) -> None:
    assert train(tmp_path / "run", "--quiet") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "finished" in out
    for word in ("shaped", "gate", "success", "threshold"):  # this task has none of these
        assert word not in out


def test_the_options_reach_the_run(tmp_path: Path) -> None:
    path = tmp_path / "run"
    options = [
        *("--seed", "7", "--hidden", "4x2", "--activation", "relu", "--no-bias", "--stochastic"),
        *("--normalize", "bounds", "--gate", "sequential", "--gate-set", "max_episodes=20"),
        *("--set", "radius=0.25", "--max-episodes", "6", "--settings", "default"),
        *("--threshold", "-3", "--env-set", "action=box", "--env-set", "at=4"),
        *("--wrapper", "toy_envs:Doubled", "--wrapper", "clip-reward(min_reward=-1.0)"),
        *("--validate-every", "1e2", "--select", "last", "--timesteps", "4e2", "--quiet"),
    ]
    assert train(path, *options) == 0
    config = read_json(path / "config.json")
    agent, plan = config["agent"], config["plan"]
    assert agent["hidden"] == [4, 2]
    assert (agent["activation"], agent["bias"], agent["stochastic"]) == ("relu", False, True)
    assert (agent["normalize"], agent["seed"]) == ("bounds", 7)
    assert (agent["gate"], agent["gate_options"]["max_episodes"]) == ("sequential", 20)
    assert (agent["episodes"], agent["max_episodes"]) == (1, 6)
    assert agent["options"]["radius"] == 0.25
    assert agent["options"]["m"] == 2
    assert agent["source"] == "zorl defaults"
    task = agent["task"]
    assert task["env_kwargs"] == {"action": "box", "at": 4}
    assert task["threshold"] == -3
    assert task["wrappers"] == [
        ["toy_envs:Doubled", {}],
        ["clip-reward", {"min_reward": -1.0}],
    ]
    assert plan == {
        "total_timesteps": 400,
        "validate_every": 100,
        "validate_episodes": 2,
        "held_out": 3,
        "select": "last",
        "stop_at": None,
        "seconds": None,
    }


def test_evaluate_prints_the_held_out_estimate(
    finished: Path, tmp_path: Path, capsys: Capture
) -> None:
    agent = load_agent(finished / "agent.zip")
    own = agent.evaluate(held_out_seeds(7)).native_returns.ravel()
    for path in (finished, finished / "agent.zip"):
        assert main(["evaluate", str(path), "--episodes", "7", "--json"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        result = json.loads(out)
        assert result["native_returns"] == own.tolist()
        assert result["native_return"]["estimate"] == own.mean()
        assert result["episodes"] == 7
    assert main(["evaluate", str(finished), "--episodes", "7"]) == 0
    out = capsys.readouterr().out
    assert "held-out native return" in out
    assert "(7 fresh episodes, 95 % interval)" in out
    assert len(out.splitlines()) == 1  # neither shaped nor with an idea of success
    make_agent("spsa", "MountainCar-v0").save(tmp_path / "car.zip")
    assert main(["evaluate", str(tmp_path / "car.zip"), "--episodes", "2"]) == 0
    assert "held-out success 0% [0%, 66%]" in capsys.readouterr().out


def test_resume_finishes_an_interrupted_run(
    interrupted: Path, finished: Path, capsys: Capture
) -> None:
    out = capsys.readouterr().out
    assert ": interrupted" in out
    assert f"next: zorl resume {interrupted}" in out
    assert "held-out" not in out
    assert not (interrupted / "agent.zip").exists()
    evaluated = main(["evaluate", str(interrupted), "--episodes", "2"])  # the checkpoint
    assert evaluated == 0
    capsys.readouterr()
    assert main(["resume", str(interrupted), "--quiet", "--no-tensorboard"]) == 0
    out, err = capsys.readouterr()
    assert ": finished" in out
    assert err == ""
    assert (interrupted / "agent.zip").read_bytes() == (finished / "agent.zip").read_bytes()


def test_watch_writes_a_file(tmp_path: Path, capsys: Capture) -> None:
    path, gif = tmp_path / "agent.zip", tmp_path / "car.gif"
    agent = make_agent("spsa", zorl.make_task("CartPole-v1", (), {"max_episode_steps": 9}))
    agent.save(path)
    assert main(["watch", str(path), "--out", str(gif)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"written to {gif}" in out
    assert gif.read_bytes()[:6] == b"GIF89a"


def test_a_run_without_a_name_gets_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--agent", "spsa", "--env", WALK, "--seed", "3", *SMALL, "--quiet"]) == 0
    (path,) = (tmp_path / "runs").iterdir()
    assert path.name.startswith("toy_envs-toy-Walk-v0__spsa__3__")
    assert f"saved in runs/{path.name}" in capsys.readouterr().out


def test_version_and_help(capsys: Capture) -> None:
    for arguments in (["--version"], ["--help"], ["train", "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"zorl {zorl.__version__}\n")
    assert err == ""
    assert all(command in out for command in COMMANDS)
    assert main([]) == 2
    assert "usage: zorl" in capsys.readouterr().out


def test_an_interrupt_outside_of_training_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def interrupt() -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("zorl.agents.registry.list_agents", interrupt)
    assert main(["list"]) == 130
    assert capsys.readouterr() == ("", "zorl: interrupted\n")


@pytest.mark.slow
def test_the_module_is_a_program_and_its_exit_status_is_the_command_s(tmp_path: Path) -> None:
    """Once for real, from elsewhere: an environment that dies in a worker."""
    path = tmp_path / "run"
    program = [sys.executable, "-m", "zorl.cli", "train", "--agent", "spsa", "--env", WALK]
    program += ["--run", str(path)]
    done = subprocess.run(
        [*program, *SMALL, "--env-set", "fault=kill", "--workers", "2", "--quiet"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests/helpers'}"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    *notices, message = done.stderr.splitlines()
    assert all("toy/Walk-v0 died (signal 9) and is replaced" in notice for notice in notices)
    assert message.startswith("zorl: error: the episode of toy_envs:toy/Walk-v0 with seed ")
    assert "ended its worker 3 times, alone in it (signal 9)" in message
    assert (path / "checkpoint.zip").is_file()
