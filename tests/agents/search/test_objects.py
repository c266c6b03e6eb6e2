"""Optimizers and gates given as objects or by reference: trained, saved, loaded, resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_outcomes import bits
from toy_methods import Halved, Jump, Never, Often, Table, jump
from toy_runs import StopAfter

import zorl
from zorl.agents.plan import TrainingPlan
from zorl.agents.resuming import resume
from zorl.agents.search.agent import SearchAgent
from zorl.agents.search.objects import described, encoded, is_label, label, rebuilt
from zorl.agents.training import run_config, train
from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.storage import read_json
from zorl.optimizers import CMAES, METHODS, SGD, Bounded, ars, spsa
from zorl.optimizers.gradient_search import GradientSearch
from zorl.runs.folder import RunFolder, run_name
from zorl.search.gates import GATES, Paired, Sequential

CART = "CartPole-v1"


def make(agent: Any, **options: Any) -> SearchAgent:
    made = zorl.make_agent(agent, CART, hidden=(2,), episodes=1, **options)
    assert isinstance(made, SearchAgent)
    return made


# Names and options of objects


@pytest.mark.parametrize(
    ("thing", "name", "options"),
    [
        (Jump(0.5), "toy_methods:Jump", {"sigma": 0.5, "popsize": 4}),
        (Paired(7), "paired", {"episodes": 7}),
        (Often(3), "toy_methods:Often", {"every": 3}),
    ],
)
def test_a_dataclass_of_json_values_is_described(
    thing: Any, name: str, options: dict[str, Any]
) -> None:
    registry: Any = GATES if isinstance(thing, (Paired, Often)) else METHODS
    assert described(thing, registry) == (name, options)


@pytest.mark.parametrize(
    "thing",
    [ars(m=3), spsa(learning_rate=0.1), GradientSearch(SGD(0.1), 0.2), CMAES(sigma0=0.3)],
    ids=lambda thing: type(thing).__name__,
)
def test_objects_within_objects_are_rebuilt(thing: Any) -> None:
    found = described(thing, METHODS)
    assert found is not None
    name, options = found
    assert METHODS.resolve(name)(**rebuilt(options)) == thing
    assert encoded(rebuilt(options)) == options


def test_a_sequence_comes_back_as_a_tuple() -> None:
    thing = Bounded(Jump(), (-1.0, -2.0), (1.0, 2.0))
    found = described(thing, METHODS)
    assert found is not None
    assert METHODS.resolve(found[0])(**rebuilt(found[1])) == thing


@pytest.mark.parametrize("thing", [Table(), Never(), Jump(float("inf")), Halved()])
def test_what_json_cannot_hold_is_not_described(thing: Any) -> None:
    assert described(thing, METHODS) is None
    assert is_label(label(thing))


def test_numbers_of_numpy_are_json_values_of_their_type() -> None:
    assert encoded(
        {"popsize": np.int64(8), "sigma0": np.float32(0.5), "low": (np.float64(1),)}
    ) == {
        "popsize": 8,
        "sigma0": 0.5,
        "low": [1.0],
    }


# Agents


@pytest.mark.parametrize("given", [Jump(0.5), Table(), "toy_methods:jump", "toy_methods:Jump"])
def test_an_optimizer_of_your_own_trains_an_agent(given: Any) -> None:
    agent = make(given, seed=3)
    agent.learn(500)
    assert agent.num_records > 1
    assert agent.state.optimizer.t == agent.num_records
    made: object = agent.search.optimizer
    assert made == (given if not isinstance(given, str) else jump() if "jump" in given else Jump())


def test_an_object_is_the_same_as_its_name_with_options() -> None:
    by_name = make("cma-es", settings="default", sigma0=0.7, popsize=6)
    by_object = make(CMAES(sigma0=0.7, popsize=6))
    source = {"source": "given as an object"}
    assert by_object.config == {**by_name.config, **source}
    assert by_object.name == by_name.name == "cma-es"
    assert bits(by_object.learn(400)) == bits(by_name.learn(400))


def test_a_reference_takes_options_and_names_the_unknown() -> None:
    agent = make("toy_methods:jump", length=0.25)
    assert agent.config["options"] == {"length": 0.25}
    optimizer: object = agent.search.optimizer
    assert optimizer == Jump(0.25)
    with pytest.raises(UnknownNameError, match="option of toy_methods:jump 'lenth'"):
        make("toy_methods:jump", lenth=1.0)
    with pytest.raises(ConfigurationError, match=r"unknown class or function .* 'gone'"):
        make("toy_methods:gone")
    with pytest.raises(ConfigurationError, match="needs an optimizer"):
        make("toy_methods:Often")


def test_a_gate_may_be_an_object() -> None:
    agent = make("spsa", gate=Paired(2))
    assert (agent.config["gate"], agent.config["gate_options"]) == ("paired", {"episodes": 2})
    assert make("spsa", gate="toy_methods:Often").search.gate == Often()
    start = (never := make(Jump(), gate=Never())).state.theta
    assert np.array_equal(never.learn(300).state.theta, start)


@pytest.mark.parametrize(
    ("agent", "options", "words"),
    [
        (CMAES, {}, r"a search agent needs an optimizer, e\.g\. CMAES\(\)"),
        (3, {}, "a search agent needs an optimizer"),
        (CMAES(), {"sigma0": 2.0}, "options belong to the agent by name"),
        ("spsa", {"gate": Paired}, "a gate is an object with `init` and `decide`"),
        ("spsa", {"gate": Often(), "gate_options": {"every": 1}}, "gate_options belong to"),
        ("spsa", {"gate": Sequential, "gate_options": {}}, "a gate is an object"),
    ],
)
def test_what_is_no_optimizer_or_gate_is_refused(
    agent: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make(agent, **options)


# Files


@pytest.mark.parametrize("given", [Jump(0.5), ars(m=2), "toy_methods:jump"], ids=label)
def test_an_agent_whose_objects_are_described_loads_without_them(
    given: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agent = make(given, gate=Often(1), seed=2).learn(300)
    agent.save(tmp_path / "agent.zip")
    assert "no file can hold" not in caplog.text
    loaded = zorl.load_agent(tmp_path / "agent.zip")
    assert loaded.config == agent.config
    assert bits(loaded) == bits(agent)
    assert bits(loaded.learn(300)) == bits(agent.learn(300))


def test_objects_that_no_file_holds_are_given_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "agent.zip"
    agent = make(Table(), gate=Never(), seed=2).learn(300)
    agent.save(path)
    assert "state of the optimizer <Table>" in caplog.text
    assert "state of the gate <Never>" in caplog.text
    with pytest.raises(ConfigurationError, match=r"optimizer <Table> .*load_agent\(path, optim"):
        zorl.load_agent(path)
    with pytest.raises(ConfigurationError, match=r"gate <Never> .*load_agent\(path, gate=…\)"):
        zorl.load_agent(path, optimizer=Table())
    with pytest.raises(ConfigurationError, match="saved optimizer is <Table>, which is not the gi"):
        zorl.load_agent(path, optimizer=Jump(), gate=Never())
    loaded = zorl.load_agent(path, optimizer=Table(), gate=Never())
    assert loaded.config == agent.config
    assert bits(loaded.learn(300)) == bits(agent.learn(300))


def test_an_object_that_the_file_holds_is_not_replaced(tmp_path: Path) -> None:
    make("spsa").save(tmp_path / "agent.zip")
    with pytest.raises(ConfigurationError, match="saved optimizer is spsa, which is not"):
        zorl.load_agent(tmp_path / "agent.zip", optimizer=Jump())
    ppo = zorl.make_agent("ppo", CART)
    ppo.save(tmp_path / "ppo.zip")
    ppo.close()
    with pytest.raises(ConfigurationError, match="a baseline has no gate"):
        zorl.load_agent(tmp_path / "ppo.zip", gate=Often())


@pytest.mark.parametrize("count", [1, 3])
def test_a_run_with_objects_is_resumed_with_them(count: int, tmp_path: Path) -> None:
    plan = TrainingPlan(1500, validate_every=400, validate_episodes=2, held_out=3)
    expected = train(make(Table(), gate=Never()), plan).held_out
    agent = make(Table(), gate=Never())
    folder = RunFolder.create(tmp_path / "run", run_config(agent, plan))
    train(agent, plan, folder, stop=StopAfter(count))
    if count == 1:
        folder.checkpoint.unlink()  # killed before the first one
    assert read_json(folder.config)["agent"]["agent"] == "<Table>"
    with pytest.raises(ConfigurationError, match="optimizer <Table>"):
        resume(folder)
    assert resume(folder, optimizer=Table(), gate=Never()).held_out == expected


def test_a_run_is_named_without_what_no_folder_can_have() -> None:
    assert run_name("a:b/C-v0", "mod:recipe", 3).startswith("a-b-C-v0__mod-recipe__3__")


def test_an_object_keeps_the_defaults_of_the_configuration() -> None:
    agent = zorl.make_agent(CMAES(), CART)
    assert (agent.config["episodes"], agent.config["max_episodes"]) == (5, None)
