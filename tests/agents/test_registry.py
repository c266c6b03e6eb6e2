"""Agents by name, and by file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from registries import forget_afterwards

import zorl
from zorl.agents.registry import (
    agent_of,
    config_from_json,
    list_agents,
    load_agent,
    make_agent,
    make_config,
)
from zorl.agents.sb3.agent import BaselineAgent
from zorl.agents.sb3.algorithms import BASELINES
from zorl.agents.sb3.config import BaselineConfig
from zorl.agents.search.agent import SearchAgent
from zorl.agents.search.config import SearchConfig
from zorl.common.errors import ConfigurationError, FileFormatError, UnknownNameError
from zorl.common.storage import load_archive, save_archive
from zorl.envs import Task, make_task
from zorl.optimizers import METHODS, GradientSearch, mpge, register_method
from zorl.rollout.local.serial import SerialBackend
from zorl.rollout.processes.backend import ProcessBackend

CART = "CartPole-v1"


def test_every_promised_agent_has_a_name_and_a_line() -> None:
    searches = {"spsa", "mpge", "two-point", "es", "ars", "openai-es", "cma-es", "random-search"}
    agents = list_agents()
    assert searches | {"ppo", "a2c", "dqn", "sac", "td3"} <= agents.keys()
    assert ["auto", *METHODS, *BASELINES] == list(agents)
    for line in agents.values():
        assert "\n" not in line
        assert len(line) > 10
    assert zorl.list_agents() == agents


@pytest.mark.parametrize("name", list_agents())
@pytest.mark.parametrize("settings", ["tuned", "default"])
def test_every_agent_s_configuration_round_trips_through_json(name: str, settings: str) -> None:
    env = "Pendulum-v1" if name in ("sac", "td3") else "MountainCar-v0"
    agent = make_agent(name, env, settings, seed=7)
    config = agent.config
    assert config["seed"] == 7
    assert config["agent"] == ("cma-es" if name == "auto" else name)
    assert config["source"]
    again = config_from_json(json.loads(json.dumps(config)))
    assert type(again) is (BaselineConfig if name in BASELINES else SearchConfig)
    twin = agent_of(again)
    assert twin.config == config
    agent.close()
    twin.close()


def test_an_environment_may_be_an_id_a_task_or_an_environment() -> None:
    task = make_task("MountainCar-v0", ["momentum"], {"max_episode_steps": 50})
    env = gym.make("CartPole-v1", max_episode_steps=60)
    assert make_config("spsa", "MountainCar-v0").task == make_task("MountainCar-v0")
    assert make_config("spsa", task).task is task
    assert make_config("spsa", env).task == make_task("CartPole-v1", (), {"max_episode_steps": 60})
    assert make_config("ppo", env).task.env_kwargs == {"max_episode_steps": 60}
    env.close()


def test_options_are_fields_of_the_configuration_or_of_the_recipe() -> None:
    config = make_config(
        "ars", CART, hidden=[4], episodes=3, seed=9, radius=0.5, gate="paired", non_finite="worst"
    )
    assert isinstance(config, SearchConfig)
    assert config.hidden == (4,)
    assert (config.episodes, config.seed, config.gate) == (3, 9, "paired")
    assert config.options["radius"] == 0.5
    assert config.non_finite == "worst"
    assert "seed" not in config.options


def test_a_method_of_one_s_own_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_afterwards(METHODS, monkeypatch)

    @register_method("mine")
    def mine(pace: float = 0.01) -> GradientSearch:
        """A method of my own."""
        return mpge(pace, radius=0.3, m=2)

    assert list_agents()["mine"] == "A method of my own."
    agent = make_agent("mine", CART, pace=0.02, episodes=1)
    start = agent.state.theta  # type: ignore[attr-defined]
    agent.learn(200)
    assert agent.config["options"] == {"pace": 0.02}
    assert (agent.state.theta != start).any()  # type: ignore[attr-defined]
    assert agent_of(config_from_json(agent.config)).config == agent.config
    agent.close()


def test_settings_are_tuned_where_there_are_some_and_the_user_s_come_first() -> None:
    tuned = make_config("ars", CART)
    assert isinstance(tuned, SearchConfig)
    assert "RL Baselines3 Zoo" in tuned.source
    default = make_config("ars", CART, "default")
    assert isinstance(default, SearchConfig)
    assert default.source == "zorl defaults"
    assert {**tuned.options} != {**default.options}
    assert {**default.options}.items() <= {**METHODS.defaults("ars")}.items()
    mine = make_config("ars", CART, radius=0.77)
    assert isinstance(mine, SearchConfig)
    assert mine.options == {**tuned.options, "radius": 0.77}
    assert isinstance(make_config("cma-es", "Acrobot-v1"), SearchConfig)
    ppo = make_config("ppo", CART, gamma=0.5)
    assert isinstance(ppo, BaselineConfig)
    assert ppo.options["gamma"] == 0.5
    assert ppo.n_envs == 8
    few = make_config("ppo", CART, n_envs=2)
    assert isinstance(few, BaselineConfig)
    assert few.n_envs == 2


def test_a_number_of_episodes_that_is_asked_for_is_not_outgrown() -> None:
    growing, exact = make_config("es", CART), make_config("es", CART, episodes=60)
    assert isinstance(growing, SearchConfig)
    assert isinstance(exact, SearchConfig)
    assert growing.max_episodes is not None
    assert (exact.episodes, exact.max_episodes) == (60, None)
    both = make_config("es", CART, episodes=3, max_episodes=9)
    assert isinstance(both, SearchConfig)
    assert (both.episodes, both.max_episodes) == (3, 9)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("cmaes", CART), {}, "unknown agent 'cmaes'; did you mean 'cma-es'"),
        (("pp", CART), {}, "unknown agent 'pp'; did you mean 'ppo'"),
        (
            ("zebra", CART),
            {},
            "unknown agent 'zebra'; known: a2c, ars, auto, bipop-cma-es, cem, cma-es",
        ),
        (("spsa", "CartPol-v1"), {}, "did you mean 'CartPole-v1'"),
        (("spsa", CART, "tund"), {}, "unknown settings 'tund'; did you mean 'tuned'"),
        (("spsa", CART), {"lerning_rate": 1}, "option of spsa 'lerning_rate'; .*learning_rate"),
        (("ppo", CART), {"n_step": 1}, "'n_step'.*did you mean 'n_steps'"),
    ],
)
def test_unknown_names_are_told_with_the_nearest(
    arguments: tuple[Any, ...], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnknownNameError, match=words):
        make_agent(*arguments, **options)


@pytest.mark.parametrize(
    "values",
    [{}, {"family": "genetic"}, [], "spsa", None, {"family": "search", "agent": "spsa"}],
    ids=repr,
)
def test_what_is_no_configuration_is_refused(values: Any) -> None:
    with pytest.raises(FileFormatError, match=r"family|configuration"):
        config_from_json(values)


def test_a_bad_value_in_a_configuration_is_named() -> None:
    values = make_agent("spsa", CART).config
    with pytest.raises(ConfigurationError, match="episodes must be an integer ≥ 1, got 'many'"):
        config_from_json({**values, "episodes": "many"})
    with pytest.raises(ConfigurationError, match="a task is a mapping"):
        config_from_json({**values, "task": 3})


@pytest.mark.parametrize("name", ["two-point", "a2c"])
def test_an_agent_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    agent = make_agent(name, CART, seed=2).learn(200)
    agent.save(tmp_path / "agent.zip")
    own, other = (
        (SearchAgent, BaselineAgent) if name == "two-point" else (BaselineAgent, SearchAgent)
    )
    for loaded in (zorl.load_agent(tmp_path / "agent.zip"), own.load(tmp_path / "agent.zip")):
        assert type(loaded) is type(agent) is own
        assert loaded.config == agent.config
        assert loaded.num_timesteps == agent.num_timesteps > 0
        assert loaded.evaluate((1, 2)).returns.tolist() == agent.evaluate((1, 2)).returns.tolist()
        loaded.close()
    agent.close()
    with pytest.raises(FileFormatError, match=r"agent\.zip: holds an agent of the family"):
        other.load(tmp_path / "agent.zip")


def test_files_that_are_no_agent_s_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "agent.zip"
    agent = make_agent("spsa", CART)
    agent.save(path)
    data = path.read_bytes()
    _, metadata, arrays = load_archive(path, "agent")
    save_archive(path, "agent", {**metadata, "family": "genetic"}, arrays)
    with pytest.raises(FileFormatError, match=r"agent\.zip: unknown family of agents 'genetic'"):
        load_agent(path)
    save_archive(path, "table", metadata, arrays)
    with pytest.raises(FileFormatError, match="holds a 'table', expected a 'agent'"):
        load_agent(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FileFormatError, match="corrupt, truncated or not a zorl file"):
        load_agent(path)
    path.unlink()
    with pytest.raises(FileFormatError, match="no such file"):
        load_agent(path)
    with pytest.raises(FileFormatError, match="a folder, expected a file"):
        load_agent(tmp_path)


def test_workers_choose_the_backend(tmp_path: Path) -> None:
    def backend(agent: Any) -> Any:
        assert isinstance(agent, SearchAgent)
        return agent._evaluator._backend

    agent = make_agent("spsa", CART, workers=3, backend="gymnasium")
    assert isinstance(backend(agent), ProcessBackend)
    assert backend(agent).workers == 3
    agent.save(tmp_path / "agent.zip")
    assert isinstance(backend(load_agent(tmp_path / "agent.zip")), SerialBackend)
    assert backend(load_agent(tmp_path / "agent.zip", workers=2)).workers == 2
    assert "workers" not in agent.config  # they do not decide anything


def test_the_environment_serves_with_a_notice_where_numba_does_not_import(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)  # found, but importing it raises ImportError
    assert make_agent("spsa", CART).config["backend"] == "gymnasium"
    assert "numba cannot be imported (" in caplog.text
    assert "played by the environment itself" in caplog.text
    with pytest.raises(ConfigurationError, match=r"needs numba, which cannot be imported .*pip"):
        make_agent("spsa", CART, backend="compiled").learn(1)


@pytest.mark.parametrize(
    ("agent", "options", "words"),
    [
        ("spsa", {"backend": "vector", "timeout": 5.0}, "nothing could stop an environment"),
        ("ppo", {"timeout": 5.0}, "ppo is a baseline .* neither on Ray nor with a timeout"),
        ("ppo", {"ray": "auto"}, "ppo is a baseline .* neither on Ray nor with a timeout"),
    ],
)
def test_a_place_that_would_be_ignored_is_refused(
    agent: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make_agent(agent, "CartPole-v1", **options)


def test_a_task_of_a_missing_environment_is_told() -> None:
    with pytest.raises(UnknownNameError, match="unknown environment 'Gone-v0'"):
        make_agent("spsa", Task("Gone-v0"))
