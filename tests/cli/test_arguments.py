"""What is wrong on the command line is one clear message."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
from cli_runs import SMALL, Capture, refused
from toy_envs import WALK

from zorl.agents.registry import make_agent
from zorl.cli import meanings
from zorl.cli.main import COMMANDS, command_parser, main
from zorl.common.errors import ConfigurationError
from zorl.common.storage import read_json
from zorl.optimizers.registry import METHODS
from zorl.search.gates import GATES

UNKNOWN = [
    (["--agent", "cmaes"], "unknown agent 'cmaes'; did you mean 'cma-es'"),
    (["--env", "MountinCar-v0"], "unknown environment 'MountinCar-v0'; .*'MountainCar-v0'"),
    (["--env", "CartPole-v7"], "unknown environment 'CartPole-v7'; did you mean 'CartPole-v1'"),
    (["--env", "no_such_module:X-v0"], "no module named 'no_such_module'"),
    (["--env", "toy_envs:toy/Wlak-v0"], "did you mean 'toy/Walk-v0'"),
    (["--wrapper", "momentm"], "unknown wrapper 'momentm'; did you mean 'momentum'"),
    (["--wrapper", "momentum(sped_weight=1)"], "'sped_weight'; .*'speed_weight'"),
    (["--wrapper", "toy_envs:Doubld"], "'Doubld'; did you mean 'Doubled'"),
    (["--wrapper", "momentum("], "expected wrapper or wrapper.option=value"),
    (["--wrapper", "momentum"], r"observations \[position, velocity\]"),
    (["--set", "lerning_rate=1"], "unknown option of spsa 'lerning_rate'; .*'learning_rate'"),
    (["--set", "learning_rate"], "expected NAME=VALUE, got 'learning_rate'"),
    (["--set", "learning_rate=fast"], "learning_rate must be like .*, got 'fast'"),
    (["--set", "bias=3"], "bias must be True or False, got 3"),
    (["--set", "max_episodes=x"], "max_episodes must be an integer ≥ 2, got 'x'"),
    (["--set", "backend=ray"], "unknown backend 'ray'"),
    (["--set", "seed=3"], "seed is no option of the agent; use --seed"),
    (["--set", "env=3"], "env is no option of the agent; use --env"),
    (["--gate", "sequentil"], "unknown gate 'sequentil'; did you mean 'sequential'"),
    (["--gate", "paired", "--gate-set", "episode=3"], "gate paired 'episode'; .*'episodes'"),
    (["--gate", "sequential", "--gate-set", "error_rate=2"], "error_rate must be in"),
    (["--normalize", "runing"], "unknown normalisation 'runing'; did you mean 'running'"),
    (["--activation", "tahn"], "unknown activation 'tahn'; did you mean 'tanh'"),
    (["--non-finite", "wurst"], "'wurst'; did you mean 'worst'"),
    (["--settings", "tund"], "unknown settings 'tund'; did you mean 'tuned'"),
    (["--select", "bst"], "unknown selection 'bst'; did you mean 'best'"),
    (["--hidden", "8,x"], "hidden sizes must be like 8, 64,64 or none, got '8,x'"),
    (["--hidden", "0"], "each hidden size must be an integer ≥ 1, got 0"),
    (["--env-set", "fautl=x"], "option of toy_envs:toy/Walk-v0 'fautl'; did you mean 'fault'"),
    (["--success", "treshold"], "unknown kind of success 'treshold'; did you mean 'threshold'"),
    (["--success", "threshold"], "success 'threshold' needs a threshold"),
    (["--threshold", "nan"], "a threshold must be finite"),
    (["--threshold", "high"], "argument --threshold: invalid float value: 'high'"),
    (["--timesteps", "0"], "argument --timesteps: expected a whole number ≥ 1, got '0'"),
    (["--timesteps", "1.5"], "expected a whole number ≥ 1, got '1.5'"),
    (["--timesteps", "inf"], "expected a whole number ≥ 1, got 'inf'"),
    (["--timesteps", "nan"], "expected a whole number ≥ 1, got 'nan'"),
    (["--timesteps", "many"], "expected a whole number ≥ 1, got 'many'"),
    (["--held-out", "0"], "argument --held-out: expected a whole number"),
    (["--workers", "0"], "argument --workers: expected a whole number"),
    (["--max-episodes", "1"], "max_episodes must be an integer ≥ 2, got 1"),
    (["--seed", "-1"], "a seed must be ≥ 0, got -1"),
    (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
    (["--video-budget", "2"], "the video budget is a share"),
    (["--recorder", "tensorbord"], "unknown recorder 'tensorbord'; .*'tensorboard'"),
    (["--recorder", "tensorboard(pionts=3)"], "'pionts'; did you mean 'points'"),
    (["--agnet", "spsa"], "unknown option '--agnet'; did you mean '--agent'.*zorl train --help"),
    (["--algo", "ppo"], "unknown option '--algo'; here that is --agent "),
    (["--n-timesteps", "9"], "here that is --timesteps "),
    (["--total-timesteps=9"], "unknown option '--total-timesteps'; here that is --timesteps "),
    (["--log-dir", "x"], "here that is --out "),
    (["-f", "x"], "unknown option '-f'; here that is --out "),
    (["--name", "x"], "here that is --out "),
    (["--n-envs", "8"], "here that is --workers "),
    (["--eval-freq", "9"], "here that is --validate-every "),
    (["--hyperparams", "a=1"], "here that is --set NAME=VALUE; `zorl list AGENT`"),
    (["--device", "cpu"], "runs on the CPU"),
    (["--track"], "here that is --recorder "),
    (["--verbose", "1"], "progress is shown, unless --quiet"),
    (["--progress"], "progress is shown, unless --quiet"),
    (["--load", "x"], "`zorl resume RUN` goes on"),
    (["--foo", "1"], "unknown option '--foo'; known: --activation, "),
    (["--hidden", "64", "64"], "arguments: 64; several are joined by commas: --hidden 64,64 "),
    (["--seed", "64", "--hidden", "64", "8", "4"], "by commas: --hidden 64,8,4 "),
    (["--set", "m=1", "top=2"], "give --set again for each: --set m=1 --set top=2 "),
    (["--timesteps", "10", "20"], "arguments: 20; --timesteps takes one value "),
    (["--agent", "SPSA"], "unknown agent 'SPSA'; did you mean 'spsa'"),
    (["--agent", "CMA-ES"], "unknown agent 'CMA-ES'; did you mean 'cma-es'"),
    (["--agent", "ars(x=4)"], "unknown option of ars 'x'"),
    (["--agent", "ars(m=4"], r"expected agent or agent\(option=value, …\), got 'ars\(m=4'"),
    (["--wrappers=momentum"], "unknown option '--wrappers'; did you mean '--wrapper'"),
    (["more"], "unrecognized arguments: more"),
    (["--agent"], "argument --agent: expected one argument"),
    (["--env-set", "observation='text'"], "observation space Dict.*not Text .*FilterObservation"),
    (["--env-set", "action='tuple'"], "the action space Tuple.* is not supported"),
    (["--agent", "dqn", "--env-set", "action='box'"], "dqn"),
    (["--agent", "ppo", "--set", "n_step=1"], "'n_step'; did you mean 'n_steps'"),
]


@pytest.mark.parametrize(
    ("options", "words"), UNKNOWN, ids=lambda x: " ".join(x)[:40] if isinstance(x, list) else ""
)
def test_a_bad_option_of_train_is_one_message_and_makes_no_folder(
    options: list[str], words: str, tmp_path: Path, capsys: Capture
) -> None:
    small = SMALL
    if "ppo" in options or "dqn" in options:
        small = ["--timesteps", "600", "--no-tensorboard"]
    if "--video-budget" in options:
        small = SMALL[:-1]
    path = tmp_path / "run"
    base = ["train", "--agent", "spsa", "--env", WALK, "--run", str(path), *small]
    message = refused(capsys, *base, *options)
    assert re.search(words, message), message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", METHODS)
def test_no_option_of_any_agent_takes_nonsense(name: str) -> None:
    options = make_agent(name, "CartPole-v1", settings="default").config["options"]
    assert options
    for option in options:
        for nonsense in ("abc", [1], {}, float("nan"), float("inf"), b"x", -(10**9), object()):
            given: dict[str, Any] = {option: nonsense}
            with pytest.raises(ConfigurationError):
                make_agent(name, "CartPole-v1", settings="default", **given)


@pytest.mark.parametrize("name", GATES)
def test_no_option_of_any_gate_takes_nonsense(name: str) -> None:
    options = make_agent("spsa", "CartPole-v1", gate=name).config["gate_options"]
    for option in options:
        nonsense: list[Any] = ["abc", [1], {}, None, float("nan"), float("inf"), -1, True]
        for value in nonsense:
            with pytest.raises(ConfigurationError):
                make_agent("spsa", "CartPole-v1", gate=name, gate_options={option: value})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'"),
        (["enjoy"], "unknown command 'enjoy'; here that is `zorl watch`"),
        (["xyz"], "unknown command 'xyz'; known: compare, completion, evaluate"),
        (["compare", "--algo", "ppo"], "here that is --agents "),
        (["compare", "--run", "x"], "here that is --out "),
        (["compare", "--verbose"], r"progress is shown \(options"),
        (["--verison"], "unknown option '--verison'; did you mean '--version'"),
        (["resume"], "the following arguments are required: RUN"),
        (["resume", "nowhere"], "nowhere: no such run folder"),
        (["evaluate", "nowhere"], "nowhere: no such file"),
        (["watch", "nowhere", "--out", "x.gif"], "nowhere: no such file"),
        (["evaluate", "x", "--episode", "0"], "expected a whole number"),
        (["compare", "--env", WALK, "--agents", "spsa", "--out", "x"], "no threshold.*--threshold"),
        (["compare", "--agents", "spsaa", "--out", "x"], "'spsaa'; did you mean 'spsa'"),
        (["compare", "--env", "CartPol-v1"], "did you mean 'CartPole-v1'"),
        (["list", "agents", "more"], "unrecognized arguments: more"),
        (["list", "arss"], "unknown name 'arss'; did you mean 'ars'"),
    ],
    ids=lambda x: " ".join(x)[:40] if isinstance(x, list) else "",
)
def test_other_commands_complain_in_one_line_too(
    arguments: list[str],
    words: str,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code = 1 if words.startswith("nowhere") else 2
    message = refused(capsys, *arguments, code=code)
    assert re.search(words, message), message
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_one_message(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("mine")
    base = ["train", "--agent", "spsa", "--env", WALK, *SMALL, "--run"]
    message = refused(capsys, *base, str(tmp_path / "file" / "run"), code=1)
    assert "Not a directory" in message
    message = refused(capsys, *base, str(tmp_path / "file"), code=1)
    assert "file is no folder; choose another with --out" in message
    assert (tmp_path / "file").read_text() == "mine"


def test_what_is_called_otherwise_elsewhere_is_an_option_here() -> None:
    parser = command_parser()
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    known = {flag for sub in commands.choices.values() for flag in sub._option_string_actions}
    for name, flags in meanings.FLAGS.items():
        assert set(flags) <= known, name
    assert set(meanings.COMMANDS.values()) <= {*COMMANDS, "--help"}
    assert not set(meanings.COMMANDS) & set(COMMANDS)
    train = commands.choices["train"]._option_string_actions
    assert not set(train) & {name for name in meanings.FLAGS if "--out" in meanings.FLAGS[name]} - {
        "--run"
    }


def test_every_option_says_what_it_is_and_its_default() -> None:
    parser = command_parser()
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for name, command in commands.choices.items():
        for action in command._actions:
            text, flag = action.help or "", (action.option_strings or [action.dest])[0]
            assert text, (name, flag)
            if action.option_strings and action.nargs != 0:
                assert "default" in text, (name, flag, text)
            if isinstance(action.default, (int, float)) and not isinstance(action.default, bool):
                assert f"(default: {action.default})" in text, (name, flag, text)


def test_options_of_an_agent_are_given_with_its_name_as_in_comparisons(tmp_path: Path) -> None:
    options = [*SMALL[: SMALL.index("--set")], "--no-tensorboard", "--quiet"]
    call = ["--agent", "ars(m=4, settings=default)", "--set", "top=2", "--env", WALK]
    assert main(["train", *call, *options, "--out", str(tmp_path / "run")]) == 0
    config = read_json(tmp_path / "run" / "config.json")["agent"]
    assert (config["agent"], config["options"]["m"], config["options"]["top"]) == ("ars", 4, 2)
