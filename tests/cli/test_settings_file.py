"""Options from a file are those on the command line; what is typed has the last word."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cli_runs import Capture

from zorl.agents.registry import agent_of
from zorl.agents.training import run_config
from zorl.cli.arguments import compare_parser, config_from, plan_from, train_parser
from zorl.cli.settings_file import words_of
from zorl.common.errors import ConfigurationError

YAML = """
agent: ars
env: Pendulum-v1
timesteps: 2e4       # text to YAML 1.1
hidden: [8, 4]
normalize: off       # a truth value to YAML 1.1
bias: false
stochastic: true
validate_every: null
gate: paired
gate-set: {episodes: 3}
set: {m: 4, learning_rate: 2e-2}
wrapper: [time-aware-observation, "clip-reward(min_reward=-1)"]
"""
TOML = """
agent = "ars"
env = "Pendulum-v1"
timesteps = 20_000
hidden = "8,4"
normalize = "off"
bias = false
stochastic = true
gate = "paired"
wrapper = ["time-aware-observation", "clip-reward(min_reward=-1)"]
gate_set.episodes = 3
set = {m = 4, learning_rate = 0.02}
"""
TYPED = [
    *("--agent", "ars", "--env", "Pendulum-v1", "--timesteps", "20_000", "--hidden", "8,4"),
    *("--normalize", "off", "--no-bias", "--stochastic", "--gate", "paired"),
    *("--gate-set", "episodes=3", "--set", "m=4", "--set", "learning_rate=0.02"),
    *("--wrapper", "time-aware-observation", "--wrapper", "clip-reward(min_reward=-1)"),
]


def config_of(words: list[str]) -> dict[str, Any]:
    """The config.json of the run that these words start."""
    args = train_parser().parse_args(words)
    agent = agent_of(config_from(args))
    config = {**run_config(agent, plan_from(args)), "recorders": args.recorders}
    agent.close()
    return config


@pytest.mark.parametrize(("name", "text"), [("a.yaml", YAML), ("a.toml", TOML)])
def test_a_file_says_what_could_be_typed(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert config_of(["--config", str(path)]) == config_of(TYPED)


def test_what_is_typed_has_the_last_word_wherever_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text(YAML)
    args = train_parser().parse_args(
        ["--seed=3", "--bias", "--set", "m=2", f"--config={path}", "--timesteps=5"]
    )
    assert (args.seed, args.bias, args.total_timesteps) == (3, True, 5)
    assert config_from(args).options["m"] == 2
    # Options of the file's agent and gate are not those of others.
    other = config_from(
        train_parser().parse_args(["--config", str(path), "--agent=cma-es", "--gate", "off"])
    )
    assert other.agent == "cma-es"
    assert "m" not in other.options
    assert not other.gate_options


@pytest.mark.parametrize(
    "words",
    [
        TYPED,
        ["--agent", "ars", "--settings", "default", "--hidden", "", "--max-episode-steps", "70"],
        ["--agent", "ppo", "--env", "CartPole-v1", "--set", "gae_lambda=0.5", "--seed", "4"],
        [
            *("--agent", "spsa", "--threshold", "-9"),
            *("--wrapper", "gymnasium.wrappers:ReshapeObservation(shape=(1, 2))"),
        ],
    ],
)
def test_the_config_of_a_run_makes_that_run_again(tmp_path: Path, words: list[str]) -> None:
    config = config_of(words)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    assert config_of(["--config", str(path)]) == config


def test_the_config_of_auto_names_the_agent_that_it_took(tmp_path: Path) -> None:
    config = config_of(["--env", "CartPole-v1"])
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    again = config_of(["--config", str(path)])
    assert (config["agent"].pop("source")[:6], again["agent"].pop("source")) == (
        "auto: ", "zorl defaults"
    )  # fmt: skip
    assert again == config


def test_lists_are_several_values(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"agents": ["ars(m=4)", "cma-es"], "seeds": 2, "resume": true}')
    args = compare_parser().parse_args(["--config", str(path), "--seeds", "3"])
    assert (args.agents, args.seeds, args.resume) == (["ars(m=4)", "cma-es"], 3, True)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.yaml",
            "timestep: 3",
            "unknown option in .*a.yaml 'timestep'; did you mean 'timesteps'",
        ),
        ("a.yaml", "config: b.yaml", "unknown option in .* 'config'"),
        ("a.yaml", "- ars", "expected options with values, as `agent: ars`, got"),
        ("a.yaml", "", "expected options with values"),
        ("a.yaml", "a: [", "a.yaml is no yaml: "),
        ("a.toml", "a = ", "a.toml is no toml: "),
        ("a.json", "{", "a.json is no json: "),
        ("a.json", '{"agent": {}, "plan": {}, "versions": {}}', "not the config.json of a run"),
        ("a.txt", "agent: ars", "expected a file named .json, .toml, .yaml, .yml"),
        ("a.yaml", "bias: 3", "bias is true or false, got 3"),
        ("a.yaml", "seed: {a: 3}", "seed is one value, got"),
        ("a.yaml", "timesteps: many", "argument --timesteps: expected a whole number"),
    ],
)
def test_bad_files_are_refused(
    tmp_path: Path, capsys: Capture, name: str, text: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SystemExit, match="2"):
        train_parser().parse_args(["--config", str(path)])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*a\.toml: No such file"):
        words_of(tmp_path / "a.toml", {})
