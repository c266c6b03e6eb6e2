"""The search agent behind SB3's verbs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_envs import WALK

import zorl
from zorl.agents.registry import load_agent, make_agent
from zorl.agents.search.agent import SearchAgent
from zorl.agents.search.config import SearchConfig
from zorl.common.errors import ConfigurationError, FileFormatError, UnknownNameError
from zorl.common.storage import flatten, load_archive, save_archive
from zorl.common.streams import Streams
from zorl.envs import make_task
from zorl.optimizers.registry import METHODS
from zorl.recorders.base import BaseRecorder, Record
from zorl.search.records import Generation

CART = "CartPole-v1"
# Small, and not the defaults, which may change.
SMALL: dict[str, dict[str, Any]] = {
    "spsa": {"m": 1, "learning_rate": 0.1, "radius": 0.1},
    "mpge": {"learning_rate": 0.1, "radius": 0.1},
    "two-point": {"m": 2},
    "es": {"m": 4},
    "ars": {"m": 2, "top": None},
    "openai-es": {"m": 4},
    "cma-es": {},
    "random-search": {"popsize": 8},
}


def small(name: str = "spsa", env: Any = CART, **options: Any) -> SearchAgent:
    common = {
        "settings": "default",
        "episodes": 1,
        "normalize": "running",
        "hidden": (8,),
        "max_episodes": None,
    }
    agent = make_agent(name, env, **{**common, **SMALL.get(name, {}), **options})
    assert isinstance(agent, SearchAgent)
    return agent


def walk(**kwargs: Any) -> Any:
    return make_task(WALK, env_kwargs=kwargs)


def bits(agent: SearchAgent) -> tuple[Any, ...]:
    scalars, arrays = flatten(agent.state, "state")
    return scalars, {name: array.tobytes() for name, array in arrays.items()}


def observations(agent: SearchAgent, count: int = 5) -> np.ndarray:
    env = agent.task.make()
    env.observation_space.seed(1)
    rows = [env.reset(seed=seed)[0] for seed in range(count - 1)]
    rows.append(env.observation_space.sample())
    env.close()
    return np.array(rows)


# Saving and loading


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


# Learning


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


@pytest.mark.parametrize("answer", [False, np.False_])
def test_a_function_that_answers_false_stops(answer: Any) -> None:
    seen: list[int] = []

    def callback(generation: Generation) -> Any:
        seen.append(generation.index)
        return answer if generation.index == 2 else None

    agent = small().learn(10**6, callback=callback)
    assert seen == [0, 1, 2]
    assert agent.state.generation == 3


@pytest.mark.parametrize("answer", [None, True, 0, 0.0, "", []])
def test_any_other_answer_goes_on(answer: Any) -> None:
    seen: list[int] = []
    small().learn(300, callback=lambda generation: seen.append(generation.index) or answer)
    assert len(seen) > 2


def test_every_callback_of_a_list_is_told_and_one_false_is_enough() -> None:
    seen: list[str] = []
    callbacks = [
        lambda generation: seen.append("a") or generation.index < 1,
        None,
        lambda generation: seen.append("b"),
    ]
    small().learn(10**6, callback=callbacks)
    assert seen == ["a", "b", "a", "b"]


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


def test_a_failing_callback_leaves_the_state_of_the_last_whole_generation() -> None:
    agent = small()

    def fails(generation: Generation) -> None:
        if generation.index == 1:
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        agent.learn(10**6, callback=fails)
    assert agent.state.generation == 2
    assert bits(agent) == bits(small().learn(10**6, callback=lambda g: g.index < 1))


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


def test_a_callback_must_be_one() -> None:
    agent = small()
    with pytest.raises(ConfigurationError, match=r"a callback must be a function .*, got 3"):
        agent.learn(100, callback=3)
    assert agent.num_timesteps == 0


# Acting


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
        (value,), (length,) = evaluate_policy(
            agent, vector, n_eval_episodes=1, return_episode_rewards=True, warn=False
        )
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
    assert agent.evaluate(range(20)).returns.mean() > 100


# Callbacks of stable-baselines3


def test_stop_training_on_max_episodes() -> None:
    from stable_baselines3.common.callbacks import StopTrainingOnMaxEpisodes

    agent = small("ars", m=2).learn(10**6, callback=StopTrainingOnMaxEpisodes(max_episodes=10))
    assert agent.num_episodes == 12  # four a generation


def test_eval_callback_with_a_reward_threshold(tmp_path: Path) -> None:
    from stable_baselines3.common.callbacks import EvalCallback, StopTrainingOnRewardThreshold
    from stable_baselines3.common.monitor import Monitor

    enough = StopTrainingOnRewardThreshold(reward_threshold=100, verbose=0)
    callback = EvalCallback(
        Monitor(make_task(CART).make()),
        callback_on_new_best=enough,
        n_eval_episodes=3,
        eval_freq=2,
        log_path=str(tmp_path),
        best_model_save_path=str(tmp_path / "best"),
        verbose=0,
    )
    agent = small("cma-es", hidden=()).learn(10**6, callback=callback)
    assert callback.best_mean_reward >= 100
    with np.load(tmp_path / "evaluations.npz") as log:
        assert log["timesteps"][-1] == agent.num_timesteps
        assert len(log["timesteps"]) == agent.state.generation // 2
    best = load_agent(tmp_path / "best" / "best_model")
    assert best.num_timesteps == agent.num_timesteps
    assert callback.num_timesteps == agent.num_timesteps


def test_checkpoint_callback_writes_files_that_load(tmp_path: Path) -> None:
    from stable_baselines3.common.callbacks import CheckpointCallback

    steps: list[int] = []
    agent = small()
    callbacks = [
        CheckpointCallback(save_freq=2, save_path=str(tmp_path), name_prefix="zorl"),
        lambda generation: steps.append(generation.env_steps),
    ]
    agent.learn(300, callback=callbacks)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"zorl_{count}_steps.zip" for count in steps[1::2]}
    for count in steps[1::2]:
        assert load_agent(tmp_path / f"zorl_{count}_steps.zip").num_timesteps == count


def test_a_callback_of_one_s_own_sees_a_training_and_may_end_it() -> None:
    from stable_baselines3.common.callbacks import BaseCallback

    class Own(BaseCallback):
        def _on_training_start(self) -> None:
            log.append(("start", self.locals["total_timesteps"]))
            assert self.training_env.num_envs == 1
            assert self.model.get_vec_normalize_env() is None

        def _on_rollout_start(self) -> None:
            log.append("rollout")

        def _on_step(self) -> bool:
            dones, infos = self.locals["dones"], self.locals["infos"]
            assert len(dones) == len(infos) == len(self.locals["rewards"]) == 4
            assert all(dones)
            assert sum(info["episode"]["l"] for info in infos) == (
                self.locals["generation"].evaluation.env_steps
            )
            assert infos[0]["episode"]["r"] == self.locals["rewards"][0]
            log.append(("step", self.n_calls, self.num_timesteps))
            return self.n_calls < 3

        def _on_rollout_end(self) -> None:
            log.append("rolled out")

        def _on_training_end(self) -> None:
            log.append("end")

    log: list[Any] = []
    steps: list[int] = []
    agent = small("ars", m=2).learn(50)
    begun = agent.num_timesteps
    agent.learn(10**6, callback=[Own(), lambda generation: steps.append(generation.env_steps)])
    assert log == [
        ("start", begun + 10**6),
        "rollout",
        *(("step", call + 1, count) for call, count in enumerate(steps)),
        "rolled out",
        "end",
    ]
    assert len(steps) == 3


# Configuration


def test_the_configuration_is_resolved_and_comes_back() -> None:
    given = {"learning_rate": 0.5, "sigma": 0.25, "m": 5}
    agent = small("openai-es", hidden=[4, 2], gate="sequential", **given)
    config = agent.config
    assert config["family"] == "search"
    assert config["hidden"] == [4, 2]
    assert config["options"] == {**given, "weight_decay": 0.0}
    assert config["gate_options"] == {"max_episodes": 30, "error_rate": 0.1, "batch": 5}
    values = {key: value for key, value in config.items() if key != "family"}
    again = SearchConfig.from_json(values)
    assert SearchAgent(again).config == config
    assert again.to_json() == values
    assert agent.parameters == (4 * 5) + (2 * 5) + (2 * 3) == len(agent.state.theta)


def test_the_published_mountain_car_network_has_51_parameters() -> None:
    agent = make_agent("mpge", "MountainCar-v0", hidden=(8,))
    assert agent.parameters == 51


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"agent": "cmaes"}, UnknownNameError, "unknown agent 'cmaes'; did you mean 'cma-es'"),
        ({"gate": "paird"}, UnknownNameError, "unknown gate 'paird'; did you mean 'paired'"),
        ({"normalize": "runing"}, UnknownNameError, "did you mean 'running'"),
        ({"non_finite": "wurst"}, UnknownNameError, "did you mean 'worst'"),
        ({"activation": "tan"}, UnknownNameError, "unknown activation 'tan'; did you mean 'tanh'"),
        ({"bias": 1}, ConfigurationError, "bias must be True or False, got 1"),
        ({"stochastic": "yes"}, ConfigurationError, "stochastic must be True or False, got 'yes'"),
        ({"hidden": 8}, ConfigurationError, "hidden must be layer sizes"),
        ({"hidden": (8, 0)}, ConfigurationError, "each hidden size must be an integer ≥ 1, got 0"),
        ({"episodes": 0}, ConfigurationError, "episodes must be an integer ≥ 1, got 0"),
        ({"episodes": "5"}, ConfigurationError, "episodes must be an integer ≥ 1, got '5'"),
        ({"max_episodes": "5"}, ConfigurationError, "max_episodes must be an integer ≥ 2"),
        ({"episodes": 5, "max_episodes": 4}, ConfigurationError, "≥ episodes = 5, got 4"),
        ({"seed": -1}, ConfigurationError, "a seed must be ≥ 0, got -1"),
        ({"seed": 0.5}, ConfigurationError, "a seed must be an integer, got 0.5"),
        ({"options": [1]}, ConfigurationError, "options must be names with values"),
        ({"options": {"raduis": 1}}, UnknownNameError, "option of spsa 'raduis'; .*'radius'"),
        ({"options": {"radius": "x"}}, ConfigurationError, "radius must be like [0-9.]+, got 'x'"),
        ({"options": {"m": 1.5}}, ConfigurationError, "m must be like [0-9]+, got 1.5"),
        ({"options": {"m": True}}, ConfigurationError, "m must be like [0-9]+, got True"),
        ({"options": {"gains": 1}}, ConfigurationError, "gains must be like False, got 1"),
        ({"options": {"radius": -1}}, ConfigurationError, "radius must be a finite number > 0"),
        (
            {"gate": "paired", "gate_options": {"episode": 3}},
            UnknownNameError,
            "option of the gate paired 'episode'; did you mean 'episodes'",
        ),
        (
            {"gate": "sequential", "gate_options": {"error_rate": "x"}},
            ConfigurationError,
            "error_rate must be like 0.1, got 'x'",
        ),
        ({"gate_options": {"episodes": 3}}, UnknownNameError, "option of the gate off 'episodes'"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(
    changes: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        SearchAgent(SearchConfig(**{"agent": "spsa", "task": make_task(CART), **changes}))
    assert type(caught.value) is kind


def test_options_reach_the_optimizer_and_the_gate() -> None:
    agent = small("ars", m=6, top=2, radius=0.5, gate="stale-best", gate_options={"episodes": 9})
    assert agent.search.optimizer.m == 6
    assert agent.search.optimizer.radius == 0.5
    assert agent.search.optimizer.weights.top == 2
    assert asdict(agent.search.gate) == {"episodes": 9}
    assert small(episodes=3).search.episodes == 3
    assert not small(bias=False).policy.bias
    assert small(normalize="bounds").state.normalizer.mode == "bounds"


def test_the_run_s_seed_decides() -> None:
    states = [bits(small("mpge", seed=seed, hidden=(2,)).learn(300)) for seed in (1, 1, 2)]
    assert states[0] == states[1]
    assert states[0] != states[2]
