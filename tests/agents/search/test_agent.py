"""The search agent behind SB3's verbs: it learns, acts, is saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_outcomes import bits
from toy_envs import WALK
from toy_searches import CART, observations, small, walk

import zorl
from zorl.agents.registry import load_agent
from zorl.agents.search.agent import SearchAgent
from zorl.common.errors import ConfigurationError, FileFormatError
from zorl.common.storage import load_archive, save_archive
from zorl.common.streams import Streams
from zorl.envs import Task, make_task
from zorl.optimizers.registry import METHODS
from zorl.recorders.base import BaseRecorder, Record


@pytest.mark.parametrize("name", METHODS)
def test_a_loaded_agent_acts_and_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "gate": "stale-best",
        "gate_options": {"episodes": 2},
        "stochastic": name in ("ars", "cma-es"),
        "max_episodes": 4,
        "seed": 3,
    }
    agent = small(name, walk(action="box"), hidden=(3,), **options).learn(500)
    path = tmp_path / "sub" / "agent.zip"
    agent.save(path)
    saved = bits(agent)
    for loaded in (SearchAgent.load(path), load_agent(path)):
        assert isinstance(loaded, SearchAgent)
        assert bits(loaded) == saved
        assert loaded.config == agent.config
        assert loaded.counters == agent.counters
        assert loaded.num_timesteps == agent.num_timesteps >= 500
        assert loaded.num_episodes == agent.num_episodes
        assert loaded.name == name
        assert loaded.task == agent.task
        seen = observations(agent)
        assert loaded.predict(seen)[0].tobytes() == agent.predict(seen)[0].tobytes()
        assert loaded.evaluate((1, 2)).returns.tolist() == agent.evaluate((1, 2)).returns.tolist()
    agent.learn(400)
    assert bits(agent) != saved
    assert bits(SearchAgent.load(path).learn(400)) == bits(agent)
    agent.save(path)  # over the old file
    again = tmp_path / "again.zip"
    SearchAgent.load(path).save(again)
    assert again.read_bytes() == path.read_bytes()


def test_huge_action_bounds_count_as_none(caplog: pytest.LogCaptureFixture) -> None:
    agent = small("ars", make_task("toy_envs:toy/Huge-v0"), hidden=()).learn(60)
    assert "toy_envs:toy/Huge-v0: actions are not scaled to the bound -3" in caplog.text
    assert agent.evaluate((1, 2)).returns.min() > -100  # (a − 0.5)², and not 1e76


def test_two_calls_of_learn_equal_one_with_the_sum_of_what_they_spent() -> None:
    twice = small().learn(200).learn(300)
    once = small().learn(twice.num_timesteps)
    assert bits(once) == bits(twice)


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    agent = small()
    path = tmp_path / "agent.zip"
    agent.save(path)
    _, metadata, arrays = load_archive(path, "agent")

    def refused(words: str, **changes: Any) -> None:
        save_archive(path, "agent", {**metadata, **changes}, arrays)
        with pytest.raises(FileFormatError, match=words):
            SearchAgent.load(path)

    refused("family 'sb3', expected 'search'", family="sb3")
    refused("another configuration", config={**metadata["config"], "hidden": [9]})
    refused("not the configuration of a search agent", config={**metadata["config"], "depth": 2})
    refused("not the configuration of a search agent: 'task'", config={"agent": "spsa"})
    lacking = {key: value for key, value in metadata.items() if key != "scalars"}
    save_archive(path, "agent", lacking, arrays)
    with pytest.raises(FileFormatError, match="the file lacks 'scalars'"):
        SearchAgent.load(path)
    scalars = dict(metadata["scalars"])
    del scalars["state.counters.search_steps"]
    refused("state.counters.search_steps is missing", scalars=scalars)
    with pytest.raises(FileFormatError, match="no such file"):
        SearchAgent.load(tmp_path / "nothing.zip")


def test_learn_spends_the_budget_and_whole_generations_only() -> None:
    agent = small(gate="paired", gate_options={"episodes": 2})
    spent: list[int] = []
    agent.learn(600, callback=lambda generation: spent.append(generation.env_steps))
    assert agent.num_timesteps == spent[-1] >= 600
    assert all(before < 600 for before in spent[:-1])
    assert agent.state.generation == len(spent)
    counters = agent.counters
    assert agent.num_timesteps == counters.search_steps + counters.gate_steps
    assert agent.num_episodes == counters.search_episodes + counters.gate_episodes
    assert counters.gate_steps > 0
    # Another call spends as much again, counted from here.
    begun = agent.num_timesteps
    agent.learn(1, callback=lambda generation: spent.append(generation.env_steps))
    assert agent.num_timesteps > begun
    assert spent[-2] == begun  # one generation more
    assert agent.learn(1) is agent


def test_stop_is_asked_after_every_generation_and_recorders_see_each_first() -> None:
    class Recorder(BaseRecorder):
        def record(self, record: Record) -> None:
            log.append(f"record {record.index}")

    def stop() -> bool:
        log.append("stop?")
        return len(log) == 6

    log: list[str] = []
    small().learn(10**6, recorders=[Recorder()], stop=stop)
    assert log == ["record 0", "stop?", "record 1", "stop?", "record 2", "stop?"]


def test_a_progress_bar_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    agent = small().learn(300)
    assert capsys.readouterr() == ("", "")
    agent.learn(300, progress_bar=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert f"gen {agent.state.generation} · {agent.num_timesteps:,} steps" in err
    assert err.splitlines()[-1].startswith("100%")
    assert not err.splitlines()[0].startswith("100%")


@pytest.mark.parametrize("steps", [0, -5])
def test_there_must_be_something_to_spend(steps: int) -> None:
    with pytest.raises(ConfigurationError, match=f"total_timesteps must be ≥ 1, got {steps}"):
        small().learn(steps)


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("observation", ["box", "image", "discrete"])
@pytest.mark.parametrize("action", ["discrete", "multi-discrete", "multi-binary", "box"])
def test_predict_gives_one_action_or_a_batch(
    action: str, observation: str, stochastic: bool
) -> None:
    task = walk(action=action, observation=observation)
    agent = small("random-search", task, stochastic=stochastic).learn(300)
    env = task.make()
    space: Any = env.action_space
    seen = observations(agent)
    batch, state = agent.predict(seen)
    assert state is None
    assert batch.shape == (5, *(space.shape or ()))
    for row, one in enumerate(seen):
        marker = object()
        single, kept = agent.predict(one, state=marker, deterministic=bool(row % 2))
        assert kept is marker
        assert np.shape(single) == (space.shape or ())
        assert np.array_equal(single, batch[row])
        assert space.contains(single)
    observed, _ = env.reset(seed=1)
    env.step(agent.predict(observed)[0])
    if observation == "box":  # as JSON or a person would give it
        assert np.array_equal(agent.predict(seen[0].tolist())[0], batch[0])
    with pytest.raises(ConfigurationError, match="observations must have shape"):
        agent.predict(np.zeros((2, 3, 4, 5)))


@pytest.mark.parametrize(
    ("env", "wrappers"),
    [
        ("MountainCar-v0", ["momentum"]),
        (CART, []),
        ("Pendulum-v1", []),
        (WALK, ["toy_envs:Doubled"]),
    ],
)
@pytest.mark.parametrize("stochastic", [False, True])
def test_sb3_evaluates_it_and_agrees(env: str, wrappers: list[str], stochastic: bool) -> None:
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import DummyVecEnv

    task = make_task(env, wrappers)
    agent = small("cma-es", task, stochastic=stochastic, hidden=(), normalize="running").learn(300)
    seeds = Streams(0).validation(4)
    own = agent.evaluate(seeds)
    vector = DummyVecEnv([task.make])
    for index, seed in enumerate(seeds):  # equal starts, which SB3 takes one at a time
        vector.seed(seed)
        values, lengths = evaluate_policy(
            agent, vector, n_eval_episodes=1, return_episode_rewards=True, warn=False
        )
        assert isinstance(values, list)
        assert isinstance(lengths, list)
        (value,), (length,) = values, lengths
        assert length == own.lengths[0, index]
        assert value == pytest.approx(own.returns[0, index], rel=1e-5)  # SB3 sums float32
    vector.close()
    assert own.returns.shape == (1, 4)
    assert len({*own.returns.ravel().tolist()}) > 1
    assert agent.evaluate(seeds).returns.tolist() == own.returns.tolist()
    agent.close()


def test_a_stochastic_agent_searches_by_chance_and_is_evaluated_without() -> None:
    chance, sure = small(stochastic=True, hidden=(4,)), small(hidden=(4,))
    assert chance.state.theta.tolist() == sure.state.theta.tolist()
    assert chance.evaluate((5, 6)).returns.tolist() == sure.evaluate((5, 6)).returns.tolist()
    chance.learn(1)
    sure.learn(1)
    assert chance.counters != sure.counters


def test_the_noise_of_box_actions_can_be_set() -> None:
    options: Any = {"settings": "default", "episodes": 1, "hidden": (), "seed": 4}
    thetas = []
    for noise in (0.1, 0.3, 0.0):
        agent: Any = zorl.make_agent(
            "spsa", "Pendulum-v1", stochastic=True, noise_std=noise, **options
        )
        thetas.append(agent.learn(1).state.theta.tolist())
    sure: Any = zorl.make_agent("spsa", "Pendulum-v1", backend="gymnasium", **options)
    assert thetas[0] != thetas[1]
    assert thetas[2] == sure.learn(1).state.theta.tolist()


@pytest.mark.parametrize("backend", ["gymnasium", "compiled"])
def test_an_offset_of_the_reward_counts_in_search_and_gate_alone(backend: str) -> None:
    """With −1 a step CartPole pays 0, and nothing moves; nobody else hears of it."""
    options: Any = {"m": 2, "backend": backend, "gate": "paired", "normalize": "off", "seed": 3}
    plain: Any = zorl.make_agent("spsa", "CartPole-v1", **options)
    agent: Any = zorl.make_agent("spsa", "CartPole-v1", alive_bonus_offset=-1.0, **options)
    records: list[Any] = []
    agent.learn(500, callback=lambda generation: records.append(generation))
    assert all((record.evaluation.returns == 0.0).all() for record in records)
    assert all((record.evaluation.native_returns >= 8).all() for record in records)
    assert (agent.state.theta == plain.state.theta).all()
    expected = plain.evaluate((1, 2, 3)).returns
    assert (agent.evaluate((1, 2, 3)).returns == expected).all()
    assert (expected >= 8).all()


def test_a_search_may_start_with_all_parameters_0() -> None:
    agent: Any = zorl.make_agent("ars", "CartPole-v1", hidden=(4,), zero_policy=True)
    usual: Any = zorl.make_agent("ars", "CartPole-v1", hidden=(4,))
    assert not agent.state.theta.any()
    assert usual.state.theta.any()
    for name, value in (("zero_policy", "yes"), ("alive_bonus_offset", float("nan"))):
        options: Any = {name: value}
        with pytest.raises(ConfigurationError, match=name):
            zorl.make_agent("ars", "CartPole-v1", **options)


def test_evaluation_is_not_charged_and_changes_nothing() -> None:
    agent = small("ars").learn(300)
    before = bits(agent)
    evaluation = agent.evaluate((1, 2, 3))
    assert evaluation.env_steps > 0
    assert bits(agent) == before


def test_the_readme_s_first_dozen_lines_run(tmp_path: Path) -> None:
    agent = zorl.make_agent("cma-es", CART, seed=1)
    agent.learn(10_000)
    agent.save(tmp_path / "agent.zip")
    again = zorl.load_agent(tmp_path / "agent.zip")
    assert again.evaluate((1, 2)).returns.tolist() == agent.evaluate((1, 2)).returns.tolist()
    # From zeros every candidate is at least as good as any that always pushes one way.
    assert agent.evaluate(tuple(range(20))).returns.mean() > 100


@pytest.mark.parametrize(
    "options",
    [{}, {"stochastic": True}, {"gate": "paired"}, {"backend": "vector"}],
    ids=["plain", "stochastic", "gate", "vector"],
)
def test_there_may_be_only_one_environment(options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a simulator that listens at a port."""
    task = make_task("CartPole-v1")
    open_now = most = 0
    make = Task.make

    def counted(self: Task, render_mode: str | None = None) -> Any:
        nonlocal open_now, most
        env, close = make(self, render_mode), None
        open_now += 1
        most = max(most, open_now)
        close = env.close

        def closed() -> None:
            nonlocal open_now
            open_now -= 1
            close()

        monkeypatch.setattr(env, "close", closed)
        return env

    monkeypatch.setattr(Task, "make", counted)
    options = {"backend": "gymnasium", **options}
    agent = zorl.make_agent("spsa", task, m=2, lanes=1, **options)
    plan = zorl.TrainingPlan(600, validate_episodes=3, held_out=3)
    assert zorl.train(agent, plan).finished
    agent.close()
    assert (most, open_now) == (1, 0)
